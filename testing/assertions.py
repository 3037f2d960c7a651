"""
What a test says about what arrived at a Mixpanel of its own: `tracked`, `profile`, `nothing_else`. Where it is not so,
an `AssertionError` says what was asked, what came nearest to it, and what differs.

    mixpanel = MemoryTracking()
    mp = Mixpanel("token", transport=mixpanel.transport)
    ...
    mixpanel.tracked("Plan Upgraded", distinct_id="user-1", plan="pro")
    assert mixpanel.profile("user-1")["credits"] == 10
    mixpanel.nothing_else()

Needs no pytest. What is asked is compared with ``==``, so that `unittest.mock.ANY`, `pytest.approx` and whatever else
defines an equality of its own can be asked for, also inside lists and dicts, with two exceptions: True is not 1, as in
JSON; and what the client turns into JSON, such as a datetime, a set or a Decimal, equals what it is turned into.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Final, TypeAlias, TypeGuard, cast
from uuid import UUID

import orjson
from attrs import frozen

from ..core import JSON, Endpoint, InvalidValue, Project, UserId
from ..core.errors import describe
from ..core.shapes import RAW
from ..core.text import hidden
from ..core.values import snapshot
from ..transports import SyncTransport
from .emulator import query_view, user_of
from .faults import Fault
from .local import LocalMixpanel
from .state import Event, Exchange, Fate, HttpRequest, Owner, Profile, Settings, State, Update

__all__ = ["MemoryTracking", "ServerTracking", "Tracking"]

_Given: TypeAlias = Mapping[str, object]

_MAX_CHARACTERS: Final = 80
_MAX_IN_A_ROW: Final = 40
_MAX_SHOWN: Final = 4
_MAX_DIFFERENCES: Final = 8
_MAX_LINES: Final = 12
_BEFORE: Final = 20
"""So many characters before the first difference of two long values are shown."""
_OWN_NAMES: Final = frozenset({"distinct_id", "time", "$insert_id", "mp_lib", "$lib_version", "$import"})
"""What the library and the server write into every event."""
_SECRETS: Final = frozenset({"token", "$token"})


class Tracking:
    """
    Says what arrived at a Mixpanel, and remembers what was asked for.

    Args:
        mixpanel: Where it arrived.
        patience_seconds: How long to wait for what is asked for and has not arrived yet; what is there is not waited
            for. `not_tracked` and `nothing_else` never wait: flush or close the transport before them.

    Attributes:
        mixpanel: As given; `LocalMixpanel` tells everything else.
        patience_seconds: As given; may be set.
    """

    def __init__(self, mixpanel: LocalMixpanel, *, patience_seconds: float = 0.0) -> None:
        self.mixpanel = mixpanel
        self.patience_seconds = patience_seconds
        self._asked: set[Event | Update] = set()

    def events(self) -> tuple[Event, ...]:
        """
        The stored events as reports would count them, the newest last.
        """
        return self.mixpanel.events()

    def fail_next(self, fault: Fault, *, times: int | None = 1, endpoint: Endpoint | None = None) -> None:
        """
        Let the next requests go wrong: see `LocalMixpanel.fail_next`.
        """
        self.mixpanel.fail_next(fault, times=times, endpoint=endpoint)

    def reset(self) -> None:
        """
        Forget everything that arrived and was asked for, and every fault.
        """
        self._asked.clear()
        self.mixpanel.reset()

    def tracked(
        self,
        event: str,
        properties: _Given | None = None,
        /,
        *,
        distinct_id: UserId | None = None,
        times: int | None = None,
        **more: object,
    ) -> Event:
        """
        The event of that name and with these properties among others; if there are several, the one that came last.

        An event that arrived twice, as after a lost answer, counts once.

        Args:
            event: Its name.
            properties: What it has, for names that are no Python names or are those of other arguments.
            distinct_id: Whose it is, as stored; None for anybody's, an empty text for nobody's.
            times: How many such events there are; None for one or more.
            more: What it has as well.

        Raises:
            AssertionError: If there is none, or if there are not so many.
            InvalidValue: If an argument is not what it should be.
        """
        __tracebackhide__ = True
        if times is not None and (type(times) is not int or times < 1):
            other = str(times) if type(times) is int else describe(times)
            raise InvalidValue("times", "at least 1, or None; for none there is not_tracked", other)
        wanted = _Wanted(event, None if distinct_id is None else _id_text(distinct_id), _merged(properties, more))
        self.mixpanel.wait_for(
            lambda state: len(_matching(wanted, query_view(state))) >= (times or 1), self.patience_seconds
        )
        state = self.mixpanel.state
        found = _matching(wanted, query_view(state))
        self._asked.update(found)
        if not found or (times is not None and len(found) < times):
            raise AssertionError(_too_few(state, wanted, found, times))
        if times is not None and len(found) > times:
            lines = [f"{wanted} was tracked {_times(len(found))}, not {_times(times)}:"]
            raise AssertionError(_text([*lines, *_listed(_described(each) for each in found)]))
        return found[-1]

    def not_tracked(
        self, event: str, properties: _Given | None = None, /, *, distinct_id: UserId | None = None, **more: object
    ) -> None:
        """
        There is no such event yet; the arguments are those of `tracked`.

        Raises:
            AssertionError: If there is one.
        """
        __tracebackhide__ = True
        wanted = _Wanted(event, None if distinct_id is None else _id_text(distinct_id), _merged(properties, more))
        found = _matching(wanted, query_view(self.mixpanel.state))
        if found:
            lines = [f"{wanted} was tracked {_times(len(found))}, not never:"]
            raise AssertionError(_text([*lines, *_listed(_described(each) for each in found)]))

    def profile(self, distinct_id: UserId, properties: _Given | None = None, /, **more: object) -> dict[str, JSON]:
        """
        The properties of a user's profile, aliases resolved.

        Args:
            distinct_id: Whose.
            properties: What it has among others. Where messages arrive later, this is waited for too.
            more: What it has as well.

        Raises:
            AssertionError: If there is no such profile, or if it differs.
        """
        __tracebackhide__ = True
        named = _id_text(distinct_id)
        return self._profile(lambda state: state.identities.user_of(named), named, _merged(properties, more))

    def group(
        self, group_key: str, group_id: UserId, properties: _Given | None = None, /, **more: object
    ) -> dict[str, JSON]:
        """
        The properties of a group's profile; else as `profile`.
        """
        __tracebackhide__ = True
        owner = (group_key, _id_text(group_id))
        return self._profile(lambda _: owner, owner, _merged(properties, more))

    def nothing_else(self) -> None:
        """
        Nothing arrived but the events and the updates of the profiles and groups that were asked for before.

        What was refused or dropped is something else, and so is a request that was refused as a whole, unless it was
        made to fail.

        Raises:
            AssertionError: If something else arrived.
        """
        __tracebackhide__ = True
        others = _others(self.mixpanel.state, self._asked)
        if others:
            raise AssertionError(_text(["More arrived than was asked for:", *_listed(others)]))

    def _profile(self, owner_in: Callable[[State], Owner], named: Owner, wanted: _Given) -> dict[str, JSON]:
        __tracebackhide__ = True
        self.mixpanel.wait_for(
            lambda state: (
                (found := _profile_of(state, owner_in(state))) is not None and _holds(found.properties, wanted)
            ),
            self.patience_seconds,
        )
        state = self.mixpanel.state
        owner = owner_in(state)
        updates = [each for each in state.updates.entries if _owner_now(state, each) == owner]
        self._asked.update(each for each in updates if each.fate in (Fate.STORED, Fate.IGNORED))
        found = _profile_of(state, owner)
        if found is None:
            raise AssertionError(_no_profile(state, named, updates))
        properties = deepcopy(dict(found.properties))
        if not _holds(properties, wanted):
            differences = _differences(properties, wanted)
            raise AssertionError(_text([f"The profile of {_owner(named)} differs:", *differences, *_untaken(updates)]))
        return properties


class MemoryTracking(Tracking):
    """
    A Mixpanel of its own that is reached without a socket.

    Args:
        settings: Of the project.
        patience_seconds: As in `Tracking`.
    """

    def __init__(self, settings: Settings | None = None, *, patience_seconds: float = 0.0) -> None:
        super().__init__(LocalMixpanel(settings), patience_seconds=patience_seconds)

    @property
    def transport(self) -> SyncTransport:
        """
        A transport that leads there: a new one each time, so that one may be closed. It does not wait before it tries
        again.
        """
        token = self.mixpanel.state.settings.token
        # Its token has no other use than to authorise /import.
        project = Project("memory" if token is None else token)
        transport = SyncTransport(project, post=self.mixpanel.post, sleep=lambda _: None)
        # What becomes of another token is for the emulator to say.
        transport.delivers_for = ()
        return transport


class ServerTracking(Tracking):
    """
    A Mixpanel behind a real server.

    Args:
        mixpanel: What the server serves.
        url: Its base URL, for `Project.server`.
        patience_seconds: As in `Tracking`.

    Attributes:
        url: As given.
    """

    def __init__(self, mixpanel: LocalMixpanel, url: str, *, patience_seconds: float = 2.0) -> None:
        super().__init__(mixpanel, patience_seconds=patience_seconds)
        self.url = url


# --- what is asked and what is there ---------------------------------------------------------------------------------


@frozen
class _Wanted:
    """
    An event that is asked for.
    """

    name: str
    distinct_id: str | None
    properties: _Given

    def __str__(self) -> str:
        pairs = [] if self.distinct_id is None else [f"distinct_id={_shown(self.distinct_id)}"]
        pairs += _pairs(self.properties)
        return f"{_shown(self.name)}{' with ' if pairs else ''}{_some(pairs)}"

    def is_like(self, event: Event) -> bool:
        return (
            event.name == self.name
            and (self.distinct_id is None or self.distinct_id == event.distinct_id)
            and _holds(event.properties, self.properties)
        )

    def differences(self, event: Event, state: State) -> list[str]:
        lines: list[str] = []
        if event.name != self.name:
            lines.append(f"  event: {_instead(event.name, self.name)}")
        if self.distinct_id is not None and self.distinct_id != event.distinct_id:
            is_one_user = user_of(state, event) == state.identities.user_of(self.distinct_id)
            also = ", another id of the same user" if is_one_user else ""
            lines.append(f"  distinct_id: {_instead(event.distinct_id, self.distinct_id)}{also}")
        return lines + _differences(event.properties, self.properties)

    def nearness(self, event: Event, likeness: float) -> tuple[float, int, bool, int]:
        properties = event.properties
        equal = sum(name in properties and _same(value, properties[name]) for name, value in self.properties.items())
        equal += self.distinct_id is not None and self.distinct_id == event.distinct_id
        return likeness, equal, event.fate is Fate.STORED, event.number


def _id_text(value: UserId) -> str:
    """
    An id as it is sent; what only equals one, such as `unittest.mock.ANY`, is left as it is.
    """
    return str(value) if isinstance(value, int | UUID) else value


def _merged(properties: _Given | None, more: _Given) -> _Given:
    if properties is None:
        return more
    if not isinstance(properties, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue("properties", "a mapping", describe(properties))
    for name in more:
        if name in properties:
            raise InvalidValue(name, "given once", "given in properties and as an argument")
    return {**properties, **more}


def _matching(wanted: _Wanted, events: Iterable[Event]) -> list[Event]:
    return [event for event in events if wanted.is_like(event)]


def _holds(found: Mapping[str, JSON], wanted: _Given) -> bool:
    return all(name in found and _same(value, found[name]) for name, value in wanted.items())


def _same(asked: Any, found: Any) -> bool:  # Any: of what is asked nothing is known but that it has an ==
    """
    Whether *found*, which is JSON, is what was asked.
    """
    match asked, found:
        case (bool(), _) | (int() | float(), bool()):
            return asked is found
        case dict(), dict():
            wanted, there = cast("Mapping[str, Any]", asked), cast("Mapping[str, Any]", found)
            return wanted.keys() == there.keys() and all(_same(value, there[name]) for name, value in wanted.items())
        case ((list() | tuple()), list()):
            elements, others = cast("Sequence[Any]", asked), cast("Sequence[Any]", found)
            return len(elements) == len(others) and all(map(_same, elements, others))
        case _ if asked == found:
            return True
        case ((str() | int() | float() | None), _):
            return False
        case _:
            return bool(_as_sent(asked) == found)


def _as_sent(value: object) -> object:
    """
    What the client makes of a value; itself, if the client does not take it.
    """
    with suppress(InvalidValue):
        sent = cast("dict[str, JSON]", orjson.loads(snapshot({"value": value}, RAW)[0]))
        return sent["value"]
    return value


def _profile_of(state: State, owner: Owner) -> Profile | None:
    return state.profiles.get(owner) if isinstance(owner, str) else state.groups.get(owner)


def _owner_of(update: Update) -> Owner | None:
    """
    Whose profile, also of an update that did not count; None if it does not say.
    """
    said = update.update
    if update.owner is not None or not isinstance(said, dict):
        return update.owner
    match said.get("$distinct_id"), said.get("$group_key"), said.get("$group_id"):
        case str(distinct_id), None, None:
            return distinct_id
        case None, str(group_key), str(group_id):
            return group_key, group_id
        case _:
            return None


def _owner_now(state: State, update: Update) -> Owner | None:
    """
    Whose profile, after whatever joined ids since.
    """
    owner = _owner_of(update)
    return state.identities.user_of(owner) if isinstance(owner, str) and owner not in state.profiles else owner


# --- what is said ----------------------------------------------------------------------------------------------------


def _too_few(state: State, wanted: _Wanted, found: Sequence[Event], times: int | None) -> str:
    """
    Why there are not enough events that are *wanted*.
    """
    first = f"{wanted} was not tracked"
    if times is not None and found:
        first = f"{wanted} was tracked {_times(len(found))}, not {_times(times)}"
    stored = query_view(state)
    rest = [each for each in (*stored, *_not_stored(state)) if each not in found]
    if found and all(each.name != wanted.name for each in rest):
        # Of another name none can be meant.
        return _text([f"{first}:", *_listed(_described(each) for each in found), *_gone(state)])
    if not rest:
        return _text([f"{first}; no event arrived.", *_gone(state)])
    likeness = {name: SequenceMatcher(None, wanted.name, name).ratio() for name in {each.name for each in rest}}
    nearest = max(rest, key=lambda each: wanted.nearness(each, likeness[each.name]))
    lines = [f"{first}. The nearest event is {_shown(nearest.name)}:", *wanted.differences(nearest, state)]
    if nearest.fate is not Fate.STORED:
        lines.append(f"  It was {nearest.fate.value}: {_cut(nearest.reason)}")
    lines += [f"  {_cut(note)}" for note in nearest.notes if not note.startswith("/import")][:2]
    others = Counter((each.name, each.fate) for each in rest if each is not nearest)
    if others:
        names = [
            f"{_shown(name)} ({count}{'' if fate is Fate.STORED else ', ' + fate.value})"
            for (name, fate), count in sorted(others.items(), key=lambda item: (item[0][0], item[0][1].value))
        ]
        lines.append(f"{_count(others.total(), 'other event')} arrived: {_some(names)}")
    return _text([*lines, *_gone(state)])


def _no_profile(state: State, named: Owner, updates: Sequence[Update]) -> str:
    is_user = isinstance(named, str)
    first = f"There is no profile of {_owner(named)}"
    known = {_owner(each): each for each in (state.profiles if is_user else state.groups)}
    near = get_close_matches(_owner(named), known, 3) or sorted(known)[:3]
    lines = [f"{first}, nor of anybody else." if is_user else f"{first}, nor of any other."]
    if known:
        nearest = f"nearest of {len(known):,} {_is(len(near))}" if len(known) > 1 else "only one is"
        lines = [f"{first}. The {nearest} {', '.join(sorted(near))}."]
    last = updates[-1] if updates else None
    if last is not None and last.fate is Fate.STORED:
        lines.append("  It was deleted by the last update of it.")
    nobodys = [each for each in state.updates.entries if _owner_of(each) is None]
    return _text([*lines, *_untaken([*updates, *nobodys])])


def _untaken(updates: Sequence[Update]) -> list[str]:
    """
    Why updates changed nothing.
    """
    return _listed(_described(each) for each in updates if each.fate is not Fate.STORED)


def _others(state: State, asked: set[Event | Update]) -> list[str]:
    """
    What was not asked for.
    """
    keys = {each.key for each in asked if isinstance(each, Event) and each.key is not None}
    lines: list[str] = []
    entries: list[Event | Update | Exchange] = [
        *(each for each in state.events.entries if each not in asked and not _is_copy(each, keys)),
        *(each for each in state.updates.entries if each not in asked),
        *(each for each in state.exchanges.entries if each.fault is None),
    ]
    brought = {each.exchange for each in state.events.entries} | {each.exchange for each in state.updates.entries}
    for each in sorted(entries, key=lambda each: each.number):
        if not isinstance(each, Exchange):
            lines.append(_described(each))
        elif not each.is_applied and each.number not in brought:
            lines.append(_described_request(each))
    return lines


def _is_copy(event: Event, keys: set[tuple[str, str, str, str]]) -> bool:
    return event.key in keys and event.fate is Fate.STORED


def _not_stored(state: State) -> list[Event]:
    return [each for each in state.events.entries if each.fate is not Fate.STORED]


def _gone(state: State) -> list[str]:
    forgotten = state.events.forgotten
    return [f"{_count(forgotten, 'older event')} arrived and {_is(forgotten)} not kept any more."] if forgotten else []


def _described(entry: Event | Update) -> str:
    if isinstance(entry, Event):
        whose = f" of {_shown(entry.distinct_id)}" if entry.distinct_id else ""
        own = {name: value for name, value in entry.properties.items() if name not in _OWN_NAMES}
        what = f"event {_shown(entry.name)}{whose}"
        holds = _some(_pairs(own))
    else:
        owner = _owner_of(entry)
        what = "update" if owner is None else f"update of the profile of {_owner(owner)}"
        holds = _some(_operations(entry.update))
    fate = ""
    if entry.fate is not Fate.STORED:
        fate = f"; it was {entry.fate.value}: {_cut(entry.reason or '; '.join(entry.notes))}"
    return f"{what}{': ' if holds else ''}{holds}{fate}"


def _operations(update: JSON) -> list[str]:
    if not isinstance(update, dict):
        return []
    options = ("$ip", "$time", "$ignore_time", "$ignore_alias", "$latitude", "$longitude")
    names = [name for name in update if name not in ("$distinct_id", "$group_key", "$group_id", *options)]
    return [f"{name}({_operand(update[name])})" for name in names]


def _operand(operand: JSON) -> str:
    if isinstance(operand, dict):
        return _some(_pairs(operand))
    return _some([_shown(each) for each in operand]) if isinstance(operand, list) else ""


def _described_request(exchange: Exchange) -> str:
    request = exchange.request
    with suppress(ValueError):
        said = cast("JSON", orjson.loads(exchange.reply.body))
        if isinstance(said, dict) and isinstance(said.get("error"), str):
            return f"{_request(request)}, answered {exchange.reply.status}: {_cut(str(said['error']))}"
    return f"{_request(request)}, answered {exchange.reply.status}"


def _request(request: HttpRequest) -> str:
    # Without the query, in which a record may stand.
    return f"request {request.method} {_cut(request.target.partition('?')[0])}"


def _differences(found: Mapping[str, JSON], wanted: _Given) -> list[str]:
    lines = [
        f"  {_cut(name)}: {_instead(found[name], value, name)}" if name in found else f"  {_cut(name)}: missing"
        for name, value in sorted(wanted.items())
        if name not in found or not _same(value, found[name])
    ]
    if len(lines) > _MAX_DIFFERENCES:
        lines[_MAX_DIFFERENCES:] = [f"  and {len(lines) - _MAX_DIFFERENCES} more"]
    return lines


def _instead(found: JSON, asked: object, name: str = "") -> str:
    if name in _SECRETS:
        return f"{hidden(found)} instead of {hidden(asked)}"
    one, other = _line(repr(found)), _line(repr(asked))
    if max(len(one), len(other)) > _MAX_CHARACTERS:
        at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
        one, other = _cut(one, at), _cut(other, at)
    return f"{one} instead of {other}"


def _pairs(properties: Mapping[str, Any]) -> list[str]:  # Any: values of any kind
    return [
        f"{_cut(name)}={hidden(value) if name.strip() in _SECRETS else _in_a_row(value)}"
        for name, value in sorted(properties.items())
    ]


def _in_a_row(value: Any) -> str:  # Any: a value of any kind
    return _cut(_line(repr(_hidden(value))), most=_MAX_IN_A_ROW)


def _hidden(value: object) -> object:
    """
    *value* without the tokens in it.
    """
    if _is_mapping(value):
        return {name: "***" if name in _SECRETS else _hidden(each) for name, each in value.items()}
    if _is_list(value):
        return [_hidden(each) for each in value]
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _some(items: Sequence[str]) -> str:
    if len(items) > _MAX_SHOWN + 1:
        return f"{', '.join(items[:_MAX_SHOWN])} and {len(items) - _MAX_SHOWN} more"
    return ", ".join(items)


def _listed(sentences: Iterable[str]) -> list[str]:
    """
    The sentences as lines, equal ones once, the first of them if there are too many.
    """
    counts = Counter(sentences)
    lines = [f"  {each}{f' ({_times(count)})' if count > 1 else ''}" for each, count in counts.items()]
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"  and {counts.total() - sum(list(counts.values())[:_MAX_LINES])} more"]
    return lines


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _owner(owner: Owner) -> str:
    return _shown(owner) if isinstance(owner, str) else f"the {_cut(owner[0])} {_shown(owner[1])}"


def _shown(value: object) -> str:
    return _cut(_line(repr(value)))


def _line(text: str) -> str:
    return " ".join(text.split("\n"))


def _cut(text: str, at: int = 0, most: int = _MAX_CHARACTERS) -> str:
    """
    So much of a text that a sentence can hold it, and the character at *at* is there.
    """
    start = max(0, at - _BEFORE) if at >= most else 0
    end = start + most
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
