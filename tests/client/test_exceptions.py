"""
What a `MixpanelException` knows and says.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Final

import mixpanel
import pytest

from mixwire import MixpanelException
from mixwire.core import (
    Cause,
    Failed,
    Message,
    MixwireError,
    Outcome,
    PeopleOp,
    Project,
    Rejected,
    Set,
    Track,
    Unknown,
    encode,
)

PROJECT: Final = Project("a-token-of-mine")
EVENT: Final = encode(
    Track("E", distinct_id="user-1", properties={"plan": "premium"}, time=1767225600, insert_id="1"), PROJECT
)
UPDATE: Final = encode(PeopleOp("user-1", Set({"plan": "premium"})), PROJECT)


def rejected(reason: str = "HTTP 400: bad", field: str = "", status: int | None = 400, of: Message = EVENT) -> Outcome:
    return Outcome(rejected=(Rejected(of, reason, field, status),))


def failed(cause: Cause, detail: str = "", status: int | None = None) -> Outcome:
    return Outcome(failed=(Failed(EVENT, cause, detail, status),))


def unknown(detail: str = "", status: int | None = None) -> Outcome:
    return Outcome(unknown=(Unknown(UPDATE, Cause.ANSWER_LOST, detail, status),))


ALL: Final = Outcome(delivered=(EVENT,)) + unknown() + failed(Cause.RATE_LIMITED, "HTTP 429", 429) + rejected()

SENTENCES: Final = [
    (MixpanelException(), ""),
    (MixpanelException("said by a caller"), "said by a caller"),
    (MixpanelException("said by a caller", 5), "('said by a caller', 5)"),
    (MixpanelException(OSError("of another")), "of another"),
    (MixpanelException("said by a caller", outcome=rejected()), "said by a caller"),
    (MixpanelException(outcome=Outcome(delivered=(EVENT,))), ""),
    (MixpanelException(outcome=rejected()), "1 of 1 not delivered; rejected: HTTP 400: bad"),
    (
        MixpanelException(outcome=rejected(field="properties.time")),
        "1 of 1 not delivered; rejected: properties.time: HTTP 400: bad",
    ),
    (
        MixpanelException(outcome=failed(Cause.NOT_REACHED)),
        "1 of 1 not delivered; failed: the server was not reached",
    ),
    (
        MixpanelException(outcome=failed(Cause.CREDENTIALS, "HTTP 401", 401)),
        "1 of 1 not delivered; failed: the credentials were refused (HTTP 401)",
    ),
    (
        MixpanelException(outcome=failed(Cause.GIVEN_UP, "no time was left", 503)),
        "1 of 1 not delivered; failed: the delivery was given up (no time was left; HTTP 503)",
    ),
    (
        MixpanelException(outcome=unknown(status=502)),
        "1 of 1 not delivered; unknown, perhaps applied: the answer was lost (HTTP 502)",
    ),
    (
        MixpanelException(outcome=unknown("the request timed out")),
        "1 of 1 not delivered; unknown, perhaps applied: the answer was lost (the request timed out)",
    ),
    (
        MixpanelException(outcome=ALL),
        (
            "3 of 4 not delivered; rejected: HTTP 400: bad; failed: the project's rate limit was exceeded (HTTP 429); "
            "unknown, perhaps applied: the answer was lost"
        ),
    ),
    (
        MixpanelException(outcome=Outcome.total([rejected()] * 1_500)),
        "1,500 of 1,500 not delivered; rejected: HTTP 400: bad",
    ),
]


@pytest.mark.parametrize(("fault", "sentence"), SENTENCES, ids=[sentence or "nothing" for _, sentence in SENTENCES])
def test_it_says_its_sentence(fault: MixpanelException, sentence: str) -> None:
    assert str(fault) == sentence


@pytest.mark.parametrize("given", [(), ("text",), ("text", 5), (OSError("of another"),)], ids=repr)
def test_with_a_text_it_is_as_that_of_the_official_client(given: tuple[object, ...]) -> None:
    theirs, ours = mixpanel.MixpanelException(*given), MixpanelException(*given)
    assert (ours.args, str(ours), repr(ours)) == (theirs.args, str(theirs), repr(theirs))


def test_with_a_text_alone_it_knows_nothing_more() -> None:
    fault = MixpanelException("text")
    assert (fault.outcome, fault.message, fault.endpoint) == (Outcome(), None, None)
    assert (fault.status, fault.reasons, fault.records) == (None, (), ())


def test_the_records_are_the_rejected_the_failed_and_the_unknown_in_that_order() -> None:
    fault = MixpanelException(outcome=ALL)
    assert fault.records == (EVENT, EVENT, UPDATE)
    assert fault.outcome is ALL


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (rejected(status=400), 400),
        (failed(Cause.NOT_REACHED), None),
        (failed(Cause.NOT_REACHED) + unknown("HTTP 502", 502), 502),
        (unknown(status=502) + failed(Cause.RATE_LIMITED, status=429), 429),
        (Outcome(delivered=(EVENT,)), None),
    ],
    ids=["rejected", "no answer", "the first that got one", "the failed before the unknown", "delivered"],
)
def test_the_status_is_that_of_the_first_record_with_an_answer(outcome: Outcome, status: int | None) -> None:
    assert MixpanelException(outcome=outcome).status == status


def test_each_reason_is_told_once_in_the_order_of_the_records() -> None:
    outcome = unknown("lost") + rejected("bad") + rejected("worse") + rejected("bad", of=UPDATE)
    assert MixpanelException(outcome=outcome).reasons == (
        "rejected: bad",
        "rejected: worse",
        "unknown, perhaps applied: the answer was lost (lost)",
    )


WHOLE: Final = MixpanelException("text", outcome=ALL, message='[{"event":"E"}]', endpoint="events")


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda fault: pickle.loads(pickle.dumps(fault))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("fault", [MixpanelException(), MixpanelException(outcome=ALL), WHOLE], ids=["", "ALL", "all"])
def test_a_copy_knows_the_same(
    fault: MixpanelException, copied: Callable[[MixpanelException], MixpanelException]
) -> None:
    other = copied(fault)
    assert type(other) is MixpanelException
    assert (other.args, other.message, other.endpoint) == (fault.args, fault.message, fault.endpoint)
    assert (str(other), other.status, other.reasons) == (str(fault), fault.status, fault.reasons)
    assert [(each.endpoint, each.body) for each in other.records] == [
        (each.endpoint, each.body) for each in fault.records
    ]


def test_it_is_caught_as_everything_that_this_library_raises() -> None:
    with pytest.raises(MixwireError):
        raise MixpanelException("text")


def test_it_is_no_mistake_in_a_value() -> None:
    assert not issubclass(MixpanelException, ValueError)


@pytest.mark.parametrize("shown", [str, repr], ids=["str", "repr"])
@pytest.mark.parametrize("args", [(), ("text",)], ids=["no text", "text"])
def test_what_was_sent_is_not_shown(shown: Callable[[object], str], args: tuple[str, ...]) -> None:
    fault = MixpanelException(*args, outcome=ALL, message="[" + EVENT.body.decode() + "]", endpoint="events")
    for secret in (PROJECT.token, "user-1", "premium"):
        assert secret not in shown(fault)
        assert secret not in shown(fault.records)


def test_what_was_not_delivered_is_in_the_repr_too() -> None:
    error = MixpanelException(outcome=Outcome(failed=(Failed(UPDATE, Cause.NOT_REACHED, "no route"),)))
    assert repr(error) == f"MixpanelException({str(error)!r})"
    assert "a-token-of-mine" not in repr(error)
