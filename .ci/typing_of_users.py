"""
What users write is checked as they would check it: right uses pass a strict type check, wrong ones fail it.

    python typing_of_users.py MYPY
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

RIGHT = """
from datetime import UTC, datetime
import mixwire as mixpanel
from mixwire import Mixpanel, MixpanelException
from mixwire.core import Add, Charge, GroupOp, Outcome, PeopleOp, Project, Set, Track, Union, encode
from mixwire.transports import BufferedTransport, FallbackTransport, FileTransport, SyncTransport, Transport, build

project = Project("TOKEN", server="eu", events="import")
track = Track("Signed Up", distinct_id="u1", properties={"plan": "pro", "seats": [1, 2]}, time=datetime.now(UTC))
wire: dict[str, object] = {**encode(track, project).to_wire()}
PeopleOp("u1", Set({"plan": "pro"}), Add({"credits": 10}))
GroupOp("Company", "acme", Union({"tags": ["a"]}))
Charge("u1", 9.5, time=1767225600)
with SyncTransport(project) as transport:
    delivered: int = len(transport.send(encode(track, project)).delivered)
background: Transport = BufferedTransport(project, spool="spool", when_full="block", on_outcome=print)
held: int = FallbackTransport(background, FileTransport("later")).stats().held
configured: Transport = build({"type": "tee", "transports": ["sync", "logging"]}, project)
with Mixpanel("TOKEN", transport={"type": "buffered", "spool": "spool"}, events="import") as mp:
    mp.track("u1", "Signed Up", {"plan": "pro"}, {"ip": 0})
    mp.import_data(None, "u1", "Signed Up", datetime.now(UTC), api_secret="SECRET")
    mp.people_unset("u1", ["plan"])
    outcome: Outcome = mp.with_properties({"service": "shop"}).send(track, Charge("u1", 9.5))
try:
    mixpanel.Mixpanel("TOKEN", mixpanel.BufferedConsumer(10)).people_track_charge("u1", 9.5)
except MixpanelException as error:
    status: int | None = error.status
"""
WRONG = {
    "an increment on a group": 'from mixwire.core import *\nGroupOp("Company", "acme", Add({"seats": 1}))',
    "an event that is no str": "from mixwire.core import *\nTrack(5, distinct_id='u1')",
    "an unknown route": 'from mixwire.core import *\nProject("TOKEN", events="live")',
    "a time that is a str": "from mixwire.core import *\nTrack('E', distinct_id='u1', time='2026-01-01')",
    "properties that are no mapping": "from mixwire.core import *\nTrack('E', distinct_id='u1', properties=[1])",
    "an unknown answer to a full buffer": (
        "from mixwire.core import *\nfrom mixwire.transports import *\n"
        "BufferedTransport(Project('TOKEN'), when_full='wait')"
    ),
    "an operation that was not encoded": (
        "from mixwire.core import *\nfrom mixwire.transports import *\n"
        "NullTransport().send(Track('E', distinct_id='u1'))"
    ),
    "a name where a list of names belongs": 'from mixwire import *\nMixpanel("TOKEN").people_unset("u1", "plan")',
    "a call without an event": 'from mixwire import *\nMixpanel("TOKEN").track("u1")',
    "a transport that is a number": 'from mixwire import *\nMixpanel("TOKEN", transport=5)',
    "an amount that is text": 'from mixwire import *\nMixpanel("TOKEN").people_track_charge("u1", "9.50")',
    "an outcome taken for a bool": "from mixwire.core import *\nx: int = Outcome().delivered",
}


def errors_of(code: str, folder: str) -> str:
    file = Path(folder) / "user.py"
    file.write_text(code, encoding="utf-8")
    checked = subprocess.run([sys.argv[1], "--strict", str(file)], capture_output=True, text=True, check=False)
    return checked.stdout if checked.returncode else ""


with tempfile.TemporaryDirectory() as folder:
    problems = [errors_of(RIGHT, folder)] if errors_of(RIGHT, folder) else []
    problems += [f"passes the type check: {name}" for name, code in WRONG.items() if not errors_of(code, folder)]
print("\n".join(problems) or f"{len(WRONG)} wrong uses are found, the right ones pass")
sys.exit(bool(problems))
