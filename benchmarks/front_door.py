"""
How fast `Mixpanel.track` is beside the official one, as ratios in one run.

    python benchmarks/front_door.py

Nothing is sent: into a transport that throws away what it gets, into a `NullTransport`, which counts too, and into the
consumer that the official client is given. An import is timed in a new process each, beside one of the official client.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import mixpanel

from core import DISTINCT_ID, EVENTS, TOKEN, Discard, race
from mixwire import Mixpanel
from mixwire.core import Message, Outcome
from mixwire.transports import NullTransport, Stats, Transport
from mixwire.transports.base import NOTHING

SHARED = {"app": "shop", "release": "4.12.1"}
IMPORTS = {
    "import nothing": "pass",
    "from mixwire import Mixpanel": "from mixwire import Mixpanel",
    "import mixpanel": "import mixpanel",
}


class Discarding(Transport):
    """
    A transport that sends nothing and keeps no figures.
    """

    def send(self, *messages: Message) -> Outcome:
        return NOTHING

    def flush(self, timeout: float | None = None) -> Outcome:
        return NOTHING

    def close(self, timeout: float | None = None) -> Outcome:
        return NOTHING

    def stats(self) -> Stats:
        return Stats()


def measure(properties: dict[str, object]) -> dict[str, float]:
    official = mixpanel.Mixpanel(TOKEN, Discard())
    plain = Mixpanel(TOKEN, transport=Discarding())
    clients = {
        "discard": plain,
        "null": Mixpanel(TOKEN, transport=NullTransport()),
        "consumer": Mixpanel(TOKEN, Discard()),
        "off": Mixpanel(TOKEN, transport=Discarding(), limits="off"),
        "shared": plain.with_properties(SHARED),
    }

    def tracking(client: Mixpanel) -> Callable[[], object]:
        return lambda: client.track(DISTINCT_ID, "Plan Upgraded", properties)

    return race(
        {
            "official": lambda: official.track(DISTINCT_ID, "Plan Upgraded", properties),
            **{name: tracking(client) for name, client in clients.items()},
        }
    )


def loading(rounds: int = 20) -> dict[str, float]:
    """
    Milliseconds of a new process for each of the imports, the best of all rounds.
    """
    best = dict.fromkeys(IMPORTS, float("inf"))
    for _ in range(rounds):
        for name, line in IMPORTS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", line], check=True)
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e3)
    return best


def main() -> None:
    names = ("discard", "null", "consumer", "off", "shared")
    print(f"{'event':<15}{'official':>10}" + "".join(f"{name:>11}{'ratio':>7}" for name in names))
    for event, properties in EVENTS.items():
        best = measure(properties)
        print(f"{event:<15}{best['official']:>10.0f}", end="")
        print("".join(f"{best[name]:>11.0f}{best['official'] / best[name]:>7.2f}" for name in names))
    print("nanoseconds for one track; off: limits='off'; shared: with_properties of two; like discard, both into a")
    print("transport that throws away. Needed: discard at least 2.5 times as fast as official with 7 properties\n")
    best = loading()
    nothing = best["import nothing"]
    for name, milliseconds in best.items():
        print(f"{name:<30}{milliseconds:>7.0f} ms in a new process{milliseconds - nothing:>7.0f} ms of them its own")


if __name__ == "__main__":
    main()
