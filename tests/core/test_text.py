import pytest

from mixwire.core.errors import InvalidValue
from mixwire.core.text import hidden, is_utf8, short_name, utf8


@pytest.mark.parametrize("text", ["", "a", "é\x00\ufeff\u202e\U0001f600"], ids="empty ascii unusual".split())
def test_row_78_text_that_utf_8_can_hold_is_kept(text):
    assert is_utf8(text)
    assert utf8(text, "event") == text


@pytest.mark.parametrize("text", ["\ud800", "user-\udfff", "\ud83d\ude00"], ids=["high", "low", "a pair of them"])
def test_row_78_r13_text_with_a_lone_surrogate_is_refused(text):
    assert not is_utf8(text)
    with pytest.raises(InvalidValue) as caught:
        utf8(text, "event")
    assert caught.value.path == "event"
    assert str(caught.value) == "event must be text that UTF-8 can hold, not a str with a lone surrogate"


def test_row_90_refused_text_is_not_kept_by_the_exception():
    with pytest.raises(InvalidValue) as caught:
        utf8("canary\ud800", "event")
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("plan", "'plan'"), ("n" * 60, f"'{'n' * 60}'"), ("n" * 61, f"'{'n' * 59}…'"), ("a\nb", "'a\\nb'")],
    ids=["short", "60 characters", "61 characters", "line break"],
)
def test_a_long_name_is_cut_in_a_sentence(name, text):
    assert short_name(name) == text


def test_what_is_hidden_shows_only_whether_it_is_there():
    assert (hidden("canary"), hidden(5), hidden(None)) == ("'***'", "'***'", "None")
