"""
Messages that share a request.
"""

import json
from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from mixwire.core import BatchLimits, Endpoint, Message, Response, pack, to_request
from mixwire.core.batches import Batch
from mixwire.testing import strategies as mx

KINDS = st.tuples(st.sampled_from(list(Endpoint)), st.booleans(), st.integers(0, 9), st.integers(0, 60))


def made(kinds):
    """
    Messages of all kinds of which no two are alike; one in ten is a barrier.
    """
    return [
        Message(endpoint, b'{"n":%d,"x":"%b"}' % (number, b"x" * size), ("u1",), repeatable or kind == 9, kind == 9)
        for number, (endpoint, repeatable, kind, size) in enumerate(kinds)
    ]


STREAMS = st.lists(KINDS, max_size=25).map(made)
ANY_LIMITS = st.builds(BatchLimits, max_messages=st.integers(1, 6), max_bytes=st.integers(1, 400)) | mx.batch_limits()


@st.composite
def streams_and_limits(draw):
    """A stream, and limits that often fit some of it to the byte."""
    stream, limits = draw(STREAMS), draw(ANY_LIMITS)
    if stream and draw(st.booleans()):
        lane = of(stream, stream[0].endpoint)[: draw(st.integers(1, 4))]
        fitting = len(b",".join(message.body for message in lane)) + 2
        limits = BatchLimits(max_messages=limits.max_messages, max_bytes=fitting - draw(st.integers(0, 1)))
    return stream, limits


@given(mx.batches())
def test_batch_body_is_the_list_of_its_messages(batch):
    assert batch.body == b"[" + b",".join(message.body for message in batch.messages) + b"]"
    assert json.loads(batch.body) == [json.loads(message.body) for message in batch.messages]
    assert batch.size == len(batch.body)
    assert len(batch) == len(batch.messages)


@given(mx.batches(), mx.projects())
def test_a_request_carries_the_batch_and_no_secret_where_none_belongs(batch, project):
    request = to_request(batch, project)
    assert request.body == batch.body
    assert request.repeatable is batch.repeatable
    assert request.url.startswith(f"{project.server}{batch.endpoint.value}?")
    assert (request.authorization is not None) is (batch.endpoint is Endpoint.IMPORT)
    assert f"ip={int(project.use_request_ip)}" in request.url.split("?")[1].split("&")


@given(mx.batches(max_size=9))
def test_halves_are_the_whole_in_order(batch):
    halves = batch.halves()
    assert sum((half.messages for half in halves), ()) == batch.messages
    assert len(halves) == min(2, len(batch))
    assert max(map(len, halves)) - min(map(len, halves)) <= 1


@given(streams_and_limits())
def test_pack_keeps_order_and_respects_every_limit(stream_and_limits):
    stream, limits = stream_and_limits
    batches = pack(iter(stream), limits)
    packed = [message for batch in batches for message in batch.messages]
    # Nothing is lost or invented: the bodies are numbered.
    assert sorted(packed, key=stream.index) == stream
    for batch in batches:
        assert len({(message.endpoint, message.repeatable) for message in batch.messages}) == 1
        assert len(batch) <= limits.max_messages
        assert len(batch.body) <= limits.max_bytes or len(batch) == 1
        assert len(batch) == 1 or not any(message.barrier for message in batch.messages)
    for endpoint in Endpoint:
        assert of(packed, endpoint) == of(stream, endpoint)
    for message in stream:
        if message.barrier:
            before, after = stream[: stream.index(message)], packed[: packed.index(message)]
            assert sorted(after, key=stream.index) == before


def of(messages, endpoint):
    return [message for message in messages if message.endpoint is endpoint]


@given(streams_and_limits())
def test_pack_cuts_only_where_it_must(stream_and_limits):
    stream, limits = stream_and_limits
    batches = pack(stream, limits)
    for is_barrier, run in groupby(batches, key=lambda batch: batch.messages[0].barrier):
        if is_barrier:
            continue
        for first, second in pairwise(run):
            if first.endpoint is second.endpoint and first.repeatable is second.repeatable:
                joined = Batch((*first.messages, second.messages[0]))
                assert len(joined) > limits.max_messages or len(joined.body) > limits.max_bytes


@given(st.text(max_size=8), st.lists(st.tuples(st.text(max_size=3), st.text(max_size=5)), max_size=4))
def test_a_header_is_read_in_any_case_and_only_if_it_is_the_only_one(value, others):
    others = tuple(pair for pair in others if pair[0].lower() != "retry-after")
    once = Response(status=200, headers=(*others, ("rEtRy-AfTeR", value)))
    assert once.header("Retry-After") == value
    assert Response(status=200, headers=(*once.headers, ("retry-after", value))).header("Retry-After") is None
    assert Response(status=200, headers=others).header("Retry-After") is None
