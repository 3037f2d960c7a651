"""
The consumers of the official client, on our transports: `Consumer` delivers at once, `BufferedConsumer` in the
background.

Both take JSON texts as any client wrote them: ``send("events", '{"event": ...}')``. They have no token of their own,
each text names one.
"""

from __future__ import annotations

import os
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

from attrs import evolve

from .core import (
    Answer,
    Credentials,
    InvalidValue,
    Message,
    Outcome,
    Project,
    ProjectSecret,
    Request,
)
from .core.errors import describe
from .core.foreign import messages_from_json, token_of
from .core.limits import BATCH_MESSAGES
from .core.project import server_url
from .credentials import ServiceAccountCredentials, credentials_of
from .exceptions import MixpanelException
from .hand_over import ENDPOINTS, counts, takes_utf8
from .transports import BufferedTransport, Network, SyncTransport, Transport
from .transports.base import Stats, check_timeout

__all__ = ["BufferedConsumer", "Consumer"]

_Keys: TypeAlias = "str | tuple[str | None, str | None] | list[str | None] | None"
"""An API key, or the key and the secret together."""

_Opened = TypeVar("_Opened", bound=Transport)

_SECONDS: Final = 30.0
_MAX_REMEMBERED: Final = 1_000
_NAMELESS: Final = "none"
"""Stands for the token of a text that has none. What to say about that is the server's business."""
_HOST: Final = re.compile(
    r"(?P<name>(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?)"
)
_MIXPANEL: Final = re.compile(r"(?:.*\.)?mixpanel\.com\.?(?::.*)?", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"(https?://[^/?#\s]+)(/[!-~]*)?")


class _Network(Network):
    """
    A network in which some endpoints have addresses of their own.
    """

    def __init__(self, addresses: Mapping[str, str], timeout: float, ca_file: str | Path | None) -> None:
        super().__init__(
            request_timeout_seconds=timeout, ca_file=None if ca_file is None else str(ca_file), max_connections=6
        )
        self._addresses = addresses

    def within(self, request: Request, seconds: float) -> Answer:
        parts = urlsplit(request.url)
        address = self._addresses.get(parts.path)
        if address is not None:
            request = evolve(request, url=f"{address}?{parts.query}")
        return super().within(request, seconds)


class _Adapter(ABC, Generic[_Opened]):
    """
    What both have in common: from the official arguments to a transport for each token and secret.
    """

    # For subclasses that replace `send` and never call this __init__.
    _is_closed = False
    _network: Network | None = None

    def __init__(
        self,
        events_url: str | None,
        people_url: str | None,
        import_url: str | None,
        request_timeout: float | None,
        groups_url: str | None,
        api_host: str,
        retry_limit: int,
        retry_backoff_factor: float,
        verify_cert: bool,
        credentials: ServiceAccountCredentials | Credentials | None,
        ca_file: str | Path | None,
    ) -> None:
        _number(retry_backoff_factor, "retry_backoff_factor", 0.0)
        if verify_cert is not True:
            raise InvalidValue("verify_cert", "True: for an authority of your own give ca_file", describe(verify_cert))
        timeout = 30.0 if request_timeout is None else _number(request_timeout, "request_timeout", 0.001)
        if type(retry_limit) is not int or retry_limit < 0:
            raise InvalidValue("retry_limit", "an int, at least 0", _found(retry_limit))
        self._max_tries = retry_limit + 1
        self._server, base = _host(api_host)
        self._credentials = credentials_of(credentials)
        urls = {"/track": events_url, "/engage": people_url, "/groups": groups_url, "/import": import_url}
        names = {"/track": "events_url", "/engage": "people_url", "/groups": "groups_url", "/import": "import_url"}
        chosen = {path: _address(url, names[path]) for path, url in urls.items() if url is not None}
        if "/track" in chosen and "/import" not in chosen:
            # Old events stay with the server that was chosen for events.
            chosen["/import"] = chosen["/track"].rpartition("/")[0] + "/import"
        if base:
            chosen = {path: f"{self._server}{base}{path}" for path in urls} | chosen
        self._network = _Network(chosen, timeout, ca_file)
        self._transports: dict[tuple[str, Credentials | None], _Opened] = {}

    @abstractmethod
    def _open(self, project: Project) -> _Opened:
        """
        A transport that delivers for *project*.
        """

    @takes_utf8
    def send(self, endpoint: str, json_message: str, api_key: _Keys = None, api_secret: str | None = None) -> bool:
        """
        Take the message, or the list of messages, that *json_message* is; white space around it does not matter.

        Args:
            endpoint: ``events``, ``people``, ``groups`` or ``imports``.
            json_message: The JSON, as a str.
            api_key: Has no effect of its own; as a tuple, it and *api_secret* together.
            api_secret: Authorises /import, unless there are credentials. Without either the token does.

        Returns:
            True.

        Raises:
            MixpanelException: If the endpoint is unknown, or the text cannot be sent; nothing is sent then. Or if the
                messages were not taken.
            InvalidValue: If another argument is not what it should be; nothing is sent then.
        """
        if not isinstance(endpoint, str) or endpoint not in ENDPOINTS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MixpanelException("endpoint must be one of " + ", ".join(map(repr, ENDPOINTS)) + ", not another")
        if isinstance(api_key, tuple | list):
            if len(api_key) != 2:
                raise InvalidValue("api_key", "a key, or a pair of key and secret", f"{len(api_key)} of them")
            _, api_secret = api_key
        if self._is_closed:
            raise MixpanelException("the consumer had been closed")
        messages = _messages_in(json_message, endpoint)
        if not messages:
            return True
        credentials = self._credentials
        if credentials is None and api_secret is not None and endpoint == "imports":
            try:
                credentials = ProjectSecret(api_secret)
            except InvalidValue as fault:
                raise fault.at("api_secret") from None
        by_token: dict[str, list[Message]] = {}
        for message in messages:
            by_token.setdefault(token_of(message) or _NAMELESS, []).append(message)
        # All of them before anything is sent: a token that cannot be one is a mistake.
        ready = [(self._transport(token, credentials), each) for token, each in by_token.items()]
        outcome = Outcome.total([transport.send(*each) for transport, each in ready])
        if not outcome.is_success:
            raise MixpanelException(outcome=outcome)
        return True

    def close(self, *, timeout: float | None = _SECONDS) -> None:
        """
        Deliver what is held, for *timeout* seconds, and close the connections. What is sent afterwards is refused.

        Raises:
            MixpanelException: If something was not delivered, here or before, and no call has told it yet.
        """
        check_timeout(timeout)
        self._is_closed = True
        if self._network is None:
            return
        end = _end_of(timeout)
        outcomes = [transport.close(max(end - time.monotonic(), 0.0)) for transport in list(self._transports.values())]
        self._network.close()
        _tell(Outcome.total([*outcomes, *self._untold()]))

    @counts
    def stats(self) -> Stats:
        """
        The figures of all messages that were sent by way of it, whoever sent them.
        """
        each = () if self._network is None else tuple(self._transports.values())
        return Stats.total(transport.stats() for transport in each)

    def _untold(self) -> list[Outcome]:
        """
        What became of messages behind everybody's back.
        """
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transport(self, token: str, credentials: Credentials | None) -> _Opened:
        key = (token, credentials)
        found = self._transports.get(key)
        if found is None:
            # Not under a lock, which a fork could leave locked; whichever thread is first has made the one for all.
            try:
                project = Project(token, server=self._server, credentials=credentials)
            except InvalidValue as fault:
                raise _no_message(fault.at("the token in json_message")) from fault
            made = self._open(project)
            found = self._transports.setdefault(key, made)
            if found is not made:
                made.close()
        if self._is_closed:  # in this very moment, by another thread
            found.close()
        return found


class Consumer(_Adapter[SyncTransport]):
    """
    Delivers each message while the caller waits, over a `SyncTransport`.

    Args:
        events_url, people_url, import_url, groups_url: Whole URLs to use instead of those of *api_host*.
        request_timeout: Seconds for one request; None means 30.
        api_host: The name of a host, such as ``api-eu.mixpanel.com``, or of a proxy and a path there, such as
            ``track.example.org/mp``, below which all endpoints are.
        retry_limit: How often to try again, as far as that is safe for the message, and within 30 seconds.
        retry_backoff_factor: Has no effect: the waits are those that Mixpanel asks for.
        verify_cert: Must be True.
        credentials: What authorises /import.
        ca_file: A file of certificates to trust instead of the system's.

    Raises:
        InvalidValue: If a setting is not what it should be.
    """

    def __init__(
        self,
        events_url: str | None = None,
        people_url: str | None = None,
        import_url: str | None = None,
        request_timeout: float | None = None,
        groups_url: str | None = None,
        api_host: str = "api.mixpanel.com",
        retry_limit: int = 4,
        retry_backoff_factor: float = 0.25,
        verify_cert: bool = True,
        credentials: ServiceAccountCredentials | Credentials | None = None,
        *,
        ca_file: str | Path | None = None,
    ) -> None:
        super().__init__(
            events_url,
            people_url,
            import_url,
            request_timeout,
            groups_url,
            api_host,
            retry_limit,
            retry_backoff_factor,
            verify_cert,
            credentials,
            ca_file,
        )

    def _open(self, project: Project) -> SyncTransport:
        return SyncTransport(project, max_tries=self._max_tries, post=self._network)


class BufferedConsumer(_Adapter[BufferedTransport]):
    """
    Holds messages and delivers them in the background, over a `BufferedTransport`: `send` neither waits nor raises for
    weather, and what the server does not take yet is kept and tried again. A full buffer is sent at once, one that is
    not full after a second, and what is left at the end of the process then. Only where memory is full does `send` wait
    for room, as long as the server takes messages; in an outage it drops and `flush` says how many.

    Args:
        max_size: How many messages share a request, up to 2,000.
        retry_limit: Has no effect: what was not delivered is tried for as long as it takes.
        events_url, people_url, import_url, request_timeout, groups_url, api_host, retry_backoff_factor, verify_cert,
            credentials, ca_file: As for `Consumer`.

    Raises:
        InvalidValue: If a setting is not what it should be.
    """

    def __init__(
        self,
        max_size: int = 50,
        events_url: str | None = None,
        people_url: str | None = None,
        import_url: str | None = None,
        request_timeout: float | None = None,
        groups_url: str | None = None,
        api_host: str = "api.mixpanel.com",
        retry_limit: int = 4,
        retry_backoff_factor: float = 0.25,
        verify_cert: bool = True,
        credentials: ServiceAccountCredentials | Credentials | None = None,
        *,
        ca_file: str | Path | None = None,
    ) -> None:
        super().__init__(
            events_url,
            people_url,
            import_url,
            request_timeout,
            groups_url,
            api_host,
            retry_limit,
            retry_backoff_factor,
            verify_cert,
            credentials,
            ca_file,
        )
        if type(max_size) is not int or max_size < 1:
            raise InvalidValue("max_size", "an int, at least 1", _found(max_size))
        self._max_messages = min(max_size, BATCH_MESSAGES.maximum)
        self._remembered: deque[tuple[int, Outcome]] = deque(maxlen=_MAX_REMEMBERED)
        self._dropped = 0

    def flush(self, *, timeout: float | None = _SECONDS) -> None:
        """
        Deliver what is held now, for *timeout* seconds, and say what became of everything since the last flush.

        Raises:
            MixpanelException: If something was not delivered, or not in time, or there was no room for it. What is
                only late is kept and tried again; what was refused is in the exception, and gone from here.
        """
        check_timeout(timeout)
        if self._network is None:
            return
        end = _end_of(timeout)
        outcomes: list[Outcome] = []
        late = 0
        troubles: dict[str, None] = {}
        transports = list(self._transports.values())
        for transport in transports:
            outcomes.append(transport.flush(max(end - time.monotonic(), 0.0)))
            if time.monotonic() >= end:
                # Else what is held came after the flush began.
                held = transport.stats().held
                late += held
                if held:
                    troubles.update(dict.fromkeys(transport.troubles))
        dropped = sum(transport.stats().dropped for transport in transports)
        sentences: list[str] = []
        if late:
            why = f" ({'; '.join(troubles)})" if troubles else ""
            sentences.append(
                f"1 message is not delivered yet; it is kept and tried again{why}"
                if late == 1
                else f"{late:,} messages are not delivered yet; they are kept and tried again{why}"
            )
        if (count := dropped - self._dropped) > 0:
            sentences.append(
                "1 message was dropped, because there was no room for it"
                if count == 1
                else f"{count:,} messages were dropped, because there was no room for them"
            )
        self._dropped = dropped
        _tell(Outcome.total([*outcomes, *self._untold()]), *sentences)

    def _untold(self) -> list[Outcome]:
        taken: list[tuple[int, Outcome]] = []
        try:
            while True:
                taken.append(self._remembered.popleft())
        except IndexError:  # another flush may have taken the last one
            # What was there at a fork is told by the parent.
            return [outcome for pid, outcome in taken if pid == os.getpid()]

    def _open(self, project: Project) -> BufferedTransport:
        transport = BufferedTransport(
            project, max_messages=self._max_messages, when_full="pace", block_seconds=_SECONDS, post=self._network
        )
        transport.settled_in_background = self._remember
        return transport

    def _remember(self, outcome: Outcome) -> None:
        if not outcome.is_success:
            self._remembered.append((os.getpid(), evolve(outcome, delivered=())))


def _messages_in(text: str, endpoint: str) -> tuple[Message, ...]:
    try:
        return messages_from_json(ENDPOINTS[endpoint], text)
    except InvalidValue as fault:
        raise _no_message(fault) from fault


def _no_message(fault: InvalidValue) -> MixpanelException:
    """
    What a text raises that cannot be sent. Not `InvalidValue`: it may have come from a queue, and who works on that
    expects of a bad job what the official client raises when the server refuses it.
    """
    return MixpanelException(str(fault))


def _tell(outcome: Outcome, *sentences: str) -> None:
    """
    Raise what there is to tell.
    """
    if sentences or not outcome.is_success:
        endpoint, message = _refused(outcome)
        if sentences and not outcome.is_success:
            sentences = (*sentences, str(MixpanelException(outcome=outcome)))
        said = ("; ".join(sentences),) if sentences else ()
        raise MixpanelException(*said, outcome=outcome, message=message, endpoint=endpoint)


def _refused(outcome: Outcome) -> tuple[str | None, str | None]:
    """
    The endpoint of the first message that was certainly not applied, and all of those for it as a JSON list.
    """
    gone: list[Message] = [each.message for each in outcome.rejected] + [each.message for each in outcome.failed]
    if not gone:
        return None, None
    endpoint = gone[0].endpoint
    text = b",".join(message.body for message in gone if message.endpoint is endpoint).decode()
    return next(name for name, each in ENDPOINTS.items() if each is endpoint), f"[{text}]"


def _end_of(timeout: float | None) -> float:
    return time.monotonic() + (_SECONDS if timeout is None else timeout)


def _number(value: float, name: str, least: float) -> float:
    if type(value) is not int and type(value) is not float:
        raise InvalidValue(name, "a number of seconds", describe(value))
    if not least <= value <= 3600:
        found = f"{value:g}" if abs(value) < 10**9 or type(value) is float else "int"
        raise InvalidValue(name, f"from {least:g} to 3,600 seconds", found)
    return float(value)


def _found(value: object) -> str:
    return str(value) if type(value) is int and abs(value) < 10**9 else describe(value)


def _host(host: str) -> tuple[str, str]:
    """
    The base URL of a host that is given by its name, and the path there, which may be empty.
    """
    allowed = "the name of a host, such as 'api-eu.mixpanel.com'"
    if type(host) is not str:
        raise InvalidValue("api_host", allowed, describe(host))
    match = _HOST.fullmatch(host)
    if match is None:
        raise InvalidValue("api_host", allowed, "a URL" if "://" in host else "something else")
    name, path = match["name"], match["path"]
    if path and _MIXPANEL.fullmatch(name):
        raise InvalidValue(
            "api_host", "a host of Mixpanel by its name alone, such as 'api-eu.mixpanel.com'", "a path there"
        )
    try:
        return server_url(f"https://{name}"), path.rstrip("/")
    except InvalidValue as fault:
        raise fault.at("api_host") from None


def _address(url: str, name: str) -> str:
    """
    A whole URL without a query, https or on loopback.
    """
    match = _ADDRESS.fullmatch(url) if isinstance(url, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if match is None or "?" in url or "#" in url:
        found = "another form" if isinstance(url, str) else describe(url)  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue(name, "a URL with a path and without a query", found)
    try:
        return server_url(match[1]) + (match[2] or "/")
    except InvalidValue as fault:
        raise fault.at(name) from None
