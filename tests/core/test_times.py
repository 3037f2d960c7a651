import time
import traceback
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest

from mixwire.core.errors import InvalidValue
from mixwire.core.times import instant_of, instant_text, milliseconds, seconds, time_of

RANGE = "time must be Unix time in seconds or milliseconds, from 1971 to 9999, not "
KIND = "time must be an int, float or datetime, not "
TOKYO = timezone(timedelta(hours=9))


class Offset(tzinfo):
    """A timezone of a caller: its offset is None (such a datetime is naive), or asking for it fails."""

    def __init__(self, fails=False):
        self.fails = fails

    def utcoffset(self, _):
        if self.fails:
            raise RuntimeError("no offset")

    dst = utcoffset


@pytest.fixture
def in_tokyo(monkeypatch):
    """This machine is in Tokyo: who reads a datetime as local time is found out."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def refuse(*_):
    raise AssertionError("a caller's method was called")


def hostile(base, *args):
    names = "__lt__ __le__ __gt__ __ge__ __eq__ __ne__ __int__ __float__ __index__ __round__ __str__ __repr__ __sub__"
    return type("Hostile", (base,), dict.fromkeys(names.split(), refuse))(*args)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        (1_767_225_600, 1_767_225_600),
        (1_767_225_600_123, 1_767_225_600_123),
        (31_536_000, 31_536_000),
        (253_402_300_799_999, 253_402_300_799_999),
        (1_767_225_600.0, 1_767_225_600_000),
        (1_767_225_600.1234, 1_767_225_600_123),
        (1_767_225_600_123.4, 1_767_225_600_123),
        (31_536_000.0, 31_536_000),
        (99_999_999.999, 99_999_999),
        (100_000_000.0, 100_000_000_000),
        (datetime(2026, 1, 1, tzinfo=UTC), 1_767_225_600_000),
        (datetime(2026, 1, 1, 9, tzinfo=TOKYO), 1_767_225_600_000),
        (datetime(2026, 1, 1, 0, 0, 0, 123_999, tzinfo=UTC), 1_767_225_600_123),
        (datetime(1971, 1, 1, tzinfo=UTC), 31_536_000),
        (datetime.max.replace(tzinfo=UTC), 253_402_300_799_999),
    ],
    ids=[
        "none stays none",
        "int of seconds stays",
        "int of milliseconds stays",
        "the first second",
        "the last millisecond",
        "float of seconds",
        "float of seconds is rounded to milliseconds",
        "float of milliseconds is rounded",
        "float of the first second",
        "float before March 1973 keeps whole seconds",
        "float of the first time that is told in milliseconds",
        "datetime in UTC",
        "datetime elsewhere",
        "datetime loses what is finer than a millisecond",
        "datetime before March 1973 keeps whole seconds",
        "the last datetime",
    ],
)
def test_a_time_is_kept_as_an_int(given, kept):
    found = time_of(given)
    assert found == kept
    assert type(found) is type(kept)


def test_a_naive_datetime_is_read_as_utc():
    assert time_of(datetime(2026, 1, 1)) == 1_767_225_600_000  # noqa: DTZ001
    assert instant_text(datetime(2026, 1, 1)) == "2026-01-01T00:00:00"  # noqa: DTZ001


@pytest.mark.parametrize(
    "given",
    ["1767225600", "2026-01-01T00:00:00", True, [1], {}, date(2026, 1, 1), 1j],
    ids="digits iso bool list dict date complex".split(),
)
def test_r26_a_time_that_is_no_number_is_refused(given):
    with pytest.raises(InvalidValue) as caught:
        time_of(given)
    assert caught.value.path == "time"
    assert str(caught.value) == KIND + type(given).__name__.replace("date", "datetime.date")


@pytest.mark.parametrize(
    "given",
    [
        31_535_999,
        0,
        -1,
        31_535_999.999,
        datetime(1970, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
    ],
    ids="int zero negative float datetime year-1".split(),
)
def test_r29_a_time_before_1971_is_refused(given):
    with pytest.raises(InvalidValue) as caught:
        time_of(given)
    assert caught.value.path == "time"
    assert str(caught.value) == RANGE + "outside of that"


def test_r30_r31_the_first_second_of_1971_is_taken_and_is_one_time_in_both_units():
    assert time_of(31_536_000) == 31_536_000
    assert milliseconds(1_767_225_600) == milliseconds(1_767_225_600_000) == 1_767_225_600_000
    assert seconds(1_767_225_600) == seconds(1_767_225_600_000) == 1_767_225_600


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (253_402_300_800_000, "outside of that"),
        (1_767_225_600_000_000_000, "outside of that"),
        (253_402_300_800_000.0, "outside of that"),
        (1e300, "outside of that"),
        (10**5_000, "outside of that"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
    ],
    ids="int nanoseconds float huge-float huge-int nan inf minus-inf".split(),
)
def test_row_76_a_time_after_9999_or_not_finite_is_refused(given, found):
    with pytest.raises(InvalidValue) as caught:
        time_of(given)
    assert caught.value.path == "time"
    assert str(caught.value) == RANGE + found


@pytest.mark.parametrize(
    "given",
    [hostile(int, 1_767_225_600), hostile(float, 1.5), hostile(datetime, 2026, 1, 1), hostile(object)],
    ids="int float datetime object".split(),
)
def test_row_82_a_subclass_is_refused_without_a_call(given):
    with pytest.raises(InvalidValue) as caught:
        time_of(given)
    assert caught.value.path == "time"
    assert str(caught.value) == f"{KIND}{__name__}.Hostile"


def test_a_datetime_whose_timezone_has_no_offset_is_read_as_utc():
    assert time_of(datetime(2026, 1, 1, tzinfo=Offset())) == 1_767_225_600_000


def test_a_datetime_whose_timezone_has_no_offset_is_written_as_utc(in_tokyo):
    assert instant_text(datetime(2026, 1, 1, tzinfo=Offset())) == "2026-01-01T00:00:00"


@pytest.mark.parametrize(
    "given",
    [datetime(1, 1, 1, tzinfo=TOKYO), datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=9)))],
    ids=["before", "after"],
)
def test_a_datetime_outside_the_calendar_in_utc_is_refused(given):
    for take, path in ((time_of, "time"), (lambda value: instant_text(value, "at"), "at")):
        with pytest.raises(InvalidValue) as caught:
            take(given)
        assert caught.value.path == path
        assert str(caught.value) == f"{path} must be a datetime between the years 1 and 9999 in UTC, not one outside"


def test_row_82_a_timezone_that_raises_is_refused_as_a_value():
    with pytest.raises(InvalidValue) as caught:
        time_of(datetime(2026, 1, 1, tzinfo=Offset(fails=True)))
    assert caught.value.path == "time"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00"),
        (datetime(2026, 1, 31, 21, tzinfo=TOKYO), "2026-01-31T12:00:00"),
        (datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC), "2026-01-31T12:00:00.000005"),
        (datetime(987, 1, 1, tzinfo=UTC), "0987-01-01T00:00:00"),
    ],
    ids="utc elsewhere microseconds early".split(),
)
def test_r81_a_datetime_is_written_in_utc_without_an_offset(given, text):
    assert instant_text(given) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [(0, "1970-01-01T00:00:00"), (1_767_225_600, "2026-01-01T00:00:00"), (253_402_300_799, "9999-12-31T23:59:59")],
    ids="epoch now last".split(),
)
def test_unix_seconds_are_written_as_a_date(given, text):
    assert instant_of(given) == text


@pytest.mark.parametrize(
    ("kept", "in_seconds", "in_milliseconds"),
    [
        (31_536_000, 31_536_000, 31_536_000_000),
        (99_999_999_999, 99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000, 100_000_000_000),
        (1_767_225_600_999, 1_767_225_600, 1_767_225_600_999),
    ],
    ids=["the first second", "the last that counts seconds", "the first that counts milliseconds", "milliseconds"],
)
def test_the_magnitude_of_a_time_tells_its_unit(kept, in_seconds, in_milliseconds):
    assert (seconds(kept), milliseconds(kept)) == (in_seconds, in_milliseconds)


def test_row_90_a_refused_time_is_not_repeated():
    given = 31_535_000 + 997
    with pytest.raises(InvalidValue) as caught:
        time_of(given)
    assert str(given) not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
