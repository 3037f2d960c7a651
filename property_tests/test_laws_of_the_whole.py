"""
The front door, a transport and the emulated Mixpanel together, without a socket: whatever is sent and whatever goes
wrong on the way, what arrives is what was said, each thing once and in order.

Everything happens in one thread and on a clock of its own, so that a failure can be replayed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Final

from attrs import define, field, frozen
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mixwire import Mixpanel, MixpanelException
from mixwire.core import (
    Add,
    Alias,
    Append,
    Charge,
    Delete,
    Endpoint,
    EventRoute,
    GroupOp,
    Merge,
    Message,
    Operation,
    Outcome,
    PeopleOp,
    Project,
    Remove,
    Set,
    SetOnce,
    Track,
    Union,
    Unset,
    encode,
)
from mixwire.testing import Delay, Fault, LocalMixpanel, LostAnswer, Reset, Settings, Status
from mixwire.testing.emulator import query_view
from mixwire.testing.state import Event, Fate, State, Update
from mixwire.transports import BufferedTransport, SyncTransport, Transport

# One course holds dozens of messages.
lightly: Final = settings(max_examples=settings().max_examples // 2 or 1)

NOW: Final = 1_767_225_600_000
HOUR: Final = 3_600_000
BEGINNING: Final = NOW // 1000 - 1_000_000
"""The `$time` of an update tells which one it is: so many seconds later."""
MAX_BODY_BYTES: Final = 400
"""So that batches are halved, and a long event is refused for its size."""
HAD_EFFECT: Final = (LostAnswer(), Status(500, is_applied=True), Status(502, is_applied=True))
FAULTS: Final[tuple[Fault, ...]] = (
    *HAD_EFFECT,
    Status(429, "0"),
    Status(429, "120"),
    Status(500),
    Status(503),
    Status(413),
    Reset(),
    Delay(0.0),
)
USERS: Final = ("user-0", "user-1")
EVENTS: Final = ("event", "past", "future", "nobody", "long")
CHANGES: Final = ("set", "once", "add", "append", "union", "remove", "unset", "delete", "charge", "several")
OTHERS: Final = ("group", "alias", "merge")


class Clock:
    """
    Time that passes only when somebody looks: whoever waits does not wait long, and a caller who only hands over finds
    that hardly any has passed.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stride = 0.001

    def now(self) -> float:
        self.seconds += self.stride
        return self.seconds

    @contextmanager
    def hurried(self) -> Generator[None]:
        """
        Minutes pass at each look.
        """
        self.stride = 61.0
        try:
            yield
        finally:
            self.stride = 0.001


def operation(kind: str, user: str, serial: int) -> Operation:
    """
    An operation that can be told from all others when it arrives.
    """
    time = BEGINNING + serial
    changes: dict[str, PeopleChanges] = {
        "set": (Set({"last": serial}),),
        "once": (SetOnce({"first": serial, "list": [serial]}),),
        "add": (Add({"count": 1}),),
        "append": (Append({"list": serial % 3}),),
        "union": (Union({"list": [serial % 3, "x"]}),),
        "remove": (Remove({"list": serial % 3}),),
        "unset": (Unset("list", "first"),),
        "delete": (Delete(),),
        "several": (Set({"last": serial}), Union({"list": [serial]}), Unset("first")),
    }
    if kind in changes:
        return PeopleOp(user, *changes[kind], time=time)
    match kind:
        case "charge":
            return Charge(user, serial, time=time, properties={"n": serial})
        case "group":
            return GroupOp("company", user, Set({"last": serial}), time=time)
        case "alias":
            return Alias(alias=f"alias-{serial}", distinct_id=user)
        case "merge":
            return Merge(user, f"alias-{serial}")
    at = {"past": NOW - 200 * HOUR, "future": NOW + 2 * HOUR}.get(kind, NOW - serial)
    properties: dict[str, object] = {"n": serial}
    if kind == "nobody":
        properties["$user_id"] = user
    if kind == "long":
        properties["text"] = ["x" * 200] * (serial % 4)
    return Track(
        "Opened",
        distinct_id=None if kind == "nobody" else user,
        properties=properties,
        time=at,
        insert_id=f"insert-{serial:04}",
    )


PeopleChanges = tuple[Set | SetOnce | Add | Append | Union | Remove | Unset | Delete, ...]


def serial_of(record: dict[str, Any]) -> int:
    """
    Which operation a record on the wire says.
    """
    if "event" not in record:
        found = record.get("$append", {}).get("$transactions")
        return int(found["n"] if found else record["$time"] - BEGINNING)
    properties = record["properties"]
    if record["event"] == "Opened":
        return int(properties["n"])
    return int((properties.get("alias") or properties["$distinct_ids"][1]).removeprefix("alias-"))


def is_applied(entry: Event | Update) -> bool:
    return entry.fate in (Fate.STORED, Fate.IGNORED)


def arrived(state: State) -> list[tuple[int, Event | Update]]:
    """
    What took effect, in the order in which it did.
    """
    entries = sorted((*state.events.entries, *state.updates.entries), key=lambda entry: entry.number)
    return [(serial_of(json.loads(entry.json)), entry) for entry in entries if is_applied(entry)]


def seen(state: State) -> tuple[object, ...]:
    """
    What a user of Mixpanel sees, whatever the order in which endpoints were served.
    """
    events = sorted(
        (each.name, str(each.key), json.dumps(each.properties, sort_keys=True)) for each in query_view(state)
    )
    profiles = {name: dict(profile.properties) for name, profile in state.profiles.items()}
    groups = {name: dict(profile.properties) for name, profile in state.groups.items()}
    users = {each: state.identities.user_of(each) for each in state.identities.users}
    return events, profiles, groups, users


@frozen
class Send:
    """
    Hand over operations in one call.
    """

    operations: tuple[tuple[str, str], ...]


@frozen
class Break:
    """
    Let requests go wrong.
    """

    fault: Fault
    times: int | None
    endpoint: Endpoint | None


@frozen
class Flush:
    """
    Deliver what is held, as far as that goes.
    """


@frozen
class Heal:
    """
    Let nothing go wrong any more.
    """


Step = Send | Break | Flush | Heal


def sends(*kinds: str) -> st.SearchStrategy[Step]:
    chosen = st.lists(st.tuples(st.sampled_from(kinds), st.sampled_from(USERS)), min_size=1, max_size=8)
    return chosen.map(lambda each: Send(tuple(each)))


SENDS: Final = sends(*CHANGES) | sends("set", "add") | sends(*EVENTS, *CHANGES, *OTHERS)
BREAKS: Final = st.builds(
    Break,
    st.sampled_from([*HAD_EFFECT, *FAULTS]),
    st.sampled_from([1, 2, 3, 3, None]),
    st.sampled_from([None, None, None, *Endpoint]),
)
ROUNDS: Final = st.tuples(BREAKS, BREAKS | SENDS, SENDS, st.sampled_from([Flush(), Heal()]))
STEPS: Final[st.SearchStrategy[list[Step]]] = st.lists(ROUNDS, max_size=4).map(lambda each: [*chain(*each)])


@define
class Whole:
    """
    All of it, from the front door to Mixpanel, and what was said about each message.
    """

    make: Callable[[Whole], Transport]
    events: EventRoute
    server: LocalMixpanel = field(
        factory=lambda: LocalMixpanel(Settings(max_body_bytes=MAX_BODY_BYTES), now=lambda: NOW)
    )
    clock: Clock = field(factory=Clock)
    sent: list[Message] = field(factory=list)
    kinds: list[tuple[str, str]] = field(factory=list)
    calls: list[range] = field(factory=list)
    ends: dict[int, list[str]] = field(factory=lambda: defaultdict(list))
    project: Project = field(init=False)
    door: Mixpanel = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.project = Project("token", events=self.events, limits="off")
        self.door = Mixpanel("token", transport=self.make(self), events=self.events, limits="off", now=lambda: NOW)

    def hear(self, outcome: Outcome) -> None:
        for message in outcome.delivered:
            self.ends[serial_of(message.to_wire())].append("delivered")
        for name in ("rejected", "failed", "unknown"):
            for entry in getattr(outcome, name):
                self.ends[serial_of(entry.message.to_wire())].append(name)

    def take(self, step: Step) -> None:
        match step:
            case Send(chosen):
                made = [operation(*each, len(self.sent) + at) for at, each in enumerate(chosen)]
                self.calls.append(range(len(self.sent), len(self.sent) + len(made)))
                self.sent += [encode(each, self.project) for each in made]
                self.kinds += chosen
                self.clock.seconds += 30.0
                # The exception says what the listener hears.
                with suppress(MixpanelException):
                    self.door.send(*made)
            case Break(fault, times, endpoint):
                self.server.fail_next(fault, times=times, endpoint=endpoint)
            case Flush():
                with self.clock.hurried():
                    self.door.flush(500.0)
            case Heal():
                self.server.heal()
        stats = self.door.stats()
        assert stats.accepted == len(self.sent)
        assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.held
        assert Counter(end for ends in self.ends.values() for end in ends) == Counter(
            {name: getattr(stats, name) for name in ("delivered", "rejected", "failed", "unknown")}
        )

    def drain(self) -> None:
        self.server.heal()
        with self.clock.hurried():
            self.door.flush(1e9)
        assert self.door.stats().held == 0
        self.door.close(0.0)

    def end_of(self, serial: int) -> str:
        (end,) = self.ends[serial]
        return end


def make_sync(whole: Whole) -> Transport:
    return SyncTransport(
        whole.project,
        max_tries=3,
        max_messages=5,
        deadline_seconds=None,
        post=whole.server.post,
        now=lambda: NOW,
        sleep=lambda _: None,
        pick=lambda least, _: least,
        on_outcome=whole.hear,
    )


def make_buffered(whole: Whole) -> Transport:
    return BufferedTransport(
        whole.project,
        max_messages=5,
        flush_after_seconds=100.0,
        background=False,
        post=whole.server.post,
        now=whole.clock.now,
        clock=lambda: NOW,
        pick=lambda least, _: least,
        on_outcome=whole.hear,
    )


def course(make: Any, events: EventRoute, steps: list[Step]) -> Whole:
    whole = Whole(make, events)
    for step in steps:
        whole.take(step)
    whole.drain()
    return whole


WAYS: Final = st.sampled_from([make_sync, make_buffered]), st.sampled_from(["track", "import"])
COURSES: Final = st.builds(course, *WAYS, STEPS)
SMOOTH: Final = st.builds(course, *WAYS, SENDS.map(lambda each: [each]))


@given(COURSES)
@lightly
def test_every_message_ends_once_and_its_end_is_true(whole: Whole) -> None:
    times = Counter(serial for serial, _ in arrived(whole.server.state))
    in_doubt = {
        serial
        for exchange in whole.server.state.exchanges.entries
        if exchange.fault in HAD_EFFECT
        for serial in map(serial_of, json.loads(exchange.text))
    }
    for serial, message in enumerate(whole.sent):
        end = whole.end_of(serial)
        event(end)
        if end == "delivered":
            assert times[serial] >= 1
        if end == "failed" or (end == "rejected" and serial not in in_doubt):
            assert times[serial] == 0
        if not message.repeatable:
            assert times[serial] <= 1
        if whole.make is make_buffered:
            # It tries for as long as it takes.
            assert end in ("delivered", "rejected") or not message.repeatable


@given(COURSES)
@lightly
def test_what_arrived_counts_once_however_often_answers_were_lost(whole: Whole) -> None:
    counted = Counter(serial_of(json.loads(each.json)) for each in query_view(whole.server.state))
    assert set(counted.values()) <= {1}
    for serial, message in enumerate(whole.sent):
        if message.endpoint in (Endpoint.TRACK, Endpoint.IMPORT) and whole.end_of(serial) == "delivered":
            assert counted[serial] == 1


@given(COURSES)
@lightly
def test_faults_leave_out_but_never_change_what_is_seen(whole: Whole) -> None:
    applied = {serial for serial, _ in arrived(whole.server.state)}
    faultless = LocalMixpanel(now=lambda: NOW)
    with SyncTransport(whole.project, post=faultless.post, now=lambda: NOW, max_tries=1) as transport:
        for serial, message in enumerate(whole.sent):
            if serial in applied:
                assert transport.send(message).is_success
    assert seen(whole.server.state) == seen(faultless.state)


@given(COURSES)
@lightly
def test_updates_of_one_profile_take_effect_in_the_order_in_which_they_were_made(whole: Whole) -> None:
    serials = [serial for serial, entry in arrived(whole.server.state) if isinstance(entry, Update)]
    # A batch that is sent again comes as a whole: each update has a first time and a last.
    for in_turn in (serials, serials[::-1]):
        lanes: dict[object, list[int]] = defaultdict(list)
        for serial in dict.fromkeys(in_turn):
            kind, user = whole.kinds[serial]
            lanes[user, kind == "group"].append(serial)
        assert all(lane == sorted(lane, reverse=in_turn is not serials) for lane in lanes.values())


@given(COURSES)
@lightly
def test_an_update_that_is_not_settled_is_not_followed_by_later_ones_of_the_same_call(whole: Whole) -> None:
    for call in whole.calls:
        stopped: set[Endpoint] = set()
        for serial in call:
            message, end = whole.sent[serial], whole.end_of(serial)
            assert end != "delivered" or message.endpoint not in stopped
            is_update = message.endpoint in (Endpoint.ENGAGE, Endpoint.GROUPS)
            if is_update and (end == "failed" or (end == "unknown" and message.repeatable)):
                stopped.add(message.endpoint)


@given(COURSES)
@lightly
def test_nothing_overtakes_an_alias_of_its_user(whole: Whole) -> None:
    first: dict[int, int] = {}
    for place, (serial, _) in enumerate(arrived(whole.server.state)):
        first.setdefault(serial, place)
    for serial, place in first.items():
        kind, user = whole.kinds[serial]
        if kind in ("alias", "merge"):
            for other, elsewhere in first.items():
                if whole.kinds[other][1] == user and whole.kinds[other][0] != "group":
                    assert (elsewhere < place) == (other < serial) or other == serial


@given(SMOOTH)
@lightly
def test_without_faults_everything_arrives_once(whole: Whole) -> None:
    times = Counter(serial for serial, _ in arrived(whole.server.state))
    for serial, message in enumerate(whole.sent):
        kind, _ = whole.kinds[serial]
        is_import = message.endpoint is Endpoint.IMPORT
        is_refused = (kind in ("future", "nobody") and is_import) or len(message.body) + 2 > MAX_BODY_BYTES
        assert whole.end_of(serial) == ("rejected" if is_refused else "delivered")
        assert times[serial] == int(not is_refused)
