from __future__ import annotations

import orjson
import pytest

from mixwire.core.batches import Batch, BatchLimits, pack
from mixwire.core.changes import Add, Append, Set
from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.events import Track
from mixwire.core.identity import Alias, Identify, Merge
from mixwire.core.messages import Endpoint, Message, encode
from mixwire.core.profiles import PeopleOp
from mixwire.core.project import Project

PROJECT = Project("TOKEN")
ENDPOINTS = {"t": Endpoint.TRACK, "i": Endpoint.IMPORT, "e": Endpoint.ENGAGE, "g": Endpoint.GROUPS}


def made(script: str) -> list[Message]:
    """
    A message for each word: its endpoint's letter, a number, and '+' if it counts twice or '!' if it is a barrier.
    """
    return [
        Message(ENDPOINTS[word[0]], b'{"n":"%s"}' % word.encode(), (), "+" not in word, "!" in word)
        for word in script.split()
    ]


def packed(script: str, **limits: int) -> list[str]:
    return [
        " ".join(str(message.to_wire()["n"]) for message in batch.messages)
        for batch in pack(made(script), BatchLimits(**limits))
    ]


def test_r4_a_batch_cannot_be_empty_and_nothing_packs_to_nothing() -> None:
    with pytest.raises(InvalidValue, match=r"^messages must be at least one message, not none$"):
        Batch(())
    assert pack([]) == ()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (2000, [2000]), (2001, [2000, 1]), (4500, [2000, 2000, 500])],
)
def test_r5_more_than_2000_messages_are_split_in_order(count: int, sizes: list[int]) -> None:
    messages = [Message(Endpoint.TRACK, b'{"n":%d}' % number, ()) for number in range(count)]
    batches = pack(messages)
    assert [len(batch) for batch in batches] == sizes
    assert [message for batch in batches for message in batch.messages] == messages


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("t1 t2 t3", ["t1 t2 t3"], id="one endpoint"),
        pytest.param("t1 e1 t2 e2 i1 g1", ["t1 t2", "e1 e2", "i1", "g1"], id="a lane for each endpoint"),
        pytest.param("t1 t2! t3", ["t1", "t2!", "t3"], id="a barrier alone"),
        pytest.param("t1! t2! e1", ["t1!", "t2!", "e1"], id="barriers in a row"),
        pytest.param("t1 e1 i1! e2 t2", ["t1", "e1", "i1!", "e2", "t2"], id="no lane across a barrier"),
        pytest.param("t1!", ["t1!"], id="only a barrier"),
        pytest.param("e1 e2+ e3+ e4", ["e1", "e2+ e3+", "e4"], id="cut where the kind changes"),
        pytest.param("e1+ t1 e2+", ["e1+ e2+", "t1"], id="kinds of other endpoints do not cut"),
    ],
)
def test_messages_are_packed(script: str, expected: list[str]) -> None:
    assert packed(script) == expected


def test_r101_r103_nothing_is_packed_with_or_across_an_identity_command() -> None:
    events = [
        encode(Track("E", distinct_id="user-1", time=1767225600, insert_id=f"a{number}"), PROJECT)
        for number in (1, 2, 3)
    ]
    update = encode(PeopleOp("user-1", Set({"a": 1})), PROJECT)
    alias = encode(Alias(alias="user-1", distinct_id="device-1"), PROJECT)
    identify = encode(Identify(identified_id="user-1", anon_id="0b2d3c4e-5f60-4a1b-8c2d-3e4f5a6b7c8d"), PROJECT)
    merge = encode(Merge("user-1", "user-2"), PROJECT)
    batches = pack([events[0], update, alias, events[1], identify, merge, events[2]])
    assert [batch.messages for batch in batches] == [
        (events[0],),
        (update,),
        (alias,),
        (events[1],),
        (identify,),
        (merge,),
        (events[2],),
    ]


def test_r103_a_batch_refuses_a_barrier_beside_others() -> None:
    for script in ("t1 t2!", "t1! t2", "t1! t2!"):
        with pytest.raises(InvalidValue, match="without barriers"):
            Batch(tuple(made(script)))
    assert len(Batch(tuple(made("t1!")))) == 1


def test_r142_a_batch_holds_one_kind_and_is_cut_in_order_where_the_kind_changes() -> None:
    changes = [Set({"a": 1}), Add({"n": 1}), Append({"l": 1}), Set({"a": 2})]
    messages = [encode(PeopleOp("user-1", change), PROJECT) for change in changes]
    batches = pack(messages)
    assert [batch.messages for batch in batches] == [(messages[0],), (messages[1], messages[2]), (messages[3],)]
    assert [batch.repeatable for batch in batches] == [True, False, True]
    with pytest.raises(InvalidValue, match="one repeatability"):
        Batch(tuple(messages))


def test_r143_updates_of_one_endpoint_stay_in_the_order_made() -> None:
    script = "e1 t1 e2+ e3 e4 t2 e5+ e6"
    order = [word for batch in packed(script, max_messages=2) for word in batch.split() if word[0] == "e"]
    assert order == ["e1", "e2+", "e3", "e4", "e5+", "e6"]


def test_a_batch_refuses_two_endpoints() -> None:
    with pytest.raises(InvalidValue, match=r"^messages must be of one endpoint .* not a mixture$"):
        Batch(tuple(made("t1 e1")))


@pytest.mark.parametrize(
    ("max_messages", "expected"),
    [(1, ["t1", "t2", "t3"]), (2, ["t1 t2", "t3"]), (3, ["t1 t2 t3"])],
)
def test_no_batch_holds_more_messages_than_allowed(max_messages: int, expected: list[str]) -> None:
    assert packed("t1 t2 t3", max_messages=max_messages) == expected


# Each message has 10 bytes, so n of them have 11 n + 1 with brackets and commas.
@pytest.mark.parametrize(
    ("max_bytes", "expected"),
    [
        (1, ["t1", "t2", "t3", "t4"]),
        (22, ["t1", "t2", "t3", "t4"]),
        (23, ["t1 t2", "t3 t4"]),
        (33, ["t1 t2", "t3 t4"]),
        (34, ["t1 t2 t3", "t4"]),
        (45, ["t1 t2 t3 t4"]),
    ],
)
def test_no_batch_of_several_has_more_bytes_than_allowed(max_bytes: int, expected: list[str]) -> None:
    assert packed("t1 t2 t3 t4", max_bytes=max_bytes) == expected
    assert all(
        batch.size <= max_bytes or len(batch) == 1
        for batch in pack(made("t1 t2 t3 t4"), BatchLimits(max_bytes=max_bytes))
    )


def test_a_message_larger_than_allowed_travels_alone() -> None:
    large = Message(Endpoint.TRACK, b'{"n":"%s"}' % (b"x" * 50), ())
    small = made("t1 t2")
    batches = pack([small[0], large, small[1]], BatchLimits(max_bytes=40))
    assert [batch.messages for batch in batches] == [(small[0],), (large,), (small[1],)]


def test_messages_are_packed_from_any_iterable() -> None:
    assert pack(iter(made("t1 t2"))) == pack(made("t1 t2"))


@pytest.mark.parametrize("script", ["t1", "t1 t2", "e1+ e2+ e3+"])
def test_the_body_is_the_list_of_the_messages_and_the_size_its_length(script: str) -> None:
    messages = made(script)
    batch = Batch(tuple(messages))
    assert orjson.loads(batch.body) == [message.to_wire() for message in messages]
    assert all(message.body in batch.body for message in messages)
    assert batch.size == len(batch.body)
    assert len(batch) == len(messages)


def test_a_batch_is_of_its_messages_endpoint_and_repeatability() -> None:
    assert (Batch(tuple(made("g1 g2"))).endpoint, Batch(tuple(made("g1 g2"))).repeatable) == (Endpoint.GROUPS, True)
    assert (Batch(tuple(made("e1+"))).endpoint, Batch(tuple(made("e1+"))).repeatable) == (Endpoint.ENGAGE, False)


@pytest.mark.parametrize(("script", "sizes"), [("t1", [1]), ("t1 t2", [1, 1]), ("t1 t2 t3 t4 t5", [2, 3])])
def test_halves_keep_order_and_lose_nothing(script: str, sizes: list[int]) -> None:
    batch = Batch(tuple(made(script)))
    halves = batch.halves()
    assert [len(half) for half in halves] == sizes
    assert sum((half.messages for half in halves), ()) == batch.messages


def test_a_batch_shows_no_content() -> None:
    assert repr(Batch(tuple(made("t1 t2")))) == "Batch(TRACK, 2 messages, 23 bytes)"


def test_the_default_limits_stay_below_what_the_server_takes() -> None:
    assert (BatchLimits().max_messages, BatchLimits().max_bytes) == (2_000, 2_000_000)
    assert BatchLimits(max_messages=1, max_bytes=10_000_000).max_bytes == 10_000_000


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_messages": 0}, "max_messages must be at least 1, not 0"),
        ({"max_messages": 2001}, "max_messages must be at most 2,000 messages, not 2,001"),
        ({"max_messages": True}, "max_messages must be an int, not bool"),
        ({"max_messages": "5"}, "max_messages must be an int, not str"),
        ({"max_bytes": -1}, "max_bytes must be at least 1, not -1"),
        ({"max_bytes": 10_000_001}, "max_bytes must be at most 10,000,000 bytes, not 10,000,001"),
        ({"max_bytes": 1e6}, "max_bytes must be an int, not float"),
    ],
    ids=str,
)
def test_impossible_limits_are_refused(limits: dict[str, int], sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        BatchLimits(**limits)
    assert str(caught.value) == sentence
    assert isinstance(caught.value, LimitExceeded) is ("at most" in sentence)
