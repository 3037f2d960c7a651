"""
A strict Mixpanel as a pure function: `respond` takes what is known and a request, and gives what is known then and the
answer. No I/O, no clock.

It keeps to the tightest documented reading of every limit, so that what passes here is safe against the real service.
It is one project, of the original or of the simplified identity system; the residency makes no difference. Where the
documentation is silent it decides, and the reason stands beside it.

    state, reply = respond(State(), HttpRequest(target="/track?verbose=1", body=body), now)
    assert reply.body == b'{"error": null, "status": 1}'

Source of the rules: https://docs.mixpanel.com/reference/overview and the pages below it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, cast
from urllib.parse import parse_qsl

from attrs import evolve, field, frozen

from ..core import JSON, Endpoint
from .bodies import BadBody, Content, Form, TooLong, read_content, uncompressed
from .events import Arrival, place_of, take_event, untaken
from .faults import Delay, Fault, LostAnswer, Mute, Reset, Status, has_effect, next_fault
from .identities import Identities
from .profiles import TooManyProperties, apply, problem
from .state import (
    Event,
    Exchange,
    Fate,
    HttpReply,
    HttpRequest,
    Owner,
    Profile,
    Settings,
    State,
    Update,
)
from .validation import IDENTITY_EVENTS, Refusal, as_text, encodable, to_json

__all__ = ["query_view", "respond", "user_of"]

_ENDPOINTS: Final = {endpoint.value: endpoint for endpoint in Endpoint}
_EVENTS: Final = frozenset({Endpoint.TRACK, Endpoint.IMPORT})
_GET_TOO: Final = frozenset({Endpoint.TRACK, Endpoint.ENGAGE})
_MAX_RECORDS: Final = 2000
_MAX_TARGET: Final = 8192
_MINUTE: Final = 60
_UNREAD_BYTES: Final = 4096
_REASONS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
}
_INVALID: Final = "some data points in the request failed validation"
_NO_IDENTITY: Final = "identity events are not allowed when project is using simplified identity management"
_BESIDE_IDENTITY: Final = "the request was refused as a whole, because it holds an identity event"


def respond(state: State, request: HttpRequest, now: int) -> tuple[State, HttpReply]:
    """
    Let *request* arrive at *now*, in milliseconds since the epoch: the state after it, and the answer to it.

    What was scripted to go wrong comes first, as at a proxy in front of the service. Whoever carries the answer waits
    and resets the connection where it says so.
    """
    path, _, query = request.target.partition("?")
    call_number = state.number + 1
    endpoint = _ENDPOINTS.get(path.rstrip("/"))
    if endpoint is None:
        taken = _Taken(state=state, reply=_json(404, {"error": "no such path", "status": "error"}))
        return _logged(taken, request, call_number, None, now), taken.reply
    fault, scripts = next_fault(state.scripts, endpoint)
    state = evolve(state, number=call_number, scripts=scripts)
    call = _Call(endpoint, request, query, call_number, now)
    taken = _take(state, call)
    if not has_effect(fault):
        # What it held is worth knowing, what it would have led to is not.
        taken = evolve(taken, state=state, is_applied=False)
    taken = evolve(taken, reply=_with_fault(taken.reply, fault))
    return _logged(taken, request, call_number, fault, now), taken.reply


def query_view(state: State) -> tuple[Event, ...]:
    """
    The stored events as reports count them: of those with the same event, distinct_id, time and insert_id the one that
    was received last; the oldest first.

    https://docs.mixpanel.com/reference/event-deduplication
    """
    newest: dict[object, Event] = {}
    for event in state.events.entries:
        if event.fate is Fate.STORED:
            key = event.number if event.key is None else event.key
            newest.pop(key, None)
            newest[key] = event
    return tuple(newest.values())


def user_of(state: State, event: Event) -> str:
    """
    The id that stands for the user of *event*, as the links between ids are now; empty for nobody.
    """
    return state.identities.user_of(event.distinct_id)


@frozen(kw_only=True)
class _Taken:
    """
    What a request led to, before anything goes wrong with its answer.
    """

    state: State
    reply: HttpReply
    text: bytes = field(default=b"", repr=False)
    records: int = 0
    is_applied: bool = False


class _Refused(Exception):
    """
    The request is answered without looking at its records.
    """

    def __init__(self, reply: HttpReply) -> None:
        super().__init__()
        self.reply = reply


@frozen
class _Call:
    """
    A request to one of the endpoints.
    """

    endpoint: Endpoint
    request: HttpRequest
    query: str = field(repr=False)
    number: int
    now: int


def _take(state: State, call: _Call) -> _Taken:
    text = b""
    try:
        _check_door(call, state.settings)
        text = _uncompressed(call, state.settings)
        content = _content(call, text)
        state = evolve(state, load=_loaded(state, call, content, len(text)))
    except _Refused as refused:
        return _Taken(state=state, reply=refused.reply, text=text)
    taken = _take_events(state, call, content) if call.endpoint in _EVENTS else _take_updates(state, call, content)
    return evolve(taken, text=text)


# How a request is let in, in the order in which it is looked at.


def _check_door(call: _Call, settings: Settings) -> None:
    request = call.request
    if request.method != "POST" and not (request.method == "GET" and call.endpoint in _GET_TOO):
        raise _Refused(_json(405, {"error": "method not allowed", "status": "error"}))
    if len(request.target) > _MAX_TARGET:
        raise _Refused(HttpReply(status=414, content_type="text/html", body=b"<html>414 Request-URI Too Long</html>"))
    if call.endpoint is Endpoint.IMPORT and not _is_authorized(request, call.query, settings):
        raise _Refused(_compact(401, {"code": 401, "error": "Invalid credentials", "status": _REASONS[401]}))


def _is_authorized(request: HttpRequest, query: str, settings: Settings) -> bool:
    scheme, _, encoded = request.header("authorization").partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    if scheme.lower() != "basic" or not colon or not user:
        return False
    project_id = dict(parse_qsl(query)).get("project_id")
    if password:
        return (
            project_id is not None
            and settings.username in (None, user)
            and settings.secret in (None, password)
            and settings.project_id in (None, project_id)
        )
    # The token or the project secret; the project is found from it only where no project_id stands beside it.
    known = {settings.token, settings.project_secret} - {None}
    return project_id is None and (not known or user in known)


def _uncompressed(call: _Call, settings: Settings) -> bytes:
    encoding = call.request.header("content-encoding")
    if call.endpoint not in _EVENTS and encoding.lower() not in ("", "identity"):
        # Compressed updates are documented as not supported.
        raise _Refused(_brief(_wish(dict(parse_qsl(call.query)), call.endpoint), "data, missing or empty"))
    most = settings.max_body_bytes
    try:
        return uncompressed(call.request.body, encoding, most)
    except TooLong:
        error = f"request exceeds max limit of {most} bytes"
        raise _Refused(_compact(413, {"code": 413, "error": error, "status": _REASONS[413]})) from None
    except BadBody as bad:
        raise _Refused(_bad_request(call.endpoint, str(bad))) from None


def _content(call: _Call, text: bytes) -> Content:
    request, endpoint = call.request, call.endpoint
    is_get = request.method == "GET"
    try:
        content = read_content(endpoint, request.header("content-type"), call.query, text, is_get=is_get)
    except BadBody as bad:
        if endpoint is Endpoint.IMPORT:
            raise _Refused(_bad_request(endpoint, str(bad))) from None
        wish = _wish(bad.parameters or dict(parse_qsl(call.query)), endpoint)
        raise _Refused(_brief(wish, "data, missing or empty")) from None
    wish = _wish(content.parameters, endpoint)
    count = len(content.records)
    if endpoint is Endpoint.IMPORT:
        if not count:
            raise _Refused(_bad_request(endpoint, "request must hold at least one event"))
        if count > _MAX_RECORDS:
            raise _Refused(_bad_request(endpoint, f"request exceeds max limit of {_MAX_RECORDS} events"))
    elif not count:
        raise _Refused(_brief(wish, "data, missing or empty"))
    elif count > _MAX_RECORDS:
        raise _Refused(_brief(wish, f"too many {'events' if endpoint is Endpoint.TRACK else 'updates'}"))
    return content


def _loaded(state: State, call: _Call, content: Content, size: int) -> tuple[tuple[int, int, int], ...]:
    """
    The load of the last minute with this request.
    """
    second = call.now // 1000
    load = [each for each in state.load if second - _MINUTE < each[0] <= second]
    events = len(content.records) if call.endpoint in _EVENTS else 0
    if load and load[-1][0] == second:
        _, bytes_before, events_before = load.pop()
        load.append((second, bytes_before + size, events_before + events))
    else:
        load.append((second, size, events))
    settings = state.settings
    if (
        sum(each[1] for each in load) > settings.bytes_per_minute
        or sum(each[2] for each in load) > settings.events_per_minute
    ):
        error = "Project exceeded rate limits. Please retry the request with exponential backoff."
        raise _Refused(_compact(429, {"code": 429, "error": error, "status": _REASONS[429]}))
    return tuple(load)


# Events.


def _take_events(state: State, call: _Call, content: Content) -> _Taken:
    settings, wish, records = state.settings, _wish(content.parameters, call.endpoint), content.records
    is_import = call.endpoint is Endpoint.IMPORT
    is_strict = is_import and wish.is_strict
    is_refused_whole = is_strict and settings.id_system == "simplified" and any(map(_is_identity, records))
    arrival = Arrival(
        settings=settings,
        endpoint=call.endpoint,
        exchange=call.number,
        received=call.now,
        address=call.request.address,
        ip=wish.ip,
        is_strict=is_strict,
    )
    identities, profiles = state.identities, state.profiles
    events: list[Event] = []
    refusals: dict[int, Refusal] = {}
    for index, record in enumerate(records):
        number = call.number + 1 + index
        if is_refused_whole:
            refusals[index] = Refusal("", _NO_IDENTITY if _is_identity(record) else _BESIDE_IDENTITY)
            events.append(untaken(record, index, number, arrival, Fate.REFUSED, refusals[index].message))
            continue
        before = identities
        event, identities, refusal = take_event(record, index, number, arrival, identities)
        events.append(event)
        if refusal is not None:
            refusals[index] = refusal
        if identities is not before and event.name in IDENTITY_EVENTS:
            profiles = _moved(profiles, before, identities)
    after = evolve(
        state,
        number=call.number + len(records),
        events=state.events.with_entries(events, settings.max_events, settings.max_bytes),
        identities=identities.newest(settings.max_profiles),
        profiles=profiles,
        counts=evolve(
            state.counts,
            events=_counted(state.counts.events, events),
            truncated=state.counts.truncated + _truncated(events),
        ),
    )
    is_any_valid = len(refusals) < len(records)
    if is_refused_whole:
        reply = _identity_answer(records)
    elif is_import:
        reply = _import_answer(wish, content, refusals)
    else:
        reply = _brief(wish, "" if is_any_valid else refusals[0].message)
    return _Taken(state=after, reply=reply, records=len(records), is_applied=is_any_valid)


def _is_identity(record: JSON) -> bool:
    name = record.get("event") if isinstance(record, dict) else None
    return isinstance(name, str) and name in IDENTITY_EVENTS


def _moved(profiles: Mapping[str, Profile], before: Identities, after: Identities) -> Mapping[str, Profile]:
    """
    The profiles after ids were joined: one whose id stands for nobody any more goes to the user it belongs to now,
    unless that user has one. What Mixpanel does with two is not documented; here the other stays where it was.
    """
    moved = profiles
    for user, ids in after.clusters.items():
        if before.clusters.get(user) is not ids and user not in moved:
            owner = next((each for each in ids if each in moved), None)
            if owner is not None:
                moved = dict(moved)
                moved[user] = moved.pop(owner)
    return moved


# Updates of profiles.


def _take_updates(state: State, call: _Call, content: Content) -> _Taken:
    settings, wish, records = state.settings, _wish(content.parameters, call.endpoint), content.records
    books = _Books(dict(state.profiles), dict(state.groups))
    updates: list[Update] = []
    problems: dict[int, Refusal] = {}
    for index, record in enumerate(records):
        update = _take_update(record, state, call, wish, books)
        update = evolve(update, number=call.number + 1 + index, index=index)
        updates.append(update)
        if update.fate is Fate.REFUSED:
            problems[index] = Refusal("", update.reason)
    books.weigh({update.owner for update in updates if update.owner is not None})
    users, forgotten_users = _newest(books.users, settings)
    groups, forgotten_groups = _newest(books.groups, settings)
    after = evolve(
        state,
        number=call.number + len(records),
        updates=state.updates.with_entries(updates, settings.max_updates, settings.max_bytes),
        profiles=users,
        groups=groups,
        forgotten_profiles=state.forgotten_profiles + forgotten_users + forgotten_groups,
        counts=evolve(
            state.counts,
            updates=_counted(state.counts.updates, updates),
            truncated=state.counts.truncated + _truncated(updates),
        ),
    )
    is_any_valid = len(problems) < len(records)
    if wish.is_strict:
        reply = _import_answer(wish, content, problems)
    else:
        reply = _brief(wish, "" if is_any_valid else problems[0].message)
    return _Taken(state=after, reply=reply, records=len(records), is_applied=is_any_valid)


@frozen
class _Books:
    """
    The profiles while a request changes them; the one that changed last stands at the end.
    """

    users: dict[str, Profile]
    groups: dict[tuple[str, str], Profile]

    def get(self, owner: Owner) -> Profile | None:
        return self.users.get(owner) if isinstance(owner, str) else self.groups.get(owner)

    def put(self, owner: Owner, profile: Profile | None) -> None:
        if isinstance(owner, str):
            self.users.pop(owner, None)
            if profile is not None:
                self.users[owner] = profile
        else:
            self.groups.pop(owner, None)
            if profile is not None:
                self.groups[owner] = profile

    def weigh(self, owners: Iterable[Owner]) -> None:
        """
        Find out what the profiles of *owners* take, once after all that changed them.
        """
        for owner in owners:
            profile = self.get(owner)
            if profile is None:
                continue
            weighed = evolve(profile, size=len(to_json(dict(profile.properties))))
            if isinstance(owner, str):
                self.users[owner] = weighed
            else:
                self.groups[owner] = weighed


def _take_update(record: JSON, state: State, call: _Call, wish: _Wish, books: _Books) -> Update:
    kept: JSON = record
    if isinstance(record, dict):
        kept = {name: value for name, value in record.items() if name != "$token"}
    update = Update(
        number=0,
        exchange=call.number,
        index=0,
        received=call.now,
        endpoint=call.endpoint,
        fate=Fate.STORED,
        owner=_owner(record, call.endpoint, state.identities),
        json=to_json(kept),
    )
    why = problem(record, call.endpoint)
    if why:
        return evolve(update, fate=Fate.REFUSED, reason=why)
    whole = cast("dict[str, JSON]", record)
    token = state.settings.token
    if token is not None and whole["$token"] != token:
        return evolve(update, fate=Fate.DROPPED, reason="its token is not that of this project")
    owner = cast("Owner", update.owner)
    place = _place(whole, call, wish)
    try:
        applied = apply(books.get(owner), whole, call.endpoint, place, call.now)
    except TooManyProperties:
        return evolve(update, fate=Fate.REFUSED, reason="the profile has 2000 properties and takes no new one")
    books.put(owner, applied.profile)
    if applied.is_change:
        return evolve(update, notes=applied.notes + applied.ignored)
    reason = "; ".join(applied.ignored) or "it changes nothing"
    return evolve(update, fate=Fate.IGNORED, reason=reason, notes=applied.notes)


def _owner(update: JSON, endpoint: Endpoint, identities: Identities) -> Owner | None:
    """
    Whose profile is meant, as far as that can be read; of one that is refused too, so that it stands in the history.
    """
    if not isinstance(update, dict):
        return None
    names = ("$group_key", "$group_id") if endpoint is Endpoint.GROUPS else ("$distinct_id",)
    ids = [encodable(as_text(update.get(name))) for name in names]
    if not all(ids):
        return None
    if endpoint is Endpoint.GROUPS:
        return ids[0], ids[1]
    return ids[0] if update.get("$ignore_alias") is True else identities.user_of(ids[0])


def _place(update: dict[str, JSON], call: _Call, wish: _Wish) -> dict[str, JSON]:
    """
    The place that an update of a user brings along: from its own address, else from that of the request.
    """
    if call.endpoint is Endpoint.GROUPS or "$latitude" in update or "$longitude" in update:
        return {}
    ip = update.get("$ip")
    if ip is None:
        # Without the parameter the address of the request counts.
        ip = "0" if wish.ip == "0" else call.request.address
    city, region, country = place_of(ip if isinstance(ip, str) else "")
    return {"$city": city, "$region": region, "$country_code": country} if city else {}


_Owned = TypeVar("_Owned", bound=Owner)


def _newest(profiles: dict[_Owned, Profile], settings: Settings) -> tuple[dict[_Owned, Profile], int]:
    """
    Those that changed last, as many as are kept, and how many had to go.
    """
    over = len(profiles) - settings.max_profiles
    over_bytes = sum(profile.size for profile in profiles.values()) - settings.max_bytes
    out: list[_Owned] = []
    for owner, profile in profiles.items():
        if over <= len(out) and over_bytes <= 0:
            break
        out.append(owner)
        over_bytes -= profile.size
    for owner in out:
        del profiles[owner]
    return profiles, len(out)


# What is counted and kept.


def _counted(counts: Mapping[Fate, int], records: Iterable[Event] | Iterable[Update]) -> Mapping[Fate, int]:
    return {**counts, **(Counter(counts) + Counter(record.fate for record in records))}


def _truncated(records: Iterable[Event] | Iterable[Update]) -> int:
    return sum(any(note.endswith(" to 255 characters") for note in record.notes) for record in records)


def _logged(taken: _Taken, request: HttpRequest, number: int, fault: Fault | None, now: int) -> State:
    state = taken.state
    exchange = Exchange(
        number=number,
        received=now,
        request=_masked(request),
        text=_without_key(taken.text or request.body[:_UNREAD_BYTES]),
        records=taken.records,
        fault=fault,
        is_applied=taken.is_applied,
        reply=taken.reply,
    )
    counts = state.counts
    return evolve(
        state,
        number=max(state.number, number),
        exchanges=state.exchanges.with_entries([exchange], state.settings.max_requests, state.settings.max_bytes),
        counts=evolve(counts, requests=counts.requests + 1, faults=counts.faults + (fault is not None)),
    )


def _masked(request: HttpRequest) -> HttpRequest:
    """
    The request as it is kept: without its body, which is kept as text, and without anything secret.
    """
    headers = tuple(
        (name, _without_credentials(value) if name.lower() == "authorization" else value)
        for name, value in request.headers
    )
    # What is longer was answered 414.
    target = _without_key(request.target[:_MAX_TARGET].encode("utf-8", "replace")).decode("utf-8", "replace")
    return evolve(request, target=target, headers=headers, body=b"")


def _without_credentials(authorization: str) -> str:
    scheme, blank, _ = authorization.partition(" ")
    return f"{scheme} ***" if blank else "***"


_API_KEY: Final = re.compile(rb"\b(api_key|api_secret)=[^&\s]*")


def _without_key(text: bytes) -> bytes:
    # Old clients send a secret as a field of a form.
    return _API_KEY.sub(rb"\1=***", text) if b"api_" in text else text


# What goes wrong.


def _with_fault(reply: HttpReply, fault: Fault | None) -> HttpReply:
    match fault:
        case Status(code, retry_after):
            said: dict[str, JSON] = {"code": code, "error": "scripted", "status": _REASONS.get(code, "Scripted")}
            return evolve(_compact(code, said), retry_after=retry_after)
        case Reset() | LostAnswer() | Mute():
            return evolve(reply, is_lost=True)
        case Delay(seconds):
            return evolve(reply, delay_seconds=seconds)
        case None:
            return reply


# What is answered.


@frozen
class _Wish:
    """
    What a request says about the answer it wants, and about the address.
    """

    is_verbose: bool
    is_strict: bool
    ip: str
    callback: str
    is_image: bool


_CALLBACK: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]*")
_IMAGE: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def _wish(parameters: Mapping[str, str], endpoint: Endpoint) -> _Wish:
    # The others do not know it, and what is not known is ignored.
    callback = parameters.get("callback", "") if endpoint in _GET_TOO else ""
    return _Wish(
        is_verbose=parameters.get("verbose", "0") not in ("", "0"),
        is_strict=parameters.get("strict", "0") not in ("", "0"),
        ip=parameters.get("ip", ""),
        callback=callback if _CALLBACK.fullmatch(callback) else "",
        is_image=endpoint is Endpoint.TRACK and parameters.get("img", "0") not in ("", "0"),
    )


def _brief(wish: _Wish, error: str) -> HttpReply:
    """
    The answer of /track, /engage and /groups: success if there is no *error*.
    """
    body = b"0" if error else b"1"
    said: dict[str, JSON] = {"error": error or None, "status": 0 if error else 1}
    if wish.is_image:
        return HttpReply(status=200, content_type="image/gif", body=_IMAGE)
    if wish.callback:
        inside = json.dumps(said).encode() if wish.is_verbose else body
        script = wish.callback.encode() + b"(" + inside + b");"
        return HttpReply(status=200, content_type="text/javascript", body=script)
    if wish.is_verbose:
        return _json(200, said)
    return HttpReply(status=200, content_type="text/plain", body=body)


def _import_answer(wish: _Wish, content: Content, refusals: Mapping[int, Refusal]) -> HttpReply:
    """
    The answer of /import, and what is assumed for the others when they are asked to be strict.
    """
    imported = len(content.records) - len(refusals)
    if wish.is_strict and refusals:
        failed: list[JSON] = [
            {
                "index": index,
                "insert_id": _insert_id(content.records[index]),
                "field": refusal.field,
                "message": refusal.message,
            }
            for index, refusal in refusals.items()
        ]
        return _partly(failed, imported)
    if wish.is_strict:
        status: JSON = 1 if wish.is_verbose else "OK"
        return _compact(200, {"code": 200, "num_records_imported": imported, "status": status})
    if not wish.is_verbose:
        return _brief(wish, "" if imported else _INVALID)
    if content.form is Form.FORM:
        return _compact(200, {"error": _INVALID if refusals else None, "status": 0 if refusals else 1})
    if refusals:
        return _compact(200, {"code": 200, "error": _INVALID, "num_records_imported": imported, "status": 0})
    return _compact(200, {"code": 200, "num_records_imported": imported, "status": 1})


def _insert_id(record: JSON) -> JSON:
    properties = record.get("properties") if isinstance(record, dict) else None
    insert_id = properties.get("$insert_id") if isinstance(properties, dict) else None
    return insert_id if isinstance(insert_id, str) else ""


def _identity_answer(records: tuple[JSON, ...]) -> HttpReply:
    return _partly([_NO_IDENTITY for record in records if _is_identity(record)], 0)


def _partly(failed: list[JSON], imported: int) -> HttpReply:
    """
    The 400 that names what was refused; the rest was imported.
    """
    said: dict[str, JSON] = {
        "code": 400,
        "error": _INVALID,
        "failed_records": failed,
        "num_records_imported": imported,
        "status": _REASONS[400],
    }
    return _compact(400, said)


def _bad_request(endpoint: Endpoint, error: str) -> HttpReply:
    if endpoint is Endpoint.IMPORT:
        return _compact(400, {"code": 400, "error": error, "status": _REASONS[400], "num_records_imported": 0})
    return _json(400, {"error": error, "status": 0})


def _json(status: int, said: dict[str, JSON]) -> HttpReply:
    """
    JSON as /track prints it.
    """
    return HttpReply(status=status, body=json.dumps(said).encode())


def _compact(status: int, said: dict[str, JSON]) -> HttpReply:
    """
    JSON as /import prints it.
    """
    return HttpReply(status=status, body=to_json(said))
