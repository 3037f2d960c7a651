"""
The course of one batch until it is settled, whatever is answered.
"""

from collections import Counter
from itertools import pairwise

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mixwire.core import (
    Answer,
    Batch,
    Delivery,
    Done,
    Endpoint,
    Message,
    NoResponse,
    Outcome,
    Post,
    Project,
    Response,
    RetryPolicy,
    Wait,
    interpret,
    to_request,
)
from mixwire.testing import strategies as mx

PROJECT = Project("TOKEN")


def all_different(batch):
    return len(set(batch.messages)) == len(batch)


BATCHES = mx.batches(max_size=5).filter(all_different)
IMPORTS = mx.batches(max_size=4, endpoints=[Endpoint.IMPORT]).filter(all_different)
UNREPEATABLE = mx.batches(max_size=4, repeatable=False).filter(all_different)


@frozen
class Posted:
    """One request of a delivery: what it carried and what came back."""

    request: object
    messages: tuple[Message, ...]
    answer: Answer


@frozen
class Course:
    """A whole delivery, from the first request to the outcome."""

    batch: Batch
    policy: RetryPolicy
    posts: tuple[Posted, ...]
    waits: tuple[Wait, ...]
    outcome: Outcome


# Answers that make a delivery long; drawn from all answers they would be rare.
LASTING = st.sampled_from(
    [
        Response(status=413),
        Response(status=429),
        Response(status=500),
        Response(status=200, body=b'{"status":0,"error":"refused"}'),
        Response(status=200, body=b'{"status":"OK","num_records_imported":9}'),
        NoResponse(reason="connection refused", maybe_received=False),
    ]
)


def carried(request, batch):
    """The messages of the batch whose bodies, side by side and unchanged, are the body of the request."""
    for start in range(len(batch)):
        for end in range(start + 1, len(batch) + 1):
            messages = batch.messages[start:end]
            if request.body == b"[" + b",".join(message.body for message in messages) + b"]":
                return messages
    raise AssertionError("the request carries something else")


def max_posts(batch, policy):
    """Each of the at most 2n - 1 parts is posted as often as the policy says, and once more to count again."""
    return (2 * len(batch) - 1) * (policy.max_tries + 1)


@st.composite
def courses(draw, batches=BATCHES, policies=mx.retry_policies(finite=True)):  # noqa: B008
    batch, policy, is_long = draw(batches), draw(policies), draw(st.booleans())
    delivery, posts, waits = Delivery(batch, PROJECT, policy), [], []
    by_size = {}
    while not isinstance(delivery.step, Done):
        step = delivery.step
        if isinstance(step, Wait):
            waits.append(step)
            delivery = delivery.waited()
            continue
        assert isinstance(step, Post)
        assert len(posts) < max_posts(batch, policy), "the delivery does not end"
        messages = carried(step.request, batch)
        strategy = LASTING if is_long else by_size.setdefault(messages, mx.answers(Batch(messages)))
        answer = draw(strategy)
        posts.append(Posted(step.request, messages, answer))
        delivery = delivery.answered(answer)
    return Course(batch, policy, tuple(posts), tuple(waits), delivery.step.outcome)


def may_have_been_applied(posted):
    """By the published meaning of the answers, without a look at `interpret` where they are plain."""
    answer = posted.answer
    if isinstance(answer, NoResponse):
        return answer.maybe_received and not answer.blocked
    if answer.status in (408, 500, 502, 504):
        return True
    if answer.status in (401, 403, 404, 413, 429, 503):
        return False
    return bool(interpret(Batch(posted.messages), answer).outcome.unknown)


@given(courses())
def test_no_message_is_lost_or_invented(course):
    assert Counter(course.outcome.messages()) == Counter(course.batch.messages)


@given(courses())
def test_every_delivery_ends(course):
    assert 1 <= len(course.posts) <= max_posts(course.batch, course.policy)
    assert len(course.waits) < len(course.posts)


@given(BATCHES | IMPORTS, mx.retry_policies(finite=True), mx.answers() | LASTING)
def test_every_delivery_ends_even_if_the_answer_never_changes(batch, policy, answer):
    delivery, posts = Delivery(batch, PROJECT, policy), 0
    while not isinstance(delivery.step, Done):
        if isinstance(delivery.step, Wait):
            delivery = delivery.waited()
        else:
            delivery, posts = delivery.answered(answer), posts + 1
            assert posts <= max_posts(batch, policy)
    assert Counter(delivery.step.outcome.messages()) == Counter(batch.messages)


@given(courses(UNREPEATABLE))
def test_unrepeatable_is_not_posted_again_after_doubt(course):
    if course.policy.at_least_once:
        return
    doubted = set()
    for posted in course.posts:
        assert doubted.isdisjoint(posted.messages)
        if may_have_been_applied(posted):
            doubted.update(posted.messages)
    assert doubted <= {each.message for each in course.outcome.unknown}


@given(courses())
def test_repeated_posts_are_byte_identical(course):
    for posted in course.posts:
        assert posted.request == to_request(Batch(posted.messages), PROJECT)
        assert posted.request.repeatable is course.batch.repeatable


@given(courses())
def test_posts_keep_the_order_of_the_batch(course):
    places = {message: place for place, message in enumerate(course.batch.messages)}
    assert course.posts[0].messages == course.batch.messages
    for before, after in pairwise(course.posts):
        first, last = places[before.messages[0]], places[before.messages[-1]]
        # The same again, the first part of it, or what stands behind it: nothing is skipped, nothing is overtaken.
        assert places[after.messages[0]] in (first, last + 1)
        assert places[after.messages[0]] > last or places[after.messages[-1]] <= last


@given(courses())
def test_unknown_never_becomes_failed(course):
    doubted = set()
    for posted in course.posts:
        if may_have_been_applied(posted):
            doubted.update(posted.messages)
    assert doubted.isdisjoint(each.message for each in course.outcome.failed)


@given(courses())
def test_a_delivery_believes_the_last_answer_about_delivered_and_rejected(course):
    settled = Counter()
    for posted in course.posts:
        outcome = interpret(Batch(posted.messages), posted.answer).outcome
        settled.update(outcome.delivered)
        settled.update(each.message for each in outcome.rejected)
    counted_again = len(course.outcome.notes)
    told = Counter(course.outcome.delivered) + Counter(each.message for each in course.outcome.rejected)
    assert told == settled or (counted_again and not settled - told)


@given(IMPORTS, st.integers(2, 6))
def test_a_count_that_is_wrong_twice_is_believed(batch, max_tries):
    delivery, posts = Delivery(batch, PROJECT, RetryPolicy(max_tries=max_tries)), 0
    while isinstance(delivery.step, Post):
        body = b'{"status":"OK","num_records_imported":%d}' % (len(batch) + 1)
        delivery, posts = delivery.answered(Response(status=200, body=body)), posts + 1
    assert isinstance(delivery.step, Done)
    assert posts == 2
    assert delivery.step.outcome.delivered == batch.messages
    assert len(delivery.step.outcome.notes) == 1


@given(courses())
def test_every_wait_is_a_range_of_bounded_seconds(course):
    for wait in course.waits:
        assert 0.5 <= wait.at_least <= wait.at_most
        assert wait.at_least <= 300
        assert wait.at_most <= 304


class DeliveryMachine(RuleBasedStateMachine):
    """
    A delivery beside a model that knows, of each message, whether it was ever in doubt.
    """

    @initialize(batch=BATCHES, policy=mx.retry_policies())
    def begin(self, batch, policy):
        self.batch, self.policy = batch, policy
        self.delivery = Delivery(batch, PROJECT, policy)
        self.doubted = set()

    @precondition(lambda self: isinstance(self.delivery.step, Post))
    @rule(data=st.data())
    def answer(self, data):
        before, step = self.delivery, self.delivery.step
        messages = carried(step.request, self.batch)
        answer = data.draw(mx.answers(Batch(messages)) | LASTING)
        self.delivery = before.answered(answer)
        assert before.step is step, "a delivery never changes"
        assert before.answered(answer) == self.delivery
        if may_have_been_applied(Posted(step.request, messages, answer)):
            self.doubted.update(messages)

    @precondition(lambda self: isinstance(self.delivery.step, Wait))
    @rule()
    def wait(self):
        self.delivery = self.delivery.waited()
        assert isinstance(self.delivery.step, Post)

    @invariant()
    def nothing_is_lost_by_giving_up(self):
        done = self.delivery.abandoned("the program ends").step
        assert isinstance(done, Done)
        assert Counter(done.outcome.messages()) == Counter(self.batch.messages)
        assert self.doubted.isdisjoint(each.message for each in done.outcome.failed)

    @precondition(lambda self: isinstance(self.delivery.step, Done))
    @rule(batch=BATCHES, policy=mx.retry_policies())
    def begin_another(self, batch, policy):
        self.begin(batch, policy)

    @invariant()
    def what_is_done_stays_done(self):
        if isinstance(self.delivery.step, Done):
            assert self.delivery.abandoned("too late").step == self.delivery.step


TestDeliveryMachine = DeliveryMachine.TestCase
TestDeliveryMachine.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=20)
