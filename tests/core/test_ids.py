import traceback
from uuid import UUID, uuid1

import pytest

from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.ids import anon_id, group_name, insert_id_of, named_id, user_id
from mixwire.core.limits import DISTINCT_ID_CHARACTERS, INSERT_ID_BYTES, PLACEHOLDERS

CANARY = f"canary-{6 * 7}"
UUID4 = "9a7f4c1e-2b3d-4e5f-8a9b-0c1d2e3f4a5b"
NOBODY = "distinct_id must be an id of somebody, not a placeholder that Mixpanel refuses, such as 'null' or '0'"
NO_EVENT = "insert_id must be an id of one event, not a placeholder that Mixpanel refuses, such as 'null'"
TAKERS = [user_id, named_id, group_name]
each_taker = pytest.mark.parametrize("take", TAKERS, ids=lambda take: take.__name__)
each_placeholder = pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))


def refuse(*_, **__):
    raise AssertionError("a caller's method was called")


def hostile(base, *args):
    names = """
        __str__ __repr__ __format__ __eq__ __ne__ __len__ __bool__ __iter__ __contains__ __int__ __index__ __lt__
        strip lower encode isascii isspace hex
    """.split()
    return type("Hostile", (base,), dict.fromkeys(names, refuse) | {"__module__": __name__})(*args)


def refusal(take, *args):
    with pytest.raises(InvalidValue) as caught:
        take(*args)
    return caught.value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("user-1", "user-1"),
        (" é\x00\U0001f600 ", " é\x00\U0001f600 "),
        ("x" * 255, "x" * 255),
        ("é" * 255, "é" * 255),
        (17, "17"),
        (-17, "-17"),
        (UUID(UUID4), UUID4),
    ],
    ids="str unusual 255-characters 255-accents int negative-int UUID".split(),
)
@each_taker
def test_r39_an_id_is_a_str_or_becomes_one(take, given, kept):
    assert take(given, "distinct_id") == kept
    assert type(take(given, "distinct_id")) is str


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (True, "bool"),
        (None, "None"),
        (1.5, "float"),
        (["user-1"], "list"),
        ({}, "dict"),
        (b"user-1", "bytes"),
        (hostile(str, "user-1"), f"{__name__}.Hostile"),
        (hostile(int, 1), f"{__name__}.Hostile"),
        (hostile(UUID, UUID4), f"{__name__}.Hostile"),
        (hostile(object), f"{__name__}.Hostile"),
    ],
    ids="bool None float list dict bytes str-subclass int-subclass UUID-subclass object".split(),
)
@each_taker
def test_row_82_r39_an_id_of_another_type_is_refused_without_a_call(take, given, kind):
    fault = refusal(take, given, "distinct_id")
    assert fault.path == "distinct_id"
    assert str(fault) == f"distinct_id must be a str, int or UUID, not {kind}"


@pytest.mark.parametrize("given", ["x" * 256, "é" * 256, 10**255], ids="str accents int".split())
@each_taker
def test_row_84_r38_an_id_longer_than_255_characters_is_refused(take, given):
    fault = refusal(take, given, "distinct_id")
    assert type(fault) is LimitExceeded
    assert (fault.path, fault.limit, fault.measured) == ("distinct_id", DISTINCT_ID_CHARACTERS, 256)
    assert str(fault) == "distinct_id must be at most 255 characters, not 256"


@pytest.mark.parametrize("given", [10**5_000, -(10**5_000)], ids=["positive", "negative"])
@each_taker
def test_row_84_r38_an_int_that_python_will_not_print_is_refused_as_too_long(take, given):
    assert refusal(take, given, "distinct_id").path == "distinct_id"


@each_placeholder
@pytest.mark.parametrize("take", [user_id, named_id], ids=["user_id", "named_id"])
def test_row_84_r35_a_placeholder_is_nobodys_id(take, placeholder):
    for text in (placeholder, placeholder.upper(), placeholder.title(), f" \t{placeholder}\n"):
        fault = refusal(take, text, "distinct_id")
        assert fault.path == "distinct_id"
        assert str(fault) == NOBODY


@pytest.mark.parametrize("given", [0, -1, UUID(int=0)], ids="zero minus-one nil-UUID".split())
def test_row_84_r35_a_placeholder_is_recognised_when_it_is_no_str(given):
    assert str(refusal(user_id, given, "distinct_id")) == NOBODY


@pytest.mark.parametrize("given", ["anonymous-17", "null@example.com", "00", "-10", "true story", "{}1"])
def test_r37_an_id_may_contain_a_placeholder(given):
    assert user_id(given, "distinct_id") == given


@each_placeholder
def test_a_group_may_be_called_like_a_placeholder(placeholder):
    assert group_name(placeholder, "group_id") == placeholder


@pytest.mark.parametrize("given", ["", "  "], ids=["empty", "blank"])
def test_r34_the_id_of_an_event_may_be_empty(given):
    assert user_id(given, "distinct_id") == given


@pytest.mark.parametrize(("given", "found"), [("", "empty"), (" ", "blank"), ("\t\n\u3000", "blank")])
def test_r105_the_id_of_somebody_in_particular_may_not_be_empty(given, found):
    fault = refusal(named_id, given, "alias")
    assert fault.path == "alias"
    assert str(fault) == f"alias must be an id of somebody, not {found}"


@pytest.mark.parametrize(("given", "found"), [("", "empty"), (" ", "blank"), ("\t\n\u3000", "blank")])
def test_r132_the_name_of_a_group_may_not_be_empty(given, found):
    fault = refusal(group_name, given, "group_key")
    assert fault.path == "group_key"
    assert str(fault) == f"group_key must be given, not {found}"


@pytest.mark.parametrize("take", TAKERS, ids=lambda take: take.__name__)
@pytest.mark.parametrize("text", ["\ud800", "user-\udfff", "\ud83d\ude00"], ids=["high", "low", "a pair of them"])
def test_row_78_r13_an_id_with_a_lone_surrogate_is_refused(take, text):
    fault = refusal(take, text, "distinct_id")
    assert fault.path == "distinct_id"
    assert str(fault) == "distinct_id must be text that UTF-8 can hold, not a str with a lone surrogate"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("a", "a"),
        ("Az-09", "Az-09"),
        ("-", "-"),
        ("a" * 36, "a" * 36),
        (UUID4, UUID4),
        (UUID(UUID4), UUID4.replace("-", "")),
        ("null-1", "null-1"),
    ],
    ids="None one all-kinds hyphen 36-bytes canonical-UUID UUID with-a-placeholder".split(),
)
def test_r42_an_insert_id_of_1_to_36_letters_digits_and_hyphens_is_kept(given, kept):
    assert insert_id_of(given) == kept


@pytest.mark.parametrize(
    "given",
    ["a_b", "a:b", "a b", "é", "a\n", "\n", "a\x00", "٣", "a.b", "a" * 35 + "_", "\ud800"],
    ids="underscore colon space accent newline only-newline NUL arabic-digit dot long surrogate".split(),
)
def test_row_84_r41_an_insert_id_with_another_character_is_refused(given):
    fault = refusal(insert_id_of, given)
    assert fault.path == "insert_id"
    assert str(fault) == "insert_id must be 1 to 36 of A-Z a-z 0-9 and -, not with others"


def test_row_84_r41_an_empty_insert_id_is_refused():
    fault = refusal(insert_id_of, "")
    assert fault.path == "insert_id"
    assert str(fault) == "insert_id must be 1 to 36 of A-Z a-z 0-9 and -, not empty"


@pytest.mark.parametrize("given", ["a" * 37, "é" * 37], ids=["letters", "accents"])
def test_row_84_r42_an_insert_id_of_37_bytes_is_refused(given):
    fault = refusal(insert_id_of, given)
    assert type(fault) is LimitExceeded
    assert (fault.path, fault.limit, fault.measured) == ("insert_id", INSERT_ID_BYTES, 37)
    assert str(fault) == "insert_id must be at most 36 bytes, not 37"


@pytest.mark.parametrize(
    "placeholder", sorted(each for each in PLACEHOLDERS if each.replace("-", "").isalnum()), ids=str
)
def test_row_84_r43_a_placeholder_is_no_insert_id(placeholder):
    for text in (placeholder, placeholder.upper(), placeholder.title()):
        fault = refusal(insert_id_of, text)
        assert fault.path == "insert_id"
        assert str(fault) == NO_EVENT


@pytest.mark.parametrize("placeholder", sorted(each for each in PLACEHOLDERS if not each.replace("-", "").isalnum()))
def test_row_84_r43_a_placeholder_of_other_characters_is_no_insert_id_either(placeholder):
    fault = refusal(insert_id_of, placeholder)
    assert (fault.path, fault.found) == ("insert_id", "with others")


@pytest.mark.parametrize(
    ("given", "kind"),
    [(1, "int"), (b"a", "bytes"), (True, "bool"), (hostile(str, "a"), f"{__name__}.Hostile"), ([], "list")],
    ids="int bytes bool str-subclass list".split(),
)
def test_row_82_an_insert_id_of_another_type_is_refused_without_a_call(given, kind):
    fault = refusal(insert_id_of, given)
    assert fault.path == "insert_id"
    assert str(fault) == f"insert_id must be a str, not {kind}"


@pytest.mark.parametrize("given", [UUID4, UUID4.upper(), UUID(UUID4)], ids=["str", "upper", "UUID"])
def test_r94_an_anonymous_id_is_a_uuid_of_version_4(given):
    assert anon_id(given) == str(given)


@pytest.mark.parametrize(
    "given",
    [
        "user-1",
        "",
        UUID4.replace("-", ""),
        f"{{{UUID4}}}",
        f"$device:{UUID4}",
        f"{UUID4}\n",
        UUID4.replace("-4e5f", "-1e5f"),
        UUID4.replace("-8a9b", "-7a9b"),
        uuid1(),
        UUID(int=0),
    ],
    ids="name empty hex braces device newline version-1 other-variant UUID1 nil".split(),
)
def test_r94_any_other_anonymous_id_is_refused(given):
    fault = refusal(anon_id, given)
    assert fault.path == "anon_id"
    assert str(fault) == "anon_id must be a UUID of version 4, not a UUID of another version or another str"


@pytest.mark.parametrize(
    ("given", "kind"),
    [(1, "int"), (None, "None"), (hostile(str, UUID4), f"{__name__}.Hostile")],
    ids="int None str-subclass".split(),
)
def test_row_82_r94_an_anonymous_id_of_another_type_is_refused_without_a_call(given, kind):
    fault = refusal(anon_id, given)
    assert fault.path == "anon_id"
    assert str(fault) == f"anon_id must be a UUID of version 4, not {kind}"


LEAKS = [
    (user_id, CANARY * 100, "distinct_id"),
    (user_id, CANARY + "\ud800", "distinct_id"),
    (group_name, CANARY + "\ud800", "group_id"),
    (group_name, [CANARY], "group_id"),
    (insert_id_of, CANARY + "_"),
    (anon_id, CANARY),
]
each_leak = pytest.mark.parametrize(
    "leak", LEAKS, ids="long surrogate group-surrogate group-list insert_id anon_id".split()
)


@each_leak
def test_row_90_a_refused_id_is_in_no_sentence_and_no_traceback(leak):
    fault = refusal(*leak)
    assert CANARY not in "".join([*traceback.format_exception(fault), repr(fault), str(fault.__context__)])


@each_leak
def test_row_90_a_refused_id_is_not_kept_by_the_exception_before(leak):
    assert CANARY not in repr(refusal(*leak).__context__)


def test_r43_the_nil_uuid_is_a_placeholder_as_an_insert_id_too():
    with pytest.raises(InvalidValue, match="insert_id must be an id of one event, not a placeholder"):
        insert_id_of(UUID(int=0))
