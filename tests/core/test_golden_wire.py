from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest

from mixwire.core import (
    Add,
    Batch,
    Endpoint,
    GroupChange,
    GroupOp,
    Message,
    Operation,
    PeopleChange,
    PeopleOp,
    Project,
    ServiceAccount,
    Track,
    Union,
    UpdateOptions,
    encode,
    to_request,
)

ROWS: dict[str, tuple[Any, Endpoint, str]] = runpy.run_path(
    str(Path(__file__).parent.parent / "golden" / "wire_table.py")
)["ROWS"]
EACH_ROW = pytest.mark.parametrize(("operation", "endpoint", "body"), ROWS.values(), ids=ROWS)
PROJECT = Project("TOKEN")


@EACH_ROW
def test_an_operation_is_encoded_as_the_table_says(operation: Operation, endpoint: Endpoint, body: str) -> None:
    message = encode(operation, PROJECT)
    assert (message.endpoint, message.body.decode()) == (endpoint, body)


@EACH_ROW
def test_reading_a_message_back_says_what_the_table_says(operation: Operation, endpoint: Endpoint, body: str) -> None:
    wire = encode(operation, PROJECT).to_wire()
    assert wire == json.loads(body)
    assert list(wire) == list(json.loads(body))


@EACH_ROW
def test_a_body_is_one_line(operation: Operation, endpoint: Endpoint, body: str) -> None:
    assert encode(operation, PROJECT).body.splitlines() == [body.encode()]


@EACH_ROW
def test_a_project_that_sends_to_import_changes_no_byte(operation: Operation, endpoint: Endpoint, body: str) -> None:
    message = encode(operation, Project("TOKEN", events="import"))
    expected = Endpoint.IMPORT if isinstance(operation, Track) else endpoint
    assert (message.endpoint, message.body.decode()) == (expected, body)


def test_every_operation_has_a_row() -> None:
    assert {type(operation) for operation, _, _ in ROWS.values()} == set(get_args(Operation))


@pytest.mark.parametrize(
    ("kind", "changes"), [(PeopleOp, PeopleChange), (GroupOp, GroupChange)], ids=["people", "group"]
)
def test_every_change_has_a_row_of_its_own(kind: type, changes: object) -> None:
    alone = {
        type(operation.changes[0])
        for operation, _, _ in ROWS.values()
        if isinstance(operation, kind) and len(operation.changes) == 1
    }
    assert alone == set(get_args(changes))


def test_every_option_has_a_row() -> None:
    plain = UpdateOptions()
    given = [operation.options for operation, _, _ in ROWS.values() if getattr(operation, "options", plain) != plain]
    for name in ("ip", "ignore_time", "ignore_alias", "latitude", "longitude"):
        assert any(getattr(options, name) != getattr(plain, name) for options in given), name


# --- the example requests of the protocol reference, section 13.1 ---------------------------------------------------

TOKEN = "0123456789abcdef0123456789abcdef"
SIGNUP = Track(
    "Signup",
    distinct_id="u-1",
    properties={},
    time=1767225600000,
    insert_id="5d1f0a6c2b7e4c0f9a3d8e6b1c2d3e4f",
)


def without_library(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = message.to_wire()
    del wire["properties"]["mp_lib"], wire["properties"]["$lib_version"]
    return wire


def test_a_live_event_is_posted_as_in_the_protocol() -> None:
    project = Project(TOKEN)
    message = encode(SIGNUP, project)
    request = to_request(Batch((message,)), project)
    assert request.url == "https://api.mixpanel.com/track?verbose=1&ip=0"
    assert (request.content_type, request.authorization) == ("application/json", None)
    assert without_library(message) == json.loads(
        '{"event":"Signup","properties":{"token":"0123456789abcdef0123456789abcdef","distinct_id":"u-1",'
        '"time":1767225600000,"$insert_id":"5d1f0a6c2b7e4c0f9a3d8e6b1c2d3e4f"}}'
    )
    assert request.body == b"[" + message.body + b"]"


@pytest.mark.parametrize(
    ("project", "query", "authorization"),
    [
        (Project("token", events="import"), {"strict=1"}, "Basic dG9rZW46"),
        (
            Project(
                "token",
                events="import",
                credentials=ServiceAccount(username="username", secret="secret", project_id=12345),
            ),
            {"strict=1", "project_id=12345"},
            "Basic dXNlcm5hbWU6c2VjcmV0",
        ),
    ],
    ids=["token", "service account"],
)
def test_an_import_is_authorized_as_in_the_protocol(project: Project, query: set[str], authorization: str) -> None:
    request = to_request(Batch((encode(SIGNUP, project),)), project)
    path, _, asked = request.url.partition("?")
    assert path == "https://api.mixpanel.com/import"
    # ip=0 is ours: without it the event would be placed where this machine stands.
    assert set(asked.split("&")) == query | {"ip=0"}
    assert (request.authorization, request.compressible) == (authorization, True)


@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [
        (
            PeopleOp("u-1", Add({"logins": 1}), time=1767225600),
            "/engage",
            '[{"$token":"TOKEN","$distinct_id":"u-1","$time":1767225600,"$add":{"logins":1}}]',
        ),
        (
            GroupOp("Company", "Acme", Union({"features": ["export"]})),
            "/groups",
            '[{"$token":"TOKEN","$group_key":"Company","$group_id":"Acme","$union":{"features":["export"]}}]',
        ),
    ],
    ids=["profile", "group"],
)
def test_an_update_is_posted_as_in_the_protocol(operation: Operation, path: str, body: str) -> None:
    request = to_request(Batch((encode(operation, PROJECT),)), PROJECT)
    assert request.url == f"https://api.mixpanel.com{path}?verbose=1&ip=0"
    assert request.body.decode() == body
    assert (request.content_type, request.authorization, request.compressible) == ("application/json", None, False)
