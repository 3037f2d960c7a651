"""
Requests to the pure emulator in one line each, and what they lead to.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Final, TypeAlias

from mixwire.core import JSON
from mixwire.testing.emulator import respond
from mixwire.testing.state import Event, Fate, HttpReply, HttpRequest, Profile, Settings, State

NOW: Final = 1_767_225_600_000
SECOND: Final = 1_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
TOKEN: Final = "0123456789abcdef0123456789abcdef"
JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
LINES_TYPE: Final = "application/x-ndjson"
MAX_BODY: Final = 2_097_152
PUBLIC_ADDRESS: Final = "203.0.113.7"

Said: TypeAlias = tuple[int, str, bytes]
"""The status, the media type and the body of an answer."""

Record: TypeAlias = dict[str, JSON]

EMPTY: Final = State()
SIMPLIFIED: Final = State(settings=Settings(id_system="simplified"))
BY_TOKEN: Final = "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()
ONE: Final[Said] = (200, "text/plain", b"1")
NONE: Final[Said] = (200, "text/plain", b"0")
GOOD: Final[Said] = (200, JSON_TYPE, b'{"error": null, "status": 1}')


def bad(error: str) -> Said:
    return 200, JSON_TYPE, json.dumps({"error": error, "status": 0}).encode()


def compact(status: int, said: Record) -> Said:
    return status, JSON_TYPE, json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


def said(reply: HttpReply) -> Said:
    return reply.status, reply.content_type, reply.body


def event(name: str = "Signup", /, **properties: JSON) -> Record:
    """
    A good event; *properties* come over its own.
    """
    own: Record = {"token": TOKEN, "distinct_id": "user-1", "time": NOW, "$insert_id": "insert-1"}
    return {"event": name, "properties": {**own, **properties}}


def without(name: str, /, **properties: JSON) -> Record:
    """
    A good event but for one property that is missing.
    """
    record = event(**properties)
    inside = record["properties"]
    assert isinstance(inside, dict)
    del inside[name]
    return record


def update(**operators: JSON) -> Record:
    return {"$token": TOKEN, "$distinct_id": "user-1", **{f"${name}": value for name, value in operators.items()}}


def group_update(**operators: JSON) -> Record:
    owner: Record = {"$token": TOKEN, "$group_key": "Company", "$group_id": "Acme"}
    return {**owner, **{f"${name}": value for name, value in operators.items()}}


def post(
    target: str,
    body: JSON | bytes,
    *,
    state: State = EMPTY,
    now: int = NOW,
    content_type: str = JSON_TYPE,
    method: str = "POST",
    address: str = "127.0.0.1",
    **headers: str,
) -> tuple[State, HttpReply]:
    """
    The state after a request and the answer to it; what is not bytes is sent as JSON.
    """
    sent = [("Content-Type", content_type)] if content_type else []
    sent += [(name.replace("_", "-").title(), value) for name, value in headers.items()]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = HttpRequest(method=method, target=target, headers=tuple(sent), body=content, address=address)
    return respond(state, request, now)


def post_import(
    body: JSON | bytes,
    query: str = "strict=1",
    *,
    state: State = EMPTY,
    now: int = NOW,
    content_type: str = JSON_TYPE,
    authorization: str = BY_TOKEN,
    **headers: str,
) -> tuple[State, HttpReply]:
    """
    The same for /import, with the token as credentials.
    """
    if authorization:
        headers["authorization"] = authorization
    return post(f"/import?{query}", body, state=state, now=now, content_type=content_type, **headers)


def applied(*updates: Record, target: str = "/engage", state: State = EMPTY, now: int = NOW) -> State:
    """
    The state after updates, one request each.
    """
    for each in updates:
        state, reply = post(target, [each], state=state, now=now)
        assert said(reply) == ONE
    return state


def zipped(body: JSON) -> bytes:
    return gzip.compress(json.dumps(body).encode(), mtime=0)


def only_event(state: State) -> Event:
    (kept,) = state.events.entries
    return kept


def fates(state: State) -> list[Fate]:
    return [each.fate for each in state.events.entries]


def update_fates(state: State) -> list[Fate]:
    return [each.fate for each in state.updates.entries]


def profile(state: State, distinct_id: str = "user-1") -> dict[str, JSON] | None:
    """
    The properties of a profile, or None if there is none.
    """
    return _properties(state.profiles.get(distinct_id))


def group(state: State) -> dict[str, JSON] | None:
    return _properties(state.groups.get(("Company", "Acme")))


def _properties(kept: Profile | None) -> dict[str, JSON] | None:
    return None if kept is None else dict(kept.properties)
