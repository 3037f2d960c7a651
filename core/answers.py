"""
What an answer means for the messages of a batch: `interpret`, a total function of what was asked and what came back.

It says two things: where each message stands now, and what may be done about those that are not settled. What *is* done
about them is the business of `mixwire.core.delivery`.

Only an explicit positive answer counts as delivered: /track, /engage and /groups answer 200 to almost anything, and so
do captive portals. Source of the answers: https://docs.mixpanel.com/reference/import-events and
https://docs.mixpanel.com/reference/track-event
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from typing import Final, assert_never, cast

import orjson
from attrs import evolve, frozen

from .batches import Batch
from .http import Answer, NoResponse, Response
from .messages import Endpoint, Message
from .outcomes import Cause, Failed, Outcome, Rejected, Unknown
from .properties import JSON

__all__ = ["MAX_RETRY_AFTER_SECONDS", "Advice", "Verdict", "interpret", "retry_after_seconds", "server_time"]

MAX_RETRY_AFTER_SECONDS: Final = 300
"""The longest wait that a server may ask for; more than that is a mistake or an attack."""

_MAX_REASON_CHARACTERS: Final = 200


class Advice(Enum):
    """
    What may be done about the messages that an answer did not settle.
    """

    NOTHING = "all is settled"
    RETRY = "the same batch may be sent again after a wait"
    THROTTLE = "the same batch may be sent again after a longer wait, as the server asked"
    RECHECK = "the same batch may be sent once more at once"
    HALVE = "the batch is too large; its halves may be sent"
    BISECT = "some message in the batch is bad; the halves may be sent to find it"
    STOP = "nothing helps until somebody mends a setting"


@frozen
class Verdict:
    """
    Attributes:
        outcome: Where each message of the batch stands after this one answer.
        advice: What may be done about the failed and the unknown ones.
        retry_after: Seconds that the server asked to wait, or None.
    """

    outcome: Outcome
    advice: Advice
    retry_after: float | None = None


def interpret(batch: Batch, answer: Answer) -> Verdict:
    """
    What *answer* means for the messages of *batch*. Never raises: an answer that nobody can read has a meaning too.
    """
    match answer:
        case NoResponse():
            if answer.blocked:
                return _failed(batch, Cause.NOT_REACHED, answer.reason, Advice.STOP)
            if answer.maybe_received:
                return _unknown(batch, Cause.ANSWER_LOST, answer.reason, Advice.RETRY)
            return _failed(batch, Cause.NOT_REACHED, answer.reason, Advice.RETRY)
        case Response():
            return _with_status(_interpret_response(batch, answer), answer.status)
        case _:
            assert_never(answer)


def _with_status(verdict: Verdict, status: int) -> Verdict:
    outcome = verdict.outcome
    if outcome.is_success:
        return verdict
    return evolve(
        verdict,
        outcome=evolve(
            outcome,
            rejected=tuple(evolve(each, status=status) for each in outcome.rejected),
            failed=tuple(evolve(each, status=status) for each in outcome.failed),
            unknown=tuple(evolve(each, status=status) for each in outcome.unknown),
        ),
    )


def _interpret_response(batch: Batch, response: Response) -> Verdict:
    status = response.status
    detail = f"HTTP {status}" + (f": {said}" if (said := _said(response)) else "")
    if status == 200:
        return _interpret_200(batch, response)
    if status == 400:
        return _interpret_400(batch, response, detail)
    if status == 413:
        if len(batch) == 1:
            return Verdict(Outcome(rejected=(Rejected(batch.messages[0], detail),)), Advice.NOTHING)
        return _failed(batch, Cause.REFUSED_TOGETHER, detail, Advice.HALVE)
    wait = retry_after_seconds(response)
    if status == 429:
        return _failed(batch, Cause.RATE_LIMITED, detail, Advice.THROTTLE, wait)
    if status == 503:
        # Answered by what stands before the service, so nothing was applied.
        return _failed(batch, Cause.SERVER_ERROR, detail, Advice.THROTTLE, wait)
    if status == 502:
        return _unknown(batch, Cause.SERVER_ERROR, detail, Advice.THROTTLE, wait)
    if status == 408 or status >= 500:
        return _unknown(batch, Cause.SERVER_ERROR, detail, Advice.RETRY, wait)
    if status in (401, 403):
        return _failed(batch, Cause.CREDENTIALS, detail, Advice.STOP)
    if 300 <= status < 500:
        return _failed(batch, Cause.WRONG_SERVER, detail, Advice.STOP)
    return _unknown(batch, Cause.ANSWER_UNREADABLE, detail, Advice.RETRY)


def _interpret_200(batch: Batch, response: Response) -> Verdict:
    said = _json(response)
    if not response.complete or said is None:
        return _unknown(batch, Cause.ANSWER_UNREADABLE, "HTTP 200 with an unreadable body", Advice.RETRY)
    record: dict[str, JSON] = said if isinstance(said, dict) else {"status": said}
    status = record.get("status")
    if (status in (1, "1") and status is not True) or (isinstance(status, str) and status.upper() == "OK"):
        counted = record.get("num_records_imported")
        if batch.endpoint is Endpoint.IMPORT and type(counted) is int and counted != len(batch):
            detail = f"{counted:,} of {len(batch):,} records counted"
            return _unknown(batch, Cause.COUNT_MISMATCH, detail, Advice.RECHECK)
        return Verdict(Outcome(delivered=batch.messages), Advice.NOTHING)
    if status in (0, "0") and status is not False:
        reason = _words(record.get("error"), "status 0")
        return _refused_together(batch, reason)
    return _unknown(batch, Cause.ANSWER_UNREADABLE, "HTTP 200 without a known status", Advice.RETRY)


def _interpret_400(batch: Batch, response: Response, detail: str) -> Verdict:
    said = _json(response)
    rows = said.get("failed_records") if isinstance(said, dict) else None
    if batch.endpoint is Endpoint.IMPORT and isinstance(rows, list) and rows:
        imported = cast("dict[str, JSON]", said).get("num_records_imported")
        named = _named_records(batch, rows)
        if named and not (imported == 0 and len(named) < len(batch)):
            is_odd = type(imported) is int and imported + len(named) != len(batch)
            note = f"server_count_mismatch: {imported} taken and {len(named)} refused of {len(batch)}"
            return Verdict(
                Outcome(
                    notes=(note,) if is_odd else (),
                    delivered=tuple(message for index, message in enumerate(batch.messages) if index not in named),
                    rejected=tuple(named[index] for index in sorted(named)),
                ),
                Advice.NOTHING,
            )
        # Identity events that a project does not take are refused in plain words, and all else with them.
        if isinstance(rows[0], str):
            detail = _printable(rows[0])
    return _refused_together(batch, detail)


def _named_records(batch: Batch, rows: list[JSON]) -> dict[int, Rejected]:
    """
    The rejected messages by index; empty if a row names none of the batch, because then no row can be believed.
    """
    named: dict[int, Rejected] = {}
    for row in rows:
        index = row.get("index") if isinstance(row, dict) else None
        if not isinstance(row, dict) or type(index) is not int or not 0 <= index < len(batch):
            return {}
        message = batch.messages[index]
        insert_id = row.get("insert_id", row.get("$insert_id"))
        if insert_id and insert_id != _insert_id(message):
            return {}
        if index not in named:
            reason = _words(row.get("message"), "refused")
            named[index] = Rejected(message, reason, _words(row.get("field"), ""))
    return named


def _insert_id(message: Message) -> JSON:
    properties = message.to_wire().get("properties")
    return properties.get("$insert_id") if isinstance(properties, dict) else None


def _refused_together(batch: Batch, detail: str) -> Verdict:
    """
    The server took nothing of the batch, or not all, and does not say which.
    """
    if len(batch) == 1:
        return Verdict(Outcome(rejected=(Rejected(batch.messages[0], detail),)), Advice.NOTHING)
    if batch.repeatable:
        return _unknown(batch, Cause.REFUSED_TOGETHER, detail, Advice.BISECT)
    return _unknown(batch, Cause.REFUSED_TOGETHER, detail, Advice.NOTHING)


def _failed(batch: Batch, cause: Cause, detail: str, advice: Advice, wait: float | None = None) -> Verdict:
    return Verdict(Outcome(failed=tuple(Failed(message, cause, detail) for message in batch.messages)), advice, wait)


def _unknown(batch: Batch, cause: Cause, detail: str, advice: Advice, wait: float | None = None) -> Verdict:
    return Verdict(Outcome(unknown=tuple(Unknown(message, cause, detail) for message in batch.messages)), advice, wait)


def _json(response: Response) -> JSON:
    try:
        return cast("JSON", orjson.loads(response.body))
    except orjson.JSONDecodeError:
        return None


def _said(response: Response) -> str:
    said = _json(response)
    if isinstance(said, dict):
        return _words(said.get("error"), "")
    return _printable(response.body[:_MAX_REASON_CHARACTERS].decode(errors="replace").strip())


def _words(said: JSON, otherwise: str) -> str:
    return _printable(said) if isinstance(said, str) and said else otherwise


def _printable(text: str) -> str:
    """
    What a server wrote, safe for a log: printable ASCII, not too much of it.
    """
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text[:_MAX_REASON_CHARACTERS])


_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_HTTP_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def retry_after_seconds(response: Response) -> float | None:
    """
    What the Retry-After header asks for, at most 300 seconds; None if there is none that makes sense.

    A date is measured against the Date header of the same response: the clock of this machine may be wrong.
    """
    asked = response.header("Retry-After")
    if asked is None:
        return None
    asked = asked.strip()
    if _SECONDS.fullmatch(asked):
        return float(min(int(asked), MAX_RETRY_AFTER_SECONDS))
    until, now = _http_date(asked), _http_date((response.header("Date") or "").strip())
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), float(MAX_RETRY_AFTER_SECONDS))


def server_time(response: Response) -> int | None:
    """
    What the clock of the server showed, by the Date header, in milliseconds since 1970 and whole seconds; or None.
    """
    date = _http_date((response.header("Date") or "").strip())
    return None if date is None else int(date.timestamp()) * 1000


def _http_date(text: str) -> datetime | None:
    # Not strptime, whose month names follow the locale of the process.
    match = _HTTP_DATE.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
