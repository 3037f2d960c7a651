"""
Transports in a network of their own, in which a server's name is never answered or its address never reached. To be run
as root of a user namespace that has a network and may mount.

Says as JSON what happened.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spool_kit import event

from mixwire.core import NoResponse, Project, Request
from mixwire.transports import BufferedTransport, Network
from mixwire.transports.spool import Spool

# Addresses for documentation, which exist nowhere: https://www.rfc-editor.org/rfc/rfc5737
REFUSED = "203.0.113.1"
SWALLOWED = "192.0.2.2"


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def mute_name_server(directory: Path) -> socket.socket:
    ip("link set lo up")
    mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mute.bind(("127.0.0.1", 53))
    ask_for(directory, seconds=30, times=2)
    (directory / "nsswitch.conf").write_text("hosts: dns\n")
    for name in ("resolv.conf", "nsswitch.conf"):
        subprocess.run(["mount", "--bind", str(directory / name), f"/etc/{name}"], check=True)
    return mute


def ask_for(directory: Path, *, seconds: int, times: int) -> None:
    options = f"options timeout:{seconds} attempts:{times}"
    (directory / "resolv.conf").write_text(f"nameserver 127.0.0.1\n{options}\n")


def dead_routes() -> None:
    ip("link set lo up")
    ip("route add blackhole 203.0.113.0/24")
    # A cable to nowhere, behind which a neighbour is said to live: what is sent there is never heard of again.
    ip("link add here type veth peer name there")
    ip("address add 192.0.2.1/24 dev here")
    ip("link set here up")
    ip("link set there up")
    ip("neighbour add 192.0.2.2 lladdr 02:00:00:00:00:01 dev here")


def at_once(**works: Callable[[], object]) -> dict[str, object]:
    with ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(work) for name, work in works.items()}
        return {name: future.result() for name, future in futures.items()}


def closed(server: str, spool: Path | None) -> dict[str, object]:
    """
    Send to a server, close, and say how long that took.
    """
    transport = BufferedTransport(
        Project("TOKEN", server=server),
        flush_after_seconds=0.0,
        spool=spool,
        connect_timeout_seconds=1.0,
    )
    slowest = 0.0
    for number in range(10):
        begun = time.monotonic()
        transport.send(event(number))
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.01)
    held = transport.stats().held
    begun = time.monotonic()
    outcome = transport.close(1.0)
    seconds = time.monotonic() - begun
    stats = transport.stats()
    kept = None
    if spool is not None:
        with_it = Spool(spool)
        kept = with_it.survey().waiting
        with_it.close()
    return {
        "slowest": slowest,
        "held": held,
        "seconds": seconds,
        "failed": len(outcome.failed),
        "unknown": len(outcome.unknown),
        "sum": stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.dropped + stats.held,
        "kept": kept,
    }


def posted(host: str) -> dict[str, object]:
    request = Request(url=f"https://{host}/track", body=b"[]", compressible=True)
    begun = time.monotonic()
    answer = Network(connect_timeout_seconds=0.5)(request)
    assert isinstance(answer, NoResponse)
    return {
        "maybe_received": answer.maybe_received,
        "blocked": answer.blocked,
        "seconds": time.monotonic() - begun,
        "reason": answer.reason,
    }


def silent_names(directory: Path) -> dict[str, object]:
    mute = mute_name_server(directory)
    said = at_once(
        memory=lambda: closed("https://nobody.example", None),
        spool=lambda: closed("https://nobody.example", directory / "spool"),
    )
    said["was_asked"] = len(mute.recv(512, socket.MSG_DONTWAIT)) > 0
    ask_for(directory, seconds=1, times=1)
    return {**said, "posted": posted("nobody.example")}


def dead_addresses(directory: Path) -> dict[str, object]:
    dead_routes()
    return at_once(
        refused=lambda: posted(REFUSED),
        swallowed=lambda: posted(SWALLOWED),
        memory=lambda: closed(f"https://{SWALLOWED}", None),
        spool_of_swallowed=lambda: closed(f"https://{SWALLOWED}", directory / "swallowed"),
        spool_of_refused=lambda: closed(f"https://{REFUSED}", directory / "refused"),
    )


if __name__ == "__main__":
    scenes = {"silent_names": silent_names, "dead_addresses": dead_addresses}
    print(json.dumps(scenes[sys.argv[1]](Path(sys.argv[2]))), flush=True)
    # A thread may still wait for an answer; that must not keep the process.
    sys.exit(0)
