"""
Runs the test file of each core module alone, and demands that it covers that module to the last line and branch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent


def check(module: Path, folder: str) -> tuple[str, int, str]:
    data = f"--data-file={folder}/{module.stem}"
    only = f"--include=*/core/{module.name}"
    test = ROOT / "tests" / "core" / f"test_{module.stem}.py"
    quiet = ["-m", "pytest", "--quiet", "--no-header", "-p", "no:cacheprovider", "--numprocesses=0", str(test)]
    run = [sys.executable, "-m", "coverage", "run", data, "--branch", only, *quiet]
    report = [sys.executable, "-m", "coverage", "report", data, only, "--show-missing", "--fail-under=100"]
    output = ""
    for command in (run, report):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        output += done.stdout + done.stderr
        if done.returncode:
            return module.stem, done.returncode, output
    return module.stem, 0, output


def main() -> int:
    modules = sorted(path for path in (ROOT / "core").glob("*.py") if path.name != "__init__.py")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda module: check(module, folder), modules))
    for name, code, output in results:
        print(f"{'100 %' if code == 0 else 'not covered'}  {name}")
        if code:
            print(output)
    return max(code for _, code, _ in results)


if __name__ == "__main__":
    sys.exit(main())
