"""
Threads that make requests, so that several can be under way at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen

from ..core import Answer, NoResponse, Request
from ..core.lanes import Job
from .base import Post

__all__ = ["Answered", "Posters", "answer_to", "is_delivering"]


@frozen
class Answered:
    """
    A job and the answer to its request.
    """

    job: Job
    answer: Answer


_delivering: Final[set[int]] = set()
"""
The threads that are making a request. Not a `threading.local`, which would be one for all greenlets if gevent took the
place of threads after it was made.
"""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_delivering.clear)


def is_delivering() -> bool:
    """
    Whether this thread is making a request right now. What is sent from there was caused by sending, such as a line of
    a log that is shipped as events; to send it too would never end.
    """
    return threading.get_ident() in _delivering


def answer_to(post: Post, request: Request) -> Answer:
    """
    Make a request, and have an answer whatever happens to it.
    """
    me = threading.get_ident()
    try:
        _delivering.add(me)
        return post(request)
    except Exception as error:  # noqa: BLE001
        # Only a `post` of somebody else's raises. What it did before is not known.
        return NoResponse(reason=f"the request broke off ({type(error).__name__})", maybe_received=True)
    finally:
        _delivering.discard(me)


_Work: TypeAlias = tuple[Job, Request] | None

_START_AGAIN_SECONDS: Final = 1.0


class Posters:
    """
    Up to so many threads, each started when it is first needed.

    Args:
        post: Makes a request.
        tell: Takes each answer; called from the threads.
        most: How many threads there may be.
    """

    def __init__(self, post: Post, tell: Callable[[Answered], None], most: int) -> None:
        self._post = post
        self._tell = tell
        self._most = most
        self._count = 0
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._start_again_at = float("-inf")
        self.may_start_threads = True

    def take(self, job: Job, under_way: int) -> bool:
        """
        Have a request made while *under_way* others are; False if there is no thread that could.
        """
        if (
            under_way >= self._count
            and self._count < self._most
            and self.may_start_threads
            and time.monotonic() >= self._start_again_at
        ):
            thread = threading.Thread(
                target=_make_requests, args=(self._post, self._work, self._tell), name="mixwire-post", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                # No thread can be started here, or now. Those that run will come to it.
                self._start_again_at = time.monotonic() + _START_AGAIN_SECONDS
            else:
                self._count += 1
        if not self._count:
            return False
        self._work.put((job, job.request))
        return True

    def stop(self) -> None:
        """
        Let each thread end after the request that it is making.
        """
        for _ in range(self._count):
            self._work.put(None)
        self._count = 0


def _make_requests(post: Post, work: queue.SimpleQueue[_Work], tell: Callable[[Answered], None]) -> None:
    pid = os.getpid()
    # In a child process, after a fork in the midst of a request, all that waits is the parent's.
    while (item := work.get()) is not None and os.getpid() == pid:
        job, request = item
        answer: Answer = NoResponse(reason="the request was broken off", maybe_received=True)
        # Whatever ends a thread elsewhere must not end this one, which others rely on.
        with contextlib.suppress(BaseException):
            answer = answer_to(post, request)
        tell(Answered(job, answer))
        # An idle thread keeps nothing alive.
        del item, job, request, answer
