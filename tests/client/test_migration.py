"""
What code for the official client finds after its import line was changed.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import subprocess
import sys
from importlib.metadata import version
from typing import Any, Final

import mixpanel as official
import pytest

import mixwire as mixpanel
from mixwire.core import VERSION

CLASSES: Final = (
    "BufferedConsumer",
    "Consumer",
    "DatetimeSerializer",
    "Mixpanel",
    "MixpanelException",
    "ServiceAccountCredentials",
)
NAMES: Final = (*CLASSES, "__version__", "json_dumps", "logger")

NOT_OURS: Final = {
    "FLAGS": "feature flags are not part of this library",
    "IMPORTS": "what the official module imports for itself",
}
MISSING_NAMES: Final = {
    **dict.fromkeys(
        ("LocalFeatureFlagsProvider", "LocalFlagsConfig", "RemoteFeatureFlagsProvider", "RemoteFlagsConfig", "flags"),
        NOT_OURS["FLAGS"],
    ),
    **dict.fromkeys(
        ("HTTPBasicAuth", "Optional", "datetime", "json", "logging", "requests", "time", "urllib3", "uuid"),
        NOT_OURS["IMPORTS"],
    ),
}
OTHER_PARAMETERS: Final = {
    "DatetimeSerializer.default": "the parameter has the name that the standard library gives it, o; nobody names it",
}


def members(cls: type) -> list[str]:
    """
    What a user of the class may name: all that is public and not of the standard library, and how it is entered.
    """
    ours = {name for base in cls.__mro__ if base.__module__.startswith("mixpanel") for name in vars(base)}
    entered = {"__enter__", "__exit__", "__aenter__", "__aexit__"}
    return sorted(name for name in ours if not name.startswith("_") or name in entered)


MEMBERS: Final = [(name, member) for name in CLASSES for member in members(getattr(official, name))]
CALLABLES: Final = [
    "json_dumps",
    *(name for name in CLASSES if name != "MixpanelException"),  # has no signature: see the test of its own
    *(
        f"{name}.{member}"
        for name, member in MEMBERS
        if not member.startswith("_") and callable(getattr(getattr(official, name), member))
    ),
]


def of(module: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        module = getattr(module, name)
    return module


def parameters(function: Any) -> list[tuple[str, Any, object]]:
    """
    Name, kind and default of each; a default that is a class counts by its name.
    """
    return [
        (each.name, each.kind, each.default.__name__ if isinstance(each.default, type) else each.default)
        for each in inspect.signature(function).parameters.values()
    ]


# The names.


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_there(name: str) -> None:
    assert hasattr(official, name)
    assert hasattr(mixpanel, name)
    assert name in dir(mixpanel)
    assert name in mixpanel.__all__


def test_nothing_else_that_the_official_module_has_is_missing() -> None:
    theirs = {name for name in vars(official) if not name.startswith("_")}
    importlib.import_module("mixwire.credentials")
    assert {name for name in theirs if not hasattr(mixpanel, name)} == MISSING_NAMES.keys()


def test_the_module_of_the_credentials_has_the_same_name_too() -> None:
    module = importlib.import_module("mixwire.credentials")
    assert module.ServiceAccountCredentials is mixpanel.ServiceAccountCredentials


def test_a_star_gives_all_names() -> None:
    found: dict[str, object] = {}
    exec("from mixwire import *", found)
    assert found.keys() - {"__builtins__"} == {*NAMES, "InvalidValue"}


def test_a_name_that_is_unknown_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'mixwire' has no attribute 'Mixpannel'$"):
        mixpanel.Mixpannel  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="Mixpannel"):
        exec("from mixwire import Mixpannel")


def test_the_version_is_that_of_this_library() -> None:
    assert mixpanel.__version__ == VERSION == version("mixwire")


def test_the_logger_has_the_name_of_the_module() -> None:
    assert official.logger is logging.getLogger("mixpanel")
    assert mixpanel.logger is logging.getLogger("mixwire")


# The signatures.


@pytest.mark.parametrize("dotted", [dotted for dotted in CALLABLES if dotted not in OTHER_PARAMETERS])
def test_the_official_parameters_come_first_and_more_have_to_be_named(dotted: str) -> None:
    theirs, ours = parameters(of(official, dotted)), parameters(of(mixpanel, dotted))
    assert ours[: len(theirs)] == theirs
    more = {(kind, default is inspect.Parameter.empty) for _, kind, default in ours[len(theirs) :]}
    assert more <= {(inspect.Parameter.KEYWORD_ONLY, False)}


@pytest.mark.parametrize("dotted", OTHER_PARAMETERS)
def test_where_a_parameter_has_another_name_there_are_as_many(dotted: str) -> None:
    theirs, ours = parameters(of(official, dotted)), parameters(of(mixpanel, dotted))
    assert [each[1:] for each in ours] == [each[1:] for each in theirs]
    assert ours != theirs


def test_the_exception_takes_anything_by_position_as_every_exception_does() -> None:
    assert parameters(mixpanel.MixpanelException)[0][1] is inspect.Parameter.VAR_POSITIONAL
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, kind, _ in parameters(mixpanel.MixpanelException)[1:])


@pytest.mark.parametrize(("name", "member"), MEMBERS, ids=[f"{name}.{member}" for name, member in MEMBERS])
def test_the_member_is_there_and_as_callable(name: str, member: str) -> None:
    theirs, ours = getattr(official, name), getattr(mixpanel, name)
    assert callable(getattr(ours, member)) is callable(getattr(theirs, member))
    assert inspect.iscoroutinefunction(getattr(ours, member)) is inspect.iscoroutinefunction(getattr(theirs, member))


@pytest.mark.parametrize("name", CLASSES)
def test_the_bases_that_code_relies_on_are_the_same(name: str) -> None:
    theirs, ours = getattr(official, name), getattr(mixpanel, name)
    standard = {base for base in theirs.__mro__ if not base.__module__.startswith("mixpanel")}
    assert standard <= set(ours.__mro__)


# Loading and running.


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_import_alone_loads_one_module() -> None:
    more = loaded_by("import mixwire") - loaded_by("import importlib, typing")
    assert {name for name in more if not name.startswith("__editable__")} == {"mixwire"}


def test_the_exception_alone_loads_no_network() -> None:
    assert not {"urllib3", "socket", "ssl", "cattrs"} & loaded_by("from mixwire import MixpanelException")


def test_as_a_program_it_is_the_command_line() -> None:
    command = [sys.executable, "-m", "mixwire", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Usage: python -m mixwire ")
    assert {"check", "drain", "send", "spool"} <= set(done.stdout.split())
    assert not done.stderr
