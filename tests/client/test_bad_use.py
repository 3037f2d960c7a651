"""
Mistakes in a call: one clear sentence, raised at the call, and nothing is sent.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from mixwire import BufferedConsumer, Consumer, Mixpanel
from mixwire.core import InvalidValue, MixwireError, PeopleOp, Project, ProjectSecret, ServiceAccount, Set, Track
from mixwire.testing import Judge, MemoryTransport
from mixwire.transports import SyncTransport

TOKEN: Final = "a-token-of-mine"
PAST: Final = 1700000000
ANON_ID: Final = "b9d2a0b4-5e0f-4f4e-9d8a-1f2e3d4c5b6a"
KINDS: Final = (
    "a str, int, float, bool, None, list, tuple, set, dict, datetime, date, Decimal, UUID, Enum, "
    "attrs or dataclass value"
)
SERVERS: Final = "'us', 'eu', 'in', https://host[:port], or http://host[:port] on loopback"
INSTANT: Final = "an int, float or datetime"
ERA: Final = "Unix time in seconds or milliseconds, from 1971 to 9999"
SOMEBODY: Final = "an id of somebody"
PLACEHOLDER: Final = "a placeholder that Mixpanel refuses, such as 'null' or '0'"
CONSUMER: Final = "an object with send(endpoint, json_message, api_key=None)"
TAGS: Final = "'buffered', 'fallback', 'file', 'logging', 'memory', 'null', 'sync', 'tee'"


class Recorder:
    """
    A consumer that keeps what it is given.
    """

    def __init__(self) -> None:
        self.calls: list[object] = []

    def send(self, endpoint: str, json_message: str, api_key: Any = None) -> None:
        self.calls.append((endpoint, json_message, api_key))


class Equal:
    """
    Is equal to everything.
    """

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Broken(tzinfo):
    def utcoffset(self, dt: datetime | None) -> timedelta:
        raise LookupError


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


@pytest.fixture(scope="module")
def doors(judge: Judge) -> Iterator[dict[str, tuple[Mixpanel, Callable[[], int]]]]:
    """
    A front door of each kind, and how much arrived behind it.
    """
    memory, recorder = MemoryTransport(), Recorder()
    with (
        Mixpanel(TOKEN, server=judge.url) as mp,
        Mixpanel(TOKEN, transport="buffered", server=judge.url) as holding,
    ):
        yield {
            "a transport": (Mixpanel(TOKEN, transport=memory), lambda: len(memory.messages)),
            "a consumer": (Mixpanel(TOKEN, recorder), lambda: len(recorder.calls)),
            "a server": (mp, lambda: judge.counts().requests),
            "a buffer": (holding, lambda: holding.stats().accepted),
        }


def refusal(call: Callable[[], object]) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        call()
    return caught.value


def _loop() -> dict[str, Any]:
    inside: dict[str, Any] = {}
    inside["me"] = inside
    return inside


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def _deep_list(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def named(value: object) -> str:
    """
    What stands for a value in the name of a test, the same in every process.
    """
    return repr(value) if isinstance(value, str | int | None) else type(value).__name__


# Calls.

CALLS: Final[dict[str, tuple[Callable[[Mixpanel], object], str]]] = {}


def mistake(name: str, call: Callable[[Any], object], sentence: str) -> None:  # Any: wrong on purpose
    assert name not in CALLS
    CALLS[name] = (call, sentence)


# Properties that are no mapping, whatever the call.
for method, ids in {
    "track": ("user-1", "Opened"),
    "import_data": (None, "user-1", "Opened", PAST),
    "people_set": ("user-1",),
    "people_set_once": ("user-1",),
    "people_increment": ("user-1",),
    "people_append": ("user-1",),
    "people_union": ("user-1",),
    "people_remove": ("user-1",),
    "people_track_charge": ("user-1", 5),
    "group_set": ("Company", "acme"),
    "group_set_once": ("Company", "acme"),
    "group_union": ("Company", "acme"),
    "group_remove": ("Company", "acme"),
    "with_properties": (),
}.items():
    for given, found in (([("plan", "pro")], "list"), ("plan", "str")):
        mistake(
            f"{method} with {named(given)}",
            lambda mp, method=method, ids=ids, given=given: getattr(mp, method)(*ids, given),
            f"properties must be a dict with str keys, not {found}",
        )
    mistake(
        f"{method} with a key that is an int",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {1: 2}),
        "properties must be a dict with str keys, not one with a key of type int",
    )
    mistake(
        f"{method} with a value of another kind",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"cart": [1, {"a": object()}]}),
        f"properties['cart'][1]['a'] must be {KINDS}, not object",
    )
    mistake(
        f"{method} with a lone surrogate",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"a": "\ud800"}),
        "properties['a'] must be text that UTF-8 can hold, not a str with a lone surrogate",
    )
    mistake(
        f"{method} with NaN",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"a": float("nan")}),
        "properties['a'] must be a finite number, not nan",
    )
    mistake(
        f"{method} with a Decimal that is no number",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"a": Decimal("sNaN")}),
        "properties['a'] must be a finite number, not Decimal(nan)",
    )
    mistake(
        f"{method} with a large int",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"a": 2**64}),
        "properties['a'] must be an integer of at most 64 bits, not an int of 65 bits",
    )
    mistake(
        f"{method} with a value inside itself",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"a": _loop()}),
        "properties['a']['me'] must be a value that does not contain itself, not a dict inside itself",
    )
    mistake(
        f"{method} with a value that is deep",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {"a": _deep_list(5000)}),
        "properties['a']"
        + "[0]" * (31 if method == "people_track_charge" else 32)
        + " must be at most 32 levels deep, not 33",
    )
    if method.startswith(("people", "group")) and method != "people_track_charge":
        mistake(
            f"{method} with nothing",
            lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, {}),
            "properties must be at least one property, not none",
        )
        mistake(
            f"{method} with None",
            lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, None),
            "properties must be a dict with str keys, not None",
        )

# Names that are no list.
for method, ids in {"people_unset": ("user-1",), "group_unset": ("Company", "acme")}.items():
    for given, found in (("abc", "str"), ({"abc": 1}, "dict"), (5, "int"), (None, "None"), ({"abc"}, "set")):
        mistake(
            f"{method} with {named(given)}",
            lambda mp, method=method, ids=ids, given=given: getattr(mp, method)(*ids, given),
            f"properties must be a list of property names, not {found}",
        )
    mistake(
        f"{method} with no name",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, []),
        "properties must be at least one property name, not none",
    )
    mistake(
        f"{method} with a name that is an int",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, ["plan", 5]),
        "properties[1] must be a property name, a str, not int",
    )
    mistake(
        f"{method} with an empty name",
        lambda mp, method=method, ids=ids: getattr(mp, method)(*ids, [""]),
        "properties[0] must be a property name, a str, not empty",
    )

# Ids.
for method, rest in {
    "track": ("Opened",),
    "people_set": ({"a": 1},),
    "people_unset": (["a"],),
    "people_delete": (),
    "people_clear_charges": (),
    "people_track_charge": (5,),
}.items():
    for given, found in (
        (5.0, "float"),
        (True, "bool"),
        (b"u", "bytes"),
        (["u"], "list"),
    ):
        mistake(
            f"{method} of {given!r}",
            lambda mp, method=method, rest=rest, given=given: getattr(mp, method)(given, *rest),
            f"distinct_id must be a str, int or UUID, not {found}",
        )
    mistake(
        f"{method} of a placeholder",
        lambda mp, method=method, rest=rest: getattr(mp, method)("null", *rest),
        f"distinct_id must be {SOMEBODY}, not {PLACEHOLDER}",
    )
    mistake(
        f"{method} of a long id",
        lambda mp, method=method, rest=rest: getattr(mp, method)("u" * 256, *rest),
        "distinct_id must be at most 255 characters, not 256",
    )
    mistake(
        f"{method} of an endless int",
        lambda mp, method=method, rest=rest: getattr(mp, method)(10**5000, *rest),
        "distinct_id must be at most 255 characters, not an int of far more digits",
    )
    if method != "track":
        mistake(
            f"{method} of nobody",
            lambda mp, method=method, rest=rest: getattr(mp, method)("", *rest),
            f"distinct_id must be {SOMEBODY}, not empty",
        )
        mistake(
            f"{method} of None",
            lambda mp, method=method, rest=rest: getattr(mp, method)(None, *rest),
            "distinct_id must be a str, int or UUID, not None",
        )
mistake(
    "track None",
    lambda mp: mp.track(None, "Opened"),
    "distinct_id must be given ('' for an event without a user), not left out",
)
mistake(
    "import None",
    lambda mp: mp.import_data(None, None, "Opened", PAST),
    "distinct_id must be given ('' for an event without a user), not left out",
)

for method, rest in {"group_set": ({"a": 1},), "group_unset": (["a"],), "group_delete": ()}.items():
    mistake(
        f"{method} of an empty key",
        lambda mp, method=method, rest=rest: getattr(mp, method)("", "acme", *rest),
        "group_key must be given, not empty",
    )
    mistake(
        f"{method} of a blank id",
        lambda mp, method=method, rest=rest: getattr(mp, method)("Company", " ", *rest),
        "group_id must be given, not blank",
    )
    mistake(
        f"{method} of a key that is a list",
        lambda mp, method=method, rest=rest: getattr(mp, method)(["Company"], "acme", *rest),
        "group_key must be a str, int or UUID, not list",
    )
    mistake(
        f"{method} of an id that is None",
        lambda mp, method=method, rest=rest: getattr(mp, method)("Company", None, *rest),
        "group_id must be a str, int or UUID, not None",
    )

for name, call, sentence in (
    ("alias of nobody", lambda mp: mp.alias("", "device-1"), f"alias_id must be {SOMEBODY}, not empty"),
    ("alias for a float", lambda mp: mp.alias("user-1", 5.0), "original must be a str, int or UUID, not float"),
    (
        "alias for a placeholder",
        lambda mp: mp.alias("user-1", "None"),
        f"original must be {SOMEBODY}, not {PLACEHOLDER}",
    ),
    (
        "alias for itself",
        lambda mp: mp.alias("user-1", "user-1"),
        "alias_id and original must be two different ids, not the same one twice",
    ),
    ("identify nobody", lambda mp: mp.identify("", ANON_ID), f"identified_id must be {SOMEBODY}, not empty"),
    ("identify as None", lambda mp: mp.identify("user-1", None), "anon_id must be a UUID of version 4, not None"),
    (
        "identify as a device",
        lambda mp: mp.identify("user-1", "device-1"),
        "anon_id must be a UUID of version 4, not a UUID of another version or another str",
    ),
    (
        "identify as another UUID",
        lambda mp: mp.identify("user-1", UUID(int=1)),
        "anon_id must be a UUID of version 4, not a UUID of another version or another str",
    ),
    (
        "identify as itself",
        lambda mp: mp.identify(ANON_ID, ANON_ID),
        "identified_id and anon_id must be two different ids, not the same one twice",
    ),
    ("merge nobody", lambda mp: mp.merge(None, "", "user-2"), f"distinct_id1 must be {SOMEBODY}, not empty"),
    ("merge with None", lambda mp: mp.merge(None, "user-1", None), "distinct_id2 must be a str, int or UUID, not None"),
    (
        "merge with itself",
        lambda mp: mp.merge(None, "user-1", "user-1"),
        "distinct_id1 and distinct_id2 must be two different ids, not the same one twice",
    ),
    # Names of events.
    ("track an empty name", lambda mp: mp.track("user-1", ""), "event_name must be the name of an event, not empty"),
    ("track a blank name", lambda mp: mp.track("user-1", " "), "event_name must be the name of an event, not blank"),
    ("track without a name", lambda mp: mp.track("user-1", None), "event_name must be a str, not None"),
    ("track bytes", lambda mp: mp.track("user-1", b"Opened"), "event_name must be a str, not bytes"),
    ("track the arguments swapped", lambda mp: mp.track("Opened", {"a": 1}), "event_name must be a str, not dict"),
    (
        "track an identity command",
        lambda mp: mp.track("user-1", "$create_alias"),
        "event_name must be an ordinary event; use Alias(...) to send $create_alias, not an identity command",
    ),
    (
        "track a surrogate",
        lambda mp: mp.track("user-1", "\ud800"),
        "event_name must be text that UTF-8 can hold, not a str with a lone surrogate",
    ),
    # Times.
    ("import at None", lambda mp: mp.import_data(None, "u1", "Opened", None), f"timestamp must be {INSTANT}, not None"),
    ("import at text", lambda mp: mp.import_data(None, "u1", "Opened", "1"), f"timestamp must be {INSTANT}, not str"),
    (
        "import at a bool",
        lambda mp: mp.import_data(None, "u1", "Opened", True),
        f"timestamp must be {INSTANT}, not bool",
    ),
    (
        "import on a day",
        lambda mp: mp.import_data(None, "u1", "Opened", date(2026, 1, 1)),
        f"timestamp must be {INSTANT}, not datetime.date",
    ),
    (
        "import at 5",
        lambda mp: mp.import_data(None, "u1", "Opened", 5),
        f"timestamp must be {ERA}, not outside of that",
    ),
    (
        "import at NaN",
        lambda mp: mp.import_data(None, "u1", "Opened", float("nan")),
        f"timestamp must be {ERA}, not nan",
    ),
    (
        "import in microseconds",
        lambda mp: mp.import_data(None, "u1", "Opened", PAST * 1_000_000),
        f"timestamp must be {ERA}, not outside of that",
    ),
    (
        "import beyond all years",
        lambda mp: mp.import_data(None, "u1", "Opened", datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        "timestamp must be a datetime between the years 1 and 9999 in UTC, not one outside",
    ),
    (
        "import in a broken timezone",
        lambda mp: mp.import_data(None, "u1", "Opened", datetime(2026, 1, 1, tzinfo=Broken())),
        "timestamp must be a datetime with a timezone that knows its offset, not one with another",
    ),
    # Fields of the event among its properties.
    (
        "a time of text",
        lambda mp: mp.track("u1", "Opened", {"time": "now"}),
        f"properties['time'] must be {INSTANT}, not str",
    ),
    ("no time", lambda mp: mp.track("u1", "Opened", {"time": None}), f"properties['time'] must be {INSTANT}, not None"),
    (
        "a time of text in an import",
        lambda mp: mp.import_data(None, "u1", "Opened", PAST, {"time": "now"}),
        f"properties['time'] must be {INSTANT}, not str",
    ),
    (
        "no time in an import",
        lambda mp: mp.import_data(None, "u1", "Opened", PAST, {"time": None}),
        f"properties['time'] must be {INSTANT}, not None",
    ),
    (
        "an insert_id with a space",
        lambda mp: mp.track("u1", "Opened", {"$insert_id": "a b"}),
        "properties['$insert_id'] must be 1 to 36 of A-Z a-z 0-9 and -, not with others",
    ),
    (
        "an insert_id that is an int",
        lambda mp: mp.track("u1", "Opened", {"$insert_id": 5}),
        "properties['$insert_id'] must be a str, not int",
    ),
    (
        "no insert_id",
        lambda mp: mp.track("u1", "Opened", {"$insert_id": None}),
        "properties['$insert_id'] must be a str, not None",
    ),
    (
        "a distinct_id of another kind",
        lambda mp: mp.track("u1", "Opened", {"distinct_id": [1]}),
        "properties['distinct_id'] must be a str, int or UUID, not list",
    ),
    (
        "no distinct_id",
        lambda mp: mp.track("u1", "Opened", {"distinct_id": None}),
        "properties['distinct_id'] must be given ('' for an event without a user), not left out",
    ),
    (
        "another token",
        lambda mp: mp.track("u1", "Opened", {"token": "another"}),
        "properties['token'] must be left out: make a Mixpanel for each project, not another token",
    ),
    (
        "a token that is equal to everything",
        lambda mp: mp.track("u1", "Opened", {"token": Equal()}),
        "properties['token'] must be left out: make a Mixpanel for each project, not another token",
    ),
    (
        "another token in an update",
        lambda mp: mp.people_update({"$token": "another", "$distinct_id": "u1", "$set": {"a": 1}}),
        "message['$token'] must be left out: make a Mixpanel for each project, not another token",
    ),
    (
        "another token in meta",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$token": 5}),
        "meta['$token'] must be left out: make a Mixpanel for each project, not another token",
    ),
    # Too much.
    (
        "too many properties",
        lambda mp: mp.track("u1", "Opened", {str(index): 1 for index in range(249)}),
        "properties must be at most 254 properties, not 255",
    ),
    (
        "objects too deep",
        lambda mp: mp.track("u1", "Opened", _deep(5)),
        "properties['a']['a']['a']['a'] must be at most 3 objects deep, not 4",
    ),
    (
        "a list too long",
        lambda mp: mp.track("u1", "Opened", {"a": [1] * 255}),
        "properties['a'] must be at most 254 elements, not 255",
    ),
    (
        "an event too large",
        lambda mp: mp.track("u1", "Opened", {"a": "x" * 1_000_000}),
        "properties['a'] must be at most 999,999 bytes, not 1,000,001",
    ),
    (
        "an update too large",
        lambda mp: mp.people_set("u1", {"a": "x" * 1_000_000}),
        "properties['a'] must be at most 999,999 bytes, not 1,000,001",
    ),
    # Numbers and lists.
    ("add text", lambda mp: mp.people_increment("u1", {"a": "5"}), "properties['a'] must be a finite number, not str"),
    (
        "add a bool",
        lambda mp: mp.people_increment("u1", {"a": True}),
        "properties['a'] must be a finite number, not bool",
    ),
    (
        "add None",
        lambda mp: mp.people_increment("u1", {"a": None}),
        "properties['a'] must be a finite number, not None",
    ),
    (
        "unite a dict",
        lambda mp: mp.people_union("u1", {"a": {"b": 1}}),
        "properties['a'] must be a list, a str or a number, not dict",
    ),
    (
        "unite nothing",
        lambda mp: mp.group_union("Company", "acme", {"a": []}),
        "properties['a'] must be a list of at least one element, not an empty one",
    ),
    (
        "unite a list of lists",
        lambda mp: mp.people_union("u1", {"a": [1, [2]]}),
        "properties['a'][1] must be a str or a number, not list",
    ),
    # Charges.
    *(
        (
            f"charge {amount!r}",
            lambda mp, amount=amount: mp.people_track_charge("u1", amount),
            f"amount must be a finite number (int, float or Decimal), not {found}",
        )
        for amount, found in (("9.99", "str"), (None, "None"), (True, "bool"), ([5], "list"), (5j, "complex"))
    ),
    ("charge NaN", lambda mp: mp.people_track_charge("u1", float("nan")), "amount must be a finite number, not nan"),
    (
        "charge infinity",
        lambda mp: mp.people_track_charge("u1", float("inf")),
        "amount must be a finite number, not inf",
    ),
    (
        "charge without an amount",
        lambda mp: mp.people_track_charge("u1", {"sku": "s1"}),
        "amount must be a finite number (int, float or Decimal), not dict",
    ),
    (
        "charge 17 digits",
        lambda mp: mp.people_track_charge("u1", Decimal("0.12345678901234567")),
        (
            "amount must be a Decimal of at most 15 digits, which a 64-bit float holds exactly "
            "(round it, or send str(value)), not one of 17 digits"
        ),
    ),
    (
        "charge twice the amount",
        lambda mp: mp.people_track_charge("u1", 5, {"$amount": 6}),
        "properties['$amount'] must be given as amount of the charge, not as a property",
    ),
    *(
        (
            f"charge at {time!r}",
            lambda mp, time=time: mp.people_track_charge("u1", 5, {"$time": time}),
            f"properties['$time'] must be {allowed}, not {found}",
        )
        for time, allowed, found in (
            ("yesterday", "a time, such as '2026-01-31T12:00:00'", "another text"),
            ("", "a time, such as '2026-01-31T12:00:00'", "another text"),
            (5, ERA, "outside of that"),
            ([5], INSTANT, "list"),
            (date(2026, 1, 1), INSTANT, "datetime.date"),
        )
    ),
    # Updates in the form of the wire.
    ("update a list", lambda mp: mp.people_update([1]), "message must be a dict with str keys, not list"),
    ("update None", lambda mp: mp.group_update(None), "message must be a dict with str keys, not None"),
    ("update JSON", lambda mp: mp.people_update("{}"), "message must be a dict with str keys, not str"),
    ("update nothing", lambda mp: mp.people_update({}), "message['$distinct_id'] must be given, not missing"),
    (
        "update nobody",
        lambda mp: mp.people_update({"$distinct_id": "", "$set": {"a": 1}}),
        f"message['$distinct_id'] must be {SOMEBODY}, not empty",
    ),
    (
        "update no group",
        lambda mp: mp.group_update({"$group_id": "acme", "$set": {"a": 1}}),
        "message['$group_key'] must be given, not missing",
    ),
    (
        "update which group",
        lambda mp: mp.group_update({"$group_key": "Company", "$set": {"a": 1}}),
        "message['$group_id'] must be given, not missing",
    ),
    (
        "update without an operator",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$ip": 0}),
        "message['$set'] must be given, or another operator, not missing",
    ),
    (
        "update with a value of another kind",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$set": {"a": object()}}),
        f"message['$set']['a'] must be {KINDS}, not object",
    ),
    (
        "update with a text",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$unset": "abc"}),
        "message['$unset'] must be a list of property names, not str",
    ),
    (
        "update one property twice",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$set": {"a": 1}, "$add": {"a": 1}}),
        (
            "message['$add'] must be independent of the other changes of its operation; use one operation for each, "
            "not one of 'a' again"
        ),
    ),
    (
        "update with a newer operator and a value of another kind",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$newer": [object()]}),
        f"message['$newer'][0] must be {KINDS}, not object",
    ),
    (
        "update with a key that is an int",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$set": {"a": 1}, 5: 1}),
        "message must be a dict with str keys, not one with a key of type int",
    ),
    (
        "update a group with a key that is an int",
        lambda mp: mp.group_update({"$group_key": "Company", "$group_id": "acme", "$set": {"a": 1}, 5: 1}),
        "message must be a dict with str keys, not one with a key of type int",
    ),
    # Meta.
    *(
        (
            f"meta of {call}",
            lambda mp, call=call, arguments=arguments: getattr(mp, call)(*arguments, meta=[1]),
            "meta must be a dict with str keys, not list",
        )
        for call, arguments in (
            ("track", ("u1", "Opened")),
            ("import_data", (None, "u1", "Opened", PAST)),
            ("alias", ("u1", "u2")),
            ("identify", ("u1", ANON_ID)),
            ("merge", (None, "u1", "u2")),
            ("people_set", ("u1", {"a": 1})),
            ("people_delete", ("u1",)),
            ("people_clear_charges", ("u1",)),
            ("people_track_charge", ("u1", 5)),
            ("people_update", ({"$distinct_id": "u1", "$set": {"a": 1}},)),
            ("group_set", ("Company", "acme", {"a": 1})),
            ("group_delete", ("Company", "acme")),
            ("group_update", ({"$group_key": "Company", "$group_id": "acme", "$set": {"a": 1}},)),
        )
    ),
    (
        "meta with a key that is an int",
        lambda mp: mp.people_set("u1", {"a": 1}, {5: 1}),
        "meta must be a dict with str keys, not one with a key of type int",
    ),
    (
        "meta that names the event",
        lambda mp: mp.track("u1", "Opened", None, {"event": "Closed"}),
        "meta['event'] must be left out: it is given as an argument of its own, not given",
    ),
    (
        "meta that holds properties",
        lambda mp: mp.alias("u1", "u2", {"properties": {}}),
        "meta['properties'] must be left out: it is given as an argument of its own, not given",
    ),
    (
        "meta with a value of another kind",
        lambda mp: mp.track("u1", "Opened", None, {"a": object()}),
        f"meta['a'] must be {KINDS}, not object",
    ),
    (
        "no IP address",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$ip": 5}),
        "meta['$ip'] must be an IP address, or '0' for no place, not int",
    ),
    (
        "$ignore_time of text",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$ignore_time": "yes"}),
        "meta['$ignore_time'] must be True or False, not str",
    ),
    (
        "$time of text",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$time": "now"}),
        f"meta['$time'] must be {INSTANT}, not str",
    ),
    (
        "$time of text beside what is newer",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$time": "now", "$newer": 1}),
        f"meta['$time'] must be {INSTANT}, not str",
    ),
    (
        "half a place",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$latitude": 48.2}),
        "meta['$latitude'] and meta['$longitude'] must be both given or both left out, not one without the other",
    ),
    (
        "half a place in an update",
        lambda mp: mp.people_update({"$distinct_id": "u1", "$set": {"a": 1}, "$longitude": 16.4}),
        "message['$latitude'] and message['$longitude'] must be both given or both left out, not one without the other",
    ),
    (
        "a place off the earth",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$latitude": 48.2, "$longitude": 200}),
        "meta['$longitude'] must be degrees from -180 to 180, not outside of that",
    ),
    (
        "a place for a group",
        lambda mp: mp.group_set("Company", "acme", {"a": 1}, {"$ignore_alias": True}),
        "meta['$ignore_alias'] must be ip and ignore_time only, for a group, not one with ignore_alias or a place",
    ),
    (
        "delete and more",
        lambda mp: mp.people_delete("u1", {"$set": {"a": 1}}),
        (
            "meta must be independent of the other changes of its operation; use one operation for each, "
            "not a Delete beside others"
        ),
    ),
    (
        "the same property in meta",
        lambda mp: mp.people_set("u1", {"a": 1}, {"$unset": ["a"]}),
        (
            "meta['$unset'] must be independent of the other changes of its operation; use one operation for each, "
            "not one of 'a' again"
        ),
    ),
    # Typed operations.
    (
        "send a dict",
        lambda mp: mp.send({"event": "Opened"}),
        "operation must be a Track, PeopleOp, GroupOp, Charge or another operation, not dict",
    ),
    (
        "send a list",
        lambda mp: mp.send([PeopleOp("u1", Set({"a": 1}))]),
        "operation must be a Track, PeopleOp, GroupOp, Charge or another operation, not list",
    ),
    (
        "send one that is none after one that is",
        lambda mp: mp.send(PeopleOp("u1", Set({"a": 1})), None),
        "operation must be a Track, PeopleOp, GroupOp, Charge or another operation, not None",
    ),
    (
        "send a class",
        lambda mp: mp.send(Track),
        "operation must be a Track, PeopleOp, GroupOp, Charge or another operation, not type",
    ),
    # Default properties.
    (
        "default time",
        lambda mp: mp.with_properties({"time": PAST}),
        "properties['time'] must be left out: it differs from event to event, not as a property",
    ),
    ("no default properties", lambda mp: mp.with_properties(None), "properties must be a dict with str keys, not None"),
    # Keys and secrets.
    *(
        (
            f"{call} with the secret {secret!r}",
            lambda mp, call=call, arguments=arguments, secret=secret: getattr(mp, call)(*arguments, api_secret=secret),
            sentence,
        )
        for call, arguments in (("import_data", (None, "u1", "Opened", PAST)), ("merge", (None, "u1", "u2")))
        for secret, sentence in (
            (5, "api_secret must be a str, not int"),
            (b"secret", "api_secret must be a str, not bytes"),
            (["secret"], "api_secret must be a str, not list"),
            ({}, "api_secret must be a str, not dict"),
        )
    ),
    *(
        (
            f"{call} with the key {key!r}",
            lambda mp, call=call, arguments=arguments, key=key: getattr(mp, call)(key, *arguments),
            sentence,
        )
        for call, arguments in (("import_data", ("u1", "Opened", PAST)), ("merge", ("u1", "u2")))
        for key, sentence in (
            (5, "api_key must be a str, not int"),
            (("key", "secret"), "api_key must be a str, not tuple"),
        )
    ),
):
    mistake(name, call, sentence)


@pytest.mark.parametrize(("call", "sentence"), CALLS.values(), ids=CALLS)
def test_a_mistake_is_told_in_one_sentence_and_nothing_is_sent(
    call: Callable[[Mixpanel], object], sentence: str, doors: dict[str, tuple[Mixpanel, Callable[[], int]]]
) -> None:
    for kind, (mp, arrived) in doors.items():
        before = arrived()
        assert str(refusal(partial(call, mp))) == sentence, kind
        assert arrived() == before, kind


def test_only_that_sentence_is_shown() -> None:
    mp = Mixpanel(TOKEN, transport=MemoryTransport())
    shown: list[str] = []
    for name, (call, _) in CALLS.items():
        try:
            call(mp)
        except MixwireError as error:
            if "During handling of the above exception" in "".join(traceback.format_exception(error)):
                shown.append(name)
    assert shown == []


@pytest.mark.parametrize("secret", ["", "two words", "sécret", "with:colon", "line\nbreak"])
def test_a_secret_that_cannot_stand_in_a_header_is_refused(secret: str, judge: Judge) -> None:
    before = judge.counts().requests
    with Mixpanel(TOKEN, server=judge.url) as mp:
        error = refusal(lambda: mp.import_data(None, "user-1", "Opened", PAST, api_secret=secret))
    assert error.path == "api_secret"
    assert judge.counts().requests == before


# A serializer of the caller's own does not hide mistakes.


class Plain(json.JSONEncoder):
    pass


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda mp: mp.track("user-1", "Opened", ["plan"]), "properties"),
        (lambda mp: mp.people_set("user-1", "plan"), "properties"),
        (lambda mp: mp.people_unset("user-1", "abc"), "properties"),
        (lambda mp: mp.people_track_charge("user-1", "5"), "amount"),
        (lambda mp: mp.track("user-1", "Opened", {"a": 2**64}), "properties['a']"),
        (lambda mp: mp.track("user-1", "Opened", {"a": "\ud800"}), "properties['a']"),
        (lambda mp: mp.track("user-1", None, {"a": 1}), "event_name"),
        (lambda mp: mp.people_update([]), "message"),
    ],
    ids=["list", "str", "names", "amount", "int", "surrogate", "name", "update"],
)
def test_a_mistake_is_one_for_any_serializer(call: Callable[[Any], object], path: str) -> None:
    memory = MemoryTransport()
    assert refusal(lambda: call(Mixpanel(TOKEN, serializer=Plain, transport=memory))).path == path
    assert memory.messages == ()


@pytest.mark.parametrize("make", [_loop, lambda: {"a": _deep_list(100_000)}], ids=["inside itself", "deep"])
def test_what_no_serializer_can_write_is_a_mistake_too(make: Callable[[], dict[str, Any]]) -> None:
    memory = MemoryTransport()
    mp = Mixpanel(TOKEN, serializer=Plain, transport=memory)
    assert refusal(lambda: mp.track("user-1", "Opened", {"a": make()})).path.startswith("properties")
    assert refusal(lambda: mp.people_set("user-1", {"a": make()})).path.startswith("properties")
    assert memory.messages == ()


# The front door itself.


class WithoutSend:
    pass


class TwoMore:
    def send(self) -> None:
        """
        Takes nothing.
        """


class Later:
    async def send(self, endpoint: str, json_message: str) -> None:
        """
        Would have to be awaited.
        """


DOORS: Final[dict[str, tuple[Callable[[], object], str]]] = {
    **{
        f"the token {token!r}": (lambda token=token: Mixpanel(token), f"token must be {said}")  # type: ignore[misc]
        for token, said in (
            (None, "a str, not None"),
            (5, "a str, not int"),
            (b"token", "a str, not bytes"),
            ("", "printable ASCII without spaces, not empty"),
            (" ", "printable ASCII without spaces, not empty"),
            ("to\nken", "printable ASCII without spaces, not with other characters"),
            ("token\0", "printable ASCII without spaces, not with other characters"),
            ("token ", "printable ASCII without spaces, not with other characters"),
            ("tökén", "printable ASCII without spaces, not with other characters"),
            ("to:ken", "without a colon, which ends it in the header, not with one"),
        )
    },
    **{
        f"the server {server!r}": (lambda server=server: Mixpanel(TOKEN, server=server), f"server must be {said}")  # type: ignore[misc]
        for server, said in (
            ("api-eu.mixpanel.com", f"{SERVERS}, not another form (perhaps 'eu')"),
            ("", f"{SERVERS}, not another form"),
            ("europe", f"{SERVERS}, not another form"),
            ("https://api.mixpanel.com/track", f"{SERVERS}, not another form (perhaps 'us')"),
            ("https://user:password@api.mixpanel.com", f"{SERVERS}, not another form"),
            ("ftp://api.mixpanel.com", f"{SERVERS}, not another form"),
            (5, f"{SERVERS}, not int"),
            (
                "http://api.mixpanel.com",
                "an https:// URL (plain http only to loopback), not plain http to another host",
            ),
            ("https://api.mixpanel.com:99999", "a URL with a port from 1 to 65535, not one outside"),
        )
    },
    **{
        f"{kind.__name__} of the host {host!r}": (lambda kind=kind, host=host: kind(api_host=host), sentence)  # type: ignore[misc]
        for kind in (Consumer, BufferedConsumer)
        for host, sentence in (
            (
                "https://api-eu.mixpanel.com",
                "api_host must be the name of a host, such as 'api-eu.mixpanel.com', not a URL",
            ),
            (
                "api-eu.mixpanel.com/track",
                (
                    "api_host must be a host of Mixpanel by its name alone, such as 'api-eu.mixpanel.com', "
                    "not a path there"
                ),
            ),
            ("", "api_host must be the name of a host, such as 'api-eu.mixpanel.com', not something else"),
            (None, "api_host must be the name of a host, such as 'api-eu.mixpanel.com', not None"),
        )
    },
    "consumer and transport": (
        lambda: Mixpanel(TOKEN, Recorder(), transport=MemoryTransport()),
        "transport must be left out where a consumer is given, not given",
    ),
    "consumer and a tag": (
        lambda: Mixpanel(TOKEN, Recorder(), transport="sync"),
        "transport must be left out where a consumer is given, not given",
    ),
    "consumer and server": (
        lambda: Mixpanel(TOKEN, Recorder(), server="eu"),
        "server must be left out where a consumer is given, not given",
    ),
    "transport and server": (
        lambda: Mixpanel(TOKEN, transport=MemoryTransport(), server="eu"),
        "server must be left out where a transport is given, not given",
    ),
    "transport and credentials": (
        lambda: Mixpanel(TOKEN, transport=MemoryTransport(), credentials=ProjectSecret("secret")),
        "credentials must be left out where a transport is given, not given",
    ),
    "a consumer without send": (
        lambda: Mixpanel(TOKEN, WithoutSend()),
        f"consumer must be {CONSUMER}, not {__name__}.WithoutSend, which has none",
    ),
    "a consumer that is 0": (lambda: Mixpanel(TOKEN, 0), f"consumer must be {CONSUMER}, not int, which has none"),
    "a consumer that is text": (
        lambda: Mixpanel(TOKEN, "buffered"),
        f"consumer must be {CONSUMER}, not str, which has none",
    ),
    "a consumer that is a class": (
        lambda: Mixpanel(TOKEN, Consumer),
        f"consumer must be {CONSUMER}, not the class Consumer itself",
    ),
    "a consumer that is a transport": (
        lambda: Mixpanel(TOKEN, SyncTransport(Project(TOKEN))),
        f"consumer must be {CONSUMER}, not a Transport, which is given as transport=...",
    ),
    "a consumer that takes nothing": (
        lambda: Mixpanel(TOKEN, TwoMore()),
        "consumer.send must be callable as send(endpoint, json_message, api_key), not of another form",
    ),
    "a consumer that nobody waits for": (
        lambda: Mixpanel(TOKEN, Later()),
        "consumer.send must be a plain function, not a coroutine function, which nobody would wait for",
    ),
    **{
        f"the serializer {name}": (
            lambda given=given: Mixpanel(TOKEN, serializer=given),  # type: ignore[misc]
            f"serializer must be a subclass of json.JSONEncoder, not {found}",
        )
        for name, given, found in (
            ("function", json.dumps, "function"),
            ("instance", Plain(), f"{__name__}.Plain"),
            ("another class", dict, "type"),
            ("text", "json", "str"),
            ("False", False, "bool"),
        )
    },
    **{
        f"{name} of the official client": (
            lambda name=name: Mixpanel(TOKEN, **{name: object()}),  # type: ignore[misc]
            f"{name} must be None: feature flags are not part of this library, not object",
        )
        for name in ("local_flags_config", "remote_flags_config")
    },
    **{
        f"the credentials {named(given)}": (
            lambda given=given: Mixpanel(TOKEN, credentials=given),  # type: ignore[misc]
            f"credentials must be ServiceAccountCredentials(...), ProjectSecret(...) or None, not {found}",
        )
        for given, found in (
            ("secret", "str"),
            (("user", "secret"), "tuple"),
            (False, "bool"),
            (ServiceAccount, "type"),
        )
    },
    "events of another kind": (
        lambda: Mixpanel(TOKEN, events="both"),  # type: ignore[arg-type]
        "events must be one of 'track', 'import', not another value",
    ),
    "limits of another kind": (
        lambda: Mixpanel(TOKEN, limits=None),  # type: ignore[arg-type]
        "limits must be one of 'strict', 'warn', 'off', not another value",
    ),
    **{
        f"enabled={given!r}": (
            lambda given=given: Mixpanel(TOKEN, enabled=given),  # type: ignore[misc]
            f"enabled must be True or False, not {found}",
        )
        for given, found in (("false", "str"), (0, "int"), (None, "None"))
    },
    **{
        f"{name}={given!r}": (
            lambda name=name, given=given: Mixpanel(TOKEN, **{name: given}),  # type: ignore[misc]
            f"{name} must be callable, not {found}",
        )
        for name in ("now", "make_insert_id")
        for given, found in ((None, "None"), (PAST, "int"), ("id", "str"))
    },
    **{
        f"the transport {named(given)}": (lambda given=given: Mixpanel(TOKEN, transport=given), sentence)  # type: ignore[misc]
        for given, sentence in (
            (
                "bufered",
                f"transport.type must be one of the known tags: {TAGS}, not an unknown one (perhaps 'buffered')",
            ),
            (
                "",
                (
                    "transport must be a tag such as 'buffered', a string such as 'file:///var/spool/app?sync=always', "
                    "or a JSON object, not empty"
                ),
            ),
            (5, "transport must be a table, or a str such as 'buffered', not int"),
            (["sync"], "transport must be a table, or a str such as 'buffered', not list"),
            (
                SyncTransport,
                "transport must be a table, or a str such as 'buffered', not a class, of which one must be made",
            ),
            (Recorder(), f"transport must be a table, or a str such as 'buffered', not {__name__}.Recorder"),
            ({}, "transport.type must be given: the tag of a transport, not missing"),
            ({"type": "sync", "max_tries": "5"}, "transport.max_tries must be an int or None, not str"),
        )
    },
    "no variables": (lambda: Mixpanel.from_env({}), "token must be given with MIXWIRE_TOKEN, not missing"),
    "an empty variable": (
        lambda: Mixpanel.from_env({"MIXWIRE_TOKEN": ""}),
        "MIXWIRE_TOKEN must be printable ASCII without spaces, not empty",
    ),
    "a switch of another kind": (
        lambda: Mixpanel.from_env({"MIXWIRE_TOKEN": TOKEN, "MIXWIRE_ENABLED": "never"}),
        "MIXWIRE_ENABLED must be one of true, false, 1, 0, yes, no, on, off, not another value",
    ),
    "variables that are none": (
        lambda: Mixpanel.from_env(["MIXWIRE_TOKEN"]),  # type: ignore[arg-type]
        "environment must be a mapping of names to text, not list",
    ),
    "a file that is not there": (
        lambda: Mixpanel.from_file("/nowhere/mixwire.toml", {}),
        "/nowhere/mixwire.toml must be a file that can be read, not unreadable (No such file or directory)",
    ),
    "a file without a path": (
        lambda: Mixpanel.from_file(None, {}),  # type: ignore[arg-type]
        "path must be a path, a str or a Path, not None",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), DOORS.values(), ids=DOORS)
def test_a_front_door_that_cannot_work_is_refused_when_it_is_made(make: Callable[[], object], sentence: str) -> None:
    assert str(refusal(make)) == sentence


def test_without_any_token_python_says_which_argument_is_missing() -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'token'$"):
        Mixpanel()  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [Mixpanel, lambda token: Mixpanel.from_env({"MIXWIRE_TOKEN": token})], ids=["", "env"])
def test_no_control_character_stands_in_a_token(make: Callable[[str], object]) -> None:
    for character in [*map(chr, range(32)), "\x7f", "\x85", "\u2028"]:
        for token in (f"to{character}ken", f"token{character}"):
            assert str(refusal(partial(make, token))).removeprefix("MIXWIRE_").lower() == (
                "token must be printable ascii without spaces, not with other characters"
            )


def test_a_path_with_a_nul_is_a_mistake() -> None:
    assert refusal(lambda: Mixpanel.from_file("mixwire\0.toml", {})) is not None


def test_a_refused_front_door_leaves_no_file_behind(tmp_path: Path) -> None:
    refusal(lambda: Mixpanel("", transport=f"buffered:?spool={tmp_path}/spool"))
    refusal(lambda: Mixpanel(TOKEN, Recorder(), transport=f"buffered:?spool={tmp_path}/spool"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("now", [lambda: None, lambda: "now", lambda: -5], ids=["None", "text", "before 1971"])
def test_a_clock_that_tells_no_time_is_told(now: Callable[[], Any]) -> None:
    memory = MemoryTransport()
    mp = Mixpanel(TOKEN, transport=memory, now=now)
    for call in (
        lambda: mp.track("user-1", "Opened"),
        lambda: mp.people_set("user-1", {"a": 1}),
        lambda: mp.people_track_charge("user-1", 5),
        lambda: mp.group_delete("Company", "acme"),
    ):
        assert refusal(call).path == "now()"
    assert memory.messages == ()


@pytest.mark.parametrize("made", [None, 5, "a b", "null", "x" * 37], ids=repr)
def test_an_id_source_that_makes_no_ids_is_told(made: Any) -> None:
    memory = MemoryTransport()
    mp = Mixpanel(TOKEN, transport=memory, make_insert_id=lambda: made)
    for call in (
        lambda: mp.track("user-1", "Opened"),
        lambda: mp.import_data(None, "user-1", "Opened", PAST),
    ):
        assert refusal(call).path == "make_insert_id()"
    assert memory.messages == ()


@pytest.mark.parametrize("name", ["flush", "close"])
@pytest.mark.parametrize(
    ("timeout", "found"), [("5", "str"), (True, "bool"), ([], "list")], ids=["text", "bool", "list"]
)
def test_a_timeout_that_is_no_number_is_refused(name: str, timeout: object, found: str) -> None:
    with Mixpanel(TOKEN, transport=MemoryTransport()) as mp:
        error = refusal(lambda: getattr(mp, name)(timeout))
        assert str(error) == f"timeout must be a number of seconds, or None, not {found}"
        mp.track("user-1", "Opened")


@pytest.mark.parametrize(
    "environment", [{"MIXWIRE_TOKEN": TOKEN, "MIXWIRE_ENABLED": True}, {5: "x"}], ids=["bool", "int"]
)
def test_an_environment_of_other_things_than_text_is_refused(environment: Any) -> None:
    error = refusal(lambda: Mixpanel.from_env(environment))
    assert str(error) == "environment must be a mapping of names to text, not one with something else in it"
