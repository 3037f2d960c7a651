"""
Whose data it is and where it goes: token, server, credentials. Secrets stay out of every repr.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, get_args

import orjson
from attrs import Attribute, Factory, field, frozen

from .errors import InvalidValue, describe
from .limits import Policy
from .text import hidden

__all__ = [
    "SERVERS",
    "Credentials",
    "EventRoute",
    "Project",
    "ProjectSecret",
    "ServiceAccount",
    "server_url",
]

SERVERS: Final = {
    "us": "https://api.mixpanel.com",
    "eu": "https://api-eu.mixpanel.com",
    "in": "https://api-in.mixpanel.com",
}
"""The servers by residency. https://docs.mixpanel.com/docs/privacy/eu-residency"""

EventRoute: TypeAlias = Literal["track", "import"]
"""
Where events go: ``track`` sends live ones to /track and those older than five days to /import; ``import`` sends all to
/import, which answers for each single event and is Mixpanel's advice for servers.
"""

_URL: Final = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::([0-9]{1,5}))?/?")
_LOOPBACK: Final = re.compile(r"localhost|127(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}|\[::1\]")
_NAMED: Final = re.compile(
    r"(?:https?://)?(?:(?:api|data)(?:-(?P<in>eu|in))?|(?P<at>eu|in))\.mixpanel\.com(?::443)?(?:/.*)?", re.IGNORECASE
)
"""The host of a residency, written as other libraries take it."""

_HOST_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def server_url(server: str) -> str:
    """
    The base URL of a server given as ``us``, ``eu``, ``in``, in any case, ``https://host[:port]``, or ``http://`` on
    loopback.

    Raises:
        InvalidValue: For anything else; the sentence does not repeat what was given, which may hold a password.
    """
    if type(server) is not str:
        raise InvalidValue("server", _SERVER_FORMS, describe(server))
    if server.lower() in SERVERS:
        return SERVERS[server.lower()]
    match = _URL.fullmatch(server)
    if match is None:
        named = _NAMED.fullmatch(server)
        hint = _perhaps((named["in"] or named["at"] or "us").lower()) if named else ""
        raise InvalidValue("server", _SERVER_FORMS, f"another form{hint}")
    scheme, host, port = match[1], match[2].lower(), match[3]
    if port is not None and not 0 < int(port) < 65536:
        raise InvalidValue("server", "a URL with a port from 1 to 65535", "one outside")
    if not host.startswith("[") and (len(host) > 253 or not all(map(_HOST_LABEL.fullmatch, host.split(".")))):
        raise InvalidValue("server", "a URL with the name of a host", "one with an impossible name")
    if scheme == "http" and _LOOPBACK.fullmatch(host) is None:
        raise InvalidValue("server", "an https:// URL (plain http only to loopback)", "plain http to another host")
    return f"{scheme}://{host}" + (f":{int(port)}" if port is not None else "")


_SERVER_FORMS: Final = "'us', 'eu', 'in', https://host[:port], or http://host[:port] on loopback"


_PRINTABLE: Final = "printable ASCII without spaces"


def _printable(value: str, path: str) -> str:
    """
    Text that can stand in a header and in JSON as it is; the sentence must not repeat it.
    """
    if type(value) is not str:
        raise InvalidValue(path, "a str", describe(value))
    if not value or value.isspace():
        raise InvalidValue(path, _PRINTABLE, "empty")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidValue(path, _PRINTABLE, "with other characters")
    return value


def _user(value: str, path: str) -> str:
    if ":" in _printable(value, path):
        raise InvalidValue(path, "without a colon, which ends it in the header", "with one")
    return value


def _token(value: str) -> str:
    return _user(value, "token")


def _username(value: str) -> str:
    return _user(value, "username")


def _project_secret(value: str) -> str:
    return _user(value, "secret")


def _secret(value: str) -> str:
    return _printable(value, "secret")


def _project_id(value: str | int) -> str:
    text = str(value) if type(value) is int and value.bit_length() < 64 else value
    if type(text) is not str:
        raise InvalidValue("project_id", "the number of the project", describe(value))
    if not text.isascii() or not text.isdigit():
        raise InvalidValue("project_id", "the number of the project", "something else")
    return text


@frozen(kw_only=True)
class ServiceAccount:
    """
    The recommended credentials for /import; the account needs role Owner or Admin.
    https://docs.mixpanel.com/reference/service-accounts
    """

    username: str = field(converter=_username)
    secret: str = field(converter=_secret, repr=hidden, metadata={"secret": True})
    project_id: str = field(converter=_project_id)


@frozen
class ProjectSecret:
    """
    The older credentials for /import, retired by Mixpanel on 3 March 2027. https://docs.mixpanel.com/reference/project-secret
    """

    secret: str = field(converter=_project_secret, repr=hidden, metadata={"secret": True})


Credentials: TypeAlias = ServiceAccount | ProjectSecret
"""What may authorise /import instead of the token; sent nowhere else."""


def _credentials(value: Credentials | None) -> Credentials | None:
    if value is not None and type(value) not in get_args(Credentials):
        raise InvalidValue("credentials", "ServiceAccount(...), ProjectSecret(...) or None", describe(value))
    return value


def _check_choice(value: str, path: str, choices: tuple[str, ...]) -> None:
    if type(value) is not str or value not in choices:
        # Who writes one in another way begins as it does.
        begin = value[:3].lower() if type(value) is str else ""
        nearest = next((choice for choice in choices if len(begin) > 1 and choice.startswith(begin)), None)
        hint = "" if nearest is None else _perhaps(nearest)
        raise InvalidValue(path, "one of " + ", ".join(map(repr, choices)), f"another value{hint}")


def _check_events(project: Project, attribute: Attribute[EventRoute], value: EventRoute) -> None:
    _check_choice(value, "events", get_args(EventRoute))


def _check_limits(project: Project, attribute: Attribute[Policy], value: Policy) -> None:
    _check_choice(value, "limits", get_args(Policy))


def _perhaps(choice: str) -> str:
    return f" (perhaps {choice!r})"


def _use_request_ip(value: bool) -> bool:
    if type(value) is not bool:
        raise InvalidValue("use_request_ip", "True or False", describe(value))
    return value


def _event_tail(project: Project) -> bytes:
    return b',"token":%b}}' % orjson.dumps(project.token)


@frozen
class Project:
    """
    Whose data it is and where it goes.

    Attributes:
        token: The project token; public, yet not printed.
        server: ``us``, ``eu``, ``in``, an ``https://`` base URL, or ``http://`` on loopback; kept as a base URL.
        credentials: What authorises /import; None sends the token as user name.
        events: Whether live events go to /track or all events to /import.
        limits: What to do about values that the server would silently truncate or drop.
        use_request_ip: Take the address of this machine for the user's place. Off, because a server's address says
            nothing about its users.

    Raises:
        InvalidValue: If a field is not what it should be; no sentence repeats a token or a secret.
    """

    token: str = field(converter=_token, repr=hidden)
    server: str = field(default="us", kw_only=True, converter=server_url)
    credentials: Credentials | None = field(default=None, kw_only=True, converter=_credentials)
    events: EventRoute = field(default="track", kw_only=True, validator=_check_events)
    limits: Policy = field(default="warn", kw_only=True, validator=_check_limits)
    use_request_ip: bool = field(default=False, kw_only=True, converter=_use_request_ip)
    event_tail: bytes = field(init=False, repr=False, eq=False, default=Factory(_event_tail, takes_self=True))
    """What ends the JSON of each event: the token and the closing braces."""
