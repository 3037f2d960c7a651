"""
Messages written to a log.
"""

from __future__ import annotations

import json
import logging

import pytest

from mixwire.core import (
    Add,
    Alias,
    Cause,
    GroupOp,
    Message,
    Outcome,
    PeopleOp,
    Project,
    Set,
    Track,
    encode,
)
from mixwire.transports import LoggingTransport, Stats

PROJECT = Project("TOKEN-OF-PROJECT")
EVENT = encode(
    Track("Opened", distinct_id="u1", properties={"plan": "tøp\n"}, time=1_767_225_600, insert_id="abcdef0123"), PROJECT
)
UPDATE = encode(PeopleOp("u1", Add({"credits": 1})), PROJECT)
GROUP = encode(GroupOp("Company", "acme", Set({"plan": "pro"})), PROJECT)
ALIAS = encode(Alias(alias="new", distinct_id="u1"), PROJECT)
ALL = (EVENT, UPDATE, GROUP, ALIAS)
NAME = "mixwire.messages"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_line_tells_endpoint_size_and_kind_and_nothing_of_the_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, NAME):
        LoggingTransport().send(*ALL)
    assert lines(caplog) == [
        f"track, {len(EVENT.body)} bytes, repeatable",
        f"engage, {len(UPDATE.body)} bytes, not repeatable",
        f"groups, {len(GROUP.body)} bytes, repeatable",
        f"track, {len(ALIAS.body)} bytes, repeatable",
    ]
    assert {(record.name, record.levelno) for record in caplog.records} == {(NAME, logging.INFO)}


def test_on_request_a_line_holds_the_message_without_its_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, NAME):
        LoggingTransport(include_body=True).send(*ALL)
    assert "TOKEN-OF-PROJECT" not in caplog.text
    written = [line.split(" ", 1) for line in lines(caplog)]
    assert [endpoint for endpoint, _ in written] == ["track", "engage", "groups", "track"]
    assert [len(body.splitlines()) for _, body in written] == [1, 1, 1, 1]
    for message, (_, body) in zip(ALL, written, strict=True):
        expected = message.to_wire()
        expected.pop("$token", None)
        properties = expected.get("properties")
        if isinstance(properties, dict):
            assert properties.pop("token") == "TOKEN-OF-PROJECT"
        assert json.loads(body) == expected


def test_the_message_itself_keeps_its_token(caplog: pytest.LogCaptureFixture) -> None:
    body = EVENT.body
    with caplog.at_level(logging.INFO, NAME):
        outcome = LoggingTransport(include_body=True).send(EVENT)
    assert outcome.delivered[0] is EVENT
    assert EVENT.body == body


@pytest.mark.parametrize("include_body", [False, True])
def test_below_the_level_nothing_is_written_but_all_is_delivered(
    caplog: pytest.LogCaptureFixture, include_body: bool
) -> None:
    transport = LoggingTransport(level=logging.DEBUG, include_body=include_body)
    with caplog.at_level(logging.INFO, NAME):
        assert transport.send(*ALL) == Outcome(delivered=ALL)
    assert caplog.records == []
    assert transport.stats() == Stats(accepted=4, delivered=4)


@pytest.mark.parametrize("logger", ["elsewhere", logging.getLogger("elsewhere")], ids=["name", "logger"])
def test_logger_and_level_are_those_that_were_given(
    caplog: pytest.LogCaptureFixture, logger: str | logging.Logger
) -> None:
    with caplog.at_level(logging.DEBUG, "elsewhere"):
        LoggingTransport(logger, level=logging.WARNING).send(EVENT)
    assert [(record.name, record.levelno) for record in caplog.records] == [("elsewhere", logging.WARNING)]


def test_after_close_nothing_is_written_and_all_failed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, NAME), LoggingTransport() as transport:
        transport.send(EVENT)
        assert transport.flush() == Outcome()
        assert transport.close() == Outcome()
        outcome = transport.send(EVENT, UPDATE)
    assert [(each.message, each.cause) for each in outcome.failed] == [(EVENT, Cause.CLOSED), (UPDATE, Cause.CLOSED)]
    assert len(outcome) == 2
    assert len(caplog.records) == 1
    assert transport.stats() == Stats(accepted=3, delivered=1, failed=2)


def test_nothing_in_a_message_is_read_as_a_format(caplog: pytest.LogCaptureFixture) -> None:
    percent: Message = encode(PeopleOp("100%s%d", Set({"%(name)s": "%"})), PROJECT)
    with caplog.at_level(logging.INFO, NAME):
        LoggingTransport(include_body=True).send(percent)
    assert '"$distinct_id":"100%s%d"' in lines(caplog)[0]
