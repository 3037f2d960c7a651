"""
No secret and no value is shown by what may end up in a log.
"""

import traceback
from collections import OrderedDict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixwire.core import (
    Append,
    BatchLimits,
    Charge,
    Delivery,
    Done,
    Identify,
    InvalidValue,
    MixwireError,
    NoResponse,
    Outcome,
    PeopleOp,
    Project,
    ProjectSecret,
    RawGroupOp,
    RawPeopleOp,
    Rejected,
    Response,
    RetryPolicy,
    ServiceAccount,
    Set,
    Track,
    Union,
    Unknown,
    UpdateOptions,
    encode,
    explain,
    interpret,
    message_from_line,
    operation_from_line,
    to_request,
)
from mixwire.core.batches import Batch

CANARIES = st.text("0123456789abcdef", min_size=16, max_size=20).map("QZ{}ZQ".format)


def project(canary):
    account = ServiceAccount(username="robot", secret=canary, project_id=7)
    return Project(canary, credentials=account, events="import", limits="warn")


OPERATIONS = [
    lambda canary: Track("E", distinct_id="u1", properties={"a": canary}, time=1_767_225_600, insert_id="a1"),
    lambda canary: Track("E", properties={"$device_id": canary, "b": [canary]}, time=1_767_225_600, insert_id="a1"),
    lambda canary: PeopleOp("u1", Set({"a": {"b": [canary]}}), Append({"c": canary}), Union({"d": [canary]})),
    lambda canary: Charge("u1", 1, {"a": canary}),
    lambda canary: RawPeopleOp("u1", {"$set": {"a": canary}}),
    lambda canary: RawGroupOp("Company", "acme", {"$set": {"a": OrderedDict(a=(canary,))}}),
]


def shown(value):
    return repr(value) + str(value) + f"{value}"


@given(CANARIES, st.sampled_from(OPERATIONS))
def test_a_secret_or_a_value_is_never_shown(canary, make):
    operation, owner = make(canary), project(canary)
    message = encode(operation, owner)
    assert canary.encode() in message.body
    batch = Batch((message,))
    request = to_request(batch, owner)
    delivery = Delivery(batch, owner)
    answer = Response(status=200, body=canary.encode(), headers=(("Set-Cookie", canary),))
    lost = delivery.answered(NoResponse(reason="timeout", maybe_received=True))
    verdict = interpret(batch, answer)
    done = lost.abandoned("stop").step
    assert isinstance(done, Done)
    outcome = Outcome(rejected=(Rejected(message, "old"),), unknown=done.outcome.unknown)
    for value in (
        operation,
        owner,
        owner.credentials,
        ProjectSecret(canary),
        message,
        batch,
        request,
        answer,
        delivery,
    ):
        assert canary not in shown(value)
    parts = (
        delivery.step,
        lost,
        lost.step,
        done,
        verdict,
        outcome,
        outcome.unknown,
        outcome.rejected,
        explain(operation, owner),
    )
    for value in parts:
        assert canary not in shown(value)
    assert not any(isinstance(each, Unknown) and canary in each.detail for each in outcome.unknown)


class Text(str):
    __slots__ = ()


FAULTS = [
    lambda canary: Track("E", distinct_id="u1", properties={"a": canary + "\ud800"}),
    lambda canary: Track("E", distinct_id="u1", properties={"a": Text(canary)}),
    lambda canary: Track("E", distinct_id="u1", properties={"a": {canary}, "b": {Text(canary)}}),
    lambda canary: Track("E", distinct_id="u1", properties={"a": {canary + "\ud800": 1}}),
    lambda canary: Track("E", distinct_id="u1", properties={"a": canary.encode()}),
    lambda canary: Track("E", distinct_id="u1", properties=canary),
    lambda canary: Track("E", distinct_id=canary * 20),
    lambda canary: Track("E", distinct_id=canary + "\ud800"),
    lambda canary: Track(canary + "\ud800", distinct_id="u1"),
    lambda canary: Track("E", distinct_id="u1", time=canary),
    lambda canary: Track("E", distinct_id="u1", insert_id=canary * 2),
    lambda canary: Track("E", distinct_id="u1", insert_id=canary + "!"),
    lambda canary: Union({"a": [[canary]]}),
    lambda canary: Charge("u1", canary),
    lambda canary: Identify(identified_id="u1", anon_id=canary),
    lambda canary: UpdateOptions(ip=canary + "\n"),
    lambda canary: Project(canary + " "),
    lambda canary: Project("T", server=f"https://user:{canary}@example.com"),
    lambda canary: Project("T", server=f"http://{canary}.example.com"),
    lambda canary: Project("T", credentials=canary),
    lambda canary: Project("T", events=canary),
    lambda canary: Project("T", limits=canary),
    lambda canary: Project("T", use_request_ip=canary),
    lambda canary: ProjectSecret(canary + "é"),
    lambda canary: ServiceAccount(username=canary + ":", secret=canary, project_id=1),
    lambda canary: ServiceAccount(username="u", secret=canary + "\n", project_id=1),
    lambda canary: ServiceAccount(username="u", secret="s", project_id=canary),
    lambda canary: BatchLimits(max_messages=canary),
    lambda canary: RetryPolicy(max_tries=canary),
    lambda canary: operation_from_line(f'{{"type":"{canary}"}}'),
    lambda canary: operation_from_line(f'{{"type":"track","event":"e","distinct_id":"u","time":"{canary}"}}'),
    lambda canary: operation_from_line(f'"{canary}"'),
    lambda canary: operation_from_line(f'{{"type": {canary}}}'),
    lambda canary: message_from_line(f'{{"type":"message","endpoint":"{canary}","body":{{}},"keys":[]}}'),
]


@given(CANARIES, st.sampled_from(FAULTS))
def test_a_refusal_never_shows_the_value(canary, make):
    with pytest.raises(MixwireError) as caught:
        make(canary)
    assert canary not in told(caught.value)


def told(fault):
    """Everything that a log could hold of a fault and of what led to it, without the lines of source code."""
    links = []
    while fault is not None:
        links += [str(fault), repr(fault), repr(fault.args), *traceback.format_exception_only(fault)]
        fault = fault.__cause__ if fault.__suppress_context__ else fault.__context__
    return "".join(links)


@given(st.integers(10**9, 10**18))
def test_the_payload_of_a_nan_is_not_shown(number):
    with pytest.raises(InvalidValue) as caught:
        Set({"a": Decimal(f"NaN{number}")})
    assert str(number) not in told(caught.value)
