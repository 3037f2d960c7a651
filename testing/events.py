"""
What becomes of an event that arrives: refused, dropped, ignored or stored, and how it is stored.

Source: https://docs.mixpanel.com/reference/track-event, https://docs.mixpanel.com/reference/import-events and
https://docs.mixpanel.com/docs/data-structure/property-reference/reserved-properties
"""

from __future__ import annotations

import hashlib
import ipaddress
from functools import lru_cache
from typing import Final, cast

from attrs import field, frozen

from ..core import JSON, Endpoint
from .identities import DEVICE, Identities
from .state import Event, Fate, Settings
from .validation import (
    IDENTITY_EVENTS,
    Refusal,
    as_text,
    cleaned,
    encodable,
    identity_refusal,
    milliseconds,
    refusal,
    to_json,
)

__all__ = ["Arrival", "live_problem", "place_of", "take_event", "untaken"]

_DAY_MS: Final = 86_400_000
_LIVE_MS: Final = 5 * _DAY_MS
_PLACE_NAMES: Final = ("$city", "$region", "mp_country_code")
_COMMAND_IDS: Final = ("alias", "$identified_id", "$anon_id", "$distinct_ids")
_MAX_TEXT: Final = 255


@frozen(kw_only=True)
class Arrival:
    """
    Under which circumstances a record arrives.

    Attributes:
        settings: Of the project.
        endpoint: Where.
        exchange: The number of the request.
        received: When, in milliseconds since the epoch.
        address: Of who sent it.
        ip: What the parameter ``ip`` says; empty if it was not given.
        is_strict: Whether /import validates.
    """

    settings: Settings
    endpoint: Endpoint
    exchange: int
    received: int
    address: str = field(repr=False)
    ip: str = ""
    is_strict: bool = False


def live_problem(record: JSON) -> str:
    """
    Why /track does not count *record* as valid, or nothing.
    """
    event = record.get("event") if isinstance(record, dict) else None
    if not isinstance(event, str) or not event.strip():
        return "event, missing"
    properties = cast("dict[str, JSON]", record).get("properties")
    token = properties.get("token") if isinstance(properties, dict) else None
    if not isinstance(token, str) or not token:
        return "token, missing or empty"
    if event in ("$create_alias", "$identify") and isinstance(properties, dict):
        lack = identity_refusal(event, properties)
        # Only of this one the answer is known.
        return lack.message.replace("alias, missing", "distinct_id, missing") if lack else ""
    return ""


def take_event(
    record: JSON, index: int, number: int, arrival: Arrival, identities: Identities
) -> tuple[Event, Identities, Refusal | None]:
    """
    What becomes of *record*: the event, the links between ids after it, and why it is refused, if it is.
    """
    problem = _problem(record, arrival)
    if problem is not None:
        return untaken(record, index, number, arrival, Fate.REFUSED, problem.message), identities, problem
    whole = cast("dict[str, JSON]", record)
    name, properties = cast("str", whole["event"]), cast("dict[str, JSON]", whole["properties"])
    if why := _why_dropped(properties, arrival):
        return untaken(record, index, number, arrival, Fate.DROPPED, why), identities, None
    notes = [f"{key!r} beside event and properties is ignored" for key in whole if key not in ("event", "properties")]
    ignored = ""
    if name in IDENTITY_EVENTS:
        identities, ignored = _join(name, properties, arrival, identities)
    elif arrival.endpoint is Endpoint.TRACK and (
        breach := refusal(record, arrival.settings.id_system, arrival.received)
    ):
        notes.append(f"/import would refuse it: {breach.message}")
    stored, changes = cleaned(properties, "properties")
    notes += changes
    at = _time(stored, arrival, notes)
    stored["time"] = at
    # Before the id is stored, because one that is made here is not the same twice.
    key = _key(name, properties)
    distinct_id = _distinct_id(name, stored, arrival)
    if distinct_id or "distinct_id" in stored:
        stored["distinct_id"] = distinct_id
    if "$insert_id" not in stored and name not in IDENTITY_EVENTS:
        stored["$insert_id"] = f"made-here-{number}"
    stored.pop("token", None)
    _locate(stored, arrival)
    if arrival.endpoint is Endpoint.IMPORT:
        stored["$import"] = True
    if ignored.startswith("err"):
        stored["$failure_reason"] = ignored
    if arrival.settings.id_system == "simplified":
        identities = _link_device(stored, identities)
    kept = name[:_MAX_TEXT]
    if kept != name:
        notes.append(f"event: its name was truncated from {len(name):,} to 255 characters")
    event = Event(
        number=number,
        exchange=arrival.exchange,
        index=index,
        received=arrival.received,
        endpoint=arrival.endpoint,
        fate=Fate.IGNORED if ignored else Fate.STORED,
        reason=ignored,
        notes=tuple(notes),
        name=encodable(kept),
        distinct_id=encodable(distinct_id),
        time=at,
        key=key,
        json=to_json({"event": kept, "properties": stored}),
    )
    return event, identities, None


def _problem(record: JSON, arrival: Arrival) -> Refusal | None:
    if arrival.endpoint is Endpoint.TRACK:
        problem = live_problem(record)
        return Refusal("", problem) if problem else None
    breach = refusal(record, arrival.settings.id_system, arrival.received)
    if arrival.is_strict or breach is None or breach.field in ("event", "properties"):
        return breach
    # Without validation only the structure decides, and an identity command without its ids joins nothing.
    is_command = isinstance(record, dict) and record.get("event") in IDENTITY_EVENTS
    return breach if is_command else None


def untaken(record: JSON, index: int, number: int, arrival: Arrival, fate: Fate, reason: str) -> Event:
    """
    The event that *record* would have been, with the reason why it is not stored.
    """
    name = record.get("event") if isinstance(record, dict) else None
    properties = record.get("properties") if isinstance(record, dict) else None
    shown: JSON = record
    distinct_id, at = "", None
    if isinstance(properties, dict):
        shown = {**cast("dict[str, JSON]", record), "properties": _without_token(properties)}
        distinct_id = as_text(properties.get("distinct_id"))
        at = milliseconds(properties.get("time"))
    return Event(
        number=number,
        exchange=arrival.exchange,
        index=index,
        received=arrival.received,
        endpoint=arrival.endpoint,
        fate=fate,
        reason=reason,
        name=encodable(name)[:_MAX_TEXT] if isinstance(name, str) else "",
        distinct_id=encodable(distinct_id)[:_MAX_TEXT],
        time=at,
        json=to_json(shown),
    )


def _without_token(properties: dict[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in properties.items() if name != "token"}


def _why_dropped(properties: dict[str, JSON], arrival: Arrival) -> str:
    ignore = properties.get("$ignore")
    if ignore is True or (isinstance(ignore, str) and ignore):
        return "it carries $ignore"
    if arrival.endpoint is Endpoint.IMPORT:
        return ""
    settings = arrival.settings
    if settings.token is not None and properties["token"] != settings.token:
        return "its token is not that of this project"
    at = milliseconds(properties.get("time"))
    if at is not None and at < arrival.received - _LIVE_MS:
        return "it is older than 5 days: /track drops such events, /import takes them"
    return ""


def _join(name: str, properties: dict[str, JSON], arrival: Arrival, identities: Identities) -> tuple[Identities, str]:
    if arrival.settings.id_system == "simplified":
        return identities, "it has no effect in a project with simplified identity management"
    if name == "$create_alias":
        return identities.aliased(str(properties["distinct_id"]), str(properties["alias"]))
    if name == "$identify":
        return identities.identified(str(properties["$identified_id"]), str(properties["$anon_id"]))
    if arrival.endpoint is Endpoint.TRACK:
        return identities, "only /import takes $merge"
    one, other = cast("list[str]", properties["$distinct_ids"])
    return identities.merged(one, other)


def _time(stored: dict[str, JSON], arrival: Arrival, notes: list[str]) -> int:
    given = stored.get("time")
    at = milliseconds(given)
    if at is None:
        if given is not None:
            notes.append("properties['time'] is no number and was overwritten with the time of arrival")
        return arrival.received
    if at > arrival.received:
        notes.append("properties['time'] is in the future and was overwritten with the time of arrival")
        return arrival.received
    return at


def _key(name: str, properties: dict[str, JSON]) -> tuple[str, str, str, str] | None:
    insert_id = properties.get("$insert_id")
    if insert_id is None and name in IDENTITY_EVENTS:
        # The same command again joins nothing new.
        insert_id = [properties.get(each) for each in _COMMAND_IDS]
    if insert_id is None or (name not in IDENTITY_EVENTS and properties.get("time") is None):
        # Without a time each gets that of its own arrival.
        return None
    # As they were sent: seconds and milliseconds of one instant make two events.
    distinct_id = properties.get("distinct_id", properties.get("$user_id", properties.get("$device_id")))
    # All but the id, which is text however it was sent.
    four = (name, as_text(distinct_id) or distinct_id, properties.get("time"), insert_id)
    event, user, time, dedup = (to_json(each).decode() for each in four)
    return event, user, time, dedup


def _distinct_id(name: str, stored: dict[str, JSON], arrival: Arrival) -> str:
    if arrival.settings.id_system == "simplified":
        if user := as_text(stored.get("$user_id")):
            return user
        if device := as_text(stored.get("$device_id")):
            return DEVICE + device.removeprefix(DEVICE)
    if "distinct_id" not in stored:
        if name == "$identify":
            return as_text(stored.get("$identified_id"))
        if arrival.ip == "1":
            return hashlib.sha256(arrival.address.encode()).hexdigest()[:32]
    return as_text(stored.get("distinct_id"))


def _link_device(stored: dict[str, JSON], identities: Identities) -> Identities:
    device, user = as_text(stored.get("$device_id")), as_text(stored.get("$user_id"))
    if not device or not user:
        return identities
    return identities.with_device(device.removeprefix(DEVICE), user)


def _locate(stored: dict[str, JSON], arrival: Arrival) -> None:
    """
    Put the place in the way of the address, which is not stored.
    """
    ip = stored.pop("ip", None)
    if any(name in stored for name in (*_PLACE_NAMES, "$latitude", "$longitude")):
        return
    address = ip if isinstance(ip, str) else ""
    if arrival.endpoint is Endpoint.TRACK and arrival.ip == "1":
        address = arrival.address
    if arrival.endpoint is Endpoint.IMPORT and ip is None and arrival.ip != "0":
        address = arrival.address
    city, region, country = place_of(address)
    if city:
        stored["$city"], stored["$region"], stored["mp_country_code"] = city, region, country


@lru_cache
def place_of(address: str) -> tuple[str, str, str]:
    """
    City, region and country of an address: made up, the same for the same address, and nothing for one that has no
    place, such as that of the own machine.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "", "", ""
    if parsed.is_loopback or parsed.is_unspecified:
        return "", "", ""
    mark = hashlib.sha256(parsed.packed).hexdigest()[:4]
    return f"City {mark}", f"Region {mark}", "ZZ"
