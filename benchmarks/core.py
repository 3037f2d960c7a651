"""
How fast the core is, as ratios in one run.

    python benchmarks/core.py

The floor is ``orjson.dumps`` of the same ready dict: no client that writes JSON can be faster. The official client is
``mixpanel`` with a consumer that throws away what it gets. All candidates take turns in short rounds and the best round
of each counts, because the speed of a machine drifts.
"""

from __future__ import annotations

import os
import time
import timeit
from collections.abc import Callable, Iterator

import mixpanel
import orjson

from mixwire.core import Project, Track, encode

TOKEN = "0123456789abcdef0123456789abcdef"
DISTINCT_ID = "c1de4b9274970092ca21"
TIME = 1_767_225_600_000
INSERT_ID = "689c452e4befb311a886718f2102a628"

EVENTS: dict[str, dict[str, object]] = {
    "7 properties": {
        "repository": "example/project",
        "subject": "A first commit",
        "timezone": "+0200",
        "parents": 0,
        "files changed": 14,
        "insertions": 609,
        "deletions": 0,
    },
    "14 properties": {
        "product": "Premium Plan",
        "plan": "monthly",
        "currency": "USD",
        "amount": 99.99,
        "quantity": 1,
        "coupon": None,
        "trial": False,
        "source": "newsletter",
        "campaign": "autumn-2026",
        "utm_medium": "email",
        "country": "DE",
        "app_version": "4.12.1",
        "session_seconds": 431,
        "page": "/checkout/confirm",
    },
    "nested": {
        "order": "o-1001",
        "total": 149.5,
        "cart": [{"sku": "a-1", "price": 99.5, "quantity": 1}, {"sku": "b-2", "price": 25.0, "quantity": 2}],
        "tags": ["gift", "express"],
        "address": {"country": "DE", "region": "NRW"},
    },
}


class Discard:
    """
    A consumer of the official client that sends nothing.
    """

    def send(self, endpoint: str, json_message: str, api_key: object = None, api_secret: object = None) -> None:
        pass


def insert_ids() -> Iterator[str]:
    """
    Random ids of 32 hexadecimal characters, 256 for each visit to the operating system.
    """
    while True:
        text = os.urandom(16 * 256).hex()
        yield from (text[start : start + 32] for start in range(0, len(text), 32))


def race(candidates: dict[str, Callable[[], object]], rounds: int = 300, runs: int = 400) -> dict[str, float]:
    """
    Nanoseconds for one call of each candidate, the best of all rounds.
    """
    timers = {name: timeit.Timer(candidate) for name, candidate in candidates.items()}
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(runs) / runs * 1e9)
    return best


def measure(properties: dict[str, object]) -> dict[str, float]:
    project = Project(TOKEN)
    official = mixpanel.Mixpanel(TOKEN, Discard())
    ids = insert_ids()
    made = Track("Plan Upgraded", distinct_id=DISTINCT_ID, properties=properties, time=TIME, insert_id=INSERT_ID)
    ready = encode(made, project).to_wire()

    def operation_and_encode() -> None:
        encode(
            Track("Plan Upgraded", distinct_id=DISTINCT_ID, properties=properties, time=TIME, insert_id=INSERT_ID),
            project,
        )

    def stamp_operation_and_encode() -> None:
        now = time.time_ns() // 1_000_000
        encode(
            Track("Plan Upgraded", distinct_id=DISTINCT_ID, properties=properties, time=now, insert_id=next(ids)),
            project,
        )

    return race(
        {
            "floor": lambda: orjson.dumps(ready),
            "encode": lambda: encode(made, project),
            "operation and encode": operation_and_encode,
            "the same with time and id": stamp_operation_and_encode,
            "official": lambda: official.track(DISTINCT_ID, "Plan Upgraded", properties),
        }
    )


def main() -> None:
    print(f"{'event':<15}{'floor':>8}{'encode':>8}{'/floor':>8}{'made':>8}{'stamped':>9}{'official':>10}", end="")
    print(f"{'/made':>8}{'/stamped':>10}")
    for name, properties in EVENTS.items():
        best = measure(properties)
        floor, encoded, official = best["floor"], best["encode"], best["official"]
        made, stamped = best["operation and encode"], best["the same with time and id"]
        print(f"{name:<15}{floor:>8.0f}{encoded:>8.0f}{encoded / floor:>8.2f}{made:>8.0f}{stamped:>9.0f}", end="")
        print(f"{official:>10.0f}{official / made:>8.2f}{official / stamped:>10.2f}")
    print("nanoseconds; /floor must be at most 2.2 (aim 1.5), official/made at least 2.5")


if __name__ == "__main__":
    main()
