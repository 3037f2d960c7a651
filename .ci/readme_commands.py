"""
Writes the shell blocks of the README's section "Two commands" to files of their own, to be run as they stand there.

    python readme_commands.py README.md FOLDER
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

readme, folder = Path(sys.argv[1]), Path(sys.argv[2])
section = re.search(r"^## Two commands\n(.*?)^## ", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
if section is None:
    sys.exit("the README has no section 'Two commands'")
blocks = re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
if len(blocks) != 2:
    sys.exit(f"the README's section 'Two commands' has {len(blocks)} blocks of sh")
folder.mkdir(parents=True)
for number, block in enumerate(blocks, 1):
    (folder / f"{number}.sh").write_text(block, encoding="utf-8")
