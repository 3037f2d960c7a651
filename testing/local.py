"""
A Mixpanel in this process: the emulator with a clock and a memory, for tests without a socket and for the server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from copy import deepcopy
from email.utils import formatdate
from urllib.parse import urlsplit

from attrs import evolve

from ..core import JSON, Answer, Endpoint, NoResponse, Request, Response
from .emulator import query_view, respond
from .faults import Fault, Script
from .state import Event, HttpReply, HttpRequest, Owner, Settings, State

__all__ = ["LocalMixpanel"]


def _now() -> int:
    return time.time_ns() // 1_000_000


class LocalMixpanel:
    """
    Takes requests one after the other and remembers what came of them; safe to use from several threads.

    `post` plugs in where the network does:

        mixpanel = LocalMixpanel()
        transport = SyncTransport(Project("token"), post=mixpanel.post)
        transport.send(encode(PeopleOp("user-1", Add({"credits": 10})), Project("token")))
        assert mixpanel.profile("user-1") == {"credits": 10}

    Args:
        settings: Of the project that is emulated.
        now: The clock of the server, in milliseconds since the epoch.
    """

    def __init__(self, settings: Settings | None = None, *, now: Callable[[], int] = _now) -> None:
        self._settings = settings or Settings()
        self._now = now
        self._state = State(settings=self._settings)
        self._changed = threading.Condition()

    @property
    def state(self) -> State:
        """
        Everything as it stands now; a value that does not change.
        """
        return self._state

    def now(self) -> int:
        """
        The clock of the server, in milliseconds since the epoch.
        """
        return self._now()

    def respond(self, request: HttpRequest) -> HttpReply:
        """
        Let *request* take effect, and say what is to be answered. Waiting and losing the answer is left to the caller.
        """
        with self._changed:
            self._state, reply = respond(self._state, request, self._now())
            self._changed.notify_all()
        return reply

    def post(self, request: Request) -> Answer:
        """
        Take a request of a transport as the network would; a delay is waited for in the calling thread.
        """
        url = urlsplit(request.url)
        headers = [("Content-Type", request.content_type)]
        if request.authorization is not None:
            headers.append(("Authorization", request.authorization))
        target = f"{url.path}?{url.query}" if url.query else url.path
        reply = self.respond(HttpRequest(target=target, headers=tuple(headers), body=request.body))
        if reply.delay_seconds:
            time.sleep(reply.delay_seconds)
        if reply.is_lost:
            return NoResponse(reason="the connection was reset", maybe_received=True)
        kept = [("Content-Type", reply.content_type), ("Date", formatdate(self._now() / 1000, usegmt=True))]
        if reply.retry_after is not None:
            kept.append(("Retry-After", reply.retry_after))
        return Response(status=reply.status, body=reply.body, headers=tuple(kept))

    def fail_next(self, fault: Fault, *, times: int | None = 1, endpoint: Endpoint | None = None) -> None:
        """
        Let the next requests go wrong; what was scripted first is played first.

        Args:
            fault: How; all but `Mute`.
            times: How many requests; None for all until `heal` is called.
            endpoint: Only requests to this one; None for any.
        """
        script = Script(fault, times, endpoint)
        with self._changed:
            self._state = evolve(self._state, scripts=(*self._state.scripts, script))

    def heal(self) -> None:
        """
        Forget what was scripted.
        """
        with self._changed:
            self._state = evolve(self._state, scripts=())

    def reset(self) -> None:
        """
        Forget everything, as if newly made.
        """
        with self._changed:
            self._state = State(settings=self._settings)
            self._changed.notify_all()

    def wait_for(self, is_so: Callable[[State], bool], seconds: float) -> bool:
        """
        Wait until *is_so* of the state, at most so many seconds, and say whether it is.
        """
        with self._changed:
            return self._changed.wait_for(lambda: is_so(self._state), seconds)

    def events(self) -> tuple[Event, ...]:
        """
        The stored events as reports would count them: each once, the last one received of those that are the same.
        """
        return query_view(self._state)

    def profile(self, distinct_id: str) -> dict[str, JSON] | None:
        """
        The properties of a user's profile, aliases resolved; None if there is no such profile.
        """
        state = self._state
        return _properties(state, state.identities.user_of(distinct_id))

    def group(self, group_key: str, group_id: str) -> dict[str, JSON] | None:
        """
        The properties of a group's profile; None if there is no such profile.
        """
        return _properties(self._state, (group_key, group_id))


def _properties(state: State, owner: Owner) -> dict[str, JSON] | None:
    profile = state.profiles.get(owner) if isinstance(owner, str) else state.groups.get(owner)
    return None if profile is None else deepcopy(dict(profile.properties))
