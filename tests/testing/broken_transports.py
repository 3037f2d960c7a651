"""
Transports that break one promise each, and two plain ones that keep them all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from attrs import evolve

from mixwire.core import (
    Answer,
    Cause,
    Failed,
    Message,
    NoResponse,
    Outcome,
    Project,
    Request,
    Track,
    encode,
)
from mixwire.transports import Ledger, Network, Post, Stats, SyncTransport, Transport
from mixwire.transports.base import checked

NOW = 1_790_000_000_000
# With its key, because some tokens begin like it.
_INSERT_ID = b'"$insert_id":"conformance-'

Make = Callable[[Project], Transport]


def instant(project: Project, post: Post | None = None) -> SyncTransport:
    """
    One that delivers in the caller and waits for nothing before another try.
    """
    return SyncTransport(project, post=post, sleep=lambda _: None, pick=lambda least, _: least)


def refuse(project: Project) -> Transport:
    """
    Cannot make one.
    """
    raise OSError("no room")


def event(project: Project) -> Message:
    return encode(Track("Checked", distinct_id="u1", time=NOW, insert_id="checked-0000000001"), project)


class Holding(Transport):
    """
    Keeps all promises: takes messages and delivers them when it is flushed, in the caller.
    """

    def __init__(self, project: Project) -> None:
        self.ledger = Ledger()
        self.lock = threading.Lock()
        self.delivering = threading.Lock()
        self.messages: list[Message] = []
        self.patient = instant(project)
        self.hasty = SyncTransport(project, max_tries=1, deadline_seconds=0.3, request_timeout_seconds=0.2)
        self.is_closed = False

    def send(self, *messages: Message) -> Outcome:
        with self.lock:
            self.ledger.accept(len(checked(messages)))
            if not self.is_closed:
                self.messages += messages
                return Outcome()
        return self.settled(Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages)))

    def flush(self, timeout: float | None = None) -> Outcome:
        with self.delivering:
            with self.lock:
                taken, self.messages = self.messages, []
            inner = self.hasty if timeout is not None and timeout < 1 else self.patient
            return self.settled(inner.send(*taken))

    def close(self, timeout: float | None = None) -> Outcome:
        with self.lock:
            self.is_closed = True
        return self.flush(timeout)

    def stats(self) -> Stats:
        return self.ledger.stats()

    def settled(self, outcome: Outcome) -> Outcome:
        self.ledger.settle(outcome)
        return outcome


class Background(Holding):
    """
    Keeps all promises: delivers in a thread, and tells in the background what became of each message.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.wake = threading.Event()
        self.is_idle = threading.Event()
        self.is_over = False
        threading.Thread(target=self.work, daemon=True).start()

    def send(self, *messages: Message) -> Outcome:
        outcome = super().send(*messages)
        self.is_idle.clear()
        self.wake.set()
        return outcome

    def work(self) -> None:
        while not self.is_over:
            self.wake.wait(0.05)
            self.wake.clear()
            self.tell(super().flush())
            if not self.messages:
                self.is_idle.set()

    def tell(self, outcome: Outcome) -> None:
        if self.settled_in_background is not None and len(outcome):
            self.settled_in_background(outcome)

    def flush(self, timeout: float | None = None) -> Outcome:
        end = time.monotonic() + (60.0 if timeout is None else timeout)
        while self.stats().held and time.monotonic() < end:
            self.is_idle.wait(0.001)
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        with self.lock:
            self.is_closed = True
        self.flush(timeout)
        self.is_over = True
        return Outcome()


class Around(Transport):
    """
    Hands everything on; the others change one thing.
    """

    def __init__(self, project: Project) -> None:
        self.inner: Transport = instant(project)

    def send(self, *messages: Message) -> Outcome:
        return self.inner.send(*messages)

    def flush(self, timeout: float | None = None) -> Outcome:
        return self.inner.flush(timeout)

    def close(self, timeout: float | None = None) -> Outcome:
        return self.inner.close(timeout)

    def stats(self) -> Stats:
        return self.inner.stats()


class LosesEverySeventh(Around):
    """
    Says of each seventh message that it was delivered, and forgets it.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.count = 0
        self.ledger = Ledger()

    def send(self, *messages: Message) -> Outcome:
        outcome = Outcome()
        for message in checked(messages):
            self.count += 1
            outcome += self.inner.send(message) if self.count % 7 else Outcome(delivered=(message,))
        self.ledger.accept(len(messages))
        self.ledger.settle(outcome)
        return outcome

    def stats(self) -> Stats:
        return self.ledger.stats()


class LosesSilently(Holding):
    """
    Forgets what it holds when it is flushed while more than ten messages are waiting.
    """

    def flush(self, timeout: float | None = None) -> Outcome:
        with self.lock:
            del self.messages[10:]
        return super().flush(timeout)


class LosesThroughFaults(Around):
    """
    Forgets what could be sent again, and says that it was dropped.
    """

    def __init__(self, project: Project) -> None:
        self.inner = SyncTransport(project, max_tries=1)
        self.forgotten = 0

    def send(self, *messages: Message) -> Outcome:
        outcome = self.inner.send(*messages)
        kept = tuple(each for each in outcome.unknown if not each.message.repeatable)
        self.forgotten += len(outcome.unknown) - len(kept)
        return evolve(outcome, failed=(), unknown=kept)

    def stats(self) -> Stats:
        stats = self.inner.stats()
        dropped = stats.failed + self.forgotten
        return evolve(stats, failed=0, unknown=stats.unknown - self.forgotten, dropped=dropped)


class PostsAgain(Around):
    """
    Makes each request again whose answer was lost, whatever is in it.
    """

    def __init__(self, project: Project) -> None:
        self.network = Network()
        self.inner = instant(project, self.post)

    def post(self, request: Request) -> Answer:
        answer = self.network(request)
        return self.network(request) if isinstance(answer, NoResponse) else answer


class BelievesInSuccess(Around):
    """
    Takes a lost answer for a good one.
    """

    def send(self, *messages: Message) -> Outcome:
        outcome = self.inner.send(*messages)
        guessed = tuple(unknown.message for unknown in outcome.unknown)
        return evolve(outcome, delivered=outcome.delivered + guessed, unknown=())

    def stats(self) -> Stats:
        stats = self.inner.stats()
        return evolve(stats, delivered=stats.delivered + stats.unknown, unknown=0)


class ChangesBytes(Around):
    """
    Gives the events of each request an insert_id of their own.
    """

    def __init__(self, project: Project) -> None:
        self.network = Network()
        self.inner = instant(project, self.post)

    def post(self, request: Request) -> Answer:
        return self.network(evolve(request, body=request.body.replace(_INSERT_ID + b"0", _INSERT_ID + b"9")))


class Reorders(Around):
    """
    Sends the last message of a call first.
    """

    def send(self, *messages: Message) -> Outcome:
        return self.inner.send(*reversed(messages))


class PeeksAhead(Around):
    """
    Sends the newest update of each request beforehand.
    """

    def __init__(self, project: Project) -> None:
        self.network = Network()
        self.inner = instant(project, self.post)

    def post(self, request: Request) -> Answer:
        if "/engage" in request.url and request.repeatable:
            newest = request.body[request.body.rindex(b'{"$token"') :]
            self.network(evolve(request, body=b"[" + newest))
        return self.network(request)


class RepeatsLate(Around):
    """
    Sends what is not settled for good again, but only after the next call.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.late: tuple[Message, ...] = ()
        self.ledger = Ledger()
        self.inner = SyncTransport(project, max_tries=1)

    def send(self, *messages: Message) -> Outcome:
        self.ledger.accept(len(checked(messages)))
        outcome = self.inner.send(*messages)
        again, self.late = self.late, ()
        outcome += self.inner.send(*again)
        kept = [unknown for unknown in outcome.unknown if unknown.message.repeatable]
        self.late = tuple(each.message for each in (*kept, *outcome.failed))
        outcome = evolve(outcome, failed=(), unknown=tuple(each for each in outcome.unknown if each not in kept))
        self.ledger.settle(outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        outcome = Outcome()
        while self.late:
            outcome += self.send()
        return outcome

    def stats(self) -> Stats:
        return self.ledger.stats()


class LetsOvertake(Around):
    """
    Sends an alias after all else.
    """

    def send(self, *messages: Message) -> Outcome:
        return self.inner.send(*sorted(messages, key=lambda message: message.barrier))


class HangsInClose(Around):
    """
    Never comes back from close.
    """

    def close(self, timeout: float | None = None) -> Outcome:
        threading.Event().wait(60.0)
        return Outcome()


class Miscounts(Around):
    """
    Counts each delivered message twice.
    """

    def stats(self) -> Stats:
        stats = self.inner.stats()
        return evolve(stats, delivered=2 * stats.delivered)


class Misplaces(Around):
    """
    Figures that add up, but hold what was delivered for dropped.
    """

    def stats(self) -> Stats:
        stats = self.inner.stats()
        return evolve(stats, delivered=0, dropped=stats.delivered)


class Confuses(Around):
    """
    Figures that add up, but hold what was delivered for rejected.
    """

    def stats(self) -> Stats:
        stats = self.inner.stats()
        return evolve(stats, delivered=0, rejected=stats.delivered)


class Invents(Around):
    """
    Says that something was delivered that it was never given.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.project = project

    def flush(self, timeout: float | None = None) -> Outcome:
        return Outcome(delivered=(event(self.project),))


class CountsInTheDark(Around):
    """
    Changes a figure in two steps, so that threads overwrite what others wrote.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.count = 0

    def send(self, *messages: Message) -> Outcome:
        before = self.count
        outcome = self.inner.send(*messages)
        self.count = before + len(messages) - len(outcome.failed)
        return outcome

    def stats(self) -> Stats:
        stats = self.inner.stats()
        return evolve(stats, accepted=self.count + stats.failed, delivered=self.count - stats.unknown, held=0)


class RaisesForWeather(Around):
    """
    Raises what it should return.
    """

    def send(self, *messages: Message) -> Outcome:
        outcome = self.inner.send(*messages)
        if not outcome.is_success:
            raise ConnectionError("no luck")
        return outcome


class DeliversAfterClose(Around):
    """
    Does not know that it is closed.
    """

    def close(self, timeout: float | None = None) -> Outcome:
        return Outcome()


class HoldsAfterClose(Holding):
    """
    Takes messages after its end and never lets go of them.
    """

    def send(self, *messages: Message) -> Outcome:
        if self.is_closed:
            self.ledger.accept(len(messages))
            return Outcome()
        return super().send(*messages)


class SettlesTwice(Around):
    """
    Says again in flush what send had said.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.last = Outcome()

    def send(self, *messages: Message) -> Outcome:
        self.last = self.inner.send(*messages)
        return self.last

    def flush(self, timeout: float | None = None) -> Outcome:
        return self.last


class TellsTwice(Background):
    """
    Tells everything in the background twice.
    """

    def tell(self, outcome: Outcome) -> None:
        super().tell(outcome)
        super().tell(outcome)


class DrainsNot(Holding):
    """
    Forgets to deliver when the context manager is left.
    """

    def close(self, timeout: float | None = None) -> Outcome:
        self.is_closed = True
        return Outcome()


class TakesAnything(Around):
    """
    Passes over what is no message.
    """

    def send(self, *messages: Message) -> Outcome:
        return self.inner.send(*(message for message in messages if type(message) is Message))


class RaisesSomethingElse(Around):
    """
    Lets a mistake run into the first line that stumbles over it.
    """

    def send(self, *messages: Message) -> Outcome:
        if any(type(message) is not Message for message in messages):
            raise TypeError
        return self.inner.send(*messages)


class RaisesTooLate(Around):
    """
    Sends the messages before a mistake, and raises only then.
    """

    def send(self, *messages: Message) -> Outcome:
        mistakes = [index for index, message in enumerate(messages) if type(message) is not Message]
        if mistakes:
            self.inner.send(*messages[: mistakes[0]])
        return self.inner.send(*messages)


class SaysFailedWhatArrived(Around):
    """
    Calls certain what is not.
    """

    def send(self, *messages: Message) -> Outcome:
        outcome = self.inner.send(*messages)
        doubtful = tuple(Failed(unknown.message, unknown.cause) for unknown in outcome.unknown)
        return evolve(outcome, failed=outcome.failed + doubtful, unknown=())

    def stats(self) -> Stats:
        stats = self.inner.stats()
        return evolve(stats, failed=stats.failed + stats.unknown, unknown=0)
