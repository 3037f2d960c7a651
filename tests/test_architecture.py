"""
The house rules that can be read off the syntax trees and off a fresh interpreter.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "core": "mixwire.core",
    "transports": "mixwire.transports",
    "client": "mixwire",
    "testing": "mixwire.testing",
}
MODULES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
CORE = [path for path in MODULES if path.parent.name == "core"]

CORE_MAY_IMPORT = {
    "__future__",
    "attrs",
    "base64",
    "cattrs",
    "cattrs.gen",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "heapq",
    "itertools",
    "json",
    "json.encoder",
    "math",
    "orjson",
    "re",
    "typing",
    "uuid",  # UUID alone: the type, nothing that makes one
    "zlib",  # crc32 alone: a pure function
}
ONLY_THESE_NAMES = {"uuid": {"UUID"}, "zlib": {"crc32"}}
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
FORBIDDEN_METHODS = {"now", "today", "utcnow", "getenv", "sleep", "uuid1", "uuid4", "time", "time_ns", "monotonic"}
MAY_IMPORT = {
    "core": {"core"},
    "transports": {"core", "transports"},
    "client": {"core", "transports", "client"},
    "testing": {"core", "transports", "testing"},
}
SHOW_THE_EMULATOR = {"client/demo.py", "client/emulate.py"}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, set[str]]]:
    """
    The absolute name of each imported module, with the names taken from it.
    """
    package = FOLDERS[path.parent.name]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, set()
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.level == 0:
                yield node.module or "", names
                continue
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1])
            yield f"{base}.{node.module}" if node.module else base, names


def folder_of(module: str) -> str | None:
    for folder in ("core", "transports", "testing"):
        if module == FOLDERS[folder] or module.startswith(FOLDERS[folder] + "."):
            return folder
    return "client" if module == "mixwire" or module.startswith("mixwire.") else None


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_imports_only_values(path: Path) -> None:
    for module, names in imports(path):
        if module.startswith("mixwire"):
            assert folder_of(module) == "core", f"{name_of(path)} imports {module}"
        else:
            assert module in CORE_MAY_IMPORT, f"{name_of(path)} imports {module}"
            assert names <= ONLY_THESE_NAMES.get(module, names), f"{name_of(path)} takes {names} from {module}"


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_touches_neither_the_world_nor_the_clock(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                assert called.id not in FORBIDDEN_CALLS, f"{name_of(path)}:{node.lineno} calls {called.id}"
            elif isinstance(called, ast.Attribute):
                assert called.attr not in FORBIDDEN_METHODS, f"{name_of(path)}:{node.lineno} calls .{called.attr}"
        assert not isinstance(node, ast.Global | ast.Nonlocal | ast.AsyncFunctionDef | ast.Await), (
            f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        )


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_what_a_core_module_holds_never_changes(path: Path) -> None:
    for node in tree_of(path).body:
        if isinstance(node, ast.AnnAssign):
            declared = ast.unparse(node.annotation)
            assert declared.startswith(("Final", "TypeAlias")), f"{name_of(path)}:{node.lineno} is {declared}"
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            assert isinstance(target, ast.Name), f"{name_of(path)}:{node.lineno}"
            is_type_variable = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"
            assert target.id == "__all__" or is_type_variable, f"{name_of(path)}:{node.lineno} assigns {target.id}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_folder_imports_only_what_it_may(path: Path) -> None:
    for module, _ in imports(path):
        folder = folder_of(module)
        may_import = MAY_IMPORT[path.parent.name] | ({"testing"} if name_of(path) in SHOW_THE_EMULATOR else set())
        assert folder is None or folder in may_import, f"{name_of(path)} imports {module}"
    if path.name != "network.py":
        assert not any(module.split(".")[0] == "urllib3" for module, _ in imports(path)), name_of(path)


def test_no_modules_import_each_other_in_a_circle() -> None:
    module_names = {f"{FOLDERS[path.parent.name]}.{path.stem}".removesuffix(".__init__"): path for path in MODULES}
    uses = {
        module: {
            f"{used}.{name}" if f"{used}.{name}" in module_names else used
            for used, names in imports(path)
            for name in (names or {""})
        }
        & module_names.keys()
        for module, path in module_names.items()
        if path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for used in uses.get(module, ()):
                visit(used, (*above, module))
            done.add(module)

    for module in uses:
        visit(module, ())


def natural(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def public_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "__main__"], ids=name_of)
def test_all_is_true_and_sorted(path: Path) -> None:
    tree = tree_of(path)
    declared = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    if not declared and path.name == "__init__.py" and not public_names(tree):
        return
    (names,) = declared
    assert names == sorted(set(names), key=natural)
    module = importlib.import_module(f"{FOLDERS[path.parent.name]}.{path.stem}".removesuffix(".__init__"))
    for name in names:
        getattr(module, name)
    if path.name != "__init__.py":
        assert set(names) == public_names(tree)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_core_loads_nothing_that_does_io() -> None:
    # attrs loads threading by itself; nothing more may come from us. Some builds of Python have math in a file.
    ours = loaded_by("import mixwire.core") - loaded_by("import attrs, orjson, base64, decimal, math")
    assert not {module.split(".")[0] for module in ours} - {"mixwire"}
    assert not {"urllib3", "socket", "ssl", "logging", "cattrs", "click", "rich"} & loaded_by("import mixwire.core")


def test_importing_the_package_loads_no_network() -> None:
    assert not {"urllib3", "socket", "ssl", "logging", "click", "rich"} & loaded_by("import mixwire")


def test_the_front_door_loads_a_network_only_when_one_is_made() -> None:
    assert not {"urllib3", "cattrs", "socket", "ssl", "click", "asyncio"} & loaded_by("from mixwire import Mixpanel")
    made = "from mixwire import Mixpanel; Mixpanel('T0')"
    assert "urllib3" in loaded_by(made)
    assert "cattrs" not in loaded_by(made)


def test_every_module_of_the_core_has_a_test_file_of_its_own() -> None:
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "core").glob("test_*.py")}
    assert {path.stem for path in CORE if path.name != "__init__.py"} <= tested
