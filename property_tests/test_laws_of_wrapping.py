"""
Transports before transports: nothing is lost, nothing is invented, whatever each of them does.
"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mixwire.core import Cause, Endpoint, Failed, Message, Outcome, Rejected, Unknown
from mixwire.transports.base import Ledger, Transport
from mixwire.transports.fallback import FallbackTransport
from mixwire.transports.tee import TeeTransport

MESSAGES = [Message(Endpoint.TRACK, b'{"event":"%d"}' % number, ()) for number in range(8)]


class Whimsical(Transport):
    """
    Holds, drops or settles each message as its fate says.
    """

    def __init__(self, fates):
        self.fates = fates
        self.got = []
        self.held = []
        self.settled = []
        self.ledger = Ledger()

    def send(self, *messages):
        self.got += messages
        self.ledger.accept(len(messages))
        return self.settle([m for m in messages if not self.hold(m)], is_held=False)

    def flush(self, timeout=None):
        held, self.held = self.held, []
        return self.settle(held, is_held=True)

    close = flush

    def stats(self):
        return self.ledger.stats()

    def background(self):
        outcome = self.flush()
        if self.settled_in_background is not None:
            self.settled_in_background(outcome)

    def hold(self, message):
        when, fate = self.fates[MESSAGES.index(message)]
        if fate == "dropped":
            self.ledger.drop(1)
            return True
        if when == "later":
            self.held.append(message)
        return when == "later"

    def settle(self, messages, *, is_held):
        places = {"delivered": [], "rejected": [], "failed": [], "unknown": []}
        for message in messages:
            _, fate = self.fates[MESSAGES.index(message)]
            entry = {
                "delivered": message,
                "rejected": Rejected(message, "bad"),
                "failed": Failed(message, Cause.NOT_REACHED),
                "unknown": Unknown(message, Cause.ANSWER_LOST),
            }[fate]
            places[fate].append(entry)
        outcome = Outcome(**{place: tuple(entries) for place, entries in places.items()})
        self.ledger.settle(outcome)
        self.settled.append(outcome)
        return outcome


FATES = st.lists(
    st.tuples(
        st.sampled_from(["now", "later"]), st.sampled_from(["delivered", "rejected", "failed", "unknown", "dropped"])
    ),
    min_size=8,
    max_size=8,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 4)),
        st.tuples(st.just("background"), st.integers(0, 2)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=8,
)


def run(transport, members, steps):
    """
    The messages that were sent, and every outcome that was told.
    """
    told, sent = [], []
    transport.settled_in_background = told.append
    rest = list(MESSAGES)
    for step, number in steps:
        if step == "send":
            given_now, rest = rest[:number], rest[number:]
            sent += given_now
            told.append(transport.send(*given_now))
        elif step == "background":
            members[number % len(members)].background()
        else:
            told.append(transport.flush(1))
        stats = transport.stats()
        settled = Outcome.total(told)
        figures = (stats.delivered, stats.rejected, stats.failed, stats.unknown)
        places = (settled.delivered, settled.rejected, settled.failed, settled.unknown)
        assert figures == tuple(map(len, places))
        assert stats.accepted == len(sent) == len(settled) + stats.dropped + stats.held
        assert stats.held >= 0
    told.append(transport.close(1))
    return sent, Outcome.total(told)


@given(st.lists(FATES, min_size=1, max_size=3), STEPS)
def test_a_fallback_loses_and_invents_nothing(fates, steps):
    members = [Whimsical(each) for each in fates]
    fallback = FallbackTransport(*members)
    sent, outcome = run(fallback, members, steps)
    assert fallback.stats().held == 0
    settled = Counter(message.body for message in outcome.messages())
    assert settled + Counter() == settled
    assert max(settled.values(), default=1) == 1
    for message in sent:
        place = MESSAGES.index(message)
        reached = [member for member in members if message in member.got]
        # It went on as long as it failed, and no further; the last one that got it decided.
        assert [member.fates[place][1] for member in reached[:-1]] == ["failed"] * (len(reached) - 1)
        assert len(reached) == len(members) or reached[-1].fates[place][1] != "failed"
        assert (message.body in settled) == (reached[-1].fates[place][1] != "dropped")


@given(st.lists(FATES, min_size=1, max_size=3), STEPS)
def test_a_tee_gives_everything_to_everybody_and_speaks_for_the_first(fates, steps):
    members = [Whimsical(each) for each in fates]
    sent, outcome = run(TeeTransport(*members), members, steps)
    assert all(member.got == sent for member in members)
    assert outcome == Outcome.total(members[0].settled)
    assert all(member.held == [] for member in members)
