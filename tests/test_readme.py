"""
The README tells the truth: its Python runs, its names exist.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from mixwire.core import Request, Response
from mixwire.transports import BufferedTransport, SyncTransport

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_each_python_block_runs(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    posted: list[Request] = []

    def post(request: Request) -> Response:
        posted.append(request)
        return Response(status=200, body=b'{"code":200,"status":"OK","num_records_imported":1}')

    monkeypatch.chdir(tmp_path)
    if "check_transport" not in block:
        for kind in (SyncTransport, BufferedTransport):
            monkeypatch.setattr(f"mixwire.transports.{kind.__name__}", partial(kind, post=post))

    exec(compile(block, "README.md", "exec"), {})

    said = capsys.readouterr().out
    if "SyncTransport(project)" in block:
        assert said == "Outcome(delivered=1, rejected=0, failed=0, unknown=0)\n"
    if "BufferedTransport(project" in block:
        assert said.splitlines()[0] == "Outcome(delivered=1, rejected=0, failed=0, unknown=0)"
        assert "accepted=1, delivered=1" in said
    if "project = Project" in block:
        assert len(posted) == 1


def test_the_readme_shows_python() -> None:
    assert len(BLOCKS) >= 2
