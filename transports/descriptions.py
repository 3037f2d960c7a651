"""
Every transport as a frozen value. A description is checked when it is made, holds no secret, and opens nothing until
`build`.

The fields have the names and the defaults of the constructor's arguments; what they mean is said there. Objects that
are no data (clocks, callbacks, a `Post`) can only be given to the constructors.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, cast, get_args

from attrs import Attribute, evolve, field, fields, frozen

from ..core import BatchLimits, InvalidValue, Project, RetryPolicy
from ..core.errors import describe
from ..core.limits import BATCH_BYTES, BATCH_MESSAGES
from ..core.project import server_url
from .base import Transport
from .fallback import FallbackTransport
from .log import LoggingTransport, level_of
from .null import NullTransport
from .sync import SyncTransport
from .tee import TeeTransport

__all__ = ["Buffered", "Description", "Fallback", "File", "Logging", "Null", "Sync", "Tee"]


class Description(Protocol):
    """
    A transport as data: an attrs class with this method. Its fields are the keys.
    """

    def build(self, project: Project) -> Transport:
        """
        Open the transport.

        Raises:
            InvalidValue: If something that only the world can tell is wrong, such as a directory that cannot be opened.
        """
        ...


# What the fields may hold. Attrs calls these with the description, the field and the value.

_Attribute: TypeAlias = "Attribute[Any]"  # Any: of whatever type the field is
_Check: TypeAlias = Callable[[object, _Attribute, object], None]


def _server(_: object, attribute: _Attribute, value: object) -> None:
    if value is not None:
        server_url(cast("str", value))


def _max_tries(_: object, attribute: _Attribute, value: object) -> None:
    RetryPolicy(max_tries=cast("int | None", value))


def _max_messages(_: object, attribute: _Attribute, value: object) -> None:
    BatchLimits(max_messages=cast("int", value))


def _max_bytes(_: object, attribute: _Attribute, value: object) -> None:
    BatchLimits(max_bytes=cast("int", value))


def _flag(_: object, attribute: _Attribute, value: object) -> None:
    if type(value) is not bool:
        raise InvalidValue(attribute.name, "True or False", describe(value))


def _count(most: int | None = None) -> _Check:
    """
    A whole number from 1 on, up to *most*.
    """
    allowed = "at least 1" if most is None else f"from 1 to {most:,}"

    def check(_: object, attribute: _Attribute, value: object) -> None:
        if type(value) is not int:
            raise InvalidValue(attribute.name, "an int", describe(value))
        if value < 1 or (most is not None and value > most):
            raise InvalidValue(attribute.name, allowed, _short(value))

    return check


def _short(value: float) -> str:
    if type(value) is not int:
        return f"{value:g}"
    return f"{value:,}" if abs(value) < 10**18 else "a number of many digits"


def _text(_: object, attribute: _Attribute, value: object) -> None:
    if type(value) is not str:
        raise InvalidValue(attribute.name, "a str", describe(value))


def _one_of(*choices: str) -> _Check:
    def check(_: object, attribute: _Attribute, value: object) -> None:
        if type(value) is not str or value not in choices:
            raise InvalidValue(attribute.name, "one of " + ", ".join(map(repr, choices)), "another value")

    return check


def _seconds(least: float = 0.0, most: float = math.inf, *, or_least: bool = False, or_none: bool = False) -> _Check:
    """
    A number of seconds above *least*, or that number itself, and up to *most*.
    """
    allowed = "at least" if or_least else "more than"
    allowed = f"{allowed} {least:g}" + ("" if most == math.inf else f" and at most {most:,g} seconds")
    if or_none:
        allowed += ", or None"

    def check(_: object, attribute: _Attribute, value: object) -> None:
        if value is None and or_none:
            return
        if type(value) is not int and type(value) is not float:
            raise InvalidValue(attribute.name, "a number of seconds" + (" or None" if or_none else ""), describe(value))
        if not (least < value <= most or (or_least and value == least)) or value == math.inf:
            raise InvalidValue(attribute.name, allowed, _short(value))

    return check


def _path(value: str | Path) -> str:
    return os.fspath(value) if isinstance(value, Path) else value


def _path_or_none(value: str | Path | None) -> str | None:
    return os.fspath(value) if isinstance(value, Path) else value


def _spool(value: str | Path | File | None) -> str | File | None:
    return os.fspath(value) if isinstance(value, Path) else value


def _is_path(_: object, attribute: _Attribute, value: object) -> None:
    if type(value) is not str:
        raise InvalidValue(attribute.name, "a path, a str", describe(value))
    if not value or "\0" in value:
        raise InvalidValue(attribute.name, "a path", "one with a NUL" if value else "empty")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise InvalidValue(attribute.name, "a path", "one that no file can have") from None


def _or_none(check: _Check) -> _Check:
    def check_if_given(description: object, attribute: _Attribute, value: object) -> None:
        if value is not None:
            check(description, attribute, value)

    return check_if_given


def _members(value: Sequence[Description]) -> tuple[Description, ...]:
    return tuple(value) if isinstance(value, list) else cast("tuple[Description, ...]", value)


def _are_members(_: object, attribute: _Attribute, value: object) -> None:
    if not isinstance(value, tuple):
        raise InvalidValue(attribute.name, "a list of descriptions", describe(value))
    if not value:
        raise InvalidValue(attribute.name, "at least one transport", "none")
    for index, member in enumerate(cast("tuple[object, ...]", value)):
        if not callable(getattr(type(member), "build", None)):
            raise InvalidValue(f"{attribute.name}[{index}]", "a description", describe(member))


_HOST: Final = {"url": "host"}
"""The field that the host of a URL-like string stands for."""
_PATH: Final = {"url": "path"}
"""The field that the path of a URL-like string stands for."""


@frozen(kw_only=True)
class Sync:
    """
    A `SyncTransport`.

    Attributes:
        server: Instead of the project's.
    """

    server: str | None = field(default=None, validator=_server, metadata=_HOST)
    max_tries: int | None = field(default=5, validator=_max_tries)
    at_least_once: bool = field(default=False, validator=_flag)
    max_messages: int = field(default=BATCH_MESSAGES.maximum, validator=_max_messages)
    max_bytes: int = field(default=BATCH_BYTES.maximum, validator=_max_bytes)
    deadline_seconds: float | None = field(default=30.0, validator=_seconds(or_none=True))
    connect_timeout_seconds: float = field(default=5.0, validator=_seconds(most=3600))
    request_timeout_seconds: float = field(default=30.0, validator=_seconds(most=3600))
    compress: bool = field(default=True, validator=_flag)
    ca_file: str | None = field(default=None, converter=_path_or_none, validator=_or_none(_is_path))
    dead_letters: str | None = field(default=None, converter=_path_or_none, validator=_or_none(_is_path))

    def build(self, project: Project) -> Transport:
        settings = _settings(self)
        return SyncTransport(_moved(project, settings.pop("server")), **settings)


_SyncMode: TypeAlias = Literal["always", "interval", "never"]


@frozen(kw_only=True)
class File:
    """
    A `FileTransport`; also the spool of a `Buffered`.
    """

    directory: str = field(converter=_path, validator=_is_path, metadata=_PATH)
    sync: _SyncMode = field(default="interval", validator=_one_of(*get_args(_SyncMode)))
    sync_after_seconds: float = field(default=0.1, validator=_seconds(most=3600))
    max_segment_bytes: int = field(default=8 * 2**20, validator=_count())
    max_bytes: int = field(default=2**30, validator=_count())
    max_age_seconds: float | None = field(default=None, validator=_seconds(or_none=True))
    when_full: Literal["refuse", "drop_oldest"] = field(default="refuse", validator=_one_of("refuse", "drop_oldest"))

    def build(self, project: Project) -> Transport:
        from .file import FileTransport

        settings = _settings(self)
        return FileTransport(settings.pop("directory"), project=project, **settings)


def _is_spool(description: object, attribute: _Attribute, value: object) -> None:
    if type(value) is not File:
        _is_path(description, attribute, value)


@frozen(kw_only=True)
class Buffered:
    """
    A `BufferedTransport`.

    Attributes:
        server: Instead of the project's.
        spool: A directory, or more about it.
    """

    server: str | None = field(default=None, validator=_server, metadata=_HOST)
    max_tries: int | None = field(default=None, validator=_max_tries)
    at_least_once: bool = field(default=False, validator=_flag)
    max_messages: int = field(default=BATCH_MESSAGES.maximum, validator=_max_messages)
    max_bytes: int = field(default=BATCH_BYTES.maximum, validator=_max_bytes)
    flush_after_seconds: float = field(default=1.0, validator=_seconds(most=3600, or_least=True))
    max_held_messages: int = field(default=100_000, validator=_count(1_000_000_000))
    max_held_bytes: int = field(default=64 * 2**20, validator=_count(1 << 50))
    when_full: Literal["drop", "block", "pace", "spill"] | None = field(
        default=None, validator=_or_none(_one_of("drop", "block", "pace", "spill"))
    )
    block_seconds: float = field(default=1.0, validator=_seconds(most=3600, or_least=True))
    max_in_flight: int = field(default=4, validator=_count(4))
    background: bool = field(default=True, validator=_flag)
    exit_seconds: float = field(default=2.0, validator=_seconds(most=3600, or_least=True))
    close_seconds: float = field(default=30.0, validator=_seconds(most=3600, or_least=True))
    spool: str | File | None = field(default=None, converter=_spool, validator=_or_none(_is_spool))
    dead_letters: str | None = field(default=None, converter=_path_or_none, validator=_or_none(_is_path))
    connect_timeout_seconds: float = field(default=5.0, validator=_seconds(most=3600))
    request_timeout_seconds: float = field(default=30.0, validator=_seconds(most=3600))
    compress: bool = field(default=True, validator=_flag)
    ca_file: str | None = field(default=None, converter=_path_or_none, validator=_or_none(_is_path))

    def __attrs_post_init__(self) -> None:
        if self.when_full == "spill" and self.spool is None:
            raise InvalidValue("when_full", "'drop', 'block' or 'pace' where there is no spool", "'spill'")
        if self.spool is not None and self.max_tries is not None:
            raise InvalidValue("max_tries", "None with a spool, which keeps messages until they are delivered", "given")

    def build(self, project: Project) -> Transport:
        from .buffered import BufferedTransport
        from .spool_settings import SpoolSettings

        settings = _settings(self)
        if isinstance(self.spool, File):
            settings["spool"] = SpoolSettings(**_settings(self.spool))
        return BufferedTransport(_moved(project, settings.pop("server")), **settings)


@frozen(kw_only=True)
class Logging:
    """
    A `LoggingTransport`.
    """

    logger: str = field(default="mixwire.messages", validator=_text)
    level: int | str = field(default=logging.INFO, converter=level_of)
    include_body: bool = field(default=False, validator=_flag)

    def build(self, project: Project) -> Transport:
        return LoggingTransport(self.logger, level=self.level, include_body=self.include_body)


@frozen
class Null:
    """
    A `NullTransport`.
    """

    def build(self, project: Project) -> Transport:
        return NullTransport()


@frozen(kw_only=True)
class Tee:
    """
    A `TeeTransport`.
    """

    transports: tuple[Description, ...] = field(converter=_members, validator=_are_members)

    def build(self, project: Project) -> Transport:
        return _built(TeeTransport, self.transports, project)


@frozen(kw_only=True)
class Fallback:
    """
    A `FallbackTransport`.
    """

    transports: tuple[Description, ...] = field(converter=_members, validator=_are_members)

    def build(self, project: Project) -> Transport:
        return _built(FallbackTransport, self.transports, project)


def _settings(description: object) -> dict[str, Any]:  # Any: each of another type, which was checked
    kind: Any = type(description)
    return {each.name: getattr(description, each.name) for each in fields(kind)}


def _moved(project: Project, server: str | None) -> Project:
    return project if server is None else evolve(project, server=server)


def _built(make: Callable[..., Transport], members: tuple[Description, ...], project: Project) -> Transport:
    """
    What *make* makes of the members. When one cannot be opened, those before it do not stay open.
    """
    with ExitStack() as opened:
        transports: list[Transport] = []
        for index, member in enumerate(members):
            try:
                transports.append(opened.enter_context(member.build(project)))
            except InvalidValue as fault:
                raise fault.under(f"transports[{index}]") from None
        transport = make(*transports)
        opened.pop_all()
        return transport
