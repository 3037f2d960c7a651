"""
The README tells the truth: its Python runs, its names exist.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mixwire.core import Outcome, Project
from mixwire.transports import SyncTransport

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_each_python_block_runs(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    posted: list[str] = []

    def without_network(project: Project) -> SyncTransport:
        def post(request: object) -> object:
            from mixwire.core import Response

            posted.append(request.url)
            return Response(status=200, body=b'{"code":200,"status":"OK","num_records_imported":1}')

        return SyncTransport(project, post=post)

    monkeypatch.setattr("mixwire.transports.SyncTransport", without_network)
    exec(compile(block, "README.md", "exec"), {})
    if "SyncTransport" in block:
        assert capsys.readouterr().out == f"{Outcome()!r}".replace("delivered=0", "delivered=1") + "\n"
        assert len(posted) == 1


def test_the_readme_shows_python() -> None:
    assert len(BLOCKS) >= 2
