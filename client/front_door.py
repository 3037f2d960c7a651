"""
`Mixpanel`: the methods that users of Mixpanel know, and `send` for typed operations. Each of them stamps, encodes and
hands over; how a message looks is decided by the core, what becomes of it by the transport.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeAlias, TypeVar, cast
from uuid import UUID

from attrs import evolve

from .core import (
    Alias,
    Charge,
    Credentials,
    EventRoute,
    Identify,
    Instant,
    InvalidValue,
    Merge,
    Message,
    NotStamped,
    Operation,
    Outcome,
    Policy,
    Project,
    ProjectSecret,
    Track,
    UserId,
    encode,
    stamp,
)
from .core.errors import describe
from .core.events import track_of
from .core.messages import with_meta
from .core.shapes import EVENT
from .core.text import is_utf8
from .core.times import instant_of, seconds, time_of
from .core.updates import Where, group_operation, in_message, people_operation
from .core.values import freeze
from .credentials import ServiceAccountCredentials, credentials_of
from .exceptions import MixpanelException
from .hand_over import ConsumerTransport
from .kinds import held, plain
from .notices import Notices
from .serializers import DatetimeSerializer
from .stamps import milliseconds_now, new_insert_id
from .transports import NullTransport, SyncTransport, Transport
from .transports.base import NOTHING, Stats, check_timeout
from .transports.reports import Reporter

if TYPE_CHECKING:
    from .settings import Settings
    from .transports.config import Data

__all__ = ["Mixpanel"]

_Keys: TypeAlias = tuple[str | None, str | None]
"""The API key and the API secret of one call."""
_Made = TypeVar("_Made")

_NO_PROPERTIES: Final[Mapping[str, object]] = {}
_STAMPS: Final = {"time": "an int, float or datetime", "insert_id": "a str"}
_NO_TOKEN: Final = "none"  # noqa: S105
"""Stands for the token where nothing is sent, and so none is needed."""
_ARGUMENTS: Final = {"$delete": "meta"}
"""Which argument is at fault if an operator is, where it is not the properties."""
_ALLOWED_HERE: Final = {
    "given as options=UpdateOptions(ip=...)": "given as meta={'$ip': ...}",
    "given as options=UpdateOptions(ignore_time=...)": "given as meta={'$ignore_time': ...}",
    "given as options=UpdateOptions(ignore_alias=...)": "given as meta={'$ignore_alias': ...}",
    "given as options=UpdateOptions(latitude=..., longitude=...)": "given in meta, with '$latitude' and '$longitude'",
    "given as time of the operation": "given as meta={'$time': ...}",
    "given as distinct_id of the operation": "given as the argument distinct_id",
    "given as Track(time=...)": "given as 'time'",
    "given as Track(distinct_id=...)": "given as the argument distinct_id",
}
"""What the core says of a property in a wrong place, in the words of the methods here."""
_ALLOWED_OF_ALL: Final = {
    **_ALLOWED_HERE,
    "given as Track(time=...)": "left out: it differs from event to event",
    "given as Track(distinct_id=...)": "left out: it differs from event to event",
    "given as Track(insert_id=...)": "left out: it differs from event to event",
}
_TEXT: Final = frozenset({str})
_NOT_SERIALIZED: Final = frozenset({"$time", "$distinct_id", "$group_key", "$group_id"})


class _End:
    """
    Whether a front door was closed, for all that share its transport. Not a `threading.Event`, whose lock a signal
    handler would wait for in the thread that has it, and a child process for ever.
    """

    has_come = False


class Mixpanel:
    """
    Sends events, profile updates and group updates of one project.

    By default each call is one request, and raises `MixpanelException` if that was not taken. With
    ``transport="buffered"`` a call takes microseconds and never raises for what happens on the way. A mistake in an
    argument raises `mixwire.core.InvalidValue` at the call, whatever the transport.

    As a context manager, leaving it delivers what is held and closes it.

    Args:
        token: The token of the project; may be None or empty where *enabled* is False.
        consumer: Takes the messages instead of a transport: any object with
            ``send(endpoint, json_message, api_key=None)``, also one that takes the first two only.
        serializer: Turns values that this library does not know into what JSON can say: a subclass of
            `json.JSONEncoder`. With the default the values of `mixwire.core.values` are taken.
        local_flags_config, remote_flags_config: Must be None: feature flags are not part of this library.
        credentials: What authorises /import; without any the token does.
        transport: A `Transport`, or what `mixwire.transports.config` reads as one: a tag such as ``buffered``, a
            URL-like string, a table, a description. None is a `SyncTransport`.
        server: ``us`` (default), ``eu``, ``in``, an ``https://`` base URL, or ``http://`` on loopback.
        events: ``track``, or ``import`` to send all events to /import, which answers for each single one.
        limits: What to do about values that the server would silently change: ``strict`` raises, ``warn`` logs it.
        enabled: False checks everything and sends nothing.
        now: The time in milliseconds since 1970, for what is not given one.
        make_insert_id: A new id for an event that is not given one: 1 to 36 of A-Z a-z 0-9 and -.

    Raises:
        InvalidValue: If an argument is not what it should be.
    """

    def __init__(
        self,
        token: str | None,
        consumer: object | None = None,
        serializer: type[json.JSONEncoder] | None = DatetimeSerializer,
        local_flags_config: None = None,
        remote_flags_config: None = None,
        credentials: ServiceAccountCredentials | Credentials | None = None,
        *,
        transport: Transport | Data | None = None,
        server: str | None = None,
        events: EventRoute = "track",
        limits: Policy = "warn",
        enabled: bool = True,
        now: Callable[[], int] = milliseconds_now,
        make_insert_id: Callable[[], str] = new_insert_id,
    ) -> None:
        for name, flags in (("local_flags_config", local_flags_config), ("remote_flags_config", remote_flags_config)):
            if flags is not None:
                raise InvalidValue(name, "None: feature flags are not part of this library", describe(flags))
        if type(enabled) is not bool:
            raise InvalidValue("enabled", "True or False", describe(enabled))
        for name, source in (("now", now), ("make_insert_id", make_insert_id)):
            if not callable(source):
                raise InvalidValue(name, "callable", describe(source))
        self._serializer = _serializer(serializer)
        self._reporter = Reporter()
        self._project = Project(
            cast("str", held(token) if token or enabled else _NO_TOKEN),
            server="us" if server is None else server,
            credentials=credentials_of(credentials),
            events=events,
            limits=limits,
        )
        self._notices = Notices(self._reporter) if self._project.limits == "warn" else None
        self._past = evolve(self._project, events="import")
        self._properties = _NO_PROPERTIES
        self._now = now
        self._make_insert_id = make_insert_id
        self._by_secret: dict[str, Transport] | None = None
        self._end = _End()
        if consumer is not None:
            _refuse_beside("consumer", transport=transport, server=server)
            if credentials is not None:
                self._reporter.tell("credentials are ignored when a custom consumer is provided: give them to it")
            self._transport: Transport = ConsumerTransport(consumer)
        elif isinstance(transport, Transport):
            _refuse_beside("transport", server=server, credentials=credentials)
            if any(each.token != self._project.token for each in transport.delivers_for):
                # Its credentials would send the events of one project into the other.
                raise InvalidValue("transport", "one for the project of the token", "one for another project")
            self._transport = transport
        elif transport is not None:
            self._transport = _built(transport, self._project, server, enabled=enabled)
        elif enabled:
            self._transport = SyncTransport(self._project)
            self._by_secret = {}
        self._is_enabled = enabled
        if not enabled:
            self._transport = NullTransport()

    @classmethod
    def from_env(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        now: Callable[[], int] = milliseconds_now,
        make_insert_id: Callable[[], str] = new_insert_id,
    ) -> Self:
        """
        As the variables say that `mixwire.settings` lists: MIXWIRE_TOKEN, MIXWIRE_SERVER, MIXWIRE_TRANSPORT and others.

        Args:
            environment: The variables; by default those of the process.
            now, make_insert_id: As for the class.

        Raises:
            InvalidValue: If one of them is not what it should be, or the token is missing while `enabled` is not false.
        """
        # Only who configures from data pays for loading cattrs.
        from .settings import settings_from_environment

        settings = settings_from_environment(_environment(environment))
        return cls._of(settings, "MIXWIRE_TOKEN", now, make_insert_id)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        environment: Mapping[str, str] | None = None,
        *,
        now: Callable[[], int] = milliseconds_now,
        make_insert_id: Callable[[], str] = new_insert_id,
    ) -> Self:
        """
        As a TOML file says, in the form that `mixwire.settings` shows. What a variable says comes before it.

        Args:
            path: The file.
            environment: The variables; by default those of the process.
            now, make_insert_id: As for the class.

        Raises:
            InvalidValue: If the file cannot be read, or something in it or in a variable is not what it should be.
        """
        from .settings import read_settings, settings_from_environment

        if not isinstance(path, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValue("path", "a path, a str or a Path", describe(cast("object", path)))
        settings = settings_from_environment(_environment(environment))
        settings = settings.over(read_settings(Path(path)))
        return cls._of(settings, f"MIXWIRE_TOKEN, or as token in {path}", now, make_insert_id)

    @classmethod
    def _of(
        cls, settings: Settings, token_from: str, now: Callable[[], int], make_insert_id: Callable[[], str]
    ) -> Self:
        from .settings import project_of, transport_of

        enabled = settings.enabled is not False
        if settings.token is None and not enabled:
            settings = evolve(settings, token=_NO_TOKEN)
        project = project_of(settings, events="track", token_from=token_from)
        return cls(
            project.token,
            credentials=project.credentials,
            transport=transport_of(settings),
            server=settings.server,
            events=project.events,
            limits=project.limits,
            enabled=enabled,
            now=now,
            make_insert_id=make_insert_id,
        )

    def with_properties(self, properties: Mapping[str, object]) -> Self:
        """
        A front door that gives all its events these properties, under those that an event has itself. This one is
        unchanged. Both share the transport, so closing one closes both.

        Raises:
            InvalidValue: If a property cannot be sent, or is one that differs from event to event.
        """
        given = cast("Mapping[str, object]", self._plain(_mapping(properties, "properties"), "properties"))
        added = _in_words(lambda: freeze(given, EVENT), {}, _ALLOWED_OF_ALL)
        other = copy.copy(self)
        other._properties = {**self._properties, **added.thaw()}  # noqa: SLF001  # another one of this class
        return other

    @property
    def local_flags(self) -> NoReturn:
        """
        Feature flags are not part of this library.

        Raises:
            MixpanelException: Always, as in the official client where none are configured.
        """
        raise MixpanelException("local_flags: feature flags are not part of this library")

    @property
    def remote_flags(self) -> NoReturn:
        """
        As `local_flags`.
        """
        raise MixpanelException("remote_flags: feature flags are not part of this library")

    # --- events and identity ----------------------------------------------------------------------------------------

    def track(
        self,
        distinct_id: UserId,
        event_name: str,
        properties: Mapping[str, object] | None = None,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Say that *distinct_id* did *event_name*, now. An event older than five days goes to /import by itself.

        Args:
            distinct_id: Who did it; ``""`` for an event without a user.
            event_name: What was done.
            properties: More about it. ``time``, ``$insert_id`` and ``distinct_id`` among them replace those that the
                event would get.
            meta: Keys to stand beside the properties; Mixpanel documents none.

        Raises:
            InvalidValue: If something cannot be sent, with its path.
            MixpanelException: If it was not delivered.
        """
        message = self._event(self._project, distinct_id, event_name, None, properties, meta)
        outcome = self._transport.send(message)
        if outcome is not NOTHING:
            _told(outcome)

    def import_data(
        self,
        api_key: str | None,
        distinct_id: UserId,
        event_name: str,
        timestamp: Instant,
        properties: Mapping[str, object] | None = None,
        meta: Mapping[str, object] | None = None,
        api_secret: str | None = None,
    ) -> None:
        """
        Say that *distinct_id* did *event_name* at *timestamp*, by way of /import, which takes events of any age.

        Args:
            api_key: Has no effect; a consumer is given it.
            distinct_id, event_name, properties, meta: As for `track`.
            timestamp: Unix time in seconds or milliseconds, or a datetime.
            api_secret: Authorises this one event, unless there are credentials; without either the token does. Only
                the default transport and consumers take one, others have credentials.

        Raises:
            InvalidValue: If something cannot be sent, with its path.
            MixpanelException: If it was not delivered.
        """
        if timestamp is None:  # pyright: ignore[reportUnnecessaryComparison]  # what callers without types give
            raise InvalidValue("timestamp", "an int, float or datetime", "None")
        message = self._event(self._past, distinct_id, event_name, timestamp, properties, meta)
        self._hand_over(message, (api_key, api_secret))

    def alias(self, alias_id: UserId, original: UserId, meta: Mapping[str, object] | None = None) -> None:
        """
        From now on *alias_id* means the user *original*. Goes where everything goes; nothing later overtakes it.

        Raises:
            InvalidValue: If an id cannot be one.
            MixpanelException: If it was not delivered.
        """
        words = {"alias": "alias_id", "distinct_id": "original"}
        self._identity(_in_words(lambda: Alias(alias=held(alias_id), distinct_id=held(original)), words), meta)

    def identify(self, identified_id: UserId, anon_id: str | UUID, meta: Mapping[str, object] | None = None) -> None:
        """
        The anonymous *anon_id*, a UUID of version 4, is the user *identified_id*. Nothing later overtakes it.

        Raises:
            InvalidValue: If an id cannot be one.
            MixpanelException: If it was not delivered.
        """
        self._identity(Identify(identified_id=held(identified_id), anon_id=held(anon_id)), meta)

    def merge(
        self,
        api_key: str | None,
        distinct_id1: UserId,
        distinct_id2: UserId,
        meta: Mapping[str, object] | None = None,
        api_secret: str | None = None,
    ) -> None:
        """
        Two ids are the same user. Cannot be undone. Nothing later overtakes it.

        Args:
            api_key: Has no effect; a consumer is given it.
            distinct_id1, distinct_id2: The ids.
            meta: As for `track`.
            api_secret: As for `import_data`; Mixpanel wants it, or credentials, for this.

        Raises:
            InvalidValue: If an id cannot be one.
            MixpanelException: If it was not delivered.
        """
        self._identity(Merge(held(distinct_id1), held(distinct_id2)), meta, (api_key, api_secret))

    # --- profiles of users ------------------------------------------------------------------------------------------

    def people_set(
        self, distinct_id: UserId, properties: Mapping[str, object], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Create or overwrite properties of a profile.

        Args:
            distinct_id: Whose profile.
            properties: Names and values.
            meta: What stands beside them: ``$ip`` (``0`` for no place), ``$ignore_time``, ``$time``, ``$ignore_alias``,
                ``$latitude`` and ``$longitude``.

        Raises:
            InvalidValue: If something cannot be sent, with its path.
            MixpanelException: If it was not delivered.
        """
        self._people(distinct_id, "$set", properties, meta)

    def people_set_once(
        self, distinct_id: UserId, properties: Mapping[str, object], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Write the properties that a profile does not have yet; else as `people_set`.
        """
        self._people(distinct_id, "$set_once", properties, meta)

    def people_increment(
        self, distinct_id: UserId, properties: Mapping[str, object], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Add numbers to properties of a profile, negative ones to subtract; else as `people_set`.

        If the answer is lost, it is not sent again: it would count twice.
        """
        self._people(distinct_id, "$add", properties, meta)

    def people_append(
        self, distinct_id: UserId, properties: Mapping[str, object], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Put one value at the end of each named list; else as `people_set`.

        If the answer is lost, it is not sent again: it would count twice.
        """
        self._people(distinct_id, "$append", properties, meta)

    def people_union(
        self, distinct_id: UserId, properties: Mapping[str, object], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Add to each named list the values that it does not hold yet; else as `people_set`.
        """
        self._people(distinct_id, "$union", properties, meta)

    def people_unset(
        self, distinct_id: UserId, properties: list[str] | tuple[str, ...], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Remove the properties with these names from a profile; else as `people_set`.
        """
        self._people(distinct_id, "$unset", properties, meta)

    def people_remove(
        self, distinct_id: UserId, properties: Mapping[str, object], meta: Mapping[str, object] | None = None
    ) -> None:
        """
        Take one value out of each named list; else as `people_set`.
        """
        self._people(distinct_id, "$remove", properties, meta)

    def people_delete(self, distinct_id: UserId, meta: Mapping[str, object] | None = None) -> None:
        """
        Delete a profile; its events stay. Else as `people_set`.
        """
        self._people(distinct_id, "$delete", "", meta)

    def people_track_charge(
        self,
        distinct_id: UserId,
        amount: float | Decimal,
        properties: Mapping[str, object] | None = None,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Say that *distinct_id* paid *amount*; a negative one is a refund. Else as `people_append`.

        Args:
            distinct_id: Who paid.
            amount: How much, in the currency of the project.
            properties: More about this one transaction. ``$time`` among them says when it was, in place of now.
            meta: As for `people_set`.
        """
        rest = {} if properties is None else _mapping(properties, "properties")
        time = _charge_time(held(rest.pop("$time", None)))
        charge = Charge(held(distinct_id), held(amount), cast("Mapping[str, object]", self._plain(rest, "properties")))
        when = seconds(self._instant() if time is None else time)
        transaction = {**charge.properties.thaw(), "$time": instant_of(when), "$amount": charge.amount}
        self._people(distinct_id, "$append", {"$transactions": transaction}, meta)

    def people_clear_charges(self, distinct_id: UserId, meta: Mapping[str, object] | None = None) -> None:
        """
        Forget everything that *distinct_id* ever paid; else as `people_set`.
        """
        self._people(distinct_id, "$unset", ["$transactions"], meta)

    def people_update(self, message: Mapping[str, object], meta: Mapping[str, object] | None = None) -> None:
        """
        Send an update in the form of the wire: ``{"$distinct_id": "u1", "$set": {...}, "$add": {...}}``.

        Several operators must touch different properties, because Mixpanel does not say in which order it applies them.
        An operator that is not known here is sent as it is.

        Args:
            message: The update.
            meta: Keys to add to it or to replace.

        Raises:
            InvalidValue: If something is missing or cannot be sent, with its path.
            MixpanelException: If it was not delivered.
        """
        self._update(people_operation, message, meta, {})

    # --- profiles of groups -----------------------------------------------------------------------------------------

    def group_set(
        self,
        group_key: str,
        group_id: UserId,
        properties: Mapping[str, object],
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Create or overwrite properties of a group.

        Args:
            group_key: The kind of group, as made in the project's settings.
            group_id: Which group.
            properties: Names and values.
            meta: What stands beside them: ``$ip``, ``$ignore_time``, ``$time``.

        Raises:
            InvalidValue: If something cannot be sent, with its path.
            MixpanelException: If it was not delivered.
        """
        self._group(group_key, group_id, "$set", properties, meta)

    def group_set_once(
        self,
        group_key: str,
        group_id: UserId,
        properties: Mapping[str, object],
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Write the properties that a group does not have yet; else as `group_set`.
        """
        self._group(group_key, group_id, "$set_once", properties, meta)

    def group_union(
        self,
        group_key: str,
        group_id: UserId,
        properties: Mapping[str, object],
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Add to each named list the values that it does not hold yet; else as `group_set`.
        """
        self._group(group_key, group_id, "$union", properties, meta)

    def group_unset(
        self,
        group_key: str,
        group_id: UserId,
        properties: list[str] | tuple[str, ...],
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Remove the properties with these names from a group; else as `group_set`.
        """
        self._group(group_key, group_id, "$unset", properties, meta)

    def group_remove(
        self,
        group_key: str,
        group_id: UserId,
        properties: Mapping[str, object],
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """
        Take one value out of each named list; else as `group_set`.
        """
        self._group(group_key, group_id, "$remove", properties, meta)

    def group_delete(self, group_key: str, group_id: UserId, meta: Mapping[str, object] | None = None) -> None:
        """
        Delete the profile of a group; else as `group_set`.
        """
        self._group(group_key, group_id, "$delete", "", meta)

    def group_update(self, message: Mapping[str, object], meta: Mapping[str, object] | None = None) -> None:
        """
        Send a group update in the form of the wire: ``{"$group_key": ..., "$group_id": ..., "$set": {...}}``; else as
        `people_update`.
        """
        self._update(group_operation, message, meta, {})

    # --- everything -------------------------------------------------------------------------------------------------

    def send(self, *operations: Operation) -> Outcome:
        """
        Send operations, in order; several share requests. What has no time or insert_id yet gets them.

        Returns:
            What is settled already: everything with the default transport, nothing with a buffered one.

        Raises:
            MixwireError: If one of them cannot be sent; nothing is sent then.
            MixpanelException: If something was not delivered.
        """
        messages = tuple(encode(self._stamped(operation), self._project) for operation in operations)
        if self._notices is not None:
            for message in messages:
                self._notices.look_at(message)
        return _told(self._transport.send(*messages))

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Deliver what is held, waiting *timeout* seconds at most, and return what became settled; what is still held is
        in `stats`. With a consumer, call its ``flush``.
        """
        check_timeout(timeout)
        return Outcome.total([transport.flush(timeout) for transport in self._transports()])

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Deliver what is held, and close the transport; give up after *timeout* seconds, or those that the transport was
        made with. A consumer is only flushed: it is the caller's, and may serve others.
        """
        check_timeout(timeout)
        self._end.has_come = True
        return Outcome.total([transport.close(timeout) for transport in self._transports()])

    def stats(self) -> Stats:
        """
        The figures so far, in messages: accepted = delivered + rejected + failed + unknown + dropped + held. A consumer
        of your own counts what it was handed as delivered; one of ours gives its own figures.
        """
        return Stats.total(transport.stats() for transport in self._transports())

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Mixpanel cannot be sent to another process: make one in each")

    def __repr__(self) -> str:
        return f"Mixpanel({self._project.server!r}, {type(self._transport).__name__})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    # --- how it is done ---------------------------------------------------------------------------------------------

    def _event(
        self,
        project: Project,
        distinct_id: UserId,
        event_name: str,
        timestamp: Instant | None,
        properties: Mapping[str, object] | None,
        meta: Mapping[str, object] | None,
    ) -> Message:
        given = self._properties
        if properties is not None:
            given = properties if not given else {**given, **_mapping(properties, "properties")}
        time = self._now() if timestamp is None else timestamp
        insert_id = self._make_insert_id()
        track = None
        if self._serializer is None:
            # What only few events need is not asked of all of them.
            try:  # noqa: SIM105  # what suppresses it takes as long as to encode the event
                track = track_of(event_name, distinct_id, given, time, insert_id)
            except InvalidValue:
                pass
        if track is None:
            track = self._lifted(event_name, distinct_id, given, time, insert_id, is_past=timestamp is not None)
        try:
            message = encode(track, project)
        except NotStamped as missing:
            source = "now()" if missing.field == "time" else "make_insert_id()"
            raise InvalidValue(source, _STAMPS[missing.field], "None") from None
        if meta is not None:
            message = with_meta(message, cast("Mapping[str, object]", self._plain(_mapping(meta, "meta"), "meta")))
        if self._notices is not None and not self._notices.is_plain(track, given):
            self._notices.look_at(message)
        return message

    def _lifted(
        self,
        event_name: str,
        distinct_id: UserId,
        given: Mapping[str, object],
        time: Instant,
        insert_id: str,
        *,
        is_past: bool,
    ) -> Track:
        """
        The event with those of its fields that stand among the properties; if it cannot be sent, said in the words of
        the caller.
        """
        rest = _mapping(given, "properties")
        self._check_token(rest.pop("token", None), "properties['token']")
        words = {
            "event": "event_name",
            "time": "timestamp" if is_past else "now()",
            "insert_id": "make_insert_id()",
            "distinct_id": "distinct_id",
        }
        # Any: what the caller gave is checked by Track.
        values: dict[str, Any] = {"distinct_id": held(distinct_id), "time": held(time), "insert_id": held(insert_id)}
        for name, place in (("distinct_id", "distinct_id"), ("time", "time"), ("$insert_id", "insert_id")):
            if name in rest:
                values[place] = held(rest.pop(name))
                words[place] = f"properties[{name!r}]"
        for place, allowed in _STAMPS.items():
            if values[place] is None:
                raise InvalidValue(words[place], allowed, "None")
        others = cast("Mapping[str, object]", self._plain(rest, "properties"))
        return _in_words(lambda: Track(held(event_name), properties=others, **values), words)

    def _identity(
        self, operation: Alias | Identify | Merge, meta: Mapping[str, object] | None, keys: _Keys = (None, None)
    ) -> None:
        message = encode(operation, self._project)
        if meta is not None:
            message = with_meta(message, cast("Mapping[str, object]", self._plain(_mapping(meta, "meta"), "meta")))
        self._hand_over(message, keys)

    def _people(self, distinct_id: UserId, operator: str, value: object, meta: Mapping[str, object] | None) -> None:
        words = {"$distinct_id": "distinct_id", operator: _ARGUMENTS.get(operator, "properties")}
        self._update(people_operation, {"$distinct_id": distinct_id, operator: value}, meta, words)

    def _group(
        self, group_key: str, group_id: UserId, operator: str, value: object, meta: Mapping[str, object] | None
    ) -> None:
        words = {"$group_key": "group_key", "$group_id": "group_id", operator: _ARGUMENTS.get(operator, "properties")}
        self._update(group_operation, {"$group_key": group_key, "$group_id": group_id, operator: value}, meta, words)

    def _update(
        self,
        operation_of: Callable[[Mapping[str, object], Where], Operation],
        update: Mapping[str, object],
        meta: Mapping[str, object] | None,
        words: Mapping[str, str],
    ) -> None:
        beside = {} if meta is None else _mapping(meta, "meta")
        whole = {"$time": seconds(self._instant()), **_mapping(update, "message"), **beside}

        def where(name: str) -> str:
            if name in beside or (words and name not in words):
                return f"meta[{name!r}]"
            return words.get(name, in_message(name))

        self._check_token(whole.pop("$token", None), where("$token"))
        operation = None
        if self._serializer is None:
            # As for events: most updates need none of what follows.
            try:  # noqa: SIM105
                operation = operation_of(whole, where)
            except InvalidValue:
                pass
        if operation is None:
            plain = {
                name: held(value) if name in _NOT_SERIALIZED else self._plain(value, where(name))
                for name, value in whole.items()
            }
            operation = _in_words(lambda: operation_of(plain, where), {})
        message = encode(operation, self._project)
        if self._notices is not None:
            self._notices.look_at(message)
        _told(self._transport.send(message))

    def _stamped(self, operation: Operation) -> Operation:
        if self._properties and type(operation) is Track:
            operation = Track(
                operation.event,
                distinct_id=operation.distinct_id,
                properties={**self._properties, **operation.properties.thaw()},
                time=operation.time,
                insert_id=operation.insert_id,
            )
        return stamp(operation, time=self._now(), insert_id=self._make_insert_id())

    def _hand_over(self, message: Message, keys: _Keys) -> None:
        """
        Send what may go to /import, and so may need a secret of its own.
        """
        transport, (api_key, api_secret) = self._transport, keys
        for name, key in (("api_key", api_key), ("api_secret", api_secret)):
            if key is not None and not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidValue(name, "a str", describe(cast("object", key)))
        if isinstance(transport, ConsumerTransport):
            _told(transport.send_with((message,), keys))
            return
        if api_secret is not None and self._project.credentials is None:
            if self._by_secret is not None:
                transport = self._with_secret(api_secret, self._by_secret)
            elif self._is_enabled:
                self._reporter.tell("api_secret has no effect on this transport: give it credentials")
        elif api_key is not None:
            self._reporter.tell("api_key has no effect: /import is authorised by credentials, or else by the token")
        _told(transport.send(message))

    def _with_secret(self, api_secret: str, opened: dict[str, Transport]) -> Transport:
        if api_secret in opened:
            return opened[api_secret]
        try:
            credentials = ProjectSecret(api_secret)
        except InvalidValue as fault:
            raise fault.at("api_secret") from None
        found = opened.setdefault(api_secret, SyncTransport(evolve(self._project, credentials=credentials)))
        if self._end.has_come:
            found.close()
        return found

    def _transports(self) -> list[Transport]:
        return [self._transport, *(self._by_secret or {}).values()]

    def _instant(self) -> int:
        time = _in_words(lambda: time_of(self._now()), {"time": "now()"})
        if time is None:
            raise InvalidValue("now()", _STAMPS["time"], "None")
        return time

    def _plain(self, value: object, path: str) -> object:
        """
        The value in plain kinds, or as the serializer of the caller writes it; what that raises goes through.
        """
        if self._serializer is None:
            return plain(value)
        if type(value) is not dict and isinstance(value, Mapping):
            value = dict(cast("Mapping[str, object]", value))
        try:
            return cast("object", json.loads(json.dumps(value, cls=self._serializer)))
        except RecursionError:
            pass
        except ValueError as error:
            # What json itself raises: for a value inside itself, and for an integer of thousands of digits.
            if not str(error).startswith(("Circular reference", "Exceeds the limit")):
                raise
        raise InvalidValue(path, "a value that JSON can hold", "one inside itself, nested too deep or too large")

    def _check_token(self, token: object, path: str) -> None:
        if token is not None and (type(token) is not str or self._project.token not in (token, _NO_TOKEN)):
            raise InvalidValue(path, "left out: make a Mixpanel for each project", "another token")


def _serializer(serializer: type[json.JSONEncoder] | None) -> type[json.JSONEncoder] | None:
    """
    The serializer, if it is one of the caller's own.
    """
    if serializer is None or serializer is DatetimeSerializer:
        return None
    if not isinstance(serializer, type) or not issubclass(serializer, json.JSONEncoder):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue("serializer", "a subclass of json.JSONEncoder", describe(serializer))
    return serializer


def _refuse_beside(owner: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise InvalidValue(name, f"left out where a {owner} is given", "given")


def _built(transport: Data, project: Project, server: str | None, *, enabled: bool) -> Transport:
    from .transports.config import build, structure

    description = structure(transport)
    if server is not None and getattr(description, "server", None) is not None:
        # Which of two servers is meant decides where people's data goes.
        raise InvalidValue("server", "given once", "given twice: here and with the transport")
    return build(description, project) if enabled else NullTransport()


def _environment(given: Mapping[str, str] | None) -> Mapping[str, str]:
    if given is None:
        return os.environ
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue("environment", "a mapping of names to text", describe(cast("object", given)))
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValue("environment", "a mapping of names to text", "one with something else in it")
    return given


def _mapping(value: Mapping[str, object], path: str) -> dict[str, object]:
    """
    The mapping as a dict of one's own, which no other thread changes.
    """
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue(path, "a dict with str keys", describe(cast("object", value)))
    copied: dict[str, object] = dict(value)
    if not _TEXT.issuperset(map(type, copied)):
        copied = {held(name): each for name, each in copied.items()}
    for name in copied:
        if type(name) is not str:
            raise InvalidValue(path, "a dict with str keys", f"one with a key of type {describe(cast('object', name))}")
        if not is_utf8(name):
            raise InvalidValue(path, "a dict with keys that UTF-8 can hold", "one with a lone surrogate")
    return copied


def _charge_time(value: object) -> int | None:
    """
    When a charge was made, as the official client takes it: the text of a date too.
    """
    path = "properties['$time']"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
        if value is None:
            raise InvalidValue(path, "a time, such as '2026-01-31T12:00:00'", "another text")
    # Any: what the caller gave is checked here.
    return _in_words(lambda: time_of(cast("Any", value)), {"time": path})


def _in_words(make: Callable[[], _Made], words: Mapping[str, str], allowed: Mapping[str, str] = _ALLOWED_HERE) -> _Made:
    """
    What *make* makes; a fault names the arguments, and what is allowed, as the caller knows them.
    """
    try:
        return make()
    except InvalidValue as fault:
        path = " and ".join(words.get(name, name) for name in fault.path.split(" and "))
        if fault.allowed in allowed:
            raise InvalidValue(path, allowed[fault.allowed], fault.found) from None
        raise fault.at(path) from None


def _told(outcome: Outcome) -> Outcome:
    if not outcome.is_success:
        raise MixpanelException(outcome=outcome)
    return outcome
