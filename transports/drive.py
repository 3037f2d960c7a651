"""
The loop between a `Delivery`, which decides, and the world, which it must not touch. The only one of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from ..core import Delivery, Outcome, Wait
from ..core import Done as _Done
from ..core import Post as _Post
from .base import Post

__all__ = ["drive"]


def drive(
    delivery: Delivery,
    post: Post,
    *,
    sleep: Callable[[float], None],
    pick: Callable[[float, float], float],
    remaining_seconds: Callable[[], float],
) -> Outcome:
    """
    Do what *delivery* says until it is done.

    Args:
        delivery: Where to begin.
        post: Makes a request.
        sleep: Waits so many seconds.
        pick: Chooses a number from a range, both ends included.
        remaining_seconds: How much time is left. A wait that would end later is not begun, nor a request after the end:
            the delivery is given up.
    """
    while True:
        match delivery.step:
            case _Done(outcome):
                return outcome
            case _Post(request):
                if remaining_seconds() <= 0:
                    delivery = delivery.abandoned("no time was left for another request")
                else:
                    delivery = delivery.answered(post(request))
            case Wait(at_least, at_most):
                seconds = pick(at_least, at_most)
                if seconds >= remaining_seconds():
                    delivery = delivery.abandoned("no time was left for the wait before the next try")
                else:
                    sleep(seconds)
                    delivery = delivery.waited()
            case _:
                assert_never(delivery.step)
