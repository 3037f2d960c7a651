import copy
import pickle
import traceback
from uuid import UUID

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.identity import Alias, Identify, Merge
from mixwire.core.limits import DISTINCT_ID_CHARACTERS, PLACEHOLDERS

UUID4 = "9a7f4c1e-2b3d-4e5f-8a9b-0c1d2e3f4a5b"
GOOD = {
    Alias: {"alias": "user-1", "distinct_id": "user-2"},
    Identify: {"identified_id": "user-1", "anon_id": UUID4},
    Merge: {"distinct_id1": "user-1", "distinct_id2": "user-2"},
}
IDS = [(command, name) for command, fields in GOOD.items() for name in fields if name != "anon_id"]
each_command = pytest.mark.parametrize("command", GOOD, ids=lambda command: command.__name__)
each_id = pytest.mark.parametrize(("command", "name"), IDS, ids=[f"{command.__name__}.{name}" for command, name in IDS])


def refusal(command, **changes):
    with pytest.raises(InvalidValue) as caught:
        command(**GOOD[command] | changes)
    return caught.value


@each_command
def test_an_identity_command_keeps_its_two_ids(command):
    made = command(**GOOD[command])
    assert attrs.asdict(made) == GOOD[command]


@each_id
def test_an_id_may_be_an_int_or_a_uuid(command, name):
    assert getattr(command(**GOOD[command] | {name: 17}), name) == "17"
    other = "00000000-0000-4000-8000-000000000001"
    assert getattr(command(**GOOD[command] | {name: UUID(other)}), name) == other


@each_id
@pytest.mark.parametrize(("given", "found"), [("", "empty"), (" \t", "blank")], ids=["empty", "blank"])
def test_r93_an_empty_id_is_refused(command, name, given, found):
    fault = refusal(command, **{name: given})
    assert fault.path == name
    assert str(fault) == f"{name} must be an id of somebody, not {found}"


@each_id
@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
def test_r35_a_placeholder_is_refused(command, name, placeholder):
    fault = refusal(command, **{name: placeholder.upper()})
    assert fault.path == name
    assert str(fault) == (
        f"{name} must be an id of somebody, not a placeholder that Mixpanel refuses, such as 'null' or '0'"
    )


@each_id
@pytest.mark.parametrize(("given", "kind"), [(None, "None"), (True, "bool"), (["user-1"], "list")], ids=str)
def test_r39_an_id_of_another_type_is_refused(command, name, given, kind):
    fault = refusal(command, **{name: given})
    assert fault.path == name
    assert str(fault) == f"{name} must be a str, int or UUID, not {kind}"


@each_id
def test_r38_an_id_longer_than_255_characters_is_refused(command, name):
    fault = refusal(command, **{name: "x" * 256})
    assert (fault.path, type(fault), fault.limit) == (name, LimitExceeded, DISTINCT_ID_CHARACTERS)


@each_id
def test_row_78_r13_an_id_with_a_lone_surrogate_is_refused(command, name):
    fault = refusal(command, **{name: "\ud800"})
    assert fault.path == name
    assert str(fault) == f"{name} must be text that UTF-8 can hold, not a str with a lone surrogate"


@pytest.mark.parametrize(
    ("command", "ids", "path"),
    [
        (Alias, {"alias": "user-1", "distinct_id": "user-1"}, "alias and distinct_id"),
        (Alias, {"alias": "17", "distinct_id": 17}, "alias and distinct_id"),
        (Identify, {"identified_id": UUID4, "anon_id": UUID4}, "identified_id and anon_id"),
        (Merge, {"distinct_id1": "user-1", "distinct_id2": "user-1"}, "distinct_id1 and distinct_id2"),
    ],
    ids=["Alias", "Alias of an int", "Identify", "Merge"],
)
def test_r93_r95_r97_the_same_id_twice_is_refused(command, ids, path):
    fault = refusal(command, **ids)
    assert fault.path == path
    assert str(fault) == f"{path} must be two different ids, not the same one twice"


@each_id
def test_r93_r97_an_id_that_is_left_out_is_refused(command, name):
    ids = {other: given for other, given in GOOD[command].items() if other != name}
    with pytest.raises(TypeError, match=name):
        command(**ids)


def test_r97_a_merge_takes_two_ids_and_no_third():
    assert Merge("user-1", "user-2") == Merge(**GOOD[Merge])
    with pytest.raises(TypeError):
        Merge("user-1", "user-2", "user-3")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("user-1", "a UUID of another version or another str"),
        (UUID(int=5), "a UUID of another version or another str"),
        (5, "int"),
    ],
    ids="name UUID int".split(),
)
def test_r94_an_anonymous_id_that_is_no_uuid_of_version_4_is_refused(given, found):
    fault = refusal(Identify, anon_id=given)
    assert fault.path == "anon_id"
    assert str(fault) == f"anon_id must be a UUID of version 4, not {found}"


@pytest.mark.parametrize("command", [Alias, Identify], ids=["Alias", "Identify"])
def test_which_id_is_which_must_be_said_by_name(command):
    with pytest.raises(TypeError):
        command(*GOOD[command].values())


@each_command
def test_an_identity_command_is_a_value(command):
    made = command(**GOOD[command])
    name = next(iter(GOOD[command]))
    assert made == command(**GOOD[command])
    assert hash(made) == hash(command(**GOOD[command]))
    assert made != attrs.evolve(made, **{name: "user-3"})
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert twin == made
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, "user-3")


@each_id
def test_row_90_a_refused_id_is_in_no_sentence_and_no_traceback(command, name):
    canary = f"canary-{6 * 7}"
    fault = refusal(command, **{name: canary * 100})
    assert canary not in "".join([*traceback.format_exception(fault), repr(fault), repr(fault.__context__)])


def test_row_90_no_repr_shows_an_id():
    anon = "4f1d8b6e-3c52-4a0d-9b7e-2f6c1a9d0e35"
    shown = repr((Alias(alias="canary", distinct_id="canary2"), Identify(identified_id="canary", anon_id=anon)))
    shown += repr(Merge("canary", "canary2"))
    assert "canary" not in shown
    assert anon not in shown
