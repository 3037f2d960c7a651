from __future__ import annotations

import copy
import math
import pickle
import sys
import traceback
import tracemalloc
from typing import Any

import orjson
import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from mixwire.core.changes import Add, Append, Delete, GroupChange, PeopleChange, Remove, Set, SetOnce, Union, Unset
from mixwire.core.errors import InvalidValue, LimitExceeded, NotStamped
from mixwire.core.events import Track
from mixwire.core.findings import Effect, Refused
from mixwire.core.identity import Alias, Identify, Merge
from mixwire.core.limits import EVENT_BYTES
from mixwire.core.messages import Endpoint, Key, Message, encode, route, with_meta
from mixwire.core.operations import Operation, split
from mixwire.core.profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from mixwire.core.project import Project

PROJECT = Project("TOKEN")
NOW = 1767225600000
DAY = 86_400_000
ANON = "0b2d3c4e-5f60-4a1b-8c2d-3e4f5a6b7c8d"


def track(time: int = NOW, **properties: object) -> Track:
    return Track("Signed Up", distinct_id="user-1", properties=properties, time=time, insert_id="a1")


@pytest.mark.parametrize(
    ("operation", "endpoint", "keys"),
    [
        pytest.param(track(), Endpoint.TRACK, ("user-1",), id="track"),
        pytest.param(Alias(alias="a", distinct_id="b"), Endpoint.TRACK, ("b", "a"), id="alias"),
        pytest.param(Identify(identified_id="u", anon_id=ANON), Endpoint.TRACK, ("u", ANON), id="identify"),
        pytest.param(Merge("a", "b"), Endpoint.IMPORT, ("a", "b"), id="merge"),
        pytest.param(PeopleOp("u", Set({"a": 1})), Endpoint.ENGAGE, ("u",), id="people"),
        pytest.param(Charge("u", 5), Endpoint.ENGAGE, ("u",), id="charge"),
        pytest.param(ClearCharges("u"), Endpoint.ENGAGE, ("u",), id="clear charges"),
        pytest.param(RawPeopleOp("u", {"$set": {}}), Endpoint.ENGAGE, ("u",), id="raw people"),
        pytest.param(GroupOp("Company", "acme", Delete()), Endpoint.GROUPS, (("Company", "acme"),), id="group"),
        pytest.param(RawGroupOp("Company", "acme", {"$x": 1}), Endpoint.GROUPS, (("Company", "acme"),), id="raw group"),
    ],
)
def test_each_operation_has_its_endpoint_and_keys(
    operation: Operation, endpoint: Endpoint, keys: tuple[Key, ...]
) -> None:
    message = encode(operation, PROJECT)
    assert (message.endpoint, message.keys) == (endpoint, keys)


@pytest.mark.parametrize(
    ("properties", "keys"),
    [
        ({"$user_id": "u", "$device_id": "d"}, ("u", "d")),
        ({"$device_id": "d"}, ("d",)),
        ({"$user_id": 17, "$device_id": "d"}, ("d",)),
    ],
    ids=["user and device", "device", "a user id that is no str"],
)
def test_an_event_without_distinct_id_is_about_its_user_and_device(
    properties: dict[str, object], keys: tuple[Key, ...]
) -> None:
    message = encode(Track("E", properties=properties, time=NOW, insert_id="a1"), PROJECT)
    assert message.keys == keys


@pytest.mark.parametrize(
    ("change", "repeatable"),
    [
        (Set({"a": 1}), True),
        (SetOnce({"a": 1}), True),
        (Union({"a": [1]}), True),
        (Unset("a"), True),
        (Delete(), True),
        (Add({"a": 1}), False),
        (Append({"a": 1}), False),
        (Remove({"a": 1}), False),
    ],
    ids=lambda value: getattr(value, "operator", ""),
)
def test_an_update_that_counts_twice_is_not_repeatable(change: PeopleChange, repeatable: bool) -> None:
    assert encode(PeopleOp("u", change), PROJECT).repeatable is repeatable


def test_one_change_that_counts_twice_makes_the_whole_update_so() -> None:
    assert encode(PeopleOp("u", Set({"a": 1}), Add({"b": 1}), Unset("c")), PROJECT).repeatable is False
    assert encode(PeopleOp("u", Set({"a": 1}), Union({"b": [1]}), Unset("c")), PROJECT).repeatable is True


@pytest.mark.parametrize("change", [Set({"a": 1}), Remove({"a": 1})], ids=["set", "remove"])
def test_the_repeatability_of_a_group_update_is_that_of_its_change(change: GroupChange) -> None:
    assert encode(GroupOp("Company", "acme", change), PROJECT).repeatable is change.repeatable


@pytest.mark.parametrize(
    ("operation", "repeatable"),
    [
        (track(), True),
        (Alias(alias="a", distinct_id="b"), True),
        (Merge("a", "b"), True),
        (Charge("u", 5), False),
        (ClearCharges("u"), True),
        (RawPeopleOp("u", {"$set": {"a": 1}}), True),
        (RawPeopleOp("u", {"$newer": {"a": 1}}), False),
        (RawGroupOp("k", "i", {"$union": {"a": [1]}}), True),
        (RawGroupOp("k", "i", {"$newer": 1}), False),
    ],
    ids=["track", "alias", "merge", "charge", "clear", "raw set", "raw newer", "raw group union", "raw group newer"],
)
def test_each_operation_knows_whether_it_may_be_repeated(operation: Operation, repeatable: bool) -> None:
    assert encode(operation, PROJECT).repeatable is repeatable


@pytest.mark.parametrize(
    "operation",
    [Alias(alias="a", distinct_id="b"), Identify(identified_id="u", anon_id=ANON), Merge("a", "b")],
    ids=["alias", "identify", "merge"],
)
def test_identity_commands_are_barriers(operation: Operation) -> None:
    assert encode(operation, PROJECT).barrier is True
    assert encode(operation, PROJECT).time is None


@pytest.mark.parametrize("operation", [track(), PeopleOp("u", Delete()), GroupOp("k", "i", Delete())])
def test_other_operations_are_no_barriers(operation: Operation) -> None:
    assert encode(operation, PROJECT).barrier is False


@pytest.mark.parametrize(
    ("time", "kept"),
    [(1767225600, NOW), (NOW, NOW), (99_999_999_999, 99_999_999_999_000), (100_000_000_000, 100_000_000_000)],
    ids=["seconds", "milliseconds", "last second", "first millisecond"],
)
def test_the_time_of_an_event_message_is_in_milliseconds(time: int, kept: int) -> None:
    message = encode(track(time), PROJECT)
    assert message.time == kept
    assert orjson.loads(message.body)["properties"]["time"] == time


def test_an_update_has_no_time_of_an_event() -> None:
    assert encode(PeopleOp("u", Delete(), time=NOW), PROJECT).time is None


def test_a_project_may_send_all_events_to_import() -> None:
    project = Project("TOKEN", events="import")
    assert encode(track(), project).endpoint is Endpoint.IMPORT
    assert encode(Alias(alias="a", distinct_id="b"), project).endpoint is Endpoint.TRACK


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (Track("E", distinct_id="u", insert_id="a1"), "time"),
        (Track("E", distinct_id="u", time=NOW), "insert_id"),
    ],
    ids=["time", "insert_id"],
)
def test_an_event_that_is_not_stamped_is_not_encoded(operation: Track, field: str) -> None:
    with pytest.raises(NotStamped) as caught:
        encode(operation, PROJECT)
    assert (caught.value.operation, caught.value.field) == ("Track", field)


def test_a_subclass_of_track_is_encoded_like_track() -> None:
    class Special(Track):
        __slots__ = ()

    special = Special("Signed Up", distinct_id="user-1", time=NOW, insert_id="a1")
    assert encode(special, PROJECT) == encode(track(), PROJECT)


def filled(body: bytes, size: int) -> str:
    return "x" * (size - len(body) + 1)


def test_r44_an_event_of_a_million_bytes_is_refused() -> None:
    text = filled(encode(track(a="x"), PROJECT).body, 999_999)
    assert len(encode(track(a=text), PROJECT).body) == 999_999
    with pytest.raises(LimitExceeded, match=r"^the event must be at most 999,999 bytes, not 1,000,000$") as caught:
        encode(track(a=text + "x"), PROJECT)
    assert caught.value.measured == 1_000_000


@pytest.mark.parametrize("make", [lambda c: PeopleOp("u", c), lambda c: GroupOp("k", "i", c)], ids=["people", "group"])
def test_r135_an_update_of_a_million_bytes_is_refused(make) -> None:  # type: ignore[no-untyped-def]
    text = filled(encode(make(Set({"a": "x"})), PROJECT).body, 999_999)
    assert len(encode(make(Set({"a": text})), PROJECT).body) == 999_999
    with pytest.raises(LimitExceeded, match=r"^the update must be at most 999,999 bytes, not 1,000,000$"):
        encode(make(Set({"a": text + "x"})), PROJECT)


@pytest.mark.parametrize(
    "operation",
    [track(), Alias(alias="a", distinct_id="b"), Identify(identified_id="u", anon_id=ANON), Merge("a", "b")],
    ids=["track", "alias", "identify", "merge"],
)
def test_r64_every_event_carries_the_token(operation: Operation) -> None:
    assert orjson.loads(encode(operation, PROJECT).body)["properties"]["token"] == "TOKEN"


@pytest.mark.parametrize("token", ["", " "], ids=["empty", "blank"])
def test_r64_there_is_no_project_without_a_token(token: str) -> None:
    with pytest.raises(InvalidValue):
        Project(token)


@pytest.mark.parametrize("event", ["", " ", None], ids=["empty", "blank", "None"])
def test_r65_there_is_no_event_without_a_name(event: str) -> None:
    with pytest.raises(InvalidValue, match=r"^event must be"):
        Track(event, distinct_id="user-1", time=NOW, insert_id="a1")


def test_r75_a_merge_never_goes_to_track() -> None:
    for events in ("track", "import"):
        message = encode(Merge("a", "b"), Project("TOKEN", events=events))  # type: ignore[arg-type]
        assert message.endpoint is Endpoint.IMPORT
        assert route(message, NOW).endpoint is Endpoint.IMPORT
    with pytest.raises(InvalidValue, match="Merge"):
        Track("$merge", distinct_id="user-1")


def test_r86_encoding_and_reading_back_leave_the_callers_dict_alone() -> None:
    properties = {"cart": [{"sku": "a"}], "who": {"plan": "pro"}}
    before = copy.deepcopy(properties)
    event = Track("E", distinct_id="u", properties=properties, time=NOW, insert_id="a1")
    charge = Charge("u", 5, properties, time=NOW)
    update = PeopleOp("u", Set(properties))
    for operation in (event, charge, update):
        message = encode(operation, PROJECT)
        wire = message.to_wire()
        wire.clear()
        assert message.to_wire() != {}
    assert properties == before
    properties["cart"].clear()
    assert encode(event, PROJECT).to_wire()["properties"]["cart"] == [{"sku": "a"}]  # type: ignore[call-overload, index]


@pytest.mark.parametrize(
    ("options", "beside"),
    [
        ({}, {}),
        ({"ip": "0"}, {"$ip": "0"}),
        ({"ignore_time": True}, {"$ignore_time": True}),
        ({"ignore_alias": True}, {"$ignore_alias": True}),
        ({"latitude": 0, "longitude": -1.5}, {"$latitude": 0, "$longitude": -1.5}),
    ],
    ids=["none", "ip", "ignore time", "ignore alias", "place"],
)
def test_options_stand_beside_the_change(options: dict[str, Any], beside: dict[str, object]) -> None:
    wire = encode(PeopleOp("u", Delete(), options=UpdateOptions(**options)), PROJECT).to_wire()
    assert wire == {"$token": "TOKEN", "$distinct_id": "u", "$delete": "", **beside}


def test_the_time_of_an_update_is_sent_in_whole_seconds() -> None:
    for time in (1767225600, NOW, NOW + 999):
        assert encode(GroupOp("k", "i", Delete(), time=time), PROJECT).to_wire()["$time"] == 1767225600


def test_encoding_twice_gives_the_same_message() -> None:
    assert encode(track(a=1), PROJECT) == encode(track(a=1), PROJECT)
    assert hash(encode(track(a=1), PROJECT)) == hash(encode(track(a=1), PROJECT))
    assert encode(track(a=1), PROJECT) != encode(track(a=2), PROJECT)


@pytest.mark.parametrize(
    ("operation", "operators"),
    [
        (PeopleOp("u", Set({"a": 1}), Add({"b": 1}), Unset("c")), ["$set", "$add", "$unset"]),
        (GroupOp("k", "i", Union({"a": [1]}), Remove({"b": 1})), ["$union", "$remove"]),
        (PeopleOp("u", Delete()), ["$delete"]),
    ],
    ids=["people", "group", "one change"],
)
def test_r131_split_makes_one_message_with_one_operator_of_each_change(
    operation: Operation, operators: list[str]
) -> None:
    about = {"$token", "$distinct_id", "$group_key", "$group_id"}
    assert [name for name in encode(operation, PROJECT).to_wire() if name not in about] == operators
    each = [set(encode(single, PROJECT).to_wire()) - about for single in split(operation)]
    assert each == [{operator} for operator in operators]


@pytest.mark.parametrize("limits", ["warn", "off"])
def test_findings_do_not_stop_a_project_that_is_not_strict(limits: str) -> None:
    project = Project("TOKEN", limits=limits)  # type: ignore[arg-type]
    assert encode(track(a="x" * 300), project).body == encode(track(a="x" * 300), PROJECT).body


def test_findings_stop_a_strict_project() -> None:
    strict = Project("TOKEN", limits="strict")
    with pytest.raises(Refused) as caught:
        encode(track(a="x" * 300), strict)
    assert [finding.path for finding in caught.value.findings] == ["properties['a']"]
    with pytest.raises(Refused, match=r"\$set\['a '\] would be trimmed"):
        encode(PeopleOp("u", Set({"a ": 1})), strict)


@pytest.mark.parametrize("operation", [track(a=1), Merge("a", "b"), Charge("u", 5, time=NOW), ClearCharges("u")])
def test_a_strict_project_encodes_what_has_no_findings(operation: Operation) -> None:
    assert encode(operation, Project("TOKEN", limits="strict")) == encode(operation, PROJECT)


@pytest.mark.parametrize(
    ("endpoint", "body", "effects"),
    [
        (Endpoint.TRACK, b'{"event":"$e","properties":{}}', [Effect.UNDOCUMENTED]),
        (Endpoint.IMPORT, b'{"event":"$e","properties":{}}', [Effect.UNDOCUMENTED]),
        (Endpoint.ENGAGE, b'{"$set":{"a ":1}}', [Effect.TRIMMED]),
        (Endpoint.GROUPS, b'{"$set":{"a ":1}}', [Effect.TRIMMED]),
    ],
    ids=lambda value: value.name if isinstance(value, Endpoint) else "",
)
def test_a_message_of_each_endpoint_has_findings(endpoint: Endpoint, body: bytes, effects: list[Effect]) -> None:
    assert [finding.effect for finding in Message(endpoint, body, ()).findings()] == effects


LIVE = 5 * DAY - 600_000


@pytest.mark.parametrize(
    ("age", "endpoint"),
    [(0, Endpoint.TRACK), (LIVE, Endpoint.TRACK), (LIVE + 1, Endpoint.IMPORT), (-DAY, Endpoint.TRACK)],
    ids=["now", "five days less ten minutes", "a millisecond older", "tomorrow"],
)
def test_an_event_too_old_for_track_is_routed_to_import(age: int, endpoint: Endpoint) -> None:
    message = encode(track(NOW - age), PROJECT)
    routed = route(message, NOW)
    assert routed.endpoint is endpoint
    assert routed.body is message.body
    assert (routed.keys, routed.repeatable, routed.barrier, routed.time) == (("user-1",), True, False, NOW - age)


@pytest.mark.parametrize(
    "operation",
    [Alias(alias="a", distinct_id="b"), Merge("a", "b"), PeopleOp("u", Delete(), time=31_536_000)],
    ids=["alias", "merge", "update"],
)
def test_only_events_are_routed(operation: Operation) -> None:
    message = encode(operation, PROJECT)
    assert route(message, NOW) is message


def test_an_event_for_import_stays_there() -> None:
    message = encode(track(31_536_000), Project("TOKEN", events="import"))
    assert route(message, NOW) is message


def test_a_message_shows_neither_token_nor_content() -> None:
    event, alias, charge = track(a="secret"), Alias(alias="a", distinct_id="b"), Charge("u", 5)
    size = len(encode(event, PROJECT).body)
    assert repr(encode(event, PROJECT)) == f"Message(TRACK, {size} bytes, repeatable)"
    assert repr(encode(alias, PROJECT)) == "Message(TRACK, 86 bytes, repeatable, barrier)"
    assert repr(encode(charge, PROJECT)) == "Message(ENGAGE, 79 bytes)"


def test_an_endpoint_is_its_path() -> None:
    assert {each: each.value for each in Endpoint} == {
        Endpoint.TRACK: "/track",
        Endpoint.IMPORT: "/import",
        Endpoint.ENGAGE: "/engage",
        Endpoint.GROUPS: "/groups",
    }
    assert repr(Endpoint.TRACK) == "TRACK"


@pytest.mark.parametrize("operation", [track(), Merge("a", "b"), GroupOp("k", "i", Delete())])
def test_a_message_is_frozen_and_can_be_pickled_and_copied(operation: Operation) -> None:
    message = encode(operation, PROJECT)
    with pytest.raises(FrozenInstanceError):
        message.body = b"{}"  # type: ignore[misc]
    for twin in (pickle.loads(pickle.dumps(message)), copy.copy(message), copy.deepcopy(message)):
        assert twin == message
        assert type(twin) is Message
        with pytest.raises(FrozenInstanceError):
            twin.time = 1


def test_what_is_no_operation_is_refused() -> None:
    with pytest.raises(InvalidValue, match="operation must be a Track, PeopleOp, GroupOp, Charge or another operation"):
        encode("Opened", Project("TOKEN"))  # type: ignore[arg-type]


META = {"ip": 0, "$source": {"a": [1.5, None, "é"]}}


@pytest.mark.parametrize("operation", [track(a=1), Alias(alias="a", distinct_id="b"), Merge("a", "b")])
def test_the_keys_of_meta_stand_beside_event_and_properties(operation: Operation) -> None:
    message = encode(operation, PROJECT)
    meant = with_meta(message, META)
    assert meant.to_wire() == {**message.to_wire(), **META}
    assert list(meant.to_wire()) == ["event", "properties", *META]
    assert meant.body.startswith(message.body[:-1])
    assert evolve(meant, body=message.body) == message
    assert type(meant) is Message


def test_a_message_and_its_meta_stay_as_they_were() -> None:
    message, meta = encode(track(), PROJECT), copy.deepcopy(META)
    before = message.body
    meant = with_meta(message, meta)
    assert meta == META
    meta["$source"] = "another"
    assert (message.body, meant.to_wire()["$source"]) == (before, META["$source"])


def test_meta_without_keys_changes_nothing() -> None:
    message = encode(track(), PROJECT)
    assert with_meta(message, {}) is message


@pytest.mark.parametrize("name", ["event", "properties"])
def test_meta_may_not_replace_what_has_an_argument_of_its_own(name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        with_meta(encode(track(), PROJECT), {"ip": 0, name: {}})
    assert caught.value.path == f"meta['{name}']"
    assert str(caught.value) == f"meta['{name}'] must be left out: it is given as an argument of its own, not given"


@pytest.mark.parametrize(
    ("meta", "sentence"),
    [
        (None, "meta must be a dict with str keys, not None"),
        ("ip", "meta must be a dict with str keys, not str"),
        ({1: 0}, "meta must be a dict with str keys, not one with a key of type int"),
        ({"a": [0, math.nan]}, "meta['a'][1] must be a finite number, not nan"),
        ({"\ud800": 0}, "meta must be a dict with keys that UTF-8 can hold, not one with a lone surrogate"),
    ],
    ids=["None", "str", "key", "nan", "surrogate"],
)
def test_meta_that_cannot_be_sent_is_refused(meta: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        with_meta(encode(track(), PROJECT), meta)
    assert str(caught.value) == sentence


def test_an_event_that_grows_to_a_million_bytes_with_its_meta_is_refused() -> None:
    message = encode(track(), PROJECT)
    text = "x" * (999_999 - len(message.body) - len(',"a":""'))
    assert len(with_meta(message, {"a": text}).body) == 999_999
    with pytest.raises(LimitExceeded, match=r"^the event must be at most 999,999 bytes, not 1,000,000$") as caught:
        with_meta(message, {"a": text + "x"})
    assert (caught.value.limit, caught.value.measured) == (EVENT_BYTES, 1_000_000)


@pytest.mark.parametrize("leak", [{"event": "canary"}, {"a": ["canary", object()]}, "canary", {"a": "canary\ud800"}])
def test_meta_that_was_refused_is_in_no_sentence(leak: dict[str, object]) -> None:
    with pytest.raises(InvalidValue) as caught:
        with_meta(encode(track(), PROJECT), leak)
    assert "canary" not in "".join([*traceback.format_exception_only(caught.value), repr(caught.value.__context__)])


def test_an_update_takes_little_more_memory_than_its_bytes() -> None:
    def memory() -> int:
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = memory()
        bodies = [encode(PeopleOp("user-1", Set({"visits": number})), Project("TOKEN")).body for number in range(500)]
        taken = memory() - before
    finally:
        tracemalloc.stop()

    assert taken < 2 * sum(map(sys.getsizeof, bodies))
