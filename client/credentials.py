"""
Credentials under the name that code for the official client uses.
"""

from __future__ import annotations

from .core import Credentials, InvalidValue, ServiceAccount
from .core.errors import describe

__all__ = ["ServiceAccountCredentials", "credentials_of"]


def _checked(value: str, name: str) -> str:
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # what callers without types give
        raise TypeError(f"Service account {name} must be a string")
    if not value.strip():
        raise ValueError(f"Service account {name} cannot be empty")
    return value.strip()


class ServiceAccountCredentials:
    """
    What authorises /import, sent nowhere else. `mixwire.core.ServiceAccount` is the same as a value.

    Args:
        username, secret, project_id: As the project's settings show them; white space around them is taken off.

    Raises:
        TypeError: If one of them is no str.
        ValueError: If one of them is blank, or cannot stand in a header.
    """

    def __init__(self, username: str, secret: str, project_id: str) -> None:
        self._account = ServiceAccount(
            username=_checked(username, "username"),
            secret=_checked(secret, "secret"),
            project_id=_checked(project_id, "project_id"),
        )

    @property
    def account(self) -> ServiceAccount:
        """
        The same as a value of the core.
        """
        return self._account

    @property
    def username(self) -> str:
        """
        The name of the account.
        """
        return self._account.username

    @property
    def secret(self) -> str:
        """
        Its secret.
        """
        return self._account.secret

    @property
    def project_id(self) -> str:
        """
        The number of the project.
        """
        return self._account.project_id

    def to_http_basic_auth(self) -> tuple[str, str]:
        """
        User and password, in the form that HTTP libraries take as ``auth``.
        """
        return self.username, self.secret

    def __repr__(self) -> str:
        return f"ServiceAccountCredentials(username={self.username!r}, project_id={self.project_id!r}, secret='***')"


def credentials_of(value: ServiceAccountCredentials | Credentials | None) -> Credentials | None:
    """
    The same credentials as a value of the core.

    Raises:
        InvalidValue: If *value* is something else.
    """
    if isinstance(value, ServiceAccountCredentials):
        return value.account
    if value is None or isinstance(value, Credentials):  # pyright: ignore[reportUnnecessaryIsInstance]
        return value
    raise InvalidValue("credentials", "ServiceAccountCredentials(...), ProjectSecret(...) or None", describe(value))
