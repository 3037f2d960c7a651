"""
What the server tells about the state: the JSON of its ``/_emulator`` paths, and the faults that it is told to play.

Lists have the oldest first, and times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final, Literal, Protocol, TypeAlias, TypeVar, assert_never, cast

from ..core import JSON, Endpoint, InvalidValue
from ..core.errors import describe
from .emulator import query_view
from .faults import Delay, Fault, LostAnswer, Mute, Reset, Script, Status
from .state import Event, Exchange, Fate, Owner, Profile, State, Update

__all__ = ["View", "events", "faults", "groups", "profiles", "requests", "script_of", "stats", "updates"]

View: TypeAlias = Literal["raw", "query"]
"""Events as they arrived, or as reports would count them."""


def events(state: State, *, view: View = "raw", after: int = 0, limit: int | None = None) -> dict[str, JSON]:
    """
    The events.

    Args:
        state: Of the emulator.
        view: All that arrived and are kept, or the stored ones, each once.
        after: Only those with a greater number.
        limit: Only so many, the newest ones; None for all.
    """
    entries = state.events.entries if view == "raw" else query_view(state)
    found = [_event(state, event) for event in _newest(entries, after, limit)]
    return {"events": cast("JSON", found), "forgotten": state.events.forgotten}


def updates(state: State, *, after: int = 0, limit: int | None = None) -> dict[str, JSON]:
    """
    The updates of users and groups, also those that were refused or belong to nobody; arguments as in `events`.
    """
    found = [_update(update) for update in _newest(state.updates.entries, after, limit)]
    return {"updates": cast("JSON", found), "forgotten": state.updates.forgotten}


def profiles(state: State, *, limit: int | None = None) -> dict[str, JSON]:
    """
    The profiles of users with the updates that are kept of each, the one that changed last at the end.
    """
    histories = _histories(state)
    found = [
        {"distinct_id": distinct_id, **_profile(profile, histories[distinct_id])}
        for distinct_id, profile in _last(tuple(state.profiles.items()), limit)
    ]
    return {"profiles": cast("JSON", found), "forgotten": state.forgotten_profiles}


def groups(state: State, *, limit: int | None = None) -> dict[str, JSON]:
    """
    The profiles of groups, as `profiles` has those of users.
    """
    histories = _histories(state)
    found = [
        {"group_key": owner[0], "group_id": owner[1], **_profile(profile, histories[owner])}
        for owner, profile in _last(tuple(state.groups.items()), limit)
    ]
    return {"groups": cast("JSON", found), "forgotten": state.forgotten_profiles}


def requests(state: State, *, after: int = 0, limit: int | None = None, number: int | None = None) -> dict[str, JSON]:
    """
    The requests with their answers; *number* asks for that one alone, the other arguments are as in `events`.
    """
    entries = _newest(state.exchanges.entries, after, limit)
    found = [_request(exchange) for exchange in entries if number in (None, exchange.number)]
    return {"requests": cast("JSON", found), "forgotten": state.exchanges.forgotten}


def stats(state: State) -> dict[str, JSON]:
    """
    How much arrived, what became of it, how much of it is kept, and the last number that was given.
    """
    counts, settings = state.counts, state.settings
    return {
        "requests": counts.requests,
        "faults": counts.faults,
        "truncated": counts.truncated,
        "events": _by_fate(counts.events),
        "updates": _by_fate(counts.updates),
        "kept": {
            "events": len(state.events.entries),
            "updates": len(state.updates.entries),
            "requests": len(state.exchanges.entries),
            "profiles": len(state.profiles),
            "groups": len(state.groups),
        },
        "most": {
            "events": settings.max_events,
            "updates": settings.max_updates,
            "requests": settings.max_requests,
            "profiles": settings.max_profiles,
            "bytes": settings.max_bytes,
        },
        "forgotten": {
            "events": state.events.forgotten,
            "updates": state.updates.forgotten,
            "requests": state.exchanges.forgotten,
            "profiles": state.forgotten_profiles,
        },
        "id_system": settings.id_system,
        "number": state.number,
    }


def faults(state: State) -> dict[str, JSON]:
    """
    What will go wrong, the next first, each as `script_of` takes it.
    """
    return {"faults": [_script(script) for script in state.scripts]}


def script_of(data: object) -> Script:
    """
    The fault that *data* describes, such as ``{"fault": "status", "code": 429, "retry_after": "2", "times": 3}``.

    Raises:
        InvalidValue: If it is no such object.
    """
    if not isinstance(data, dict):
        raise InvalidValue("the body", "a JSON object", describe(data))
    # What is null counts as not given.
    given = {name: value for name, value in cast("dict[str, JSON]", data).items() if value is not None}
    name = given.get("fault")
    if not isinstance(name, str) or name not in _KEYS:
        raise InvalidValue("fault", f"one of {', '.join(_KEYS)}", "another value" if "fault" in given else "missing")
    known = ("fault", *_KEYS[name], "times", "endpoint")
    for key in given:
        if key not in known:
            raise InvalidValue(f"the keys of {name}", f"some of {', '.join(known)}", "others")
    # To be told apart from one that is not given, which is once.
    times = None if "times" in data and "times" not in given else _times(given.get("times", 1))
    return Script(_fault(name, given), times, _endpoint(given.get("endpoint")))


class _Numbered(Protocol):
    @property
    def number(self) -> int: ...


_Entry = TypeVar("_Entry")
_NumberedEntry = TypeVar("_NumberedEntry", bound=_Numbered)


def _newest(entries: Sequence[_NumberedEntry], after: int, limit: int | None) -> Sequence[_NumberedEntry]:
    return _last([entry for entry in entries if entry.number > after], limit)


def _last(entries: Sequence[_Entry], limit: int | None) -> Sequence[_Entry]:
    return entries if limit is None else entries[-limit:]


def _event(state: State, event: Event) -> dict[str, JSON]:
    return {
        "number": event.number,
        "request": event.exchange,
        "index": event.index,
        "received": event.received,
        "endpoint": event.endpoint.value,
        "fate": event.fate.value,
        "reason": event.reason,
        "notes": list(event.notes),
        "name": event.name,
        "distinct_id": event.distinct_id,
        "user": state.identities.user_of(event.distinct_id) if event.distinct_id else "",
        "time": event.time,
        "properties": event.properties,
    }


def _update(update: Update) -> dict[str, JSON]:
    return {
        "number": update.number,
        "request": update.exchange,
        "index": update.index,
        "received": update.received,
        "endpoint": update.endpoint.value,
        "fate": update.fate.value,
        "reason": update.reason,
        "notes": list(update.notes),
        "owner": list(update.owner) if isinstance(update.owner, tuple) else update.owner,
        "update": update.update,
    }


def _histories(state: State) -> defaultdict[Owner, list[JSON]]:
    histories: defaultdict[Owner, list[JSON]] = defaultdict(list)
    for update in state.updates.entries:
        owner = update.owner
        if isinstance(owner, str) and owner not in state.profiles:
            # Whose id it was when it came may be an alias of somebody else by now.
            owner = state.identities.user_of(owner)
        if owner is not None:
            histories[owner].append(_update(update))
    return histories


def _profile(profile: Profile, history: list[JSON]) -> dict[str, JSON]:
    return {"properties": dict(profile.properties), "last_seen": profile.last_seen, "history": history}


def _request(exchange: Exchange) -> dict[str, JSON]:
    path, _, query = exchange.request.target.partition("?")
    return {
        "number": exchange.number,
        "received": exchange.received,
        "method": exchange.request.method,
        "path": path,
        "query": query,
        "headers": [[name, value] for name, value in exchange.request.headers],
        "body": exchange.text.decode("utf-8", "replace"),
        "records": exchange.records,
        "fault": None if exchange.fault is None else _name_of(exchange.fault),
        "is_applied": exchange.is_applied,
        "status": exchange.reply.status,
        "answer": exchange.reply.body.decode("utf-8", "replace"),
    }


def _by_fate(counts: Mapping[Fate, int]) -> dict[str, JSON]:
    return {fate.value: counts.get(fate, 0) for fate in Fate}


_KEYS: Final = {
    "status": ("code", "retry_after", "is_applied"),
    "reset": (),
    "lost_answer": (),
    "delay": ("seconds",),
}
"""The faults that can be told over HTTP, and what can be said about each."""

_MOST_SECONDS: Final = 3_600


def _name_of(fault: Fault) -> str:
    match fault:
        case Status():
            return "status"
        case Reset():
            return "reset"
        case LostAnswer():
            return "lost_answer"
        case Delay():
            return "delay"
        case Mute():
            return "mute"
        case _:
            assert_never(fault)


def _script(script: Script) -> dict[str, JSON]:
    said: dict[str, JSON] = {"fault": _name_of(script.fault)}
    match script.fault:
        case Status(code=code, retry_after=retry_after, is_applied=is_applied):
            said.update(code=code, retry_after=retry_after, is_applied=is_applied)
        case Delay(seconds=seconds):
            said.update(seconds=seconds)
        case _:
            pass
    endpoint = None if script.endpoint is None else script.endpoint.value
    return {**said, "times": script.times, "endpoint": endpoint}


def _fault(name: str, given: Mapping[str, JSON]) -> Fault:
    match name:
        case "status":
            return Status(_code(given.get("code")), _retry_after(given.get("retry_after")), _is_applied(given))
        case "reset":
            return Reset()
        case "lost_answer":
            return LostAnswer()
        case _:
            return Delay(_seconds(given.get("seconds")))


def _code(value: JSON) -> int:
    if type(value) is not int or not 200 <= value <= 599:
        raise InvalidValue("code", "an HTTP status from 200 to 599", _found(value))
    return value


def _retry_after(value: JSON) -> str | None:
    if value is None:
        return None
    # What becomes a header must not end it.
    if type(value) is not str or not value.isascii() or not value.isprintable():
        raise InvalidValue("retry_after", "a string of printable ASCII", _found(value))
    return value


def _is_applied(given: Mapping[str, JSON]) -> bool:
    value = given.get("is_applied", False)
    if type(value) is not bool:
        raise InvalidValue("is_applied", "true or false", _found(value))
    return value


def _seconds(value: JSON) -> float:
    if (
        type(value) not in (int, float)
        or not isfinite(number := cast("float", value))
        or not 0 <= number <= _MOST_SECONDS
    ):
        raise InvalidValue("seconds", f"a number from 0 to {_MOST_SECONDS:,}", _found(value))
    return number


def _times(value: JSON) -> int:
    if type(value) is not int or value < 1:
        raise InvalidValue("times", "a whole number of at least 1, or null for all", _found(value))
    return value


def _endpoint(value: JSON) -> Endpoint | None:
    if value is None:
        return None
    for endpoint in Endpoint:
        if value == endpoint.value:
            return endpoint
    raise InvalidValue("endpoint", f"one of {', '.join(each.value for each in Endpoint)}", "another value")


def _found(value: JSON) -> str:
    if value is None:
        return "missing"
    return str(value) if type(value) in (int, float) else describe(value)
