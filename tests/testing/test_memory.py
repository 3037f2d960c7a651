"""
Messages in memory, for assertions.
"""

from __future__ import annotations

import threading

import pytest

from mixwire.core import Cause, Endpoint, InvalidValue, Message, Outcome, Project
from mixwire.testing.memory import Memory, MemoryTransport
from mixwire.transports.base import Stats

A, B, C = (Message(Endpoint.TRACK, b'{"event":"%b"}' % name, ()) for name in (b"A", b"B", b"C"))


def test_messages_are_kept_in_order_and_delivered() -> None:
    transport = MemoryTransport()
    assert transport.send(A, B) == Outcome(delivered=(A, B))
    assert transport.send(C).is_success
    assert transport.send() == Outcome()
    assert transport.flush() == Outcome()
    assert transport.messages == (A, B, C)
    assert transport.stats() == Stats(accepted=3, delivered=3)


def test_clear_forgets_the_messages_but_not_the_figures() -> None:
    transport = MemoryTransport()
    transport.send(A, B)
    transport.clear()
    assert transport.messages == ()
    transport.send(C)
    assert transport.messages == (C,)
    assert transport.stats() == Stats(accepted=3, delivered=3)


def test_of_so_many_the_newest_are_kept() -> None:
    transport = MemoryTransport(max_messages=2)
    assert transport.send(A, B, C).delivered == (A, B, C)
    assert transport.messages == (B, C)


def test_after_close_everything_failed_and_what_was_kept_can_be_looked_at() -> None:
    with MemoryTransport() as transport:
        transport.send(A)
    assert transport.close() == Outcome()
    assert [(each.message, each.cause) for each in transport.send(B).failed] == [(B, Cause.CLOSED)]
    assert transport.messages == (A,)
    assert transport.stats() == Stats(accepted=2, delivered=1, failed=1)


def test_what_is_no_message_is_refused() -> None:
    transport = MemoryTransport()
    with pytest.raises(InvalidValue, match=r"^messages\[0\] must be a Message"):
        transport.send(b"A")  # type: ignore[arg-type]
    assert transport.messages == ()


def test_eight_threads_may_send_at_once() -> None:
    transport = MemoryTransport()
    threads = [
        threading.Thread(target=lambda: [transport.send(A, B) and transport.messages for _ in range(100)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transport.messages == (A, B) * 800
    assert transport.stats() == Stats(accepted=1600, delivered=1600)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, "max_messages must be at least 1, not 0"),
        (True, "max_messages must be an int or None, not bool"),
        ("2", "max_messages must be an int or None, not str"),
    ],
)
@pytest.mark.parametrize("kind", [Memory, MemoryTransport])
def test_what_is_no_number_of_messages_is_refused(
    kind: type[Memory | MemoryTransport], value: object, sentence: str
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        kind(max_messages=value)  # type: ignore[arg-type]
    assert str(refusal.value) == sentence


def test_a_description_builds_a_transport_of_its_own_each_time() -> None:
    description = Memory(max_messages=1)
    first, second = description.build(Project("T0")), description.build(Project("T0"))
    first.send(A, B)
    assert (first.messages, second.messages) == ((B,), ())
