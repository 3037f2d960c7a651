from __future__ import annotations

import orjson
import pytest

from mixwire.core.answers import (
    MAX_RETRY_AFTER_SECONDS,
    Advice,
    Verdict,
    interpret,
    retry_after_seconds,
    server_time,
)
from mixwire.core.batches import Batch
from mixwire.core.http import Answer, NoResponse, Response
from mixwire.core.messages import Endpoint, Message
from mixwire.core.outcomes import Cause, Rejected

TRACK, IMPORT, ENGAGE, GROUPS = Endpoint
NOTHING, RETRY, THROTTLE, RECHECK = Advice.NOTHING, Advice.RETRY, Advice.THROTTLE, Advice.RECHECK
HALVE, BISECT, STOP = Advice.HALVE, Advice.BISECT, Advice.STOP
OK = b'{"error":null,"status":1}'
IMPORT_OK = b'{"code":200,"num_records_imported":%d,"status":"OK"}'
PORTAL = b"<!DOCTYPE html><html><body>Please accept our terms</body></html>"


def batch(endpoint: Endpoint = TRACK, count: int = 2, *, repeatable: bool = True) -> Batch:
    """
    Events whose insert_id is ``id-<index>``.
    """
    bodies = [orjson.dumps({"event": "E", "properties": {"$insert_id": f"id-{index}"}}) for index in range(count)]
    return Batch(tuple(Message(endpoint, body, (), repeatable) for body in bodies))


def letters(sent: Batch, verdict: Verdict) -> str:
    """
    For each message D(elivered), R(ejected), N(ot delivered, surely) or U(nknown), after the words of the fault matrix.
    """
    outcome = verdict.outcome
    places = {"D": outcome.delivered}
    places |= {
        letter: tuple(each.message for each in settled)
        for letter, settled in (("R", outcome.rejected), ("N", outcome.failed), ("U", outcome.unknown))
    }
    assert len(outcome) == len(sent)
    return "".join(letter for message in sent.messages for letter, place in places.items() if message in place)


def causes(verdict: Verdict) -> set[tuple[Cause, str]]:
    return {(each.cause, each.detail) for each in (*verdict.outcome.failed, *verdict.outcome.unknown)}


def answered(status: int, body: bytes = b"", **headers: str) -> Response:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(status=status, body=body, headers=named)


def partial(status: int, body: bytes) -> Response:
    return Response(status=status, body=body, complete=False)


def never(reason: str) -> NoResponse:
    return NoResponse(reason=reason, maybe_received=False)


def perhaps(reason: str) -> NoResponse:
    return NoResponse(reason=reason, maybe_received=True)


@pytest.mark.parametrize(
    ("answer", "places", "cause", "advice"),
    [
        pytest.param(never("connection refused"), "NN", Cause.NOT_REACHED, RETRY, id="row_1 connection refused"),
        pytest.param(never("no such host"), "NN", Cause.NOT_REACHED, RETRY, id="row_2 DNS failure"),
        pytest.param(never("connect timed out"), "NN", Cause.NOT_REACHED, RETRY, id="row_4 blackholed"),
        pytest.param(
            NoResponse(reason="certificate has expired", maybe_received=False, blocked=True),
            "NN",
            Cause.NOT_REACHED,
            STOP,
            id="row_5 TLS not to be trusted",
        ),
        pytest.param(perhaps("reset"), "UU", Cause.ANSWER_LOST, RETRY, id="row_9 reset after the body"),
        pytest.param(perhaps("reset"), "UU", Cause.ANSWER_LOST, RETRY, id="row_10 small body, reset"),
        pytest.param(perhaps("read timed out"), "UU", Cause.ANSWER_LOST, RETRY, id="row_11 read timeout"),
    ],
)
def test_no_answer_means_not_reached_or_perhaps_received(
    answer: NoResponse, places: str, cause: Cause, advice: Advice
) -> None:
    sent = batch()
    verdict = interpret(sent, answer)
    assert (letters(sent, verdict), verdict.advice, verdict.retry_after) == (places, advice, None)
    assert causes(verdict) == {(cause, answer.reason)}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        pytest.param(TRACK, b"1", id="1"),
        pytest.param(TRACK, OK, id="verbose"),
        pytest.param(ENGAGE, b'{"error":"","status":1}', id="verbose with an empty error"),
        pytest.param(GROUPS, b'{"status":"1"}', id="status as text"),
        pytest.param(IMPORT, IMPORT_OK % 2, id="row_18 all counted"),
        pytest.param(IMPORT, b'{"code":200,"num_records_imported":2,"status":1}', id="row_18 status 1"),
        pytest.param(IMPORT, b'{"status":"ok"}', id="row_18 no count"),
        pytest.param(IMPORT, b'{"status":"OK","num_records_imported":"2"}', id="row_18 count is no number"),
        pytest.param(TRACK, b'{"status":1,"num_records_imported":7}', id="row_18 only import counts"),
    ],
)
def test_an_explicit_positive_answer_delivers_all(endpoint: Endpoint, body: bytes) -> None:
    sent = batch(endpoint)
    verdict = interpret(sent, answered(200, body))
    assert (letters(sent, verdict), verdict.advice) == ("DD", NOTHING)


@pytest.mark.parametrize("counted", [0, 1, 3, 5000], ids=lambda counted: f"row_18 {counted} of 2")
def test_another_count_puts_all_in_doubt(counted: int) -> None:
    sent = batch(IMPORT)
    verdict = interpret(sent, answered(200, IMPORT_OK % counted))
    assert (letters(sent, verdict), verdict.advice) == ("UU", RECHECK)
    assert causes(verdict) == {(Cause.COUNT_MISMATCH, f"{counted:,} of 2 records counted")}


REFUSALS = [
    pytest.param(TRACK, 200, b"0", "status 0", id="row_19 0"),
    pytest.param(ENGAGE, 200, b'{"error":"bad","status":0}', "bad", id="row_19 verbose"),
    pytest.param(GROUPS, 200, b'{"error":null,"status":"0"}', "status 0", id="row_19 status as text"),
    pytest.param(IMPORT, 200, b'{"code":200,"error":"some","status":0}', "some", id="row_19 import"),
    pytest.param(TRACK, 400, b"", "HTTP 400", id="row_22 empty"),
    pytest.param(IMPORT, 400, PORTAL, f"HTTP 400: {PORTAL.decode()}", id="row_22 HTML"),
    pytest.param(IMPORT, 400, b'{"error":"no list","status":"Bad Request"}', "HTTP 400: no list", id="row_22 no list"),
    pytest.param(IMPORT, 400, b'{"failed_records":[]}', "HTTP 400", id="row_22 empty list"),
    pytest.param(IMPORT, 400, b'{"failed_records":{"index":0}}', "HTTP 400", id="row_22 no list but an object"),
    pytest.param(IMPORT, 400, b"[]", "HTTP 400: []", id="row_22 a list alone"),
    pytest.param(ENGAGE, 400, b'{"failed_records":[{"index":0}]}', "HTTP 400", id="row_22 not from import"),
    pytest.param(IMPORT, 400, b'{"error":{"a":1}}', "HTTP 400", id="row_22 error is no text"),
]


@pytest.mark.parametrize(("endpoint", "status", "body", "reason"), REFUSALS)
def test_a_refusal_that_names_nobody_is_to_be_bisected(
    endpoint: Endpoint, status: int, body: bytes, reason: str
) -> None:
    sent = batch(endpoint)
    verdict = interpret(sent, answered(status, body))
    assert (letters(sent, verdict), verdict.advice) == ("UU", BISECT)
    assert causes(verdict) == {(Cause.REFUSED_TOGETHER, reason)}


@pytest.mark.parametrize(("endpoint", "status", "body", "reason"), REFUSALS)
def test_r130_a_refused_single_message_is_rejected_with_the_reason(
    endpoint: Endpoint, status: int, body: bytes, reason: str
) -> None:
    sent = batch(endpoint, 1)
    verdict = interpret(sent, answered(status, body))
    assert verdict.outcome.rejected == (Rejected(sent.messages[0], reason, ""),)
    assert (letters(sent, verdict), verdict.advice) == ("R", NOTHING)


@pytest.mark.parametrize(("endpoint", "status", "body", "reason"), REFUSALS)
def test_a_refused_batch_that_counts_twice_is_parked_whole(
    endpoint: Endpoint, status: int, body: bytes, reason: str
) -> None:
    sent = batch(endpoint, repeatable=False)
    verdict = interpret(sent, answered(status, body))
    assert (letters(sent, verdict), verdict.advice) == ("UU", NOTHING)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(answered(200, b""), id="row_20 empty"),
        pytest.param(answered(200, PORTAL), id="row_20 captive portal"),
        pytest.param(answered(200, b'{"status":1'), id="row_20 malformed"),
        pytest.param(answered(200, b"\xff\xfe"), id="row_20 no UTF-8"),
        pytest.param(answered(200, b"null"), id="row_20 null"),
        pytest.param(answered(200, b"{}"), id="row_20 empty object"),
        pytest.param(answered(200, b"[]"), id="row_20 empty list"),
        pytest.param(answered(200, b"[1]"), id="row_20 list of 1"),
        pytest.param(answered(200, b"2"), id="row_20 another number"),
        pytest.param(answered(200, b"true"), id="row_20 true"),
        pytest.param(answered(200, b"false"), id="row_20 false"),
        pytest.param(answered(200, b'{"status":true}'), id="row_20 status true"),
        pytest.param(answered(200, b'{"status":false}'), id="row_20 status false"),
        pytest.param(answered(200, b'{"status":"error"}'), id="row_20 status error"),
        pytest.param(answered(200, b'{"status":[1]}'), id="row_20 status a list"),
        pytest.param(answered(200, b'{"status":null}'), id="row_20 status null"),
        pytest.param(answered(200, b"[" * 5000), id="row_20 deep nesting"),
        pytest.param(partial(200, b""), id="row_12 nothing of the body"),
        pytest.param(partial(200, b'{"error":nul'), id="row_12 half of the body"),
        pytest.param(partial(200, OK), id="row_12 a body that only seems whole"),
        pytest.param(partial(200, b'{"status":1,"pad":"' + b"x" * 65_517), id="row_14 the first 64 KiB"),
    ],
)
def test_r145_a_200_that_nobody_can_read_is_unknown_and_never_delivered(response: Response) -> None:
    for endpoint in Endpoint:
        sent = batch(endpoint)
        verdict = interpret(sent, response)
        assert (letters(sent, verdict), verdict.advice) == ("UU", RETRY)
        ((cause, detail),) = causes(verdict)
        assert cause is Cause.ANSWER_UNREADABLE
        assert detail in ("HTTP 200 with an unreadable body", "HTTP 200 without a known status")


@pytest.mark.parametrize(
    ("response", "places", "cause", "advice"),
    [
        pytest.param(partial(429, b'{"er'), "NN", Cause.RATE_LIMITED, THROTTLE, id="row_12 cut 429"),
        pytest.param(partial(401, b""), "NN", Cause.CREDENTIALS, STOP, id="row_12 cut 401"),
        pytest.param(partial(500, b"<html"), "UU", Cause.SERVER_ERROR, RETRY, id="row_12 cut 500"),
        pytest.param(partial(413, b"x" * 65_536), "NN", Cause.REFUSED_TOGETHER, HALVE, id="row_14 long 413"),
        pytest.param(partial(400, b"x" * 65_536), "UU", Cause.REFUSED_TOGETHER, BISECT, id="row_14 long 400"),
        pytest.param(answered(401), "NN", Cause.CREDENTIALS, STOP, id="row_23 401"),
        pytest.param(answered(403), "NN", Cause.CREDENTIALS, STOP, id="row_23 403"),
        pytest.param(answered(402), "NN", Cause.WRONG_SERVER, STOP, id="row_24 402"),
        pytest.param(answered(404), "NN", Cause.WRONG_SERVER, STOP, id="row_24 404"),
        pytest.param(answered(405), "NN", Cause.WRONG_SERVER, STOP, id="row_24 405"),
        pytest.param(answered(414), "NN", Cause.WRONG_SERVER, STOP, id="row_24 414"),
        pytest.param(answered(499), "NN", Cause.WRONG_SERVER, STOP, id="row_24 499"),
        pytest.param(answered(408), "UU", Cause.SERVER_ERROR, RETRY, id="row_24 408"),
        pytest.param(answered(413), "NN", Cause.REFUSED_TOGETHER, HALVE, id="row_25 413"),
        pytest.param(answered(429), "NN", Cause.RATE_LIMITED, THROTTLE, id="row_26 429"),
        pytest.param(answered(500), "UU", Cause.SERVER_ERROR, RETRY, id="row_30 500"),
        pytest.param(answered(502), "UU", Cause.SERVER_ERROR, THROTTLE, id="row_30 502"),
        pytest.param(answered(503), "NN", Cause.SERVER_ERROR, THROTTLE, id="row_30 503"),
        pytest.param(answered(504), "UU", Cause.SERVER_ERROR, RETRY, id="row_30 504"),
        pytest.param(answered(524), "UU", Cause.SERVER_ERROR, RETRY, id="row_30 524"),
        pytest.param(answered(300), "NN", Cause.WRONG_SERVER, STOP, id="row_31 300"),
        pytest.param(answered(301, Location="http://x/"), "NN", Cause.WRONG_SERVER, STOP, id="row_31 301"),
        pytest.param(answered(307), "NN", Cause.WRONG_SERVER, STOP, id="row_31 307"),
        pytest.param(answered(399), "NN", Cause.WRONG_SERVER, STOP, id="row_31 399"),
        pytest.param(answered(100), "UU", Cause.ANSWER_UNREADABLE, RETRY, id="row_32 100"),
        pytest.param(answered(199), "UU", Cause.ANSWER_UNREADABLE, RETRY, id="row_32 199"),
        pytest.param(answered(201), "UU", Cause.ANSWER_UNREADABLE, RETRY, id="row_32 201"),
        pytest.param(answered(204), "UU", Cause.ANSWER_UNREADABLE, RETRY, id="row_32 204"),
        pytest.param(answered(206), "UU", Cause.ANSWER_UNREADABLE, RETRY, id="row_32 206"),
        pytest.param(answered(0), "UU", Cause.ANSWER_UNREADABLE, RETRY, id="row_32 status 0"),
        pytest.param(answered(999), "UU", Cause.SERVER_ERROR, RETRY, id="row_32 status 999"),
    ],
)
def test_every_other_status_says_where_the_messages_stand(
    response: Response, places: str, cause: Cause, advice: Advice
) -> None:
    for endpoint in Endpoint:
        sent = batch(endpoint)
        verdict = interpret(sent, response)
        assert (letters(sent, verdict), verdict.advice, verdict.retry_after) == (places, advice, None)
        said = f": {response.body[:200].decode()}" if response.body else ""
        assert causes(verdict) == {(cause, f"HTTP {response.status}{said}")}


@pytest.mark.parametrize("hundreds", range(1, 6), ids=lambda hundreds: f"row_32 {hundreds}xx")
def test_only_200_ever_delivers_whatever_the_body_says(hundreds: int) -> None:
    for status in range(hundreds * 100, hundreds * 100 + 100):
        sent = batch(count=1)
        assert (letters(sent, interpret(sent, answered(status, OK))) == "D") is (status == 200), status


@pytest.mark.parametrize("repeatable", [True, False], ids=["row_25 repeatable", "row_25 not repeatable"])
def test_r138_a_single_message_that_is_too_large_is_rejected(repeatable: bool) -> None:
    sent = batch(ENGAGE, 1, repeatable=repeatable)
    verdict = interpret(sent, answered(413, b'{"code":413,"error":"request exceeds max limit of 2097152 bytes"}'))
    reason = "HTTP 413: request exceeds max limit of 2097152 bytes"
    assert verdict == Verdict(verdict.outcome, NOTHING)
    assert verdict.outcome.rejected == (Rejected(sent.messages[0], reason),)


def failed_records(*rows: object, **beside: object) -> Response:
    body = {"code": 400, "error": "some data points", "failed_records": rows, "status": "Bad Request", **beside}
    return answered(400, orjson.dumps(body))


ROW = {"index": 1, "insert_id": "id-1", "field": "properties.time", "message": "too old"}


@pytest.mark.parametrize(
    ("response", "places"),
    [
        pytest.param(failed_records(ROW, num_records_imported=2), "DRD", id="row_21 one"),
        pytest.param(failed_records(ROW), "DRD", id="row_21 no count"),
        pytest.param(failed_records({"index": 2}, {"index": 0}), "RDR", id="row_21 two out of order"),
        pytest.param(failed_records(ROW, {**ROW, "message": "again"}), "DRD", id="row_21 one twice"),
        pytest.param(failed_records({"index": 1, "$insert_id": "id-1"}), "DRD", id="row_21 $insert_id"),
        pytest.param(failed_records({"index": 1, "insert_id": ""}), "DRD", id="row_21 empty insert_id"),
        pytest.param(failed_records({"index": 1, "insert_id": None}), "DRD", id="row_21 null insert_id"),
        pytest.param(
            failed_records(*({"index": n} for n in range(3)), num_records_imported=0), "RRR", id="row_21 all of them"
        ),
        pytest.param(failed_records({"index": 3}), "UUU", id="row_21 index too large"),
        pytest.param(failed_records({"index": -1}), "UUU", id="row_21 negative index"),
        pytest.param(failed_records({"index": True}), "UUU", id="row_21 index true"),
        pytest.param(failed_records({"index": 1.0}), "UUU", id="row_21 index a float"),
        pytest.param(failed_records({"index": "1"}), "UUU", id="row_21 index a text"),
        pytest.param(failed_records({"message": "bad"}), "UUU", id="row_21 no index"),
        pytest.param(failed_records(ROW, 7), "UUU", id="row_21 a row is no object"),
        pytest.param(failed_records(ROW, {"index": 9}), "UUU", id="row_21 one index out of range"),
        pytest.param(failed_records({"index": 1, "insert_id": "id-2"}), "UUU", id="row_21 another's insert_id"),
        pytest.param(failed_records({"index": 1, "$insert_id": "id-2"}), "UUU", id="row_21 another's $insert_id"),
        pytest.param(failed_records(ROW, num_records_imported=0), "UUU", id="row_21 nothing imported, one named"),
        pytest.param(failed_records("not allowed", num_records_imported=0), "UUU", id="row_21 words instead of rows"),
    ],
)
def test_r52_a_failed_index_names_the_callers_message(response: Response, places: str) -> None:
    sent = batch(IMPORT, 3)
    verdict = interpret(sent, response)
    assert letters(sent, verdict) == places
    assert verdict.advice is (BISECT if "U" in places else NOTHING)


def test_a_rejected_message_comes_with_field_and_reason_of_its_first_row() -> None:
    sent = batch(IMPORT, 3)
    verdict = interpret(sent, failed_records({"index": 2}, ROW, {**ROW, "message": "again", "field": "other"}))
    assert verdict.outcome.rejected == (
        Rejected(sent.messages[1], "too old", "properties.time"),
        Rejected(sent.messages[2], "refused", ""),
    )


def test_r53_insert_id_is_read_under_both_names_and_rows_may_be_words() -> None:
    sent = batch(IMPORT, 2)
    for name in ("insert_id", "$insert_id"):
        assert letters(sent, interpret(sent, failed_records({"index": 0, name: "id-0"}))) == "RD"
        assert letters(sent, interpret(sent, failed_records({"index": 0, name: "id-1"}))) == "UU"
    words = "identity events are not allowed when project is using simplified identity management"
    verdict = interpret(sent, failed_records(words, num_records_imported=0))
    assert causes(verdict) == {(Cause.REFUSED_TOGETHER, words)}


def test_a_message_without_properties_has_no_insert_id_to_compare() -> None:
    sent = Batch((Message(IMPORT, b'{"event":"E","properties":5}', ()), Message(IMPORT, b"{}", ())))
    for index in (0, 1):
        verdict = interpret(sent, failed_records({"index": index, "insert_id": "id-0"}))
        assert letters(sent, verdict) == "UU"


def test_r54_a_400_never_says_that_the_same_batch_may_be_sent_again() -> None:
    for count in (1, 2):
        for body in (b"", PORTAL, b'{"failed_records":[{"index":0}]}', b'{"failed_records":["words"]}'):
            for endpoint in Endpoint:
                assert interpret(batch(endpoint, count), answered(400, body)).advice in (NOTHING, BISECT)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 414])
def test_r137_what_the_client_did_wrong_is_not_retried(status: int) -> None:
    assert interpret(batch(), answered(status)).advice not in (RETRY, THROTTLE, RECHECK)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 502, 503])
def test_r144_an_error_body_that_is_no_json_is_no_error_of_ours(status: int) -> None:
    for body in (PORTAL, b"", b"\xff", b"{", b"null", b"7", b'["a"]', b'"text"'):
        ((_, detail),) = causes(interpret(batch(), answered(status, body)))
        assert detail.startswith(f"HTTP {status}")


@pytest.mark.parametrize("status", [401, 404, 413, 429, 500, 502, 503])
def test_r144_the_text_of_an_error_is_in_the_detail(status: int) -> None:
    ((_, detail),) = causes(interpret(batch(), answered(status, b'{"error":"Something is wrong"}')))
    assert detail == f"HTTP {status}: Something is wrong"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"upstream connect error", "HTTP 502: upstream connect error"),
        (b" \r\n<html>\r\n<b>502</b>\n", "HTTP 502: <html>??<b>502</b>"),
        (b"\xff\xfeabc", "HTTP 502: ??abc"),
        (b"x" * 201, "HTTP 502: " + "x" * 200),
        ("é".encode() * 150, "HTTP 502: " + "?" * 100),
        (b" \n", "HTTP 502"),
        (b'{"message":"no error here"}', "HTTP 502"),
    ],
    ids=["text", "HTML", "no UTF-8", "201 characters", "300 bytes", "blank", "JSON without error"],
)
def test_r144_the_text_of_an_error_that_is_no_json_is_in_the_detail(body: bytes, detail: str) -> None:
    ((_, found),) = causes(interpret(batch(), answered(502, body)))
    assert found == detail


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200),
        ("a\nb\x1b[31m", "a?b?[31m"),
        ("naïve ☃", "na?ve ?"),
        ("\u202eabc", "?abc"),
    ],
    ids=["200 characters", "201 characters", "control characters", "no ASCII", "text direction"],
)
def test_what_a_server_says_is_kept_as_a_little_printable_ascii(said: str, kept: str) -> None:
    (single,) = batch(IMPORT, 1).messages
    row = failed_records({"index": 0, "message": said, "field": said})
    assert interpret(Batch((single,)), row).outcome.rejected == (Rejected(single, kept, kept),)
    zero = answered(200, orjson.dumps({"status": 0, "error": said}))
    assert interpret(Batch((single,)), zero).outcome.rejected == (Rejected(single, kept),)
    assert causes(interpret(batch(), answered(500, orjson.dumps({"error": said})))) == {
        (Cause.SERVER_ERROR, f"HTTP 500: {kept}")
    }
    assert causes(interpret(batch(IMPORT), failed_records(said))) == {(Cause.REFUSED_TOGETHER, kept)}


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param("0", 0.0, id="row_27 at once"),
        pytest.param("120", 120.0, id="row_27 seconds"),
        pytest.param(" 120\t", 120.0, id="row_27 white space around"),
        pytest.param("0007", 7.0, id="row_27 leading zeros"),
        pytest.param("300", 300.0, id="row_27 the cap"),
        pytest.param("301", 300.0, id="row_27 over the cap"),
        pytest.param("999999999", 300.0, id="row_27 far over the cap"),
        pytest.param("Wed, 21 Oct 2026 07:28:30 GMT", 30.0, id="row_28 30 seconds on"),
        pytest.param("Wed, 21 Oct 2026 07:33:00 GMT", 300.0, id="row_28 the cap"),
        pytest.param("Thu, 22 Oct 2026 07:28:00 GMT", 300.0, id="row_28 a day on"),
        pytest.param("Wed, 21 Oct 2026 07:27:59 GMT", 0.0, id="row_28 past"),
        pytest.param("Fri, 01 Jan 2027 00:00:00 GMT", 300.0, id="row_28 the next year"),
        pytest.param("-1", None, id="row_29 -1"),
        pytest.param("+1", None, id="row_29 +1"),
        pytest.param("NaN", None, id="row_29 NaN"),
        pytest.param("inf", None, id="row_29 inf"),
        pytest.param("1e9", None, id="row_29 1e9"),
        pytest.param("1.5", None, id="row_29 1.5"),
        pytest.param("1_0", None, id="row_29 underscore"),
        pytest.param("0x10", None, id="row_29 hexadecimal"),
        pytest.param("10" * 15, None, id="row_29 10^30"),
        pytest.param("9" * 5000, None, id="row_29 5,000 digits"),
        pytest.param("", None, id="row_29 empty"),
        pytest.param("soon", None, id="row_29 a word"),
        pytest.param("5, 6", None, id="row_29 two in one"),
        pytest.param("٣", None, id="row_29 Arabic digit"),
        pytest.param("²", None, id="row_29 superscript"),
        pytest.param("\x00", None, id="row_29 NUL"),
        pytest.param("Wed, 21 Foo 2026 07:28:30 GMT", None, id="row_29 no such month"),
        pytest.param("Wed, 31 Feb 2026 07:28:30 GMT", None, id="row_29 no such day"),
        pytest.param("Wed, 21 Oct 2026 24:28:30 GMT", None, id="row_29 no such hour"),
        pytest.param("Wed, 21 Oct 0000 07:28:30 GMT", None, id="row_29 year 0"),
        pytest.param("Wed, 21 Oct 2026 07:28:30 +0200", None, id="row_29 a zone"),
        pytest.param("Wednesday, 21-Oct-26 07:28:30 GMT", None, id="row_29 an obsolete form"),
        pytest.param("2026-10-21T07:28:30Z", None, id="row_29 ISO form"),
    ],
)
def test_retry_after_is_seconds_or_a_date_measured_against_the_servers_own(asked: str, seconds: float | None) -> None:
    assert retry_after_seconds(answered(429, Retry_After=asked, Date=DATE)) == seconds
    assert MAX_RETRY_AFTER_SECONDS == 300


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((), id="row_26 none"),
        pytest.param((("Retry-After", "5"), ("Retry-After", "5")), id="row_29 two headers"),
        pytest.param((("Retry-After", DATE),), id="row_28 no Date to measure against"),
        pytest.param((("Retry-After", DATE), ("Date", "yesterday")), id="row_28 an unreadable Date"),
        pytest.param((("Retry-After", DATE), ("Date", DATE), ("Date", DATE)), id="row_28 two Dates"),
    ],
)
def test_a_retry_after_that_cannot_be_read_asks_for_nothing(headers: tuple[tuple[str, str], ...]) -> None:
    assert retry_after_seconds(Response(status=429, headers=headers)) is None


def test_retry_after_in_seconds_needs_no_date() -> None:
    assert retry_after_seconds(answered(503, Retry_After="7")) == 7.0


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(429, 7.0), (503, 7.0), (502, 7.0), (500, 7.0), (408, 7.0), (200, None), (401, None), (413, None), (301, None)],
)
def test_a_verdict_to_try_again_carries_what_the_server_asked_to_wait(status: int, seconds: float | None) -> None:
    assert interpret(batch(), answered(status, Retry_After="7")).retry_after == seconds


@pytest.mark.parametrize(
    "answer", [never("refused"), perhaps("reset"), answered(200, OK), answered(413), answered(429)]
)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_message_is_in_exactly_one_place(answer: Answer, count: int) -> None:
    sent = batch(IMPORT, count)
    outcome = interpret(sent, answer).outcome
    assert sorted(message.body for message in outcome.messages()) == sorted(message.body for message in sent.messages)


def test_row_21_a_count_that_contradicts_the_named_records_is_noted() -> None:
    body = b'{"failed_records":[{"index":0,"message":"bad"}],"num_records_imported":1}'
    outcome = interpret(batch(Endpoint.IMPORT, 3), answered(400, body)).outcome
    assert (len(outcome.delivered), len(outcome.rejected)) == (2, 1)
    assert outcome.notes == ("server_count_mismatch: 1 taken and 1 refused of 3",)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        pytest.param(DATE, 1_792_567_680_000, id="row_34 a date"),
        pytest.param(f" {DATE}\t", 1_792_567_680_000, id="row_34 white space around"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0, id="row_34 the first second"),
        pytest.param("Wed, 31 Dec 1969 23:59:59 GMT", -1000, id="row_34 the second before"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799_000, id="row_34 the last second"),
        pytest.param("yesterday", None, id="row_34 a word"),
        pytest.param("Wed, 31 Feb 2026 07:28:30 GMT", None, id="row_34 no such day"),
        pytest.param("", None, id="row_34 empty"),
    ],
)
def test_the_date_header_shows_the_clock_of_the_server(date: str, time: int | None) -> None:
    assert server_time(answered(200, OK, date=date)) == time


@pytest.mark.parametrize(
    "headers",
    [pytest.param((), id="row_34 none"), pytest.param((("Date", DATE), ("Date", DATE)), id="row_34 two")],
)
def test_without_a_single_date_header_the_clock_of_the_server_is_not_known(
    headers: tuple[tuple[str, str], ...],
) -> None:
    assert server_time(Response(status=200, headers=headers)) is None


def statuses(verdict: Verdict) -> set[int | None]:
    outcome = verdict.outcome
    return {each.status for each in (*outcome.rejected, *outcome.failed, *outcome.unknown)}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("status", [0, 100, 204, 302, 400, 401, 404, 408, 413, 429, 500, 502, 503, 504, 999])
def test_what_was_not_delivered_has_the_status_of_the_answer(status: int, count: int) -> None:
    for endpoint in Endpoint:
        assert statuses(interpret(batch(endpoint, count), answered(status))) == {status}


@pytest.mark.parametrize("body", [b"0", b"<html>", b'{"status":true}', IMPORT_OK % 1])
def test_a_200_that_did_not_deliver_is_a_status_too(body: bytes) -> None:
    assert statuses(interpret(batch(IMPORT, 3), answered(200, body))) == {200}


def test_a_named_record_has_the_status_of_the_answer_that_refused_it() -> None:
    verdict = interpret(batch(IMPORT, 3), failed_records(ROW))
    assert (letters(batch(IMPORT, 3), verdict), statuses(verdict)) == ("DRD", {400})


@pytest.mark.parametrize(
    "answer", [never("refused"), perhaps("reset"), NoResponse(reason="untrusted", maybe_received=False, blocked=True)]
)
def test_no_answer_has_no_status(answer: NoResponse) -> None:
    assert statuses(interpret(batch(), answer)) == {None}


def test_the_status_changes_nothing_else_about_a_verdict() -> None:
    sent = batch(IMPORT, 3)
    body = b'{"failed_records":[{"index":0,"message":"bad","field":"event"}],"num_records_imported":1}'
    verdict = interpret(sent, answered(400, body))
    assert verdict.outcome.delivered == sent.messages[1:]
    assert verdict.outcome.rejected == (Rejected(sent.messages[0], "bad", "event"),)
    assert len(verdict.outcome.notes) == 1
    throttled = interpret(sent, answered(429, Retry_After="7"))
    assert (throttled.advice, throttled.retry_after) == (THROTTLE, 7.0)
