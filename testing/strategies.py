"""
Hypothesis strategies for every value of `mixwire.core`, for the tests of programs that use mixwire, and for its own.

Each function returns a strategy. What it draws is valid, except from `json_garbage`, and from `responses` and
`answers`, where a server is not bound to make sense. Small values are drawn most of the time, and now and then those
that programs forget: no text at all, other scripts, lists in lists, a user without an id, a refused half of a batch.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Final, TypeVar, get_args
from uuid import UUID

import attrs
import orjson

from mixwire.core import (
    JSON,
    PLACEHOLDERS,
    SERVERS,
    Add,
    Alias,
    Answer,
    Append,
    Batch,
    BatchLimits,
    Cause,
    Charge,
    ClearCharges,
    Credentials,
    Delete,
    Endpoint,
    EventRoute,
    Failed,
    GroupChange,
    GroupOp,
    Identify,
    Instant,
    Merge,
    Message,
    NoResponse,
    Operation,
    Outcome,
    PeopleChange,
    PeopleOp,
    Policy,
    Project,
    ProjectSecret,
    RawGroupOp,
    RawPeopleOp,
    Rejected,
    Remove,
    Response,
    RetryPolicy,
    ServiceAccount,
    Set,
    SetOnce,
    Track,
    Union,
    Unknown,
    Unset,
    UpdateOptions,
    UserId,
    encode,
)

try:
    from hypothesis import strategies as st
except ImportError as missing:
    raise ImportError("mixwire.testing.strategies needs Hypothesis: pip install 'mixwire[testing]'") from missing

__all__ = [
    "add_changes",
    "aliases",
    "answers",
    "append_changes",
    "batch_limits",
    "batches",
    "charge_properties",
    "charges",
    "clear_charges",
    "delete_changes",
    "distinct_ids",
    "event_names",
    "event_properties",
    "group_changes",
    "group_ops",
    "identifies",
    "insert_ids",
    "instants",
    "json_garbage",
    "json_scalars",
    "json_values",
    "merges",
    "messages",
    "no_responses",
    "operations",
    "outcomes",
    "people_changes",
    "people_ops",
    "profile_properties",
    "projects",
    "property_names",
    "property_values",
    "raw_group_ops",
    "raw_people_ops",
    "remove_changes",
    "responses",
    "retry_policies",
    "set_changes",
    "set_once_changes",
    "tracks",
    "union_changes",
    "unset_changes",
    "update_options",
]

_Value = TypeVar("_Value")

_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PRINTABLE: Final = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
_USERS: Final = _PRINTABLE.filter(lambda text: ":" not in text)  # what stands before the colon of Basic authorization
_FLOATS: Final = st.floats(allow_nan=False, allow_infinity=False)
_INTEGERS: Final = st.integers(-(2**63), 2**64 - 1)
_NUMBERS: Final = st.integers(-1_000, 1_000) | _INTEGERS | _FLOATS
_MISPLACED: Final = frozenset(
    """
    token $token time $time distinct_id $distinct_id $insert_id bucket $bucket $ip $ignore_time $ignore_alias $latitude
    $longitude $amount
    """.split()
)
_IDENTITY_EVENTS: Final = frozenset({"$create_alias", "$identify", "$merge"})


class _Plan(Enum):
    FREE = "free"
    SEATS = 25
    BOTH = ("free", 25)


@attrs.frozen
class _Price:
    amount: object
    currency: str


@dataclasses.dataclass
class _Place:
    city: str
    near: object


def json_scalars() -> st.SearchStrategy[str | int | float | bool | None]:
    """
    What JSON can say without lists and objects: null, booleans, integers of at most 64 bits, finite floats and any text
    that UTF-8 can hold.
    """
    return st.none() | st.booleans() | _NUMBERS | _TEXT


def json_values() -> st.SearchStrategy[JSON]:
    """
    What JSON can say and mixwire takes in a raw update: scalars, and lists and objects of them, a few levels deep.
    """
    return st.recursive(
        json_scalars(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
        max_leaves=8,
    )


def property_names() -> st.SearchStrategy[str]:
    """
    Names of properties: common ones, documented ones of Mixpanel such as ``$email``, and any text. Names that belong
    elsewhere, such as ``token``, are left out.
    """
    known = st.sampled_from(["plan", "price", "Cart Items", "$email", "$name", "$city", "ville", "価格", "mp_lib"])
    return known | _TEXT.filter(lambda name: name not in _MISPLACED)


def _decimals() -> st.SearchStrategy[Decimal]:
    return st.decimals(-(10**9), 10**9, places=2) | st.integers(-(10**18), 10**18).map(Decimal)


def _datetimes(first_year: int, last_year: int) -> st.SearchStrategy[datetime]:
    first, last = datetime(first_year, 1, 2), datetime(last_year, 12, 30)  # noqa: DTZ001  # the strategy adds zones
    zones = st.just(UTC) | st.integers(-14 * 60, 14 * 60).map(lambda each: timezone(timedelta(minutes=each)))
    return st.datetimes(first, last) | st.datetimes(first, last, timezones=zones)


def _leaves() -> st.SearchStrategy[object]:
    rich: st.SearchStrategy[object] = st.one_of(
        _datetimes(2, 9998),
        st.dates(),
        _decimals(),
        st.uuids(),
        st.sampled_from(list(_Plan)),
    )
    return json_scalars() | rich


def _containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    names = property_names()
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(st.integers(0, 9) | _TEXT | st.dates(), max_size=4),
        st.frozensets(_TEXT, max_size=3),
        st.dictionaries(names, inner, max_size=4),
        st.dictionaries(names, inner, max_size=3).map(OrderedDict),
        st.dictionaries(names, inner, max_size=3).map(lambda items: defaultdict(list, items)),
        st.dictionaries(names, st.integers(0, 99), max_size=3).map(Counter),
        st.builds(_Price, _decimals(), _TEXT),
        st.builds(_Place, _TEXT, inner),
    )


def _in_lists(value: object, levels: int) -> object:
    for _ in range(levels):
        value = [value]
    return value


def property_values() -> st.SearchStrategy[object]:
    """
    Everything that a property may hold, as a caller would write it: JSON scalars, datetimes with and without a
    timezone, dates, Decimals, UUIDs, Enums, sets, and lists, tuples, dicts, attrs values and dataclasses of them,
    objects at most three and lists at most thirty levels deep.
    """
    value = _leaves()
    for _ in range(3):
        value = value | _containers(value)
    return value | st.builds(_in_lists, _leaves(), st.integers(4, 30))


_PROPERTY_VALUES: Final = st.deferred(property_values)


def _dicts(values: st.SearchStrategy[object], min_size: int, max_size: int) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(property_names(), values, min_size=min_size, max_size=max_size)


def _properties(
    values: st.SearchStrategy[object], min_size: int, max_size: int
) -> st.SearchStrategy[dict[str, object]]:
    return _dicts(json_scalars(), min_size, max_size) | _dicts(values, min_size, max_size)


def event_properties(*, min_size: int = 0, max_size: int = 5) -> st.SearchStrategy[dict[str, object]]:
    """
    Properties of an event, as a plain dict: half of the time flat, as almost all events are, and else with every kind
    of value from `property_values`.
    """
    return _properties(_PROPERTY_VALUES, min_size, max_size)


def profile_properties(*, min_size: int = 0, max_size: int = 5) -> st.SearchStrategy[dict[str, object]]:
    """
    Properties of a user's or a group's profile, as a plain dict: half of the time flat, and else with every kind of
    value from `property_values`.
    """
    return _properties(_PROPERTY_VALUES, min_size, max_size)


def charge_properties(*, min_size: int = 0, max_size: int = 3) -> st.SearchStrategy[dict[str, object]]:
    """
    More about one charge, as a plain dict: small, flat half of the time, and without the names ``$amount`` and
    ``$time``. Values lie at most two objects deep, because the transaction is an object itself.
    """
    return _properties(_leaves() | _containers(_leaves()), min_size, max_size)


def _is_id(text: str) -> bool:
    return text.strip().lower() not in PLACEHOLDERS


def distinct_ids() -> st.SearchStrategy[UserId]:
    """
    Ids of somebody in particular, as a caller may give them: text of up to 255 characters in any script, numbers and
    UUIDs. Never blank and never a placeholder such as ``null``.
    """
    text = _TEXT.filter(lambda each: bool(each.strip()) and _is_id(each))
    long = st.integers(250, 255).map(lambda length: "é" * length)
    return st.sampled_from(["u1", "u2", "u3"]) | text | st.integers(1, 2**70) | st.uuids() | long


def instants() -> st.SearchStrategy[Instant]:
    """
    Times from 1971 to 9999 as a caller may give them: ints of seconds or milliseconds, floats of seconds, and datetimes
    with and without a timezone.
    """
    return st.one_of(
        st.integers(31_536_000, 4_000_000_000),
        st.integers(1_500_000_000_000, 1_900_000_000_000),
        st.integers(100_000_000_000, 253_402_300_799_999),
        st.floats(31_536_000.0, 4_000_000_000.0),
        _datetimes(1971, 9999),
    )


def insert_ids() -> st.SearchStrategy[str]:
    """
    Ids of single events: 1 to 36 of A-Z, a-z, 0-9 and the hyphen, short and long, and no placeholder.
    """
    alphabet = "abcxyzABCXYZ0123456789-"
    return st.uuids().map(str) | st.text(alphabet, min_size=1, max_size=36).filter(_is_id)


def event_names() -> st.SearchStrategy[str]:
    """
    Names of events: ordinary ones, reserved ones such as ``$session_start``, any text that is not blank, and ones that
    are longer than Mixpanel keeps. The three identity commands are left out.
    """
    text = _TEXT.filter(lambda name: bool(name) and not name.isspace() and name not in _IDENTITY_EVENTS)
    long = st.integers(250, 300).map(lambda length: "x" * length)
    return st.sampled_from(["Signed Up", "Plan Purchased", "$session_start", "mp_page_view"]) | text | long


@st.composite
def _tracks(draw: st.DrawFn, stamped: bool) -> Track:
    distinct_id = draw(distinct_ids() | st.sampled_from(["u1", "", None]))
    properties = draw(event_properties())
    if distinct_id is None:
        properties[draw(st.sampled_from(["$user_id", "$device_id"]))] = draw(_TEXT)
    missing = () if stamped else draw(st.sampled_from([(), ("time",), ("insert_id",), ("time", "insert_id")]))
    return Track(
        draw(event_names()),
        distinct_id=distinct_id,
        properties=properties,
        time=None if "time" in missing else draw(instants()),
        insert_id=None if "insert_id" in missing else draw(insert_ids() | st.uuids()),
    )


def tracks(*, stamped: bool = True) -> st.SearchStrategy[Track]:
    """
    Events, ready to be encoded: of users, of nobody (the empty distinct_id), and of devices without a distinct_id. With
    ``stamped=False`` the time, the insert_id or both may be missing.
    """
    return _tracks(stamped)


def _two_ids() -> st.SearchStrategy[tuple[UserId, UserId]]:
    return st.tuples(distinct_ids(), distinct_ids()).filter(lambda ids: str(ids[0]) != str(ids[1]))


def aliases() -> st.SearchStrategy[Alias]:
    """
    Aliases: two different ids of any form.
    """
    return _two_ids().map(lambda ids: Alias(alias=ids[0], distinct_id=ids[1]))


def identifies() -> st.SearchStrategy[Identify]:
    """
    Identifies: an id of any form, and an anonymous id that is a UUID of version 4, as a UUID or as text in either case.
    """

    def identify(identified_id: UserId, anon: UUID, form: Callable[[UUID], UUID | str]) -> Identify:
        return Identify(identified_id=identified_id, anon_id=form(anon))

    forms: list[Callable[[UUID], UUID | str]] = [_as_uuid, str, _as_capitals]
    return st.builds(identify, distinct_ids(), st.uuids(version=4), st.sampled_from(forms))


def _as_uuid(value: UUID) -> UUID:
    return value


def _as_capitals(value: UUID) -> str:
    return str(value).upper()


def merges() -> st.SearchStrategy[Merge]:
    """
    Merges: two different ids of any form.
    """
    return _two_ids().map(lambda ids: Merge(*ids))


def _names() -> st.SearchStrategy[list[str]]:
    return st.lists(property_names(), min_size=1, max_size=4, unique=True)


def _with(names: Sequence[str], values: st.SearchStrategy[object]) -> st.SearchStrategy[Mapping[str, object]]:
    return st.fixed_dictionaries(dict.fromkeys(names, values))


def _elements() -> st.SearchStrategy[object]:
    return _NUMBERS | _TEXT | st.dates() | _decimals()


def _changes_of(kind: type[PeopleChange], names: Sequence[str]) -> st.SearchStrategy[PeopleChange]:
    """
    A change of that kind which touches just these names.
    """
    if kind is Delete:
        return st.builds(Delete)
    if kind is Unset:
        return st.just(Unset(*(name or "empty" for name in names)))
    if kind is Add:
        return _with(names, _NUMBERS | _decimals()).map(Add)
    if kind is Union:
        several = st.lists(_elements(), min_size=1, max_size=4) | st.sets(_TEXT, min_size=1, max_size=3)
        return _with(names, _elements() | several).map(Union)
    simple: dict[type, Callable[[Mapping[str, object]], PeopleChange]] = {
        Set: Set,
        SetOnce: SetOnce,
        Append: Append,
        Remove: Remove,
    }
    return _with(names, json_scalars() | _PROPERTY_VALUES).map(simple[kind])


def _only(kind: type[_Value], changes: st.SearchStrategy[PeopleChange]) -> st.SearchStrategy[_Value]:
    def checked(change: PeopleChange) -> _Value:
        assert isinstance(change, kind)
        return change

    return changes.map(checked)


def set_changes() -> st.SearchStrategy[Set]:
    """
    `Set` changes of one to four properties with every kind of value.
    """
    return _only(Set, _names().flatmap(lambda names: _changes_of(Set, names)))


def set_once_changes() -> st.SearchStrategy[SetOnce]:
    """
    `SetOnce` changes of one to four properties with every kind of value.
    """
    return _only(SetOnce, _names().flatmap(lambda names: _changes_of(SetOnce, names)))


def add_changes() -> st.SearchStrategy[Add]:
    """
    `Add` changes of one to four properties by ints, floats and Decimals, positive and negative.
    """
    return _only(Add, _names().flatmap(lambda names: _changes_of(Add, names)))


def append_changes() -> st.SearchStrategy[Append]:
    """
    `Append` changes of one to four lists by every kind of value.
    """
    return _only(Append, _names().flatmap(lambda names: _changes_of(Append, names)))


def union_changes() -> st.SearchStrategy[Union]:
    """
    `Union` changes of one to four lists, each by a list or set of texts and numbers, or by a single one.
    """
    return _only(Union, _names().flatmap(lambda names: _changes_of(Union, names)))


def remove_changes() -> st.SearchStrategy[Remove]:
    """
    `Remove` changes of one to four lists by every kind of value.
    """
    return _only(Remove, _names().flatmap(lambda names: _changes_of(Remove, names)))


def unset_changes() -> st.SearchStrategy[Unset]:
    """
    `Unset` changes of one to four property names.
    """
    return _only(Unset, _names().flatmap(lambda names: _changes_of(Unset, names)))


def delete_changes() -> st.SearchStrategy[Delete]:
    """
    The one `Delete` there is.
    """
    return st.builds(Delete)


def people_changes() -> st.SearchStrategy[PeopleChange]:
    """
    Any one change of a user's profile.
    """
    return st.one_of(
        set_changes(),
        set_once_changes(),
        add_changes(),
        append_changes(),
        union_changes(),
        remove_changes(),
        unset_changes(),
        delete_changes(),
    )


def group_changes() -> st.SearchStrategy[GroupChange]:
    """
    Any one change of a group's profile: all but `Add` and `Append`, which are for people only.
    """
    return st.one_of(
        set_changes(), set_once_changes(), union_changes(), remove_changes(), unset_changes(), delete_changes()
    )


@st.composite
def _several(draw: st.DrawFn, kinds: Sequence[type[PeopleChange]]) -> tuple[PeopleChange, ...]:
    """
    One change of these kinds, or several that touch different properties.
    """
    kind = draw(st.sampled_from(kinds))
    if kind is Delete:
        return (Delete(),)
    others = [each for each in kinds if each is not Delete and each is not kind]
    chosen = [kind, *draw(st.lists(st.sampled_from(others), max_size=3, unique=True) if others else st.just([]))]
    names = draw(st.lists(property_names().filter(bool), min_size=len(chosen), max_size=len(chosen) + 2, unique=True))
    return tuple(draw(_changes_of(each, names[index :: len(chosen)])) for index, each in enumerate(chosen))


def _group_changes() -> st.SearchStrategy[tuple[GroupChange, ...]]:
    def checked(changes: tuple[PeopleChange, ...]) -> tuple[GroupChange, ...]:
        return tuple(change for change in changes if not isinstance(change, Add | Append))

    return _several(get_args(GroupChange)).map(checked)


def update_options(*, for_group: bool = False) -> st.SearchStrategy[UpdateOptions]:
    """
    What may stand beside the changes of an update: addresses, flags and places; for a group, addresses and
    ``ignore_time`` only.
    """
    ips = st.none() | st.sampled_from(["0", "203.0.113.7", "2001:db8::1"]) | st.ip_addresses().map(str)
    if for_group:
        return st.just(UpdateOptions()) | st.builds(UpdateOptions, ip=ips, ignore_time=st.booleans())
    places = st.tuples(st.floats(-90, 90) | st.integers(-90, 90), st.floats(-180, 180) | st.integers(-180, 180))

    def options(
        ip: str | None, ignore_time: bool, ignore_alias: bool, place: tuple[float, float] | tuple[None, None]
    ) -> UpdateOptions:
        return UpdateOptions(
            ip=ip, ignore_time=ignore_time, ignore_alias=ignore_alias, latitude=place[0], longitude=place[1]
        )

    return st.just(UpdateOptions()) | st.builds(
        options, ips, st.booleans(), st.booleans(), st.just((None, None)) | places
    )


_CHANGES: Final[tuple[type[PeopleChange], ...]] = get_args(PeopleChange)


@st.composite
def _people_ops(draw: st.DrawFn) -> PeopleOp:
    return PeopleOp(
        draw(distinct_ids()),
        *draw(_several(_CHANGES)),
        time=draw(st.none() | instants()),
        options=draw(update_options()),
    )


def people_ops() -> st.SearchStrategy[PeopleOp]:
    """
    Changes of users' profiles: one change or several that touch different properties, with and without a time and
    options.
    """
    return _people_ops()


def _group_names() -> st.SearchStrategy[UserId]:
    text = _TEXT.filter(lambda each: bool(each.strip()))
    return st.sampled_from(["acme", "0", "null"]) | text | st.integers(0, 10**6) | st.uuids()


@st.composite
def _group_ops(draw: st.DrawFn) -> GroupOp:
    return GroupOp(
        draw(st.just("Company") | _TEXT.filter(lambda each: bool(each.strip()))),
        draw(_group_names()),
        *draw(_group_changes()),
        time=draw(st.none() | instants()),
        options=draw(update_options(for_group=True)),
    )


def group_ops() -> st.SearchStrategy[GroupOp]:
    """
    Changes of groups' profiles: one change or several that touch different properties, with and without a time and
    options.
    """
    return _group_ops()


def charges() -> st.SearchStrategy[Charge]:
    """
    Charges and refunds of ints, floats and Decimals, with and without properties, a time and options.
    """
    return st.builds(
        Charge,
        distinct_ids(),
        _NUMBERS | _decimals(),
        charge_properties(),
        time=st.none() | instants(),
        options=update_options(),
    )


def clear_charges() -> st.SearchStrategy[ClearCharges]:
    """
    Requests to forget what a user paid, with and without a time and options.
    """
    return st.builds(ClearCharges, distinct_ids(), time=st.none() | instants(), options=update_options())


_KNOWN_OPERATORS: Final = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")
_TAKEN: Final = frozenset({"$token", "$distinct_id", "$group_key", "$group_id"})


def _updates(operators: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, JSON]]:
    return st.dictionaries(operators, json_values(), min_size=1, max_size=3)


def _any_updates() -> st.SearchStrategy[dict[str, JSON]]:
    unknown = st.sampled_from(["$multiply", "$ip", "$time"]) | _TEXT
    return _updates(st.sampled_from(_KNOWN_OPERATORS) | unknown.filter(lambda name: name not in _TAKEN))


def raw_people_ops() -> st.SearchStrategy[RawPeopleOp]:
    """
    Updates of users' profiles as they stand on the wire, with known operators and unknown ones, repeatable or not.
    """
    return st.builds(RawPeopleOp, distinct_ids(), _any_updates())


def raw_group_ops() -> st.SearchStrategy[RawGroupOp]:
    """
    Updates of groups' profiles as they stand on the wire, with known operators and unknown ones, repeatable or not.
    """
    return st.builds(
        RawGroupOp, st.just("Company") | _TEXT.filter(lambda each: bool(each.strip())), _group_names(), _any_updates()
    )


def operations(*, stamped: bool = True) -> st.SearchStrategy[Operation]:
    """
    Any operation; with ``stamped=False`` some events have no time or no insert_id yet.
    """
    return st.one_of(
        tracks(stamped=stamped),
        people_ops(),
        group_ops(),
        charges(),
        clear_charges(),
        aliases(),
        identifies(),
        merges(),
        raw_people_ops(),
        raw_group_ops(),
    )


def _credentials() -> st.SearchStrategy[Credentials | None]:
    account = st.builds(
        ServiceAccount,
        username=_USERS,
        secret=_PRINTABLE,
        project_id=st.integers(0, 10**9) | st.integers(0, 10**9).map(str),
    )
    return st.none() | account | st.builds(ProjectSecret, _USERS)


def projects(
    *,
    events: Sequence[EventRoute] = ("track", "import"),
    limits: Sequence[Policy] = ("warn", "off", "strict"),
) -> st.SearchStrategy[Project]:
    """
    Projects with any token, server, credentials and settings. A project with ``strict`` limits refuses to encode what
    the server would change in silence; *limits* and *events* say what to choose from.
    """
    labels = st.text("abcxyz019", min_size=1, max_size=8)
    hosts = st.lists(labels, min_size=1, max_size=3).map(".".join)
    ports = st.just("") | st.integers(1, 65535).map(lambda port: f":{port}")
    servers = st.one_of(
        st.sampled_from([*SERVERS, "http://localhost:8080", "http://127.0.0.1", "http://[::1]:9/"]),
        st.builds("https://{}{}".format, hosts, ports),
    )
    return st.builds(
        Project,
        _USERS,
        server=servers,
        credentials=_credentials(),
        events=st.sampled_from(list(events)),
        limits=st.sampled_from(list(limits)),
        use_request_ip=st.booleans(),
    )


_LENIENT: Final[tuple[Policy, ...]] = ("warn", "off")
_TRACK_PROJECT: Final = Project("TOKEN", limits="off")
_IMPORT_PROJECT: Final = Project("TOKEN", events="import", limits="off")


def messages(*, project: Project | None = None) -> st.SearchStrategy[Message]:
    """
    Messages of any operation, encoded for *project*, or for any that does not refuse them.
    """
    owners = projects(limits=_LENIENT) if project is None else st.just(project)
    return st.builds(encode, operations(), owners)


@cache
def _lanes() -> dict[tuple[Endpoint, bool], st.SearchStrategy[Message]]:
    """
    Messages that may share a batch, by endpoint and repeatability; small ones, because a batch sees only their bytes.
    """
    ids, text = distinct_ids(), st.dictionaries(property_names(), _TEXT, min_size=1, max_size=2)
    numbers = st.dictionaries(property_names(), _NUMBERS, min_size=1, max_size=2)
    event = st.builds(
        Track,
        event_names(),
        distinct_id=ids | st.just(""),
        properties=numbers,
        time=st.integers(1_500_000_000_000, 1_900_000_000_000),
        insert_id=insert_ids(),
    )
    safe: st.SearchStrategy[GroupChange] = text.map(Set) | text.map(SetOnce) | text.map(Union) | delete_changes()
    unsafe = text.map(Remove)
    group = st.just("Company")
    operations_by_lane: dict[tuple[Endpoint, bool], st.SearchStrategy[Operation]] = {
        (Endpoint.TRACK, True): event,
        (Endpoint.ENGAGE, True): st.builds(PeopleOp, ids, safe) | st.builds(ClearCharges, ids),
        (Endpoint.ENGAGE, False): st.builds(PeopleOp, ids, numbers.map(Add) | text.map(Append) | unsafe)
        | st.builds(Charge, ids, _NUMBERS)
        | st.builds(RawPeopleOp, ids, st.dictionaries(st.just("$multiply"), numbers, min_size=1)),
        (Endpoint.GROUPS, True): st.builds(GroupOp, group, ids, safe),
        (Endpoint.GROUPS, False): st.builds(GroupOp, group, ids, unsafe),
    }
    lanes = {
        lane: st.builds(encode, operation, st.just(_TRACK_PROJECT)) for lane, operation in operations_by_lane.items()
    }
    lanes[Endpoint.IMPORT, True] = st.builds(encode, event, st.just(_IMPORT_PROJECT))
    return lanes


@st.composite
def _batches(
    draw: st.DrawFn, min_size: int, max_size: int, endpoints: Sequence[Endpoint], repeatable: bool | None
) -> Batch:
    lanes = {
        lane: strategy
        for lane, strategy in _lanes().items()
        if lane[0] in endpoints and (repeatable is None or lane[1] is repeatable)
    }
    lane = draw(st.sampled_from(list(lanes)))
    if min_size <= 1 and lane[1] and lane[0] in (Endpoint.TRACK, Endpoint.IMPORT) and draw(st.integers(0, 9)) == 9:
        commands: st.SearchStrategy[Operation] = merges() if lane[0] is Endpoint.IMPORT else aliases() | identifies()
        return Batch((encode(draw(commands), _TRACK_PROJECT),))
    return Batch(tuple(draw(st.lists(lanes[lane], min_size=min_size, max_size=max_size))))


def batches(
    *,
    min_size: int = 1,
    max_size: int = 6,
    endpoints: Sequence[Endpoint] = tuple(Endpoint),
    repeatable: bool | None = None,
) -> st.SearchStrategy[Batch]:
    """
    Batches of *min_size* to *max_size* messages for one of *endpoints*; all repeatable, all not, or by chance either.
    Now and then the batch is a single alias, identify or merge.
    """
    return _batches(min_size, max_size, endpoints, repeatable)


def batch_limits() -> st.SearchStrategy[BatchLimits]:
    """
    How much one request may hold: from a single message to the most that is allowed, with many small ones, at which
    batches must be cut.
    """
    return st.builds(
        BatchLimits,
        max_messages=st.integers(1, 5) | st.integers(1, 2_000),
        max_bytes=st.integers(1, 2_000) | st.integers(1, 10_000_000),
    )


def _headers() -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    seconds = st.integers(0, 400).map(str) | st.sampled_from(["-1", "nan", "1e9", "9" * 30, "", " 7 ", "٣", "2.5"])
    dates = _datetimes(2020, 2030).map(_http_date)
    known = st.tuples(st.sampled_from(["Retry-After", "retry-after"]), seconds | dates | _TEXT)
    other = st.tuples(st.sampled_from(["Content-Type", "Server", "X"]), _TEXT)
    return st.lists(known | st.tuples(st.just("Date"), dates) | other, max_size=3).map(tuple)


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _http_date(moment: datetime) -> str:
    # Not strftime, whose names follow the locale of the process.
    return f"{_DAYS[moment.weekday()]}, {moment:%d} {_MONTHS[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"


def _deep_bodies() -> st.SearchStrategy[bytes]:
    def deep(key: str, levels: int) -> bytes:
        return b'{"status":0,"code":400,"%b":%b%b}' % (key.encode(), b"[" * levels, b"]" * levels)

    return st.builds(deep, st.sampled_from(["error", "failed_records", "status"]), st.integers(100, 1_100))


_PLACE: Final = "insert_id of {}"
"""Stands for the insert_id of a record until it is known which batch is answered."""


@cache
def _failed_rows(count: int) -> st.SearchStrategy[list[JSON]]:
    """
    Rows of a 400 answer: mostly about records that were there, sometimes about others, sometimes no rows at all.
    """
    reasons = st.sampled_from(["properties.time is invalid", "too old", ""]) | _TEXT

    def row(index: int, named: int, reason: str, field: str) -> dict[str, JSON]:
        made: dict[str, JSON] = {"index": index, "field": field, "message": reason}
        if named and 0 <= index < count:
            made["insert_id" if named == 1 else "$insert_id"] = _PLACE.format(index)
        return made

    fields = st.sampled_from(["properties.time", "event", ""])
    real = st.builds(row, st.integers(0, max(count - 1, 0)), st.integers(0, 2), reasons, fields)
    wrong = st.builds(row, st.integers(-2, count + 2), st.just(0), reasons, fields)
    together: list[JSON] = ["identity event not allowed"]
    return _rows(real, count + 1) | _rows(real | wrong | json_values(), count + 1) | st.just(together)


def _rows(row: st.SearchStrategy[JSON], max_size: int) -> st.SearchStrategy[list[JSON]]:
    return st.lists(row, max_size=max_size)


@st.composite
def _import_bodies(draw: st.DrawFn, count: int) -> bytes:
    statuses: list[str | int] = ["OK", "Bad Request", 1, 0]
    record: dict[str, JSON] = {"code": draw(st.sampled_from([200, 400])), "status": draw(st.sampled_from(statuses))}
    record["num_records_imported"] = draw(st.just(count) | st.integers(0, count + 1) | st.sampled_from([None, "2", 0]))
    record["failed_records"] = rows = draw(_failed_rows(count))
    if rows:
        record["error"] = draw(st.sampled_from(["some data points in the request failed validation", ""]))
    return orjson.dumps(record)


def _bodies(count: int) -> st.SearchStrategy[bytes]:
    plain = [
        b"1",
        b"0",
        b"OK",
        b"",
        b"null",
        b"[]",
        b'{"status":1,"error":null}',
        b'{"error":null,"status":1}',
        b'{"status":0,"error":"$token, missing or empty"}',
        b'{"status":"OK","code":200}',
        b'{"status":true}',
        b'{"status":1.0}',
        b'{"error":"Too Many Requests","code":429}',
        b"<html><body>Sign in to the Wi-Fi</body></html>",
    ]
    good = st.just(_import_success(count))
    garbage = st.binary(max_size=20) | json_values().map(orjson.dumps) | _deep_bodies()
    return st.sampled_from(plain) | good | _import_bodies(count) | garbage


def _import_success(count: int) -> bytes:
    return orjson.dumps({"code": 200, "status": "OK", "num_records_imported": count})


_STATUSES: Final = (200, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)


@cache
def _responses(count: int) -> st.SearchStrategy[Response]:
    success = st.builds(
        Response,
        status=st.just(200),
        body=st.sampled_from([b"1", b'{"status":1,"error":null}'])
        | st.integers(count - 1, count + 1).map(_import_success),
    )
    partial = st.builds(Response, status=st.just(400), body=_import_bodies(count))
    anything = st.builds(
        Response,
        status=st.sampled_from(_STATUSES) | st.sampled_from(_STATUSES) | st.integers(-1, 1_000),
        body=_bodies(count),
        headers=_headers(),
        complete=st.integers(0, 9).map(lambda each: each < 9),
    )
    return success | partial | anything | anything


def responses() -> st.SearchStrategy[Response]:
    """
    Answers of Mixpanel, and of everything that may stand before it: successes, partial and full refusals, rate limits,
    errors, sign-in pages, truncated, deeply nested and random bodies, odd statuses and headers.
    """
    return st.integers(0, 4).flatmap(_responses)


def no_responses() -> st.SearchStrategy[NoResponse]:
    """
    Requests without a usable answer: certainly not received, perhaps received, and blocked.
    """
    return st.builds(
        NoResponse,
        reason=st.sampled_from(["connection refused", "the answer timed out", "the certificate has expired"]),
        maybe_received=st.booleans(),
        blocked=st.integers(0, 4).map(lambda each: each == 4),
    )


def answers(batch: Batch | None = None) -> st.SearchStrategy[Answer]:
    """
    Whatever a request can lead to. With a *batch*, many answers fit it: they count its records and name some of them
    as refused by their index and insert_id.
    """
    if batch is None:
        return responses() | no_responses()
    ids = [_insert_id(message) for message in batch.messages]

    def about_the_batch(response: Response) -> Response:
        body = response.body
        for index, insert_id in enumerate(ids):
            body = body.replace(f'"{_PLACE.format(index)}"'.encode(), orjson.dumps(insert_id))
        return attrs.evolve(response, body=body)

    return _responses(len(batch)).map(about_the_batch) | no_responses()


def _insert_id(message: Message) -> str | None:
    properties = message.to_wire().get("properties")
    found = properties.get("$insert_id") if isinstance(properties, dict) else None
    return found if isinstance(found, str) else None


def outcomes() -> st.SearchStrategy[Outcome]:
    """
    Outcomes of no to a few messages in any of the four places, with and without notes.
    """
    message = st.one_of(list(_lanes().values()))
    reason = st.sampled_from(["properties.time is invalid", "HTTP 413", ""])
    cause = st.sampled_from(list(Cause))
    return st.builds(
        Outcome,
        delivered=st.lists(message, max_size=2).map(tuple),
        rejected=st.lists(st.builds(Rejected, message, reason, reason), max_size=2).map(tuple),
        failed=st.lists(st.builds(Failed, message, cause, reason), max_size=2).map(tuple),
        unknown=st.lists(st.builds(Unknown, message, cause, reason), max_size=2).map(tuple),
        notes=st.lists(reason, max_size=2).map(tuple),
    )


def retry_policies(*, finite: bool = False) -> st.SearchStrategy[RetryPolicy]:
    """
    Policies from a single try to one without an end, at most once and at least once; with ``finite=True`` only such
    as end.
    """
    tries = st.integers(1, 6)
    return st.builds(RetryPolicy, max_tries=tries if finite else st.none() | tries, at_least_once=st.booleans())


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"_Text({super().__repr__()})"


class _Number(int):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"_Number({super().__repr__()})"


class _List(list[object]):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"_List({super().__repr__()})"


class _Dict(dict[object, object]):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"_Dict({super().__repr__()})"


class _Stranger:
    """
    An object of the caller's own, which nobody may turn into text, walk through, measure or compare.
    """

    def __str__(self) -> str:
        raise RuntimeError("nobody may ask for the text of a stranger")

    def __iter__(self) -> object:
        raise RuntimeError("nobody may iterate over a stranger")

    def __len__(self) -> int:
        raise RuntimeError("nobody may measure a stranger")

    def __bool__(self) -> bool:
        raise RuntimeError("nobody may ask whether a stranger is true")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("nobody may compare a stranger")

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "_Stranger()"


def _surrogates() -> st.SearchStrategy[str]:
    return st.builds("{}{}{}".format, _TEXT, st.characters(categories=["Cs"]), _TEXT)


def _refused_leaves() -> st.SearchStrategy[object]:
    return st.one_of(
        st.sampled_from(
            [float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]
        ),
        st.integers(2**64, 2**70) | st.integers(-(2**70), -(2**63) - 1),
        _surrogates(),
        st.binary(max_size=4) | st.binary(max_size=4).map(bytearray),
        st.sampled_from([Decimal("0.12345678901234567890"), Decimal("1E+400"), Decimal("1E-400")]),
        st.sampled_from(
            [
                datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
                datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
            ]
        ),
        st.builds(complex),
        st.builds(object),
        st.builds(_Stranger),
        st.sampled_from([int, len, ..., NotImplemented, range(3), timedelta(1)]),
        _TEXT.map(_Text),
        st.integers(-9, 9).map(_Number),
        st.just(_List()) | st.builds(_Dict),
    )


def _in_itself(form: int) -> object:
    inner: list[object] = []
    if form == 0:
        inner.append(inner)
        return inner
    outer: dict[str, object] = {"a": inner}
    inner.append((1, outer))
    return outer


def _deep(value: object, levels: int, form: int) -> object:
    for _ in range(levels):
        value = [value] if form == 0 else {"a": value} if form == 1 else (value,)
    return value


def _garbage_containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    keys = st.one_of(property_names(), property_names(), st.integers(), st.none(), _surrogates(), _TEXT.map(_Text))
    hashable = st.integers() | _TEXT | st.floats() | st.dates() | st.tuples(st.floats(), _TEXT)
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(property_names(), inner, max_size=4),
        st.dictionaries(property_names(), inner, max_size=3).map(OrderedDict),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(hashable, max_size=3) | st.frozensets(hashable, max_size=3),
        st.builds(_Price, inner, _TEXT),
        st.builds(_Place, _TEXT, inner),
    )


def json_garbage() -> st.SearchStrategy[object]:
    """
    Any Python value that might end up in a property, valid or not: all of `property_values`, and NaN, infinities, lone
    surrogates, integers beyond 64 bits, bytes, keys that are no text, objects nested too deep, values inside
    themselves, subclasses of str, int, list and dict, functions, and objects that raise when they are looked into.
    """
    crowded = st.integers(254, 256).map(lambda size: [0] * size) | st.integers(254, 256).map(
        lambda size: dict.fromkeys(map(str, range(size)), 0)
    )
    deep = st.builds(_deep, _leaves() | _refused_leaves(), st.integers(2, 40), st.integers(0, 2))
    leaves = st.one_of(
        _leaves(),
        _leaves(),
        _refused_leaves(),
        st.integers(0, 1).map(_in_itself),
        deep,
        crowded,
    )
    return st.recursive(leaves, _garbage_containers, max_leaves=6) | deep | crowded
