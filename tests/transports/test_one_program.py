"""
One program over all transports: another transport is another string, and nothing else.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stand_ins import sum_of

from mixwire.core import Add, Alias, GroupOp, Message, Operation, Outcome, PeopleOp, Project, Set, Track, encode
from mixwire.transports import Stats
from mixwire.transports.config import build, structure, unstructure
from mixwire.transports.file import read_spool

if TYPE_CHECKING:
    from conftest import Arrivals

NOW = time.time_ns() // 1_000_000
OPERATIONS: tuple[Operation, ...] = (
    Track("Signed Up", distinct_id="u1", time=NOW, insert_id="a-0000000001"),
    PeopleOp("u1", Set({"plan": "pro"})),
    PeopleOp("u1", Add({"credits": 1})),
    GroupOp("Company", "acme", Set({"plan": "pro"})),
    Alias(alias="u1@example.com", distinct_id="u1"),
    Track("Paid", distinct_id="u1", time=NOW, insert_id="b-0000000001"),
)


def program(configuration: str, project: Project) -> tuple[list[Outcome], Stats]:
    """
    What a user writes, and what it is told: outcomes from everywhere, and the figures at the end.
    """
    outcomes: list[Outcome] = []
    with build(configuration, project) as transport:
        transport.settled_in_background = outcomes.append
        outcomes += [transport.send(encode(operation, project)) for operation in OPERATIONS]
        outcomes.append(transport.flush(20))
        outcomes.append(transport.close(5))
    return outcomes, transport.stats()


ALL = len(OPERATIONS)
ARRIVE = Stats(accepted=ALL, delivered=ALL)
NESTED = "file%3A%2F%2F{directory}%2Fspool"
UNREACHABLE = "%3A%3Fmax_tries%3D1%26server%3Dhttp%253A%252F%252F127.0.0.1%253A1"
ROWS = [
    ("sync", ARRIVE, "server"),
    ("buffered", ARRIVE, "server"),
    ("buffered:?background=false", ARRIVE, "server"),
    ("buffered:?flush_after_seconds=0.01&max_messages=2&spool={directory}/spool", ARRIVE, "server"),
    ("buffered:?spool.directory={directory}/spool&spool.sync=always&background=false", ARRIVE, "server"),
    ("logging:?level=debug", ARRIVE, "nowhere"),
    ("file://{directory}/spool?sync=never", Stats(accepted=ALL, held=ALL), "spool"),
    ("null", Stats(accepted=ALL, dropped=ALL), "nowhere"),
    ("memory", ARRIVE, "nowhere"),
    (f"tee:?transports=sync&transports={NESTED}", ARRIVE, "server, spool"),
    (f"tee:?transports=buffered&transports={NESTED}&transports=null", ARRIVE, "server, spool"),
    (f"fallback:?transports=sync&transports={NESTED}", ARRIVE, "server"),
    (f"fallback:?transports=sync{UNREACHABLE}&transports={NESTED}", Stats(accepted=ALL, held=ALL), "spool"),
    (
        f"fallback:?transports=buffered{UNREACHABLE}%26flush_after_seconds%3D0&transports={NESTED}",
        Stats(accepted=ALL, held=ALL),
        "spool",
    ),
]


@pytest.mark.parametrize(
    ("configuration", "figures", "where"), ROWS, ids=[row[0].replace("%3A", ":")[:60] for row in ROWS]
)
def test_only_the_string_differs(
    configuration: str, figures: Stats, where: str, arrivals: Arrivals, tmp_path: Path
) -> None:
    project = Project("T0", server=arrivals.url)
    configuration = configuration.format(directory=tmp_path)
    assert structure(unstructure(structure(configuration))) == structure(configuration)

    outcomes, stats = program(configuration, project)

    assert stats == figures
    assert sum_of(stats) == stats.accepted
    outcome = Outcome.total(outcomes)
    assert len(outcome) == stats.accepted - stats.held - stats.dropped
    messages: list[Message] = [encode(operation, project) for operation in OPERATIONS]
    bodies = sorted(message.body for message in messages)
    assert sorted(message.body for message in outcome.delivered) == (bodies if stats.delivered else [])
    arrived = sum(size for _, size in arrivals.batches())
    assert arrived == (ALL if "server" in where else 0)
    spool = tmp_path / "spool"
    held = [kept.message.body for kept in read_spool(spool) if kept.state != "settled"] if spool.exists() else []
    assert sorted(held) == (bodies if "spool" in where else [])
