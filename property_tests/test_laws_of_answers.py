"""
What an answer means.
"""

import json
from collections import Counter

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from mixwire.core import Advice, Endpoint, NoResponse, Response, Track, encode, interpret
from mixwire.core.answers import MAX_RETRY_AFTER_SECONDS, retry_after_seconds
from mixwire.core.batches import Batch
from mixwire.core.project import Project
from mixwire.testing import strategies as mx

EVENT = encode(Track("E", distinct_id="u1", time=1_767_225_600_000, insert_id="a1"), Project("TOKEN"))
IMPORTED = Batch((evolve(EVENT, endpoint=Endpoint.IMPORT),))
BATCHES = mx.batches(max_size=4)
ASKED = BATCHES.flatmap(lambda batch: st.tuples(st.just(batch), mx.answers(batch)))


@given(ASKED)
def test_interpret_is_total_and_a_partition(asked):
    batch, answer = asked
    verdict = interpret(batch, answer)
    assert Counter(verdict.outcome.messages()) == Counter(batch.messages)
    assert len(verdict.outcome) == len(batch)
    settled = not verdict.outcome.failed and not verdict.outcome.unknown
    assert verdict.advice is Advice.NOTHING or not settled
    assert verdict.retry_after is None or 0 <= verdict.retry_after <= MAX_RETRY_AFTER_SECONDS


# Without Hypothesis, which raises the recursion limit of the interpreter while it runs a law.
@pytest.mark.parametrize("levels", [1, 100, 500, 900, 1_000, 1_010, 1_020, 1_100, 10_000])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"status":0,"error":%s}'),
        (200, '{"status":%s}'),
        (400, '{"failed_records":%s}'),
        (400, '{"failed_records":[{"index":0,"message":%s}]}'),
        (500, '{"error":%s}'),
    ],
)
def test_interpret_is_total_however_deep_an_answer_is(status, body, levels):
    deep = body % ("[" * levels + "]" * levels)
    verdict = interpret(IMPORTED, Response(status=status, body=deep.encode()))
    assert verdict.outcome.messages() == IMPORTED.messages


@given(ASKED)
def test_only_an_explicit_answer_counts_as_delivered(asked):
    batch, answer = asked
    delivered = interpret(batch, answer).outcome.delivered
    if not delivered:
        return
    assert isinstance(answer, Response)
    said = json.loads(answer.body)
    if answer.status == 200:
        status = said["status"] if isinstance(said, dict) else said
        assert answer.complete
        assert status in (1, "1") or status.upper() == "OK"
        assert delivered == batch.messages
    else:
        assert answer.status == 400
        assert batch.endpoint is Endpoint.IMPORT
        named = {row["index"] for row in said["failed_records"]}
        assert named
        assert delivered == tuple(each for index, each in enumerate(batch.messages) if index not in named)
        assert said["num_records_imported"] != 0 or not delivered


IMPORTS = mx.batches(min_size=2, max_size=5, endpoints=[Endpoint.IMPORT])


@given(IMPORTS, st.lists(st.integers(0, 4), min_size=1, max_size=6), st.sampled_from(["insert_id", "$insert_id", None]))
def test_a_refused_record_is_the_one_that_was_named(batch, indexes, key):
    indexes = [index % len(batch) for index in indexes]
    ids = [message.to_wire()["properties"].get("$insert_id") for message in batch.messages]
    rows = [{"index": index, "message": "too old"} | ({key: ids[index]} if key else {}) for index in indexes]
    said = {"code": 400, "num_records_imported": len(batch) - len(set(indexes)), "failed_records": rows}
    outcome = interpret(batch, Response(status=400, body=json.dumps(said).encode())).outcome
    assert [each.message for each in outcome.rejected] == [batch.messages[index] for index in sorted(set(indexes))]
    assert [*outcome.delivered] == [each for index, each in enumerate(batch.messages) if index not in indexes]
    assert {each.reason for each in outcome.rejected} == {"too old"}


@given(ASKED)
def test_what_the_server_may_have_applied_is_never_certainly_not_applied(asked):
    batch, answer = asked
    failed = interpret(batch, answer).outcome.failed
    if isinstance(answer, NoResponse):
        # A blocked request fails in the handshake, before anything was sent.
        assert not failed or answer.blocked or not answer.maybe_received
    elif failed:
        assert answer.status in (413, 429, 503) or 300 <= answer.status < 500
        assert answer.status not in (400, 408)


@given(ASKED)
def test_what_a_server_wrote_is_safe_to_print(asked):
    verdict = interpret(*asked)
    for rejected in verdict.outcome.rejected:
        for text in (rejected.reason, rejected.field):
            assert text.isascii()
            assert text.isprintable() or not text
            assert len(text) <= len("HTTP 999: ") + 200


HEADER_NAMES = st.sampled_from(["Retry-After", "retry-after", "Date", "date"])
HTTP_DATES = st.builds(
    "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT".format,
    st.sampled_from(["Mon", "Sun", "Day"]),
    st.integers(0, 32),
    st.sampled_from(["Jan", "Feb", "Dec", "Foo"]),
    st.integers(0, 9_999),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 60),
)
NUMBERS = st.integers().map(str) | st.floats().map(str) | st.integers(0, 10**12).map(lambda number: f" {number}\t")
HEADERS = st.lists(st.tuples(HEADER_NAMES, st.text(max_size=20) | NUMBERS | HTTP_DATES), max_size=3).map(tuple)


@given(HEADERS, st.sampled_from([408, 429, 500, 502, 503]))
@example((("Retry-After", "٣"),), 429)
@example((("Retry-After", "Mon, 31 Feb 2026 00:00:00 GMT"), ("Date", "Mon, 02 Feb 2026 00:00:00 GMT")), 503)
def test_retry_after_never_exceeds_the_cap_and_never_raises(headers, status):
    response = Response(status=status, headers=headers)
    asked = retry_after_seconds(response)
    assert asked is None or 0 <= asked <= MAX_RETRY_AFTER_SECONDS
    assert interpret(Batch((EVENT,)), response).retry_after == asked


@given(st.integers(0, 10**9 - 1), st.integers(0, 400))
def test_retry_after_is_what_the_server_asked_for(seconds, later):
    asked = Response(status=429, headers=(("Retry-After", str(seconds)),))
    assert retry_after_seconds(asked) == min(seconds, 300)
    until = f"Mon, 05 Jan 2026 00:{later // 60:02}:{later % 60:02} GMT"
    dated = (("Date", "Mon, 05 Jan 2026 00:00:00 GMT"), ("Retry-After", until))
    assert retry_after_seconds(Response(status=429, headers=dated)) == min(later, 300)
