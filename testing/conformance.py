"""
Does a transport keep its promises? `check_transport` finds out, for ours and for anybody's.

It makes the transport once for each promise and uses it as a program would, against a `Judge` that goes wrong at times.
Then three accounts must agree: what was sent, what the transport says became of it, and what arrived.

    def test_my_transport_keeps_its_promises() -> None:
        check_transport(lambda project: MyTransport(project, first_wait_seconds=0.01))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Final, TypeAlias, cast

from ..core import Endpoint, InvalidValue, Message, Project
from ..transports.base import Transport
from .book import messages_of, times
from .caller import Caller
from .faults import Delay, Fault, LostAnswer, Mute, Reset, Status
from .judge import Judge
from .trial import (
    DEADLINES_ARE_KEPT,
    FIGURES_ADD_UP,
    NOTHING_IS_DOUBLED,
    NOTHING_IS_LOST,
    PAUSE_SECONDS,
    Manner,
    Trial,
    shown,
)
from .writer import Writer

__all__ = ["PROMISES", "check_transport"]

_DEADLINE_SECONDS: Final = 0.5
_THREADS: Final = 8
_MESSAGES_PER_THREAD: Final = 200


def check_transport(
    make: Callable[[Project], Transport],
    *,
    delivers: bool = True,
    blocks: bool = False,
    patience_seconds: float = 30.0,
    guard_seconds: float = 5.0,
    promises: Collection[str] | None = None,
) -> None:
    """
    Check that what *make* makes keeps the promises of a `Transport`. One that is broken is told in one sentence, which
    begins with the promise.

    Real waits before another try make the check slow, so let *make* choose short ones. A transport that was told to
    repeat what counts twice breaks the promise not to, as it should.

    Args:
        make: Makes a transport for a project, whose server is the judge. Called once for each promise, each time with
            another token; the check closes what it made.
        delivers: Whether messages arrive at the server. False for a transport that keeps, shows or drops them: then
            only the promises that need no server are checked.
        blocks: Whether `send` may wait for the server, as in a transport that delivers in the caller's thread.
        patience_seconds: How long a transport may take to deliver everything once nothing goes wrong any more.
        guard_seconds: How much longer than it should a call may take on a busy machine before it counts as hanging.
        promises: Only these, by their names in `PROMISES`; None for all.

    Raises:
        AssertionError: If a promise is broken.
        InvalidValue: If no promise has that name.
        Exception: Whatever *make* raises.
    """
    for name in promises if promises is not None else PROMISES:
        if name not in _CHECKS:
            raise InvalidValue("promises", "of " + ", ".join(map(repr, PROMISES)), "another name")
    for name, (check, needs_arrival) in _CHECKS.items():
        if (promises is not None and name not in promises) or (needs_arrival and not delivers):
            continue
        with Judge() as judge:
            trial = Trial(make, judge, name, Manner(delivers, blocks, patience_seconds, guard_seconds))
            try:
                check(trial)
            finally:
                # Before the judge goes, so that nothing is left that would still try to reach it.
                trial.end()


def _check_conservation(trial: Trial) -> None:
    outcome = trial.send()
    trial.require(len(outcome) == 0, f"send of nothing returned an outcome of {messages_of(len(outcome))}")
    trial.check_account()
    for _ in range(2):
        for message in trial.write.mixture(8):
            trial.send(message)
            trial.check_account()
        trial.send(*trial.write.mixture(16))
        trial.check_account()
        trial.drain()
        trial.check_account()
    trial.send(*trial.write.mixture(8))
    trial.close(trial.manner.patience_seconds)
    trial.check_account()


def _check_nothing_is_lost(trial: Trial) -> None:
    seconds = trial.manner.patience_seconds
    messages = trial.write.mixture(48)
    for message in messages[:16]:
        trial.send(message)
    trial.send(*messages[16:])
    trial.flush(seconds)
    trial.check_arrivals(messages, when="all went well")
    for message in messages:
        count = trial.judge.applied(message)
        trial.require(
            count == 1, f"a message for {message.endpoint.value} arrived {times(count)} although all went well"
        )
    stats = trial.check_account()
    trial.require(
        stats.delivered == len(messages),
        f"{len(messages)} messages arrived, but the figures say {shown(stats)} after flush({seconds:g})",
    )


def _check_nothing_is_lost_through_faults(trial: Trial) -> None:
    write, sent = trial.write, list[Message]()
    faults: tuple[Fault, ...] = (Status(500), Status(503, retry_after="0"), Reset())
    for fault in faults:
        for endpoint in (Endpoint.TRACK, Endpoint.ENGAGE, Endpoint.GROUPS):
            trial.judge.fail_next(fault, endpoint=endpoint)
        messages = [write.event(), write.step(1), write.group_step(1), write.event(), write.addition(), write.charge()]
        sent += messages
        trial.send(*messages[:3])
        trial.send(*messages[3:])
        trial.settle()
        trial.check_account()
    trial.judge.heal()
    trial.settle()
    trial.check_account()
    trial.check_arrivals(sent, when="the server was well again")


def _check_nothing_is_doubled(trial: Trial) -> None:
    write, seconds = trial.write, trial.manner.patience_seconds
    single: list[Message] = []
    for make in (write.addition, write.append, write.charge):
        trial.judge.fail_next(LostAnswer(), endpoint=Endpoint.ENGAGE)
        single += [make(), make()]
        trial.send(*single[-2:])
        trial.flush(seconds)
        trial.judge.heal()
    events = [write.event() for _ in range(6)]
    trial.judge.fail_next(LostAnswer(), endpoint=Endpoint.TRACK)
    trial.send(*events)
    trial.flush(seconds)
    trial.judge.heal()
    trial.check_nothing_doubled(single)
    in_doubt = {
        record.body
        for arrival in trial.judge.arrivals()
        if isinstance(arrival.fault, LostAnswer)
        for record in arrival.records
    }
    for message in single:
        if message.body in in_doubt:
            wrong = [place for place in trial.places_of(message) if place != "unknown"]
            trial.require(
                not wrong, f"a message whose answer was lost was said to be {' and '.join(wrong)}, not unknown"
            )
    trial.close(seconds)
    trial.check_account()
    trial.check_nothing_doubled([*single, *events])


def _check_order(trial: Trial) -> None:
    write = trial.write
    for endpoint in (Endpoint.ENGAGE, Endpoint.GROUPS):
        faults: tuple[Fault, ...] = (Delay(0.05), LostAnswer(), Status(500))
        for fault in faults:
            trial.judge.fail_next(fault, endpoint=endpoint)
    for step in range(1, 10):
        trial.send(write.step(step, "u1"), write.event("u1"), write.step(step, "u2"))
        trial.send(write.group_step(step), write.event("u2"))
        if step % 3 == 0:
            trial.drain()
    trial.send(*(write.step(step, "u1") for step in range(10, 14)))
    trial.drain()
    trial.check_account()
    for owner, steps in _steps(trial).items():
        for each in (list(dict.fromkeys(steps)), list(reversed(dict.fromkeys(reversed(steps))))):
            trial.require(
                each == sorted(each),
                f"the updates of one profile, {owner}, were applied in the order {_numbers(steps)}",
            )


def _steps(trial: Trial) -> dict[str, list[int]]:
    """
    The steps that were applied to each profile, in order.
    """
    steps: dict[str, list[int]] = {}
    for record in trial.judge.records():
        owner, changes = record.data.get("$distinct_id") or record.data.get("$group_id"), record.data.get("$set")
        if trial.write.is_ours(record.data) and isinstance(owner, str) and isinstance(changes, dict):
            steps.setdefault(owner, []).append(cast("int", changes["step"]))
    return steps


def _numbers(steps: Iterable[int]) -> str:
    return ", ".join(map(str, steps))


def _check_barriers(trial: Trial) -> None:
    write = trial.write
    faults: tuple[Fault, ...] = (Delay(0.05), LostAnswer(), Status(500))
    for number, fault in enumerate(faults):
        alias, user = f"alias-{number}", f"user-{number}"
        barrier = write.alias(alias, user)
        later = [write.step(1, alias), write.event(alias), write.addition(user), write.event(user)]
        trial.judge.fail_next(fault, endpoint=Endpoint.TRACK)
        if isinstance(fault, Delay):
            trial.send(barrier, *later)
        else:
            trial.send(barrier)
            if not trial.places_of(barrier) or "delivered" in trial.places_of(barrier):
                for message in later:
                    trial.send(message)
        trial.drain()
        trial.judge.heal()
        trial.check_account()
        order = [record.body for record in trial.judge.records()]
        first = order.index(barrier.body) if barrier.body in order else len(order)
        early = [message for message in later if message.body in order[:first]]
        trial.require(not early, f"{len(early)} of {len(later)} messages about its ids overtook an alias")


def _check_deadlines(trial: Trial) -> None:
    other, call = Caller(), None
    if trial.manner.delivers:
        trial.judge.fail_next(Mute(), times=None)
    if trial.manner.blocks:
        # The others must not wait for the one that waits.
        call = trial.begin_send(*trial.write.mixture(8), caller=other)
        trial.judge.wait_for(1, _DEADLINE_SECONDS)
    else:
        for message in trial.write.mixture(8):
            trial.send(message)
    trial.flush(_DEADLINE_SECONDS)
    trial.check_figures()
    trial.close(_DEADLINE_SECONDS)
    trial.check_figures()
    trial.judge.heal()
    if call is not None:
        trial.finish_send(call)
    other.end()
    trial.check_account()


def _check_leaving(trial: Trial) -> None:
    messages = trial.write.mixture(16)
    trial.send(*messages)
    trial.leave()
    stats = trial.check_figures()
    if trial.manner.delivers:
        trial.check_arrivals(messages, when="the context manager was left")
        trial.require(stats.held == 0, f"{messages_of(stats.held)} still held after the context manager was left")


def _check_closing(trial: Trial) -> None:
    seconds = trial.manner.patience_seconds
    outcome = trial.flush(seconds)
    trial.require(len(outcome) == 0, f"flush of nothing returned an outcome of {messages_of(len(outcome))}")
    messages = trial.write.mixture(16)
    trial.send(*messages)
    trial.close(seconds)
    held = trial.check_account().held
    if trial.manner.delivers:
        trial.check_arrivals(messages, when="the transport was closed")
        trial.require(held == 0, f"{messages_of(held)} still held after close({seconds:g})")
    late = trial.write.mixture(8)
    trial.send(late[0])
    trial.send(*late[1:])
    trial.close(seconds)
    trial.flush(seconds)
    trial.close(seconds)
    now_held = trial.check_account().held
    for message in late:
        wrong = [place for place in trial.places_of(message) if place != "failed"]
        trial.require(not wrong, f"a message sent after close was {' and '.join(wrong)}, not failed or dropped")
        trial.require(not trial.judge.applied(message), "a message sent after close arrived")
    trial.require(now_held <= held, f"{messages_of(now_held - held)} sent after close still held")


def _check_threads(trial: Trial) -> None:
    sent: list[Message] = []
    threads = [Caller() for _ in range(_THREADS)]
    # One that waits for the server at each call would make the check as slow as the server.
    sizes = (1, 4, 45, 50) if trial.manner.blocks else (1, 1, 1, 1, 6)
    calls: list[Future[None]] = []
    for number, thread in enumerate(threads):
        messages = _of_thread(trial.write, f"user-{number}")
        sent += messages
        calls.append(thread.begin(partial(trial.send_in_pieces, messages, sizes)))
    end = monotonic() + trial.manner.patience_seconds + trial.manner.guard_seconds
    while not all(call.done() for call in calls):
        trial.check_figures()
        trial.require(monotonic() < end, f"{_THREADS} threads could not send {len(sent)} messages in time")
        time.sleep(5 * PAUSE_SECONDS)
    for thread in threads:
        thread.end()
    for call in calls:
        trial.finish_send(call)
    trial.drain()
    trial.check_account()
    if trial.manner.delivers:
        trial.check_arrivals(sent, when=f"{_THREADS} threads sent them while all went well")


def _of_thread(write: Writer, user: str) -> list[Message]:
    kinds: list[Callable[[str], Message]] = [
        *[write.event] * 40,
        *[partial(write.step, 0)] * 8,
        *[write.addition] * 2,
    ]
    return [kinds[index % len(kinds)](user) for index in range(_MESSAGES_PER_THREAD)]


def _check_mistakes(trial: Trial) -> None:
    mixed = trial.write.event()
    for things in (("text",), (None,), (mixed, b"bytes")):
        trial.require(trial.is_refused(*things), "send of something that is no message did not raise InvalidValue")
        trial.check_account()
    trial.send(trial.write.event())
    trial.drain()
    trial.check_account()
    trial.require(not trial.judge.applied(mixed), "a message arrived although the send of it raised InvalidValue")


_Check: TypeAlias = Callable[[Trial], None]

_CHECKS: Final[dict[str, tuple[_Check, bool]]] = {
    DEADLINES_ARE_KEPT: (_check_deadlines, False),
    FIGURES_ADD_UP: (_check_conservation, False),
    NOTHING_IS_LOST: (_check_nothing_is_lost, True),
    "nothing is lost through faults": (_check_nothing_is_lost_through_faults, True),
    NOTHING_IS_DOUBLED: (_check_nothing_is_doubled, True),
    "order is kept": (_check_order, True),
    "nothing overtakes an alias": (_check_barriers, True),
    "leaving drains": (_check_leaving, False),
    "closing ends": (_check_closing, False),
    "mistakes raise": (_check_mistakes, False),
    "threads do no harm": (_check_threads, False),
}
"""
What is checked, and whether it needs messages that arrive at the server. Deadlines come first: a call that hangs would
cost the patience of another check.
"""

PROMISES: Final = tuple(_CHECKS)
"""
The promises that can be checked one by one. While each is checked, four more are watched: outcomes are true, bytes stay
the same, weather does not raise, and no call hangs.
"""
