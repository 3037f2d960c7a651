"""
One request and what came back for it, as values; nothing here knows how they travel.

Source of the forms: https://docs.mixpanel.com/reference/import-events, https://docs.mixpanel.com/reference/track-event,
https://docs.mixpanel.com/reference/profile-set and https://docs.mixpanel.com/reference/ingestion-api-authentication
"""

from __future__ import annotations

from base64 import b64encode
from typing import TypeAlias, assert_never

from attrs import field, frozen

from .batches import Batch
from .messages import Endpoint
from .project import Project, ProjectSecret, ServiceAccount

__all__ = ["Answer", "NoResponse", "Request", "Response", "to_request"]


@frozen(kw_only=True)
class Request:
    """
    A POST to be made.

    Attributes:
        url: The whole URL, with its query.
        body: The body as JSON, uncompressed.
        compressible: Whether the body may travel as gzip: /track and /import take it, the others do not.
        authorization: The Authorization header, or None; only /import gets one.
        repeatable: Whether the request may be made again when nobody knows if it arrived.
    """

    url: str = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    compressible: bool
    authorization: str | None = field(default=None, repr=lambda value: "None" if value is None else "'***'")
    repeatable: bool = True

    @property
    def content_type(self) -> str:
        """
        The media type of the body.
        """
        return "application/json"


@frozen(kw_only=True)
class Response:
    """
    A complete answer.

    Attributes:
        status: The HTTP status.
        body: The body, at most as long as a transport cares to read.
        headers: Name and value as received; compared without case.
        complete: Whether the body arrived whole.
    """

    status: int
    body: bytes = field(default=b"", repr=lambda body: f"<{len(body)} bytes>")
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    complete: bool = True

    def header(self, name: str) -> str | None:
        """
        The value of the only header of that name; None if there is none or more than one.
        """
        values = [value for each, value in self.headers if each.lower() == name.lower()]
        return values[0] if len(values) == 1 else None


@frozen(kw_only=True)
class NoResponse:
    """
    No usable answer.

    Attributes:
        reason: What went wrong, in words for a person; without URL, token and body.
        maybe_received: Whether the whole request may have reached the server.
        blocked: Whether trying again cannot help before somebody mends something: a certificate that cannot be trusted.
    """

    reason: str
    maybe_received: bool
    blocked: bool = False


Answer: TypeAlias = Response | NoResponse
"""What a request can lead to."""


def to_request(batch: Batch, project: Project) -> Request:
    """
    The request that delivers *batch*.
    """
    query, authorization = "", None
    match batch.endpoint:
        case Endpoint.IMPORT:
            query, authorization = _import_access(project)
        case Endpoint.TRACK | Endpoint.ENGAGE | Endpoint.GROUPS:
            query = f"verbose=1&ip={int(project.use_request_ip)}"
        case _:
            assert_never(batch.endpoint)
    return Request(
        url=f"{project.server}{batch.endpoint.value}?{query}",
        body=batch.body,
        compressible=batch.endpoint in (Endpoint.TRACK, Endpoint.IMPORT),
        authorization=authorization,
        repeatable=batch.repeatable,
    )


def _import_access(project: Project) -> tuple[str, str]:
    """
    The query and the Authorization header of /import. The server finds the project from the token or the secret only
    while no project_id is given; a service account needs one.
    """
    # An event without an `ip` would be placed where this machine stands.
    query = f"strict=1&ip={int(project.use_request_ip)}"
    match project.credentials:
        case ServiceAccount(username=username, secret=secret, project_id=project_id):
            return f"{query}&project_id={project_id}", _basic(username, secret)
        case ProjectSecret(secret=secret):
            return query, _basic(secret, "")
        case None:
            return query, _basic(project.token, "")
        case _:
            assert_never(project.credentials)


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
