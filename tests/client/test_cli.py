"""
The door: python -m mixwire, the installed command, and what happens without the extra.
"""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest

import mixwire
from mixwire.cli import main


def test_the_module_is_the_command_line() -> None:
    shown = subprocess.run([sys.executable, "-m", "mixwire", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: " in shown.stdout
    assert "send" in shown.stdout


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_the_extra_one_sentence_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(module: str, *arguments: Any) -> Any:
        if module == name or module.startswith(f"{name}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(module, *arguments)

    monkeypatch.delitem(sys.modules, "mixwire.commands", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 2
    assert capsys.readouterr().err == f"The command line needs {name}: pip install 'mixwire[cli]'\n"


def test_another_missing_module_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(module: str, *arguments: Any) -> Any:
        if module.endswith("commands"):
            raise ModuleNotFoundError("No module named 'json'", name="json")
        return real(module, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError):
        main()


def test_the_version_is_the_one_on_the_wire() -> None:
    assert mixwire.__version__ == "0.1.0"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mixwire.nothing
