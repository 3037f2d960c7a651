import math
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.changes import Add, Append, Delete, Remove, Set, SetOnce, Union, Unset
from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.limits import DISTINCT_ID_CHARACTERS, OBJECT_KEYS, PLACEHOLDERS, UPDATE_BYTES
from mixwire.core.profiles import (
    Charge,
    ClearCharges,
    GroupOp,
    PeopleOp,
    RawGroupOp,
    RawPeopleOp,
    UpdateOptions,
    is_repeatable,
)

CANARY = f"canary-{6 * 7}"
TIME = 1_767_225_600_000
PLAN = Set({"plan": "pro"})
OF_A_USER = {
    "PeopleOp": lambda user: PeopleOp(user, PLAN),
    "Charge": lambda user: Charge(user, 1),
    "ClearCharges": ClearCharges,
    "RawPeopleOp": lambda user: RawPeopleOp(user, {"$set": {"a": 1}}),
}
OF_A_GROUP = {
    "GroupOp": lambda key, group: GroupOp(key, group, PLAN),
    "RawGroupOp": lambda key, group: RawGroupOp(key, group, {"$set": {"a": 1}}),
}
TIMED = {
    "PeopleOp": lambda **more: PeopleOp("user-1", PLAN, **more),
    "GroupOp": lambda **more: GroupOp("Company", "acme", PLAN, **more),
    "Charge": lambda **more: Charge("user-1", 1, **more),
    "ClearCharges": lambda **more: ClearCharges("user-1", **more),
}
each_of_a_user = pytest.mark.parametrize("make", OF_A_USER.values(), ids=list(OF_A_USER))
each_of_a_group = pytest.mark.parametrize("make", OF_A_GROUP.values(), ids=list(OF_A_GROUP))
each_timed = pytest.mark.parametrize("make", TIMED.values(), ids=list(TIMED))


def refuse(*_, **__):
    raise AssertionError("a caller's method was called")


def hostile(base, *args):
    names = """
        __str__ __repr__ __format__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __len__ __bool__ __iter__ __contains__
        __getitem__ __int__ __float__ __neg__ isascii isprintable keys items
    """.split()
    return type("Hostile", (base,), dict.fromkeys(names, refuse) | {"__module__": __name__})(*args)


HOSTILE = f"{__name__}.Hostile"


def refusal(make, *args, **more):
    with pytest.raises(InvalidValue) as caught:
        make(*args, **more)
    return caught.value


# Whose profile


@each_of_a_user
@pytest.mark.parametrize(
    ("given", "kept"), [("user-1", "user-1"), (17, "17"), (UUID(int=5), str(UUID(int=5)))], ids=str
)
def test_the_user_of_an_update_is_kept_as_text(make, given, kept):
    assert make(given).distinct_id == kept


@each_of_a_user
@pytest.mark.parametrize(("given", "found"), [("", "empty"), (" ", "blank")], ids=["empty", "blank"])
def test_r105_an_update_without_a_user_is_refused(make, given, found):
    fault = refusal(make, given)
    assert fault.path == "distinct_id"
    assert str(fault) == f"distinct_id must be an id of somebody, not {found}"


@each_of_a_user
@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
def test_row_84_r35_a_placeholder_is_nobodys_profile(make, placeholder):
    fault = refusal(make, placeholder.upper())
    assert fault.path == "distinct_id"
    assert fault.found == "a placeholder that Mixpanel refuses, such as 'null' or '0'"


@each_of_a_user
@pytest.mark.parametrize(
    ("given", "kind"), [(None, "None"), (True, "bool"), (hostile(str, "a"), HOSTILE)], ids=["None", "bool", "subclass"]
)
def test_row_82_r39_r105_a_user_of_another_type_is_refused_without_a_call(make, given, kind):
    fault = refusal(make, given)
    assert fault.path == "distinct_id"
    assert str(fault) == f"distinct_id must be a str, int or UUID, not {kind}"


@each_of_a_user
def test_r38_a_distinct_id_longer_than_255_characters_is_refused(make):
    fault = refusal(make, "x" * 256)
    assert (fault.path, type(fault), fault.limit) == ("distinct_id", LimitExceeded, DISTINCT_ID_CHARACTERS)


@each_of_a_group
def test_a_group_is_kept_as_text(make):
    made = make("Company", 17)
    assert (made.group_key, made.group_id) == ("Company", "17")


@each_of_a_group
@pytest.mark.parametrize(
    ("key", "group", "sentence"),
    [
        ("", "acme", "group_key must be given, not empty"),
        (" ", "acme", "group_key must be given, not blank"),
        (None, "acme", "group_key must be a str, int or UUID, not None"),
        ("Company", "", "group_id must be given, not empty"),
        ("Company", "\t", "group_id must be given, not blank"),
        ("Company", True, "group_id must be a str, int or UUID, not bool"),
        ("Company", hostile(str, "a"), f"group_id must be a str, int or UUID, not {HOSTILE}"),
        ("x" * 256, "acme", "group_key must be at most 255 characters, not 256"),
        ("Company", "\ud800", "group_id must be text that UTF-8 can hold, not a str with a lone surrogate"),
    ],
    ids="no-key blank-key None-key no-id blank-id bool-id subclass long surrogate".split(),
)
def test_r132_an_update_without_a_group_is_refused(make, key, group, sentence):
    fault = refusal(make, key, group)
    assert fault.path == sentence.split()[0]
    assert str(fault) == sentence


# Changes


def test_an_operation_keeps_its_changes_in_order():
    changes = (PLAN, Add({"credits": 10}), Unset("trial"))
    made = PeopleOp("user-1", *changes)
    assert (made.changes, made.time, made.options) == (changes, None, UpdateOptions())
    assert GroupOp("Company", "acme", PLAN, Union({"tags": "a"})).changes == (PLAN, Union({"tags": "a"}))


@pytest.mark.parametrize(
    "make", [lambda: PeopleOp("user-1"), lambda: GroupOp("Company", "acme")], ids=["PeopleOp", "GroupOp"]
)
def test_an_operation_without_changes_is_refused(make):
    fault = refusal(make)
    assert fault.path == "changes"
    assert str(fault) == "changes must be at least one change, not none"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"$set": {"a": 1}}, "dict"),
        (None, "None"),
        (Set, "type"),
        (type("Set", (Set,), {"__module__": __name__})({"a": 1}), f"{__name__}.Set"),
        (hostile(object), HOSTILE),
    ],
    ids="dict None class subclass object".split(),
)
def test_row_82_what_is_no_change_is_refused_without_a_call(change, kind):
    fault = refusal(PeopleOp, "user-1", Unset("a"), change)
    assert fault.path == "changes[1]"
    assert str(fault) == (
        f"changes[1] must be a change of a profile: Set, SetOnce, Add, Append, Union, Remove, Unset, Delete, not {kind}"
    )


@pytest.mark.parametrize("change", [Add({"credits": 1}), Append({"visits": 1})], ids=["Add", "Append"])
def test_r134_a_group_cannot_add_or_append(change):
    fault = refusal(GroupOp, "Company", "acme", change)
    assert fault.path == "changes[0]"
    assert str(fault) == (
        "changes[0] must be a change of a group: Set, SetOnce, Union, Remove, Unset, Delete, "
        f"not mixwire.core.changes.{type(change).__name__}"
    )


@pytest.mark.parametrize(
    "change",
    [PLAN, SetOnce({"a": 1}), Union({"a": 1}), Remove({"a": 1}), Unset("a"), Delete()],
    ids=lambda change: type(change).__name__,
)
def test_r134_a_group_takes_every_other_change(change):
    assert GroupOp("Company", "acme", change).changes == (change,)


def test_two_changes_of_one_kind_are_refused():
    fault = refusal(PeopleOp, "user-1", PLAN, Set({"seats": 3}))
    assert fault.path == "changes[1]"
    assert str(fault) == "changes[1] must be the only $set of its operation, not a second one"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ((PLAN, SetOnce({"plan": "free"})), "one of 'plan' again"),
        ((PLAN, Unset("other", "plan")), "one of 'plan' again"),
        ((Unset("b", "a"), Set({"a": 1, "b": 2})), "one of 'a' again"),
        ((PLAN, Delete()), "a Delete beside others"),
    ],
    ids=["set twice", "set and unset", "the first by name", "deleted"],
)
def test_changes_that_depend_on_their_order_are_refused(changes, found):
    for make in (
        lambda *all_of_them: PeopleOp("user-1", *all_of_them),
        lambda *all_of_them: GroupOp("k", "g", *all_of_them),
    ):
        fault = refusal(make, *changes)
        assert fault.path == "changes[1]"
        assert str(fault) == (
            "changes[1] must be independent of the other changes of its operation; use one operation for each, "
            f"not {found}"
        )


def test_a_delete_before_another_change_is_refused():
    fault = refusal(PeopleOp, "user-1", Delete(), PLAN)
    assert (fault.path, fault.found) == ("changes[0]", "a Delete beside others")


# Time and options


@each_timed
@pytest.mark.parametrize(
    ("given", "kept"),
    [(TIME, TIME), (TIME // 1000, TIME // 1000), (datetime(2026, 1, 1, tzinfo=UTC), TIME), (None, None)],
    ids="milliseconds seconds datetime None".split(),
)
def test_r125_the_time_of_an_update_stands_beside_it(make, given, kept):
    assert make(time=given).time == kept


@each_timed
@pytest.mark.parametrize(
    ("given", "found"), [("now", "str"), (True, "bool"), (0, "outside of that"), (math.nan, "nan")], ids=str
)
def test_r26_r29_a_time_that_is_none_is_refused(make, given, found):
    fault = refusal(make, time=given)
    assert (fault.path, fault.found) == ("time", found)


@each_timed
@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "dict"), (None, "None"), (hostile(UpdateOptions), HOSTILE)],
    ids=["dict", "None", "subclass"],
)
def test_row_82_options_of_another_type_are_refused_without_a_call(make, options, kind):
    fault = refusal(make, options=options)
    assert fault.path == "options"
    assert str(fault) == f"options must be UpdateOptions(...), not {kind}"


@each_timed
def test_r125_options_stand_beside_an_update(make):
    options = UpdateOptions(ip="192.0.2.1", ignore_time=True)
    assert make(options=options).options is options


@pytest.mark.parametrize(
    "options", [UpdateOptions(ignore_alias=True), UpdateOptions(latitude=1, longitude=2)], ids=["alias", "place"]
)
def test_options_that_only_users_have_are_refused_for_a_group(options):
    assert PeopleOp("user-1", PLAN, options=options).options == options
    fault = refusal(GroupOp, "Company", "acme", PLAN, options=options)
    assert fault.path == "options"
    assert str(fault) == "options must be ip and ignore_time only, for a group, not one with ignore_alias or a place"


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, None), ("0", "0"), (0, "0"), ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")],
    ids="None zero int-zero v4 v6".split(),
)
def test_r126_an_address_is_kept(given, kept):
    assert UpdateOptions(ip=given).ip == kept


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "empty"),
        (1, "int"),
        (False, "bool"),
        (["192.0.2.1"], "list"),
        ("192.0.2.1\r\n", "str"),
        ("1٣", "str"),
        ("\x00", "str"),
        (hostile(str, "0"), HOSTILE),
        (hostile(int, 0), HOSTILE),
        (hostile(object), HOSTILE),
    ],
    ids="empty int bool list line-break arabic-digit NUL str-subclass int-subclass object".split(),
)
def test_row_82_what_is_no_address_is_refused_without_a_call(given, found):
    fault = refusal(UpdateOptions, ip=given)
    assert fault.path == "ip"
    assert str(fault) == f"ip must be an IP address, or '0' for no place, not {found}"


@pytest.mark.parametrize("name", ["ignore_time", "ignore_alias"])
@pytest.mark.parametrize(
    ("given", "kind"),
    [(1, "int"), (None, "None"), ("yes", "str"), (hostile(int, 1), HOSTILE)],
    ids="int None str own".split(),
)
def test_row_82_a_flag_is_true_or_false(name, given, kind):
    assert getattr(UpdateOptions(**{name: True}), name) is True
    fault = refusal(UpdateOptions, **{name: given})
    assert fault.path == name
    assert str(fault) == f"{name} must be True or False, not {kind}"


@pytest.mark.parametrize(("latitude", "longitude"), [(90, 180), (-90, -180), (0, 0.5), (Decimal("52.5"), 13)], ids=str)
def test_a_place_is_kept(latitude, longitude):
    options = UpdateOptions(latitude=latitude, longitude=longitude)
    assert (options.latitude, options.longitude) == (latitude, longitude)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"latitude": 90.1, "longitude": 0}, "latitude must be degrees from -90 to 90, not outside of that"),
        ({"latitude": 0, "longitude": -181}, "longitude must be degrees from -180 to 180, not outside of that"),
        ({"latitude": math.nan, "longitude": 0}, "latitude must be a finite number, not nan"),
        (
            {"latitude": 0, "longitude": "13"},
            "longitude must be a finite number (int, float or Decimal), not str",
        ),
        (
            {"latitude": True, "longitude": 0},
            "latitude must be a finite number (int, float or Decimal), not bool",
        ),
        (
            {"latitude": 1},
            "latitude and longitude must be both given or both left out, not one without the other",
        ),
        (
            {"longitude": 1},
            "latitude and longitude must be both given or both left out, not one without the other",
        ),
    ],
    ids="latitude longitude nan str bool only-latitude only-longitude".split(),
)
def test_row_76_what_is_no_place_is_refused(place, sentence):
    fault = refusal(UpdateOptions, **place)
    assert fault.path == sentence.split(" must be ")[0]
    assert str(fault) == sentence


# Charges


@pytest.mark.parametrize(
    ("given", "kept"),
    [(10, 10), (-19.99, -19.99), (Decimal("19.99"), 19.99), (Decimal("20.00"), 20), (0, 0)],
    ids="int refund Decimal whole-Decimal nothing".split(),
)
def test_r127_an_amount_is_a_number_and_may_be_negative(given, kept):
    amount = Charge("user-1", given).amount
    assert amount == kept
    assert type(amount) is type(kept)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("10", "a finite number (int, float or Decimal), not str"),
        (True, "a finite number (int, float or Decimal), not bool"),
        (None, "a finite number (int, float or Decimal), not None"),
        (math.inf, "a finite number, not inf"),
        (2**64, "an integer of at most 64 bits, not an int of 65 bits"),
        (hostile(int, 1), f"a finite number (int, float or Decimal), not {HOSTILE}"),
    ],
    ids="str bool None inf 65-bits subclass".split(),
)
def test_row_76_row_77_row_82_r127_r12_what_is_no_amount_is_refused(given, sentence):
    fault = refusal(Charge, "user-1", given)
    assert fault.path == "amount"
    assert str(fault) == f"amount must be {sentence}"


def test_r86_the_properties_of_a_charge_are_the_callers():
    properties = {"item": ["tea"]}
    made = Charge("user-1", 1, properties)
    properties["item"].append("cake")
    assert made.properties == {"item": ["tea"]}
    assert properties == {"item": ["tea", "cake"]}
    assert Charge("user-1", 1).properties == {}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("$amount", "given as amount of the charge"), ("$time", "given as time of the charge")],
    ids=["amount", "time"],
)
def test_row_83_a_field_among_the_properties_of_a_charge_is_refused(name, allowed):
    fault = refusal(Charge, "user-1", 1, {name: 1})
    assert fault.path == f"properties['{name}']"
    assert str(fault) == f"properties['{name}'] must be {allowed}, not as a property"


def test_row_79_a_charge_has_252_properties_and_not_one_more():
    assert Charge("user-1", 1, {f"p{index}": 1 for index in range(252)})
    fault = refusal(Charge, "user-1", 1, {f"p{index}": 1 for index in range(253)})
    assert (fault.path, fault.limit, fault.measured) == ("properties", OBJECT_KEYS, 255)


# Raw updates


def test_a_raw_update_is_kept_as_it_is():
    update = {"$new": {"a": [1, None]}, "$time": 5, "$bucket": 1}
    assert RawPeopleOp("user-1", update).update == update
    assert RawGroupOp("Company", "acme", update).update == update


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda update: RawPeopleOp("user-1", update), ["$token", "$distinct_id"]),
        (
            lambda update: RawGroupOp("Company", "acme", update),
            ["$token", "$group_key", "$group_id", "$distinct_id"],
        ),
    ],
    ids=["people", "group"],
)
def test_row_83_r104_r133_a_raw_update_may_not_say_whose_it_is(make, names):
    for name in names:
        fault = refusal(make, {"$set": {"a": 1}, name: "x"})
        assert fault.path == f"update['{name}']"
        assert str(fault) == f"update['{name}'] must be left out: the library adds it where it belongs, not given"


def test_r133_a_group_has_no_distinct_id():
    assert not hasattr(GroupOp("Company", "acme", PLAN), "distinct_id")
    with pytest.raises(TypeError, match="distinct_id"):
        GroupOp("Company", "acme", PLAN, distinct_id="user-1")


RAW = pytest.mark.parametrize(
    "make",
    [lambda update: RawPeopleOp("user-1", update), lambda update: RawGroupOp("Company", "acme", update)],
    ids=["people", "group"],
)


@RAW
@pytest.mark.parametrize(
    ("update", "path", "sentence"),
    [
        ({}, "update", "update must be at least one operator, such as '$set', not empty"),
        (None, "update", "update must be a dict with str keys, not None"),
        ({1: 1}, "update", "update must be a dict with str keys, not one with a key of type int"),
        ({"$set": {"a": math.nan}}, "update['$set']['a']", "update['$set']['a'] must be a finite number, not nan"),
        (hostile(dict), "update", f"update must be a dict with str keys, not {HOSTILE}"),
    ],
    ids="empty None key nan dict-subclass".split(),
)
def test_row_75_row_76_row_82_a_raw_update_that_is_no_json_is_refused(make, update, path, sentence):
    fault = refusal(make, update)
    assert fault.path == path
    assert str(fault) == sentence


@RAW
def test_row_79_a_raw_update_of_more_than_a_megabyte_is_refused(make):
    fault = refusal(make, {"$set": {"a": "x" * 1_000_000}})
    assert (fault.path, type(fault), fault.limit) == ("update['$set']['a']", LimitExceeded, UPDATE_BYTES)


@RAW
@pytest.mark.parametrize(
    ("update", "repeatable"),
    [
        ({"$set": {}, "$set_once": {}, "$union": {}, "$unset": [], "$delete": ""}, True),
        (
            {"$set": {}, "$ip": "0", "$time": 1, "$ignore_time": True, "$ignore_alias": True, "$latitude": 1}
            | {"$longitude": 1},
            True,
        ),
        ({"$add": {"a": 1}}, False),
        ({"$append": {"a": 1}}, False),
        ({"$remove": {"a": 1}}, False),
        ({"$set": {}, "$new": {}}, False),
    ],
    ids="all-repeatable options add append remove unknown".split(),
)
def test_a_raw_update_may_be_repeated_if_all_its_operators_may(make, update, repeatable):
    assert make(update).repeatable is repeatable


REPEATABLE = {
    "$set": True,
    "$set_once": True,
    "$union": True,
    "$unset": True,
    "$delete": True,
    "$add": False,
    "$append": False,
    "$remove": False,
    "$ip": True,
    "$time": True,
    "$ignore_time": True,
    "$ignore_alias": True,
    "$latitude": True,
    "$longitude": True,
    "$new": False,
    "set": False,
    "$token": False,
    "": False,
}


@pytest.mark.parametrize(("name", "repeatable"), REPEATABLE.items(), ids=list(REPEATABLE))
def test_an_update_is_repeatable_if_each_of_its_names_is(name, repeatable):
    assert is_repeatable([name]) is repeatable
    assert is_repeatable({name: None, "$set": {}}) is repeatable
    assert is_repeatable(iter(["$set", "$ip", name])) is repeatable
    assert is_repeatable([name, "$add"]) is False


def test_an_update_of_nothing_is_repeatable():
    assert is_repeatable(()) is True


@pytest.mark.parametrize(
    "change",
    [
        PLAN,
        SetOnce({"a": 1}),
        Add({"a": 1}),
        Append({"a": 1}),
        Union({"a": [1]}),
        Remove({"a": 1}),
        Unset("a"),
        Delete(),
    ],
    ids=lambda change: change.operator,
)
def test_an_operator_is_repeatable_if_its_change_is(change):
    assert is_repeatable([change.operator]) is change.repeatable


# Values

MADE = [
    *(make() for make in TIMED.values()),
    RawPeopleOp("user-1", {"$set": {"a": 1}}),
    RawGroupOp("Company", "acme", {"$set": {"a": 1}}),
    UpdateOptions(ip="0"),
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
def test_an_update_cannot_be_changed(made):
    for each in attrs.fields(type(made)):
        with pytest.raises(FrozenInstanceError):
            setattr(made, each.name, None)


def test_updates_are_equal_by_what_they_say():
    assert len({*MADE}) == len(MADE)
    assert PeopleOp("user-1", Set({"plan": "pro"})) == PeopleOp("user-1", PLAN) != PeopleOp("user-2", PLAN)
    assert Charge("user-1", 1, {"a": 1, "b": 2}) == Charge("user-1", 1, {"b": 2, "a": 1}) != Charge("user-1", 2)
    assert ClearCharges("user-1") != ClearCharges("user-1", time=TIME)
    assert UpdateOptions(ip=0) == UpdateOptions(ip="0") != UpdateOptions()


@pytest.mark.parametrize(
    "make",
    [
        lambda value: PeopleOp("user-1", Set({"a": value}), Append({"b": [value]})),
        lambda value: GroupOp("Company", "acme", Union({"a": [value]})),
        lambda value: Charge("user-1", 1, {"note": value}),
        lambda value: RawPeopleOp("user-1", {"$set": {"a": value}}),
        lambda value: RawGroupOp("Company", "acme", {"$set": value}),
    ],
    ids="PeopleOp GroupOp Charge RawPeopleOp RawGroupOp".split(),
)
def test_row_90_no_property_is_in_the_repr_of_an_update(make):
    assert CANARY not in f"{make(CANARY)!r} {make(CANARY)}"


@pytest.mark.parametrize(
    "leak",
    [
        lambda: PeopleOp("user-1", CANARY),
        lambda: PeopleOp(CANARY * 100, PLAN),
        lambda: GroupOp("Company", CANARY * 100, PLAN),
        lambda: UpdateOptions(ip=CANARY + "\n"),
        lambda: UpdateOptions(ignore_time=CANARY),
        lambda: UpdateOptions(latitude=CANARY, longitude=0),
        lambda: Charge("user-1", CANARY),
        lambda: Charge("user-1", 1, CANARY),
        lambda: RawPeopleOp("user-1", {"$token": CANARY}),
        lambda: RawGroupOp("Company", "acme", {"$set": [CANARY, object()]}),
    ],
    ids="change user group ip flag place amount properties raw raw-group".split(),
)
def test_row_89_row_90_what_was_refused_is_in_no_sentence_and_no_traceback(leak):
    fault = refusal(leak)
    assert CANARY not in "".join([*traceback.format_exception(fault), repr(fault), repr(fault.__context__)])


def test_row_90_no_repr_shows_whose_it_is_or_what_was_paid():
    options = UpdateOptions(ip="203.0.113.7", latitude=12.25, longitude=34.75)
    shown = repr(
        (
            PeopleOp("canary", Set({"plan": "canary"}), options=options),
            GroupOp("Company", "canary", Set({"plan": "canary"})),
            Charge("canary", 98765.5, {"sku": "canary"}),
            ClearCharges("canary"),
            RawPeopleOp("canary", {"$set": {"a": "canary"}}),
            RawGroupOp("Company", "canary", {"$set": {"a": "canary"}}),
        )
    )
    for secret in ("canary", "203.0.113.7", "12.25", "34.75", "98765.5"):
        assert secret not in shown
