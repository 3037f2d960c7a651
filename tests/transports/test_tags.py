"""
Tags of our own and of other packages, as real metadata on a real path.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixwire.core import InvalidValue, Project
from mixwire.testing.memory import Memory
from mixwire.transports import Transport
from mixwire.transports.config import build, structure, unstructure
from mixwire.transports.descriptions import Buffered, Fallback, File, Logging, Null, Sync, Tee
from mixwire.transports.null import NullTransport
from mixwire.transports.tags import is_description, kind_of, tag_of

OWN = {
    "sync": Sync,
    "buffered": Buffered,
    "logging": Logging,
    "file": File,
    "null": Null,
    "tee": Tee,
    "fallback": Fallback,
    "memory": Memory,
}

PIGEONS = """
from __future__ import annotations
from datetime import date
from enum import Enum
from typing import Literal
from attrs import field, frozen
from mixwire.core import InvalidValue, Project
from mixwire.transports.null import NullTransport

class PigeonTransport(NullTransport):
    def __init__(self, project, description):
        super().__init__()
        self.project, self.description = project, description

class Wings(Enum):
    SOUND = "sound"

@frozen(kw_only=True)
class Loft:
    city: str
    _height: float = 1.0

@frozen(kw_only=True)
class Pigeon:
    loft: Loft | None = None
    birds: int = field(default=2)
    names: list[str] = field(factory=list)
    speed: Literal["slow", "fast"] = "slow"
    grain: object = None
    ranges: dict[str, int] = field(factory=dict)
    wings: Wings = Wings.SOUND
    born: date | None = field(default=None, converter=lambda text: text and date.fromisoformat(text))
    home: str = field(default="", metadata={"url": "host"})

    @birds.validator
    def _check(self, attribute, value):
        if value == 13:
            raise ValueError("never thirteen")

    def build(self, project: Project) -> PigeonTransport:
        if self.speed == "fast":
            raise InvalidValue("speed", "'slow' in this wind", "'fast'")
        return PigeonTransport(project, self)

class NoDescription:
    pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """
    Installs a package of a module and entry points, as pip would.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def put(name: str, code: str, **points: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "".join(f"{tag} = {value}\n" for tag, value in points.items())
        (folder / "entry_points.txt").write_text(f"[mixwire.transports]\n{lines}")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


@pytest.mark.parametrize(("tag", "kind"), OWN.items())
def test_our_own_tags_are_known(tag: str, kind: type) -> None:
    assert kind_of(tag) is kind
    assert tag_of(kind) == tag


def test_a_description_is_an_attrs_value_that_can_be_built() -> None:
    assert is_description(Null())
    assert not is_description(NullTransport())
    assert not is_description(Null)
    assert not is_description({"type": "null"})


def test_a_package_adds_a_transport(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    project = Project("T0")
    transport = build(
        {"type": "pigeon", "birds": 3, "born": "2026-01-01", "loft": {"city": "Ulm", "height": 2}}, project
    )
    assert isinstance(transport, Transport)
    assert transport.project is project  # type: ignore[attr-defined]
    description = transport.description  # type: ignore[attr-defined]
    assert (description.birds, description.loft.city, description.loft._height) == (3, "Ulm", 2)
    assert description.born.year == 2026


def test_its_descriptions_nest_and_go_back_to_data(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    data = {
        "type": "tee",
        "transports": [
            {"type": "null"},
            {
                "type": "pigeon",
                "loft": {"city": "Ulm", "height": 2.5},
                "names": ["a", "b"],
                "speed": "fast",
                "grain": [1, {"b": None}],
                "ranges": {"a": 1},
            },
        ],
    }
    assert unstructure(structure(data)) == data


def test_its_keys_are_read_from_a_string_too(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    text = "pigeon://ulm?wings=sound&birds=4&names=a&names=b&loft.city=Ulm&loft.height=3&speed=fast&grain=7"
    assert unstructure(structure(text)) == {
        "type": "pigeon",
        "home": "ulm",
        "birds": 4,
        "names": ["a", "b"],
        "loft": {"city": "Ulm", "height": 3.0},
        "speed": "fast",
        "grain": "7",
    }


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"birds": "3"}, "transport.birds must be an int, not str"),
        ({"birds": 13}, "transport must be what Pigeon takes, not refused by it (ValueError)"),
        ({"speed": "late"}, "transport.speed must be one of 'slow', 'fast', not another value"),
        ({"names": ["a", 5]}, "transport.names[1] must be a str, not int"),
        ({"names": "a"}, "transport.names must be a list, not str"),
        ({"loft": {"city": 5}}, "transport.loft.city must be a str, not int"),
        ({"loft": {}}, "transport.loft.city must be given, not missing"),
        ({"loft": "Ulm"}, "transport.loft must be a table, not str"),
        ({"ranges": {"a": "1"}}, "transport.ranges['a'] must be an int, not str"),
        ({"wings": "lame"}, "transport.wings must be of the type Wings, not str"),
        ({"ranges": 5}, "transport.ranges must be a table, not int"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_its_keys_are_checked_by_their_types(
    install: Callable[..., None], keys: dict[str, object], sentence: str
) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    with pytest.raises(InvalidValue) as refusal:
        structure({"type": "pigeon", **keys})
    assert str(refusal.value) == sentence


def test_what_it_finds_wrong_when_it_is_built_is_told_with_the_path(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    with pytest.raises(InvalidValue) as refusal:
        build("tee:?transports=null&transports=pigeon%3A%3Fspeed%3Dfast", Project("T0"))
    assert str(refusal.value) == "transport.transports[1].speed must be 'slow' in this wind, not 'fast'"


def test_a_package_is_loaded_when_its_tag_is_asked_for_and_not_before(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    structure({"type": "tee", "transports": list(map(str, OWN.keys() & {"sync", "null", "memory"}))})
    with pytest.raises(InvalidValue, match="'null', 'pigeon', 'sync'"):
        structure("pidgeon")
    assert "pigeons" not in sys.modules
    structure("pigeon")
    assert "pigeons" in sys.modules


def test_nobody_can_take_a_tag_of_our_own(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, sync="pigeons:Pigeon")
    assert kind_of("sync") is Sync
    assert "pigeons" not in sys.modules
    with pytest.raises(InvalidValue):
        tag_of(importlib.import_module("pigeons").Pigeon)


def test_a_package_that_is_found_twice_is_one(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    install("pigeons_again", "", pigeon="pigeons:Pigeon")
    assert kind_of("pigeon").__name__ == "Pigeon"


def test_a_tag_of_two_packages_is_refused(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS, pigeon="pigeons:Pigeon")
    install("others", PIGEONS, pigeon="others:Pigeon")
    with pytest.raises(InvalidValue) as refusal:
        structure("pigeon")
    assert str(refusal.value) == (
        "transport.type must be a tag of one package, not one that several have: others:Pigeon, pigeons:Pigeon"
    )


@pytest.mark.parametrize(
    ("code", "value", "sentence"),
    [
        ("1 / 0", "sick:Pigeon", "a tag that can be loaded, not {} (ZeroDivisionError)"),
        ("", "sick:Pigeon", "a tag that can be loaded, not {} (AttributeError)"),
        ("", "sick.gone:Pigeon", "a tag that can be loaded, not {} (ModuleNotFoundError)"),
        ("Pigeon = 5", "sick:Pigeon", "a tag of an attrs class with a method build, not {}"),
        (PIGEONS, "sick:NoDescription", "a tag of an attrs class with a method build, not {}"),
        (PIGEONS, "sick:Loft", "a tag of an attrs class with a method build, not {}"),
    ],
    ids=["raises", "lacks the name", "lacks the module", "no class", "no attrs class", "no build"],
)
def test_a_broken_package_is_told_in_one_sentence_that_names_its_entry_point(
    install: Callable[..., None], code: str, value: str, sentence: str
) -> None:
    install("sick", code, pigeon=value)
    with pytest.raises(InvalidValue) as refusal:
        structure("pigeon")
    where = f"'pigeon', the entry point {value!r} of the package sick"
    assert str(refusal.value) == "transport.type must be " + sentence.format(where)


def test_why_a_package_is_broken_can_be_seen_in_the_traceback(install: Callable[..., None]) -> None:
    install("sick", "1 / 0", pigeon="sick:Pigeon")
    with pytest.raises(InvalidValue) as refusal:
        structure("pigeon")
    assert isinstance(refusal.value.__cause__, ZeroDivisionError)


def test_a_class_whose_annotations_cannot_be_read_is_told(install: Callable[..., None]) -> None:
    code = PIGEONS.replace("birds: int", "birds: Nowhere")
    install("sick", code, pigeon="sick:Pigeon")
    with pytest.raises(InvalidValue) as refusal:
        structure("pigeon")
    assert str(refusal.value) == "transport.type must be a tag of a class whose fields can be read, not NameError"


def test_a_class_without_a_tag_does_not_become_data(install: Callable[..., None]) -> None:
    install("pigeons", PIGEONS)
    pigeon = importlib.import_module("pigeons").Pigeon()
    with pytest.raises(InvalidValue) as refusal:
        unstructure(pigeon)
    assert str(refusal.value) == "description must be of a class that is known by a tag, not Pigeon"
