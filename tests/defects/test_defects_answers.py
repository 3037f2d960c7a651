"""
B26 to B30: what the official client makes of answers. Each test does what shows the defect, through our front door.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import mixpanel as official
import pytest
from loopback import OK, TIME, Came, Loopback, Reply, https_like, names, urls

import mixwire as mixpanel
from mixwire.core import Project, Track
from mixwire.transports import SyncTransport

Serve = Callable[..., Loopback]
MESSAGE = '{"event":"e","properties":{"token":"t","distinct_id":"u","time":1704067200,"$insert_id":"a"}}'


def test_b26_the_success_of_a_strict_import_is_one(serve: Serve) -> None:
    imported = Reply(200, '{"code":200,"num_records_imported":1,"status":"OK"}', is_applied=True)
    server = serve(lambda *_: imported)
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        mp.import_data(None, "u", "e", TIME)
    with mixpanel.Mixpanel("t", server=server.url, events="import") as mp:
        outcome = mp.send(Track("e", distinct_id="u"))
    assert (len(outcome.delivered), len(outcome)) == (1, 1)

    with pytest.raises(KeyError, match="error"):
        official.Mixpanel("t", consumer=official.Consumer(**urls(server))).import_data(None, "u", "e", TIME)


@pytest.mark.parametrize("body", ["0", "[]", "{}", "null", '{"status":0}', "<html>", ""])
def test_b27_whatever_an_answer_holds_a_failure_is_a_mixpanel_exception(serve: Serve, body: str) -> None:
    server = serve(lambda *_: Reply(200, body))
    with mixpanel.Consumer(**urls(server), retry_limit=0) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)
        with pytest.raises(mixpanel.MixpanelException) as caught:
            mp.track("u", "e")
        assert len(caught.value.records) == 1
        with pytest.raises(mixpanel.MixpanelException):
            consumer.send("events", f"[{MESSAGE}]")

    theirs = official.Mixpanel("t", consumer=official.Consumer(**urls(server)))
    escaped = (official.MixpanelException,) if body in ("<html>", "") else (TypeError, KeyError)
    with pytest.raises(escaped):
        theirs.track("u", "e")


def test_b27_the_bare_1_of_an_answer_without_words_is_success(serve: Serve) -> None:
    server = serve(lambda *_: Reply(200, "1"))
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        mp.track("u", "e")

    with pytest.raises(TypeError):
        official.Mixpanel("t", consumer=official.Consumer(**urls(server))).track("u", "e")


def test_b28_an_exception_carries_status_reason_and_records(serve: Serve) -> None:
    server = serve(lambda *_: Reply(401, '{"status":0,"error":"unauthed"}'))
    with (
        mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp,
        pytest.raises(mixpanel.MixpanelException) as caught,
    ):
        mp.import_data(None, "u", "e", TIME)
    error = caught.value
    assert error.status == 401
    (reason,) = error.reasons
    assert "unauthed" in reason
    assert [record.to_wire()["event"] for record in error.records] == ["e"]
    # Certainly not applied: it may be sent again when the credentials are mended.
    assert len(error.outcome.failed) == 1

    with pytest.raises(official.MixpanelException) as theirs:
        official.Mixpanel("t", consumer=official.Consumer(**urls(server))).import_data(None, "u", "e", TIME)
    assert (vars(theirs.value), theirs.value.args) == ({}, ("Mixpanel error: unauthed",))


def refuse_the_second(_number: int, came: Came) -> Reply:
    if len(came.records) < 2:
        return OK
    insert_id = came.records[1]["properties"]["$insert_id"]
    failed = {"index": 1, "insert_id": insert_id, "field": "properties.time", "message": "too old"}
    error = "some data points in the request failed validation"
    answer = {"code": 400, "status": 0, "error": error, "failed_records": [failed], "num_records_imported": 2}
    return Reply(400, json.dumps(answer))


def test_b29_what_became_of_each_record_of_a_400_is_told(serve: Serve) -> None:
    server = serve(refuse_the_second)
    with (
        mixpanel.Mixpanel("t", server=server.url, events="import") as mp,
        pytest.raises(mixpanel.MixpanelException) as caught,
    ):
        mp.send(*(Track(name, distinct_id="u") for name in "abc"))
    (rejected,) = caught.value.outcome.rejected
    assert (rejected.message.to_wire()["event"], rejected.field, rejected.reason) == ("b", "properties.time", "too old")
    assert names([each.to_wire() for each in caught.value.outcome.delivered]) == ["a", "c"]
    assert len(server.came()) == 1


def test_b29_flush_names_the_one_record_of_a_held_batch_that_was_refused(serve: Serve) -> None:
    server = serve(refuse_the_second)
    with mixpanel.BufferedConsumer(3, **urls(server)) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)
        for name in "abc":
            mp.import_data(None, "u", name, TIME)
        with pytest.raises(mixpanel.MixpanelException, match="too old") as caught:
            consumer.flush()
        consumer.flush()
    assert caught.value.endpoint == "imports"
    assert names(json.loads(caught.value.message or "")) == ["b"]
    assert len(server.came()) == 1

    server = serve(refuse_the_second)
    theirs = official.BufferedConsumer(3, **urls(server))
    mp = official.Mixpanel("t", consumer=theirs)
    mp.import_data(None, "u", "a", TIME)
    mp.import_data(None, "u", "b", TIME)
    with pytest.raises(official.MixpanelException) as refused:
        mp.import_data(None, "u", "c", TIME)
    assert names(json.loads(refused.value.message)) == ["a", "b", "c"]


@pytest.mark.parametrize("status", [500, 503])
def test_b30_the_last_answer_of_many_tries_is_kept(serve: Serve, status: int) -> None:
    broken = Reply(status, '{"status":0,"error":"the shard is away"}')
    server = serve(lambda *_: broken)
    slept: list[float] = []
    transport = SyncTransport(Project("t", server=server.url), max_tries=3, sleep=slept.append)
    with (
        mixpanel.Mixpanel("t", transport=transport) as mp,
        pytest.raises(mixpanel.MixpanelException, match=f"HTTP {status}: the shard is away") as caught,
    ):
        mp.track("u", "e")
    assert (len(server.came()), len(slept), caught.value.status) == (3, 2, status)

    server = serve(lambda *_: broken)
    theirs = https_like(official.Consumer(**urls(server), retry_limit=2, retry_backoff_factor=0))
    with pytest.raises(official.MixpanelException) as lost:
        official.Mixpanel("t", consumer=theirs).track("u", "e")
    assert len(server.came()) == 3
    assert "the shard is away" not in str(lost.value)
