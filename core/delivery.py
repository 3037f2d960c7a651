"""
The course of one batch until it is settled, as an immutable machine without clock, chance or network.

    delivery = Delivery(batch, project)
    while not isinstance(step := delivery.step, Done):
        match step:
            case Post(request):
                delivery = delivery.answered(...)    # the answer, or that there was none
            case Wait(at_least, at_most):
                ...                                  # a moment from that range, in seconds
                delivery = delivery.waited()
    step.outcome

Everything that is decided about repeating is decided here:

- A batch is posted again after a wait if it was certainly not applied, or if it may have been and is repeatable.
- A batch that is not repeatable (it adds or appends) and may have been applied is unknown, and posted no more, unless
  the policy says `at_least_once`.
- A batch that is too large is halved; one that is refused as a whole is bisected until the bad messages stand alone.
- Once a message was in doubt, a later certain failure does not make it certain: it stays unknown.
- When the tries of one part are used up, the parts behind it are not tried: order would be lost.

After 429, 502 and 503 the waits follow Mixpanel's advice (https://docs.mixpanel.com/reference/import-events): 2
seconds, doubled up to 60, plus 1 to 5, or what Retry-After asks if that is more. Else: 1 second, doubled up to 60,
times 0.5 to 1. Where only a person can help (refused credentials, a wrong server, a certificate that is not trusted), a
delivery gives up at once, or, if its tries are not counted, looks again after 60 seconds, doubled up to 15 minutes.
"""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never

from attrs import evolve, field, frozen

from .answers import Advice, Verdict, interpret
from .batches import Batch
from .errors import InvalidValue, describe
from .http import Answer, Request, Response, to_request
from .messages import Endpoint, route
from .outcomes import Cause, Failed, Outcome, Unknown
from .project import Project, ProjectSecret, ServiceAccount

__all__ = ["Delivery", "Done", "Post", "RetryPolicy", "Step", "Wait", "backoff"]


def _tries(value: int | None) -> int | None:
    if value is not None and type(value) is not int:
        raise InvalidValue("max_tries", "an int or None", describe(value))
    if value is not None and value < 1:
        raise InvalidValue("max_tries", "at least 1", str(value))
    return value


def _flag(value: bool) -> bool:
    if type(value) is not bool:
        raise InvalidValue("at_least_once", "True or False", describe(value))
    return value


@frozen(kw_only=True)
class RetryPolicy:
    """
    How hard to try.

    Attributes:
        max_tries: How often one batch is posted, at least once; None for as long as it takes, also where only a person
            can help.
        at_least_once: Whether a batch that counts twice when applied twice is posted again although it may have been
            applied. Off: such a batch is then unknown.
    """

    max_tries: int | None = field(default=5, converter=_tries)
    at_least_once: bool = field(default=False, converter=_flag)


@frozen
class Post:
    """
    Make this request and call `Delivery.answered`.
    """

    request: Request


@frozen
class Wait:
    """
    Wait a moment between *at_least* and *at_most* seconds, by chance, and call `Delivery.waited`.
    """

    at_least: float
    at_most: float


@frozen
class Done:
    """
    Nothing is left to do.
    """

    outcome: Outcome


Step: TypeAlias = Post | Wait | Done
"""What a delivery wants next."""


@frozen(kw_only=True)
class _Part:
    """
    A piece of the batch that is not settled yet.

    `doubt` is where its messages stand if nothing better is learnt: set once they may have been applied. `last` is what
    its last request led to.
    """

    batch: Batch
    tries: int = 0
    doubt: Unknown | None = None
    last: Failed | Unknown | None = None
    is_rechecked: bool = False

    def after(self, verdict: Verdict) -> _Part:
        unknown = verdict.outcome.unknown
        left: tuple[Failed | Unknown, ...] = (*verdict.outcome.failed, *unknown)
        last = left[0] if left else None
        return evolve(self, tries=self.tries + 1, doubt=unknown[0] if unknown else self.doubt, last=last)

    def given_up(self, cause: Cause, detail: str) -> Outcome:
        messages = self.batch.messages
        if self.doubt is not None:
            detail = self._and_last(self.doubt.detail)
            return Outcome(unknown=tuple(evolve(self.doubt, message=each, detail=detail) for each in messages))
        detail = self._and_last(detail)
        status = None if self.last is None else self.last.status
        return Outcome(failed=tuple(Failed(message, cause, detail, status) for message in messages))

    def _and_last(self, detail: str) -> str:
        """
        The detail, and what the last request led to, where that is something else.
        """
        if self.last is None:
            return detail
        # What a server says may repeat what it was sent; only the status is told.
        last = self.last.detail
        last = last.partition(":")[0] if last.startswith("HTTP") else last
        return detail if last in detail else f"{detail}; the last: {last}"


def _rerouted(part: _Part, now: int) -> _Part:
    messages = part.batch.messages
    if part.batch.endpoint is not Endpoint.TRACK or all(route(message, now) is message for message in messages):
        return part
    # All of them, because a batch has one endpoint, and /import takes live events too.
    return evolve(part, batch=Batch(tuple(evolve(message, endpoint=Endpoint.IMPORT) for message in messages)))


_LEAST_SECRET: Final = 12
"""Characters; a shorter one is nobody's, and could be a word of the answer."""


def _without_secrets(answer: Answer, project: Project, authorization: str | None) -> Answer:
    """
    The answer of a server, or of what stands before it, that may repeat what it was sent: its words go to logs.
    """
    if not isinstance(answer, Response):
        return answer
    secrets = [project.token, (authorization or "").rpartition(" ")[2]]
    if isinstance(project.credentials, ServiceAccount | ProjectSecret):
        secrets.append(project.credentials.secret)
    body = answer.body
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            body = body.replace(secret.encode(), b"***")
    return answer if body == answer.body else evolve(answer, body=body)


_DEFAULT_POLICY: Final = RetryPolicy()
_MAX_BACKOFF_SECONDS: Final = 60.0
_STOPPED_SECONDS: Final = 60.0
_MAX_STOPPED_SECONDS: Final = 900.0


def backoff(failures: int, verdict: Verdict) -> Wait:
    """
    How long to wait after so many failures in a row, at least one, of which *verdict* was the last.
    """
    doublings = min(failures - 1, 10)
    if verdict.advice is Advice.STOP:
        least = min(_STOPPED_SECONDS * 2**doublings, _MAX_STOPPED_SECONDS)
        return Wait(least, least)
    if verdict.advice is Advice.THROTTLE:
        least = min(2.0 * 2**doublings, _MAX_BACKOFF_SECONDS) + 1.0
        least = max(least, verdict.retry_after or 0.0)
        return Wait(least, least + 4.0)
    most = min(1.0 * 2**doublings, _MAX_BACKOFF_SECONDS)
    least = max(most / 2, verdict.retry_after or 0.0)
    return Wait(least, max(most, least))


@frozen(init=False, repr=False)
class Delivery:
    """
    Where the delivery of one batch stands.

    Attributes:
        step: What to do next.
        verdict: What the last answer meant; None before the first.
    """

    project: Project
    policy: RetryPolicy
    step: Step
    verdict: Verdict | None
    _parts: tuple[_Part, ...]
    _settled: tuple[Outcome, ...]

    def __init__(self, batch: Batch, project: Project, policy: RetryPolicy = _DEFAULT_POLICY) -> None:
        step = Post(to_request(batch, project))
        self.__attrs_init__(project, policy, step, None, (_Part(batch=batch),), ())  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]

    @property
    def endpoint(self) -> Endpoint | None:
        """
        Where its next request goes; None when it is done.
        """
        return self._parts[0].batch.endpoint if self._parts else None

    def answered(self, answer: Answer) -> Delivery:
        """
        The delivery after its request led to *answer*. Only when `step` is a `Post`.
        """
        assert isinstance(self.step, Post), "answered() belongs to a Post"
        first, *others = self._parts
        behind = tuple(others)
        verdict = interpret(first.batch, _without_secrets(answer, self.project, self.step.request.authorization))
        part = first.after(verdict)
        match verdict.advice:
            case Advice.NOTHING:
                return self._on(behind, verdict.outcome, verdict=verdict)
            case Advice.HALVE | Advice.BISECT:
                halves = (_Part(batch=half, doubt=part.doubt) for half in part.batch.halves())
                return self._on((*halves, *behind), verdict=verdict)
            case Advice.RECHECK if part.is_rechecked:
                # The second count of the same bytes: the server means it, and asking again would not end.
                notes = (f"server_count_mismatch: {verdict.outcome.unknown[0].detail}",)
                return self._on(behind, Outcome(delivered=part.batch.messages, notes=notes), verdict=verdict)
            case Advice.RECHECK:
                if not self._may_repeat(part):
                    return self._on(behind, verdict.outcome, verdict=verdict)
                if part.tries == self.policy.max_tries:
                    return self._give_up(part, behind, verdict)
                return self._on((evolve(part, is_rechecked=True), *behind), verdict=verdict)
            case Advice.STOP if self.policy.max_tries is not None:
                return self._give_up(part, behind, verdict)
            case Advice.STOP | Advice.RETRY | Advice.THROTTLE:
                if verdict.outcome.unknown and not self._may_repeat(part):
                    return self._on(behind, verdict.outcome, verdict=verdict)
                if self.policy.max_tries is not None and part.tries >= self.policy.max_tries:
                    return self._give_up(part, behind, verdict)
                return self._on((part, *behind), verdict=verdict, wait=backoff(part.tries, verdict))
            case _:
                assert_never(verdict.advice)

    def waited(self, now: int | None = None) -> Delivery:
        """
        The delivery after its wait is over. Only when `step` is a `Wait`.

        With *now*, in milliseconds since 1970, a part with events that have become too old for /track goes to /import.
        """
        assert isinstance(self.step, Wait), "waited() belongs to a Wait"
        parts = self._parts if now is None else tuple(_rerouted(part, now) for part in self._parts)
        return self._on(parts, verdict=self.verdict)

    def abandoned(self, detail: str) -> Delivery:
        """
        The delivery given up, for a reason in words: what is not settled failed, or is unknown where it was in doubt.

        A shell that gives up while its request is under way first says so with ``answered(NoResponse(...))``.
        """
        given_up = (part.given_up(Cause.GIVEN_UP, detail) for part in self._parts)
        return self._on((), *given_up, verdict=self.verdict)

    @property
    def is_untouched(self) -> bool:
        """
        Whether nothing of the batch was applied, for certain: it stands where it began.
        """
        return not self._settled and all(part.doubt is None for part in self._parts)

    def _may_repeat(self, part: _Part) -> bool:
        return part.batch.repeatable or self.policy.at_least_once

    def _give_up(self, part: _Part, behind: tuple[_Part, ...], verdict: Verdict) -> Delivery:
        last = verdict.outcome.failed[0] if verdict.outcome.failed else verdict.outcome.unknown[0]
        rest = (each.given_up(Cause.NOT_TRIED, last.detail) for each in behind)
        return self._on((), part.given_up(last.cause, last.detail), *rest, verdict=verdict)

    def _on(
        self, parts: tuple[_Part, ...], *settled: Outcome, verdict: Verdict | None, wait: Wait | None = None
    ) -> Delivery:
        """
        The delivery with *parts* still to do.
        """
        outcomes = (*self._settled, *settled)
        step: Step
        if not parts:
            step = Done(Outcome.total(outcomes))
        elif wait is not None:
            step = wait
        else:
            step = Post(to_request(parts[0].batch, self.project))
        new = object.__new__(Delivery)
        new.__attrs_init__(self.project, self.policy, step, verdict, parts, outcomes)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
        return new

    def __repr__(self) -> str:
        return (
            f"Delivery({type(self.step).__name__}, {sum(len(part.batch) for part in self._parts)} messages to settle)"
        )
