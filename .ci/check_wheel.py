"""
Compares the built wheel, file by file, with what it should hold.

    python check_wheel.py DIST
"""

from __future__ import annotations

import re
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "client": "mixwire",
    "core": "mixwire/core",
    "transports": "mixwire/transports",
    "testing": "mixwire/testing",
}

(wheel,) = Path(sys.argv[1]).glob("*.whl")
expected = {f"{target}/{path.name}" for folder, target in FOLDERS.items() for path in (ROOT / folder).glob("*.py")} | {
    "mixwire/py.typed",
    "mixwire/testing/page.html",
}
with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    info = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    (metadata_name,) = [name for name in info if name.endswith("/METADATA")]
    metadata = message_from_bytes(archive.read(metadata_name))
    (entry_points,) = [archive.read(name).decode() for name in info if name.endswith("/entry_points.txt")]

problems: list[str] = []
problems += [f"missing: {name}" for name in sorted(expected - names)]
problems += [f"not expected: {name}" for name in sorted(names - info - expected)]
kept = {name.partition("/")[2] for name in info}
if kept != {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}:
    problems.append(f"dist-info holds {sorted(kept)}")
required = sorted(
    re.split(r"[^\w-]", each)[0] for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each
)
if required != ["attrs", "cattrs", "orjson", "urllib3"]:
    problems.append(f"requires {required}")
if metadata["License-Expression"] != "Apache-2.0":
    problems.append(f"licence is {metadata['License-Expression']}")
if metadata["Requires-Python"] != ">=3.11":
    problems.append(f"requires Python {metadata['Requires-Python']}")
if "mixwire = mixwire.cli:main" not in entry_points:
    problems.append("no command mixwire")
print("\n".join(problems) or f"{wheel.name}: {len(names)} files, as they should be")
sys.exit(bool(problems))
