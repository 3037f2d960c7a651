"""
The project to send to and the transport, from options, environment variables and a TOML file.

An option wins over a variable, a variable over the file::

    token = "0123456789abcdef0123456789abcdef"
    server = "eu"                  # us (default), eu, in, https://host[:port], http:// on loopback
    events = "import"              # track, import; by default the command line takes import, `Mixpanel` track
    limits = "warn"                # warn (default), strict, off
    enabled = true                 # false: `Mixpanel` checks what it is given and sends nothing

    [service_account]
    username = "app.1a2b3c.mp-service-account"
    secret = "..."
    project_id = 12345

    [transport]                    # or in one line: transport = "buffered:?spool=/var/spool/app"
    type = "buffered"
    spool = "/var/spool/app"

The variables are MIXWIRE_TOKEN, MIXWIRE_SERVER, MIXWIRE_EVENTS, MIXWIRE_LIMITS, MIXWIRE_ENABLED (true or false, 1 or 0,
yes or no, on or off), MIXWIRE_SERVICE_ACCOUNT_USERNAME, _SECRET and _PROJECT_ID, and MIXWIRE_TRANSPORT;
MIXWIRE_TRANSPORT_FLUSH_AFTER_SECONDS and its like are single keys of the transport, also of one in the file. Any other
name that begins with MIXWIRE_ is refused, as an unknown key of the file is: a misspelt MIXWIRE_SERVER would send the
data to another part of the world, and nobody would be told. Only what Kubernetes sets for a service of that name, such
as MIXWIRE_SERVICE_HOST, is passed over.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from attrs import evolve, field, fields, frozen

from .core import EventRoute, InvalidValue, Policy, Project, ServiceAccount
from .core.errors import describe
from .core.text import short_name
from .transports.config import Layers, layers_from_environment, structure
from .transports.descriptions import Description
from .transports.tags import unknown

__all__ = [
    "AccountSettings",
    "Settings",
    "project_of",
    "read_settings",
    "settings_from_environment",
    "structure_settings",
    "transport_of",
]

_VARIABLES: Final = (
    "MIXWIRE_TOKEN",
    "MIXWIRE_SERVER",
    "MIXWIRE_EVENTS",
    "MIXWIRE_LIMITS",
    "MIXWIRE_ENABLED",
    "MIXWIRE_SERVICE_ACCOUNT_USERNAME",
    "MIXWIRE_SERVICE_ACCOUNT_SECRET",
    "MIXWIRE_SERVICE_ACCOUNT_PROJECT_ID",
    "MIXWIRE_TRANSPORT",
)
_OF_TRANSPORT: Final = "MIXWIRE_TRANSPORT_"
_OF_A_SERVICE: Final = re.compile(
    r"MIXWIRE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
"""
What Kubernetes sets in all containers beside a service whose name begins with ``mixwire``; nobody there wrote it.
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""


@frozen(kw_only=True)
class AccountSettings:
    """
    What a service account is made of.
    """

    username: str | None = None
    secret: str | None = None
    project_id: str | None = None


@frozen(kw_only=True)
class Settings:
    """
    What can be set; None is not set.
    """

    token: str | None = None
    server: str | None = None
    events: str | None = None
    limits: str | None = None
    enabled: bool | None = None
    service_account: AccountSettings = AccountSettings()
    transport: Layers = field(factory=Layers)

    def over(self, other: Settings) -> Settings:
        """
        These settings, and those of *other* for what is not set here.
        """
        account = _over(self.service_account, other.service_account)
        return evolve(_over(self, other), service_account=account, transport=self.transport.over(other.transport))


_Values = TypeVar("_Values", Settings, AccountSettings)


def _over(first: _Values, second: _Values) -> _Values:
    names = [field.name for field in fields(type(first)) if getattr(first, field.name) is None]
    return evolve(first, **{name: getattr(second, name) for name in names})


def read_settings(path: Path) -> Settings:
    """
    The settings of a TOML file.

    Raises:
        InvalidValue: If it cannot be read, is no TOML, or holds what is not known here, with the path inside the file.
    """
    # Each is raised out here, because the exception that told it may hold the file, and so its secrets.
    text = ""
    mistake: InvalidValue | None = None
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        mistake = InvalidValue(str(path), "a file that can be read", f"unreadable ({error.strerror})")
    except UnicodeDecodeError:
        mistake = InvalidValue(str(path), "a file of UTF-8 text", "one in another encoding")
    except ValueError:
        mistake = InvalidValue("path", "a path", "one with a NUL" if "\0" in str(path) else "one that no file can have")
    if mistake is not None:
        raise mistake
    data, found = _read_toml(text)
    if found:
        raise InvalidValue(str(path), "TOML", found)
    try:
        return structure_settings(data)
    except InvalidValue as fault:
        raise InvalidValue(f"{path}: {fault.path}", fault.allowed, fault.found) from None


def _read_toml(text: str) -> tuple[dict[str, Any], str]:  # Any: as tomllib declares it
    """
    What the text says, and what is wrong with it, in words that do not repeat it.
    """
    try:
        return tomllib.loads(text), ""
    except tomllib.TOMLDecodeError as error:
        # The sentence of the error repeats a piece of the file, which may be a secret: only its place is told.
        return {}, f"broken {str(error).rpartition('(')[2].rstrip(')')}"
    except RecursionError:
        return {}, "nested so deep"
    except ValueError:  # an integer of thousands of digits
        return {}, "one with a number that cannot be read"


def structure_settings(data: Mapping[str, object]) -> Settings:
    """
    Settings from plain data.

    Raises:
        InvalidValue: If there is a key that is not known, or a value of another type.
    """
    return _structure(data, Settings)


def settings_from_environment(environment: Mapping[str, str]) -> Settings:
    """
    Settings from variables; an empty one is set to nothing, which is an error, not a default.

    Raises:
        InvalidValue: If a name that begins with MIXWIRE_ is not known, or a value is not allowed; the path is the name
            of the variable.
    """
    _check_names(environment)
    given = {name: _given(environment, "MIXWIRE_", name, _PROJECT) for name in ("token", "server", "events", "limits")}
    prefix = "MIXWIRE_SERVICE_ACCOUNT_"
    account = {name: _given(environment, prefix, name, _ACCOUNT) for name in ("username", "secret", "project_id")}
    if environment.get("MIXWIRE_TRANSPORT") == "":
        raise InvalidValue("MIXWIRE_TRANSPORT", "a tag such as 'buffered', a URL-like string or JSON", "empty")
    return Settings(
        **given,
        enabled=_enabled(environment.get("MIXWIRE_ENABLED")),
        service_account=AccountSettings(**account),
        transport=layers_from_environment(environment),
    )


def _check_names(environment: Mapping[str, str]) -> None:
    for name in sorted(environment):
        if not name.startswith("MIXWIRE_") or name in _VARIABLES or name.startswith(_OF_TRANSPORT):
            continue
        if _OF_A_SERVICE.fullmatch(name) is None:
            path = name if name.isidentifier() and len(name) <= 60 else short_name(name)
            known = "one of the known variables: " + ", ".join(_VARIABLES) + f", or {_OF_TRANSPORT} and one of its keys"
            raise InvalidValue(path, known, unknown(name, _VARIABLES))


_PROJECT: Final = Project("none")
_ACCOUNT: Final = ServiceAccount(username="none", secret="none", project_id="0")  # noqa: S106
"""What a single value is tried in, so that it is told by the name of its variable."""


def _given(
    environment: Mapping[str, str],
    prefix: str,
    name: str,
    trial: Any,  # Any: `evolve` takes no union
) -> str | None:
    variable = prefix + name.upper()
    value = environment.get(variable)
    if value is not None:
        try:
            evolve(trial, **{name: value})
        except InvalidValue as fault:
            raise fault.at(variable) from None
    return value


def _enabled(text: str | None) -> bool | None:
    if text is None:
        return None
    enabled = _SWITCH.get(text.lower())
    if enabled is None:
        raise InvalidValue("MIXWIRE_ENABLED", "one of " + ", ".join(_SWITCH), "another value" if text else "empty")
    return enabled


_SWITCH: Final = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "yes": True,
    "no": False,
    "on": True,
    "off": False,
}


def project_of(
    settings: Settings,
    *,
    events: EventRoute = "import",
    token_from: str = "--token, MIXWIRE_TOKEN or token in the file of --config",  # noqa: S107  # a sentence
) -> Project:
    """
    The project that the settings describe.

    Args:
        settings: What was set.
        events: Where events go if nothing is set. The command line has /import, which answers for each of them.
        token_from: Where a token can be set, for the sentence about one that is missing.

    Raises:
        InvalidValue: If the token is missing, a service account is not complete, or a value is not allowed.
    """
    if settings.token is None:
        raise InvalidValue("token", f"given with {token_from}", "missing")
    account = settings.service_account
    credentials = None
    if account != AccountSettings():
        for name in ("username", "secret", "project_id"):
            if getattr(account, name) is None:
                raise InvalidValue(f"service_account.{name}", "given", "missing")
        credentials = ServiceAccount(
            username=account.username or "", secret=account.secret or "", project_id=account.project_id or ""
        )
    return Project(
        settings.token,
        server="us" if settings.server is None else settings.server,
        credentials=credentials,
        events=events if settings.events is None else cast("EventRoute", settings.events),
        limits=cast("Policy", "warn" if settings.limits is None else settings.limits),
    )


def transport_of(settings: Settings) -> Description | None:
    """
    The transport that the settings describe; None if they say nothing about it.

    Raises:
        InvalidValue: If what they say together is not sound.
    """
    return settings.transport.description()


def _structure(data: object, kind: type[_Values]) -> _Values:
    if not isinstance(data, Mapping):
        raise InvalidValue("", "a table", describe(data))
    table = cast("Mapping[str, object]", data)
    known = [field.name for field in fields(kind)]
    given: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            path = name if name.isidentifier() and len(name) <= 60 else f"[{short_name(name)}]"
            raise InvalidValue(path, "one of the known keys: " + ", ".join(known), unknown(name, known))
        if name == "service_account":
            try:
                given[name] = _structure(value, AccountSettings)
            except InvalidValue as fault:
                raise fault.under(name) from None
        elif name == "transport":
            given[name] = _transport(value)
        elif name == "enabled":
            if type(value) is not bool:
                raise InvalidValue(name, "true or false", describe(value))
            given[name] = value
        elif type(value) is str or (name == "project_id" and type(value) is int):
            given[name] = str(value)
        else:
            raise InvalidValue(name, "a str", describe(value))
    return kind(**given)


def _transport(value: object) -> Layers:
    # Checked here, where the file is known, and kept as it is: variables may say more about it.
    if not isinstance(value, Mapping | str):
        raise InvalidValue("transport", "a table or a str", describe(value))
    data = cast("Mapping[str, object] | str", value)
    structure(data)
    return Layers(data=data)
