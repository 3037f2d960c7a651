from __future__ import annotations

from base64 import b64decode
from urllib.parse import parse_qs, urlsplit

import pytest

from mixwire.core.batches import Batch
from mixwire.core.changes import Add, Delete
from mixwire.core.events import Track
from mixwire.core.http import NoResponse, Request, Response, to_request
from mixwire.core.identity import Alias, Merge
from mixwire.core.messages import Endpoint, Message, encode
from mixwire.core.profiles import GroupOp, PeopleOp
from mixwire.core.project import Credentials, Project, ProjectSecret, ServiceAccount

ACCOUNT = ServiceAccount(username="robot", secret="hush", project_id=12345)
PROJECTS = [
    Project("TOKEN"),
    Project("TOKEN", use_request_ip=True),
    Project("TOKEN", server="eu", credentials=ACCOUNT),
    Project("TOKEN", server="http://localhost:8080", credentials=ProjectSecret("hush")),
]


def request(endpoint: Endpoint, project: Project = PROJECTS[0], *, repeatable: bool = True) -> Request:
    return to_request(Batch((Message(endpoint, b"{}", (), repeatable),)), project)


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("project", PROJECTS, ids=["plain", "request ip", "service account", "project secret"])
def test_r3_no_url_has_a_fragment(endpoint: Endpoint, project: Project) -> None:
    url = request(endpoint, project).url
    assert "#" not in url
    assert urlsplit(url).path == endpoint.value


@pytest.mark.parametrize(
    ("endpoint", "compressible"),
    [(Endpoint.TRACK, True), (Endpoint.IMPORT, True), (Endpoint.ENGAGE, False), (Endpoint.GROUPS, False)],
)
def test_r9_updates_are_never_compressed(endpoint: Endpoint, compressible: bool) -> None:
    assert request(endpoint).compressible is compressible


@pytest.mark.parametrize("endpoint", [Endpoint.TRACK, Endpoint.ENGAGE, Endpoint.GROUPS])
@pytest.mark.parametrize("project", PROJECTS, ids=["plain", "request ip", "service account", "project secret"])
def test_r10_only_import_is_authorized(endpoint: Endpoint, project: Project) -> None:
    assert request(endpoint, project).authorization is None
    assert request(Endpoint.IMPORT, project).authorization is not None


@pytest.mark.parametrize("endpoint", [Endpoint.TRACK, Endpoint.ENGAGE, Endpoint.GROUPS])
def test_r11_requests_ask_for_a_verbose_answer_and_no_place(endpoint: Endpoint) -> None:
    assert request(endpoint).url == f"https://api.mixpanel.com{endpoint.value}?verbose=1&ip=0"
    asked = request(endpoint, Project("TOKEN", use_request_ip=True))
    assert asked.url == f"https://api.mixpanel.com{endpoint.value}?verbose=1&ip=1"


@pytest.mark.parametrize("endpoint", Endpoint)
def test_r15_nothing_is_ever_sent_as_form_data(endpoint: Endpoint) -> None:
    sent = to_request(Batch((Message(endpoint, b'{"a":"+ &=%"}', ()),)), PROJECTS[0])
    assert sent.content_type == "application/json"
    assert sent.body == b'[{"a":"+ &=%"}]'


@pytest.mark.parametrize(
    ("credentials", "query", "user_and_password"),
    [
        pytest.param(None, {"strict": ["1"], "ip": ["0"]}, "TOKEN:", id="token"),
        pytest.param(ProjectSecret("hush"), {"strict": ["1"], "ip": ["0"]}, "hush:", id="project secret"),
        pytest.param(
            ACCOUNT, {"strict": ["1"], "ip": ["0"], "project_id": ["12345"]}, "robot:hush", id="service account"
        ),
    ],
)
def test_import_is_strict_and_authorized_by_what_the_project_has(
    credentials: Credentials | None, query: dict[str, list[str]], user_and_password: str
) -> None:
    made = request(Endpoint.IMPORT, Project("TOKEN", credentials=credentials))
    assert parse_qs(urlsplit(made.url).query) == query
    scheme, _, encoded = (made.authorization or "").partition(" ")
    assert (scheme, b64decode(encoded).decode()) == ("Basic", user_and_password)


def test_import_can_ask_for_the_place_of_the_request() -> None:
    assert request(Endpoint.IMPORT, Project("TOKEN", use_request_ip=True)).url.endswith("/import?strict=1&ip=1")


@pytest.mark.parametrize(
    ("server", "origin"),
    [
        ("us", "https://api.mixpanel.com"),
        ("eu", "https://api-eu.mixpanel.com"),
        ("in", "https://api-in.mixpanel.com"),
        ("https://proxy.example:8443", "https://proxy.example:8443"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_r102_an_alias_goes_to_the_configured_server_like_all_else(server: str, origin: str) -> None:
    project = Project("TOKEN", server=server)
    for operation in (
        Alias(alias="user-1", distinct_id="device-1"),
        Merge("user-1", "user-2"),
        Track("E", distinct_id="user-1", time=1767225600, insert_id="a1"),
        PeopleOp("user-1", Delete()),
        GroupOp("Company", "acme", Delete()),
    ):
        url = to_request(Batch((encode(operation, project),)), project).url
        assert url.startswith(origin + "/")


def test_a_request_carries_the_batch_and_its_repeatability() -> None:
    project = Project("TOKEN")
    batch = Batch(
        (encode(PeopleOp("user-1", Add({"n": 1})), project), encode(PeopleOp("user-2", Add({"n": 1})), project))
    )
    assert to_request(batch, project).body == batch.body
    assert to_request(batch, project).repeatable is False
    assert request(Endpoint.ENGAGE).repeatable is True


def test_a_request_shows_no_secret_url_or_content() -> None:
    shown = repr(request(Endpoint.IMPORT, PROJECTS[2]))
    assert shown == "Request(body=<4 bytes>, compressible=True, authorization='***', repeatable=True)"
    assert "authorization=None" in repr(request(Endpoint.TRACK))


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ((), None),
        ((("Retry-After", "5"),), "5"),
        ((("retry-after", "5"), ("Date", "x")), "5"),
        ((("Retry-After", "5"), ("RETRY-AFTER", "6")), None),
        ((("Retry-After", "5"), ("Retry-After", "5")), None),
    ],
    ids=["none", "one", "in lower case", "two", "the same twice"],
)
def test_a_header_is_read_without_case_and_only_if_it_is_the_only_one(
    headers: tuple[tuple[str, str], ...], value: str | None
) -> None:
    assert Response(status=429, headers=headers).header("Retry-After") == value


def test_a_response_shows_no_content() -> None:
    response = Response(status=200, body=b"TOKEN", headers=(("Set-Cookie", "TOKEN"),))
    assert repr(response) == "Response(status=200, body=<5 bytes>, complete=True)"


def test_no_response_means_one_that_may_be_tried_again_unless_it_says_blocked() -> None:
    assert NoResponse(reason="connection refused", maybe_received=False).blocked is False
