"""
`Mixpanel`, held against the official client, against its own arguments, and against itself with another carrier.
"""

import inspect
import json
import runpy
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import mixpanel
import orjson
import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixwire import Mixpanel
from mixwire.core import Endpoint, InvalidValue, MixwireError, Project, Response, Track
from mixwire.core.foreign import messages_from_json
from mixwire.hand_over import ENDPOINTS
from mixwire.testing import MemoryTransport
from mixwire.testing import strategies as mx
from mixwire.transports import SyncTransport

# What both clients take, and where they differ on purpose, is said in one place for single operations and for calls.
OFFICIAL = runpy.run_path(str(Path(__file__).parent.parent / "tests" / "test_official.py"))
DIFFERENT, TOKEN, NOW, INSERT_ID = (OFFICIAL[name] for name in ("DIFFERENT", "TOKEN", "NOW", "INSERT_ID"))
NAMES, VALUES, IDS, EVENT_NAMES, TEXT = (OFFICIAL[name] for name in ("NAMES", "VALUES", "IDS", "EVENT_NAMES", "TEXT"))
NUMBERS, LISTS = OFFICIAL["NUMBERS"], OFFICIAL["LISTS"]
MILLISECONDS = round(NOW * 1000)
SECONDS = int(NOW)

# Calls are many small draws: a sequence of them costs more than a deep value.
lightly = settings(max_examples=settings().max_examples // 2 or 1)
widely = settings(max_examples=settings().max_examples * 2)


class Recorder:
    """
    A consumer that keeps the arguments it is called with.
    """

    def __init__(self):
        self.calls = []

    def send(self, endpoint, json_message, *keys):
        self.calls.append((endpoint, json_message, keys))


def front_door(**arguments):
    """
    Ours, on a clock that stands still.
    """
    return Mixpanel(TOKEN, now=lambda: MILLISECONDS, make_insert_id=lambda: INSERT_ID, **arguments)


def make(client, call):
    name, arguments, named = call
    return getattr(client, name)(*arguments, **named)


# --- calls that both clients take -----------------------------------------------------------------------------------


def some(**fields):
    """
    A dict in which each of the names may be missing; a name is given with ``_`` for its ``$``.
    """
    return st.fixed_dictionaries({}, optional={name.replace("_", "$", 1): value for name, value in fields.items()})


def joined(*dicts):
    return st.tuples(*dicts).map(lambda each: {name: value for one in each for name, value in one.items()})


# A float of seconds with a quarter is just as many milliseconds.
TIMES = st.integers(100_000_000, 4_000_000_000) | st.integers(4_000_000_000, 9_000_000_000).map(lambda each: each / 4)
INSTANTS = TIMES | st.integers(1_500_000_000_000, 1_900_000_000_000)
USERS = IDS | st.integers(1, 10**12)
LIBRARIES = st.fixed_dictionaries({"mp_lib": TEXT}, optional={"$lib_version": TEXT})
OWN = st.fixed_dictionaries(
    {}, optional={"token": st.just(TOKEN), "time": INSTANTS, "distinct_id": USERS, "$insert_id": mx.insert_ids()}
)
FEW = st.dictionaries(NAMES, VALUES, max_size=4)
EVENT_PROPERTIES = st.none() | FEW | joined(FEW, OWN | LIBRARIES)
EVENT_META = st.none() | st.dictionaries(
    TEXT.filter(lambda name: name not in ("event", "properties")), VALUES, max_size=2
)
PROFILE_PROPERTIES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)
UNIONS = st.dictionaries(NAMES, LISTS | NUMBERS | TEXT, min_size=1, max_size=3)
INCREMENTS = st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=3)
LISTED = st.lists(NAMES, min_size=1, max_size=4)
IPS = st.sampled_from(["0", 0, "203.0.113.7"])
GROUP_META = st.none() | some(_ip=IPS, _ignore_time=st.booleans(), _time=TIMES, _token=st.just(TOKEN))
PLACES = st.just({}) | st.fixed_dictionaries({"$latitude": st.floats(-90, 90), "$longitude": st.integers(-180, 180)})
PEOPLE_META = st.none() | joined(
    some(_ip=IPS, _ignore_time=st.booleans(), _ignore_alias=st.booleans(), _time=TIMES), PLACES
)
CHARGED = st.none() | joined(
    st.dictionaries(NAMES, st.none() | st.booleans() | NUMBERS | TEXT, max_size=3),
    some(
        _time=st.datetimes().filter(lambda each: 1975 < each.year < 9000).map(lambda each: f"{each:%Y-%m-%dT%H:%M:%S}")
    ),
)
KEYS = st.none() | TEXT


@st.composite
def updates(draw, ids, operators):
    """
    An update with several operators that touch different properties, or with one that only the server knows.
    """
    names = draw(st.lists(NAMES, min_size=3, max_size=6, unique=True))
    update = {name: draw(values) for name, values in ids.items()}
    if draw(st.booleans()):
        return update | {"$newer_than_both": draw(VALUES), "$set": {names[0]: draw(VALUES)}}
    for operator in draw(st.lists(st.sampled_from(sorted(operators)), min_size=1, max_size=3, unique=True)):
        update[operator] = draw(operators[operator](names.pop()))
    return update


def only(values):
    return lambda name: st.fixed_dictionaries({name: values})


GROUP_OPERATORS = {
    "$set": only(VALUES),
    "$set_once": only(VALUES),
    "$union": only(LISTS),
    "$remove": only(VALUES),
    "$unset": lambda name: st.just([name]),
}
PEOPLE_OPERATORS = GROUP_OPERATORS | {"$add": only(NUMBERS), "$append": only(VALUES)}


def calls(name, *arguments, **named):
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries({}, optional=named))


TWO = st.lists(IDS, min_size=2, max_size=2, unique=True)
GROUP = (IDS, USERS)
CALLS = st.one_of(
    calls("track", USERS | st.just(""), EVENT_NAMES, properties=EVENT_PROPERTIES, meta=EVENT_META),
    calls(
        "import_data", KEYS, USERS, EVENT_NAMES, INSTANTS, properties=EVENT_PROPERTIES, meta=EVENT_META, api_secret=KEYS
    ),
    st.tuples(TWO, EVENT_META).map(lambda each: ("alias", (*each[0], each[1]), {})),
    st.tuples(KEYS, TWO, EVENT_META, KEYS).map(
        lambda each: ("merge", (each[0], *each[1]), {"meta": each[2], "api_secret": each[3]})
    ),
    *(
        calls(f"people_{name}", USERS, PROFILE_PROPERTIES, meta=PEOPLE_META)
        for name in ("set", "set_once", "append", "remove")
    ),
    calls("people_increment", USERS, INCREMENTS, meta=PEOPLE_META),
    calls("people_union", USERS, UNIONS, meta=PEOPLE_META),
    calls("people_unset", USERS, LISTED, meta=PEOPLE_META),
    calls("people_delete", USERS, meta=PEOPLE_META),
    calls("people_track_charge", USERS, NUMBERS, properties=CHARGED, meta=PEOPLE_META),
    calls("people_clear_charges", USERS, meta=PEOPLE_META),
    calls("people_update", updates({"$distinct_id": USERS}, PEOPLE_OPERATORS)),
    *(calls(f"group_{name}", *GROUP, PROFILE_PROPERTIES, meta=GROUP_META) for name in ("set", "set_once", "remove")),
    calls("group_union", *GROUP, UNIONS, meta=GROUP_META),
    calls("group_unset", *GROUP, LISTED, meta=GROUP_META),
    calls("group_delete", *GROUP, meta=GROUP_META),
    calls("group_update", updates({"$group_key": IDS, "$group_id": USERS}, GROUP_OPERATORS)),
)


def as_ours(wire):
    """
    What ours must be, given the official one.
    """
    for path, mapped, _ in DIFFERENT:
        place = wire
        for name in path[:-1]:
            place = place.get(name, {})
        if path[-1] in place:
            place[path[-1]] = mapped(place[path[-1]])
    return wire


def expected(call, endpoint, text):
    """
    What ours must hand over for a call, given what the official client handed over.
    """
    wire = json.loads(text)
    if endpoint in ("people", "groups"):
        if call[0] == "people_track_charge":
            # A charge without a time is not in the curve of the revenue report.
            wire["$append"]["$transactions"].setdefault("$time", "2026-01-01T00:00:00")
        return as_ours(normal(wire, endpoint))
    given = {} if call[0] in ("alias", "merge") else call[2].get("properties") or {}
    time = wire["properties"].get("time")
    as_ours(wire)
    if isinstance(time, int):
        wire["properties"]["time"] = time  # which is one already, of seconds or of milliseconds
    if isinstance(wire["properties"].get("distinct_id"), int):
        wire["properties"]["distinct_id"] = str(wire["properties"]["distinct_id"])
    if "mp_lib" in given:
        # Another library sent the event first: it says which version it was, not ours.
        wire["properties"] |= {name: given[name] for name in ("mp_lib", "$lib_version") if name in given}
        if "$lib_version" not in given:
            del wire["properties"]["$lib_version"]
    return wire


IDS_IN = {"people": ("$distinct_id",), "groups": ("$group_key", "$group_id")}
OPTIONS = ("$ip", "$time", "$ignore_time", "$ignore_alias", "$latitude", "$longitude")
OPERATORS = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")


def normal(update, endpoint):
    """
    An update as ours writes it: ids are text and times whole seconds; beside what is not known all is as it was given.
    """
    ids = IDS_IN[endpoint]
    update = {name: str(value) if name in ids else value for name, value in update.items()}
    if update.get("$time") is not None:
        time = update["$time"]
        update["$time"] = round(time * 1000 if time < 100_000_000_000 else time) // 1000
    if not update.keys() <= {"$token", *ids, *OPTIONS, *OPERATORS}:
        return update
    # None is not given, and what is not ignored is not mentioned.
    unsaid = {name for name in OPTIONS if name in update and (update[name] is None or update[name] is False)}
    update = {name: value for name, value in update.items() if name not in unsaid}
    if update.get("$ip") == 0:
        update["$ip"] = "0"
    if "$union" in update:
        lists = {name: value if isinstance(value, list) else [value] for name, value in update["$union"].items()}
        update["$union"] = lists
    if "$unset" in update:
        update["$unset"] = list(dict.fromkeys(update["$unset"]))
    if "$delete" in update:
        update["$delete"] = ""
    return update


def canonical(wire):
    # As text, because 1 == 1.0 == True in Python but not in JSON.
    return orjson.dumps(wire, option=orjson.OPT_SORT_KEYS)


@lightly
@given(st.lists(CALLS, min_size=1, max_size=4))
def test_the_same_calls_hand_over_the_same_as_the_official_client(sequence):
    theirs, kept = Recorder(), Recorder()
    official = mixpanel.Mixpanel(TOKEN, consumer=theirs)
    official._now = lambda: NOW
    official._make_insert_id = lambda: INSERT_ID
    ours = front_door(consumer=kept)
    with pytest.MonkeyPatch.context() as patch:
        # Its alias() makes a consumer of its own; ours goes where the others go.
        patch.setattr(mixpanel, "Consumer", lambda: theirs)
        for call in sequence:
            # Ours goes first, because the official one changes some of its arguments.
            make(ours, call)
            make(official, call)
    assert [(endpoint, keys) for endpoint, _, keys in kept.calls] == [(name, keys) for name, _, keys in theirs.calls]
    for call, (_, text, _), (endpoint, their_text, _) in zip(sequence, kept.calls, theirs.calls, strict=True):
        assert type(text) is str
        assert canonical(json.loads(text)) == canonical(expected(call, endpoint, their_text))


# --- any arguments --------------------------------------------------------------------------------------------------

METHODS = {
    name: inspect.signature(method)
    for name, method in inspect.getmembers(Mixpanel, inspect.isfunction)
    if name.startswith(("track", "import_data", "alias", "identify", "merge", "people_", "group_"))
}


class Hostile:
    """
    An object of the caller's own, which nobody may compare, measure or turn into text.
    """

    def refuse(self, *_):
        raise RuntimeError("nobody may do that")

    __eq__ = __lt__ = __bool__ = __len__ = __iter__ = __str__ = __int__ = refuse
    __hash__ = object.__hash__


GARBAGE = st.builds(Hostile) | mx.json_garbage()
SPECIAL = ["token", "time", "distinct_id", "$insert_id", "$token", "event", *IDS_IN["groups"], *OPTIONS, *OPERATORS]
KEYS_OF_ANY_KIND = st.sampled_from(SPECIAL) | st.sampled_from(SPECIAL) | st.integers() | st.builds(Hostile)
MAPPINGS_OF_ANY_KIND = st.dictionaries(KEYS_OF_ANY_KIND, GARBAGE, min_size=1, max_size=2)
ANYTHING = st.one_of(
    st.none() | st.just(""),
    GARBAGE,
    MAPPINGS_OF_ANY_KIND,
    st.sets(mx.property_names(), max_size=2),
    mx.operations(),
)
SENSIBLE = {
    "message": updates({"$distinct_id": USERS, "$group_key": IDS, "$group_id": USERS}, GROUP_OPERATORS),
    "event_name": mx.event_names(),
    "timestamp": mx.instants(),
    "anon_id": st.uuids(version=4),
    "group_key": mx.distinct_ids().map(str),
    "amount": NUMBERS,
    "properties": mx.event_properties(min_size=1, max_size=3),
    "meta": st.just({}),
}


@st.composite
def wild_calls(draw):
    """
    Any method with anything in one or two places, and with what belongs there in the others, or no call would get far.
    """
    name = draw(st.sampled_from(sorted(METHODS)))
    places = list(METHODS[name].parameters)[1:]
    named = {place: draw(SENSIBLE.get(place, mx.distinct_ids())) for place in places}
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=2, unique=True)):
        if isinstance(named[place], dict) and draw(st.booleans()):
            named[place] = {**named[place], **draw(MAPPINGS_OF_ANY_KIND)}
        else:
            named[place] = draw(ANYTHING)
    return name, (), named


@widely
@given(wild_calls(), st.sampled_from(["off", "warn", "strict"]))
@example(("track", ("user-1", "E", {"token": Hostile()}), {}), "off")
@example(("people_update", ({"$distinct_id": "user-1", "$set": {"a": 1}, "$token": Hostile()},), {}), "off")
@example(("people_update", ({"$distinct_id": "user-1", "$set": {"a": 1}, Hostile(): 1},), {}), "off")
def test_a_call_hands_over_one_message_or_raises_what_we_promise(call, limits):
    kept = Recorder()
    try:
        assert make(front_door(consumer=kept, limits=limits), call) is None
    except MixwireError:
        assert kept.calls == []
    else:
        ((endpoint, text, _),) = kept.calls
        assert endpoint in ENDPOINTS
        assert type(text) is str
        assert isinstance(json.loads(text), dict)


class Chosen(json.JSONEncoder):
    """
    A serializer that knows one type more than JSON.
    """

    def default(self, o):
        return "a complex number" if isinstance(o, complex) else super().default(o)


@given(wild_calls())
def test_with_a_serializer_a_call_may_also_raise_what_the_serializer_raises(call):
    kept = Recorder()
    try:
        make(front_door(consumer=kept, serializer=Chosen), call)
    except (MixwireError, TypeError):
        assert kept.calls == []
    else:
        assert len(kept.calls) == 1


def in_itself():
    value = []
    value.append(value)
    return value


def deep():
    value = []
    for _ in range(5_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [in_itself, deep, lambda: 10**5_000], ids=["in itself", "deep", "long"])
@pytest.mark.parametrize("method", ["track", "import_data", "people_set", "people_track_charge", "with_properties"])
def test_what_the_json_module_cannot_write_is_refused_as_without_a_serializer(method, value):
    properties = {"a": value()}
    before = {"track": ("u", "E"), "import_data": (None, "u", "E", SECONDS), "people_set": ("u",)}
    before |= {"people_track_charge": ("u", 5), "with_properties": ()}
    for serializer in (None, Chosen):
        client = front_door(transport=MemoryTransport(), serializer=serializer)
        with pytest.raises(InvalidValue, match="properties"):
            getattr(client, method)(*before[method], properties)


@lightly
@given(st.lists(mx.operations(stamped=False) | ANYTHING, max_size=3))
def test_sending_operations_hands_over_all_or_raises(operations):
    kept = Recorder()
    try:
        front_door(consumer=kept).send(*operations)
    except MixwireError:
        assert kept.calls == []
    else:
        assert len(kept.calls) == len(operations)


@lightly
@given(ANYTHING.filter(lambda secret: secret is not None and type(secret) is not str))
def test_a_secret_that_is_no_text_is_refused_before_anything_is_sent(secret):
    with Mixpanel(TOKEN, server="http://127.0.0.1:9") as mp, pytest.raises(InvalidValue, match="api_secret must be"):
        mp.merge(None, "user-1", "user-2", api_secret=secret)


@given(wild_calls() | CALLS)
@example(("people_track_charge", ("user-1", 5, {"$time": SECONDS}), {}))
def test_no_call_changes_what_it_is_given(call):
    before = repr(call)
    for client in (front_door(consumer=Recorder()), front_door(consumer=Recorder()).with_properties({"shop": "b"})):
        with suppress(MixwireError):
            make(client, call)
        assert repr(call) == before


# --- any carrier ----------------------------------------------------------------------------------------------------

RICH = st.one_of(
    calls("track", mx.distinct_ids(), mx.event_names(), properties=mx.event_properties()),
    calls("import_data", KEYS, mx.distinct_ids(), mx.event_names(), mx.instants(), properties=mx.event_properties()),
    mx.identifies().map(lambda each: ("identify", (each.identified_id, each.anon_id), {})),
    calls("people_set", mx.distinct_ids(), mx.profile_properties(min_size=1)),
    calls("people_track_charge", mx.distinct_ids(), NUMBERS, properties=mx.charge_properties()),
    calls("group_set_once", mx.distinct_ids().map(str), mx.distinct_ids(), mx.profile_properties(min_size=1)),
)
PATHS = {endpoint.value: endpoint for endpoint in Endpoint}


class Server:
    """
    Answers requests as Mixpanel does when all is well, and keeps their messages.
    """

    def __init__(self):
        self.arrived = []

    def __call__(self, request):
        endpoint = PATHS[urlsplit(request.url).path]
        # Each call is one request of one message.
        self.arrived.append((endpoint, request.body.removeprefix(b"[").removesuffix(b"]")))
        return Response(status=200, body=b'{"code":200,"num_records_imported":1,"status":"OK","error":null}')


@lightly
@given(st.lists(CALLS | RICH, min_size=1, max_size=4), st.sampled_from(["off", "warn"]), st.booleans())
def test_what_is_handed_over_does_not_depend_on_the_carrier(sequence, limits, to_import):
    events = "import" if to_import else "track"
    kept, memory, server = Recorder(), MemoryTransport(), Server()
    sync = SyncTransport(Project(TOKEN, events=events), post=server, now=lambda: MILLISECONDS)
    for carrier in ({"consumer": kept}, {"transport": memory}, {"transport": sync}):
        client = front_door(limits=limits, events=events, **carrier)
        for call in sequence:
            make(client, call)
    for message, (endpoint, body), (name, text, _) in zip(memory.messages, server.arrived, kept.calls, strict=True):
        assert body == message.body
        assert ENDPOINTS[name] is message.endpoint
        assert endpoint is message.endpoint or (message.endpoint, endpoint) == (Endpoint.TRACK, Endpoint.IMPORT)
        # Consumers are given the same JSON in ASCII.
        assert text.isascii()
        assert json.dumps(json.loads(text)) == json.dumps(json.loads(body))


IDENTIFIED = st.dictionaries(st.sampled_from(["$user_id", "$device_id", "alias", "plan"]), TEXT, max_size=2)
EVENTS = calls("track", USERS | st.just(""), EVENT_NAMES, properties=IDENTIFIED, meta=EVENT_META)


@given(CALLS | RICH | EVENTS | EVENTS)
def test_what_a_consumer_is_given_reads_as_the_same_message(call):
    kept, memory = Recorder(), MemoryTransport()
    make(front_door(consumer=kept), call)
    make(front_door(transport=memory), call)
    ((name, text, _),) = kept.calls
    (message,) = memory.messages
    for written in (text, f"[{text}]\n"):
        (read,) = messages_from_json(ENDPOINTS[name], written)
        # Who reads an event does not know which of its ids are the user's: all of them may be.
        assert {key for key in message.keys if key} <= set(read.keys)
        assert read.body.decode() == text
        assert evolve(read, keys=message.keys, body=message.body) == message
        if message.time is None:
            assert read.keys == message.keys


# --- properties of all events ---------------------------------------------------------------------------------------

SHARED = st.dictionaries(
    st.sampled_from(["plan", "shop", "$city", "mp_lib", "été"]) | mx.property_names(), mx.property_values(), max_size=3
)


def handed_over(client, memory, properties):
    memory.clear()
    client.track("user-1", "E", properties)
    client.import_data(None, "user-1", "E", SECONDS, properties)
    client.send(Track("E", distinct_id="user-1", properties=properties))
    return memory.messages


@given(SHARED, SHARED, SHARED)
def test_properties_of_all_events_add_up_under_those_of_the_event(first, second, own):
    memory = MemoryTransport()
    plain = front_door(transport=memory)
    before = handed_over(plain, memory, own)
    one = plain.with_properties(first)
    both = one.with_properties(second)
    expected = handed_over(plain, memory, {**first, **second, **own})
    assert handed_over(both, memory, own) == expected
    assert handed_over(plain.with_properties({**first, **second}), memory, own) == expected
    # Those that they were made from, and what was given, have nothing to do with them any more.
    assert handed_over(one, memory, own) == handed_over(plain, memory, {**first, **own})
    assert handed_over(plain, memory, own) == before
    first.clear()
    second["plan"] = "another"
    assert handed_over(both, memory, own) == expected


@given(SHARED)
def test_properties_of_all_events_are_not_those_of_profiles_and_identities(shared):
    memory = MemoryTransport()
    plain = front_door(transport=memory)
    for client in (plain, plain.with_properties(shared)):
        client.people_set("user-1", {"plan": "pro"})
        client.people_track_charge("user-1", 5)
        client.group_set("Company", "acme", {"plan": "pro"})
        client.alias("user-1", "user-2")
        client.merge(None, "user-1", "user-2")
    assert memory.messages[:5] == memory.messages[5:]


# --- updates in the form of the wire --------------------------------------------------------------------------------

JSONABLE = st.one_of(
    mx.json_values(),
    st.integers(2**64, 2**70),
    st.just("\ud800"),
    st.integers(30, 40).map(lambda levels: json.loads("[" * levels + "]" * levels)),
)
LONG = "a name that is longer than what a sentence about it wants to repeat"
NAMED = st.dictionaries(NAMES, VALUES, min_size=1, max_size=2)
FIELDS = {
    **dict.fromkeys(("$set", "$set_once", "$append", "$remove"), NAMED),
    "$add": INCREMENTS,
    "$union": UNIONS,
    "$unset": LISTED,
    "$delete": st.just(""),
    "$ip": IPS,
    "$time": INSTANTS,
    "$ignore_time": st.booleans(),
    "$ignore_alias": st.booleans(),
    "$latitude": st.floats(-90, 90),
    "$longitude": st.integers(-180, 180),
    "$token": st.just(TOKEN),
    "$distinct_id": USERS,
    "$group_key": IDS,
    "$group_id": USERS,
    "$newer": VALUES,
    LONG: VALUES,
}


@st.composite
def written_updates(draw):
    """
    people or groups, and what stands in the message and in its meta.
    """
    endpoint = draw(st.sampled_from(sorted(IDS_IN)))
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)) | TEXT, max_size=3))
    if draw(st.integers(0, 7)):
        names.extend(IDS_IN[endpoint])
    message, meta = {}, {}
    for name in dict.fromkeys(names):
        value = draw(FIELDS.get(name, VALUES) if draw(st.integers(0, 7)) else JSONABLE)
        (meta if draw(st.sampled_from([False, False, True])) else message)[name] = value
    return endpoint, message, meta or None


@widely
@given(written_updates())
@example(("people", {"$distinct_id": "user-1", LONG: 2**64}, None))
@example(("people", {"$distinct_id": "user-1"}, {"\ud800": 1}))
@example(("groups", {"$group_key": "Company", "$group_id": "acme", 1: 1}, None))
def test_an_update_is_sent_as_it_was_written_or_refused_where_it_was_written(update):
    endpoint, message, meta = update
    memory = MemoryTransport()
    client = front_door(transport=memory)
    try:
        (client.people_update if endpoint == "people" else client.group_update)(message, meta)
    except InvalidValue as fault:
        place = fault.path
    else:
        wire = normal({"$time": SECONDS, **message, **(meta or {}), "$token": TOKEN}, endpoint)
        assert canonical(memory.messages[0].to_wire()) == canonical(wire)
        return
    assert place.startswith(("message", "meta"))
