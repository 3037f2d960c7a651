"""
The story of the demo: what it says, and what a client says became of it.
"""

from __future__ import annotations

import logging
import time

import pytest
from attrs import evolve
from pytest_httpserver import HTTPServer

from mixwire import Mixpanel
from mixwire.core import Alias, Charge, GroupOp, PeopleOp, Track
from mixwire.stamps import milliseconds_now
from mixwire.story import TOKEN, Chapter, Step, play, story
from mixwire.testing import MemoryTransport

NOW = 1_767_225_600_000
STEPS = [step for chapter in story(NOW) for step in chapter.steps]
CHARGE = Step(sentence="user-1 pays 49", operation=Charge("user-1", 49, time=NOW))
VERBOSE = {"status": 1, "error": None}


def chapter(*steps: Step, first_status: int | None = None) -> Chapter:
    return Chapter(title="A chapter", steps=steps, first_status=first_status)


def never(status: int) -> None:
    raise AssertionError(status)


def test_the_story_has_an_operation_of_each_kind_a_charge_and_a_refund_a_failure_and_one_that_is_refused() -> None:
    kinds = {type(step.operation) for step in STEPS}
    assert kinds == {Track, Alias, PeopleOp, Charge, GroupOp}
    amounts = [step.operation.amount for step in STEPS if isinstance(step.operation, Charge)]
    assert min(amounts) < 0 < max(amounts)
    assert [each.first_status for each in story(NOW) if each.first_status is not None] == [503]
    assert [step.expected for step in STEPS].count("rejected") == 1


def test_no_two_messages_of_the_story_are_the_same() -> None:
    assert len({step.message().body for step in STEPS}) == len(STEPS)


def test_all_sentences_of_the_story_fit_beside_what_became_of_them() -> None:
    assert max(len(step.sentence) for step in STEPS) <= 32
    assert max(len(each.title) for each in story(NOW)) <= 34


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.sentence)
def test_the_message_of_a_step_is_known_before_the_client_makes_it(step: Step) -> None:
    memory = MemoryTransport()
    with Mixpanel(TOKEN, transport=memory, events=step.events) as mixpanel:
        mixpanel.send(step.operation)
    assert memory.messages == (step.message(),)


def test_what_the_server_takes_is_delivered(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/engage").respond_with_json(VERBOSE)
    played = play((chapter(CHARGE),), httpserver.url_for("").rstrip("/"), never)
    (ending,) = played.endings
    assert (ending.place, ending.reason, ending.message) == ("delivered", "", CHARGE.message())
    assert (played.stats.accepted, played.stats.delivered) == (1, 1)
    assert played.log == ()


def test_what_the_server_refuses_is_rejected_with_its_field_and_reason(httpserver: HTTPServer) -> None:
    step = next(step for step in STEPS if step.expected == "rejected")
    row = {"index": 0, "insert_id": "demo-4", "field": "properties.time", "message": "must not be in the future"}
    answer = {"code": 400, "error": "some failed", "failed_records": [row], "num_records_imported": 0}
    httpserver.expect_request("/import").respond_with_json(answer, status=400)
    (ending,) = play((chapter(step),), httpserver.url_for("").rstrip("/"), never).endings
    assert (ending.place, ending.reason) == ("rejected", "properties.time: must not be in the future")


def test_a_reason_that_names_its_field_is_told_as_it_is(httpserver: HTTPServer) -> None:
    step = next(step for step in STEPS if step.expected == "rejected")
    row = {"index": 0, "insert_id": "demo-4", "field": "properties.time", "message": "'properties.time' is invalid"}
    answer = {"code": 400, "error": "some failed", "failed_records": [row], "num_records_imported": 0}
    httpserver.expect_request("/import").respond_with_json(answer, status=400)
    (ending,) = play((chapter(step),), httpserver.url_for("").rstrip("/"), never).endings
    assert ending.reason == "'properties.time' is invalid"


def test_a_charge_that_may_have_been_applied_is_unknown(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/engage").respond_with_data("<html>", status=500)
    played = play((chapter(CHARGE),), httpserver.url_for("").rstrip("/"), never)
    (ending,) = played.endings
    assert (ending.place, ending.reason) == ("unknown", "the server had an error (HTTP 500: <html>)")
    assert len(httpserver.log) == 1


def test_what_nobody_takes_failed_and_the_story_ends(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("_PATIENCE_SECONDS", "_CLOSE_SECONDS"):
        monkeypatch.setattr(f"mixwire.story.{name}", 0.0)
    told = "the project's rate limit was exceeded: HTTP 429"

    def until_told(status: int) -> None:
        end = time.monotonic() + 30
        while told not in caplog.messages and time.monotonic() < end:
            time.sleep(0.01)

    # The end cuts short only waits that the server did not ask for, and would find another request under way.
    httpserver.expect_request("/engage").respond_with_data(status=429, headers={"Retry-After": "3600"})
    chapters = (chapter(CHARGE), chapter(first_status=429))
    played = play(chapters, httpserver.url_for("").rstrip("/"), until_told)
    (ending,) = played.endings
    assert (ending.place, played.stats.failed, played.stats.held) == ("failed", 1, 0)
    assert ending.reason.startswith("the delivery was given up (")
    assert played.log[0] == told
    assert len(httpserver.log) == 1


def test_what_a_busy_server_did_not_take_is_sent_again_without_waiting(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All in all less than the shortest wait after a 503.
    monkeypatch.setattr("mixwire.story._PATIENCE_SECONDS", 2.5)
    monkeypatch.setattr("mixwire.story._CLOSE_SECONDS", 0.05)
    asked: list[int] = []

    def fail_next(status: int) -> None:
        asked.append(status)
        httpserver.expect_oneshot_request("/engage").respond_with_data(status=status)

    httpserver.expect_request("/engage").respond_with_json(VERBOSE)
    played = play((chapter(CHARGE, first_status=503),), httpserver.url_for("").rstrip("/"), fail_next)
    assert asked == [503]
    assert [response.status_code for _, response in httpserver.log] == [503, 200]
    assert played.endings[0].place == "delivered"
    assert played.log == ("the server had an error: HTTP 503",)


def test_a_chapter_begins_when_the_one_before_it_is_settled(httpserver: HTTPServer) -> None:
    seen: list[int] = []
    httpserver.expect_request("/engage").respond_with_json(VERBOSE)
    again = evolve(CHARGE, operation=Charge("user-1", 50, time=NOW))
    busy = chapter(again, first_status=503)
    play((chapter(CHARGE), busy), httpserver.url_for("").rstrip("/"), lambda _: seen.append(len(httpserver.log)))
    assert seen == [1]


def test_the_log_is_left_as_it_was(httpserver: HTTPServer) -> None:
    before = list(logging.getLogger("mixwire").handlers)
    httpserver.expect_request("/engage").respond_with_json(VERBOSE)
    play((chapter(CHARGE),), httpserver.url_for("").rstrip("/"), never)
    assert logging.getLogger("mixwire").handlers == before


@pytest.mark.parametrize(
    ("now", "paths"), [(NOW, {"/import"}), (milliseconds_now(), {"/track", "/import"})], ids=["long ago", "today"]
)
def test_an_event_is_told_with_the_endpoint_to_which_it_went(now: int, paths: set[str], httpserver: HTTPServer) -> None:
    for path in ("/track", "/import"):
        httpserver.expect_request(path).respond_with_json(VERBOSE)
    steps = [step for each in story(now) for step in each.steps if isinstance(step.operation, Track)]
    played = play((chapter(*steps),), httpserver.url_for("").rstrip("/"), never)
    assert {ending.place for ending in played.endings} == {"delivered"}
    assert {ending.message.endpoint.value for ending in played.endings} == paths
    assert {request.path for request, _ in httpserver.log} == paths
