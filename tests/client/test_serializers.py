"""
The JSON encoder, beside that of the official client.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import mixpanel
import pytest

from mixwire import DatetimeSerializer, json_dumps
from mixwire.core import InvalidValue

NAIVE: Final = datetime(2026, 1, 31, 12)  # noqa: DTZ001
INDIA: Final = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    "data",
    [None, True, 1, 0.5, "text", 'é☃"\\\n\ud83d\ude00', [], {}, {"a": [1, {"b": None}]}, (1, 2), {1: "a"}, 2**70],
    ids=repr,
)
def test_plain_data_is_written_as_by_the_official_client(data: object) -> None:
    assert json_dumps(data) == mixpanel.json_dumps(data)
    assert json_dumps(data, DatetimeSerializer) == mixpanel.json_dumps(data, mixpanel.DatetimeSerializer)


def test_there_is_no_white_space_between_values() -> None:
    assert json_dumps({"a": [1, 2], "b": {"c": "d e"}}) == '{"a":[1,2],"b":{"c":"d e"}}'


def test_a_time_without_a_timezone_is_written_as_by_the_official_client() -> None:
    assert json_dumps({"at": NAIVE}, cls=DatetimeSerializer) == '{"at":"2026-01-31T12:00:00"}'
    assert mixpanel.json_dumps({"at": NAIVE}, cls=mixpanel.DatetimeSerializer) == '{"at":"2026-01-31T12:00:00"}'


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NAIVE.replace(tzinfo=UTC), "2026-01-31T12:00:00"),
        (NAIVE.replace(tzinfo=INDIA), "2026-01-31T06:30:00"),
        (NAIVE.replace(microsecond=5), "2026-01-31T12:00:00.000005"),
    ],
    ids=["UTC", "another timezone", "microseconds"],
)
def test_a_time_is_written_in_utc_and_nothing_of_it_is_lost(moment: datetime, text: str) -> None:
    assert json.loads(json_dumps(moment, cls=DatetimeSerializer)) == text


def test_it_serves_json_of_the_standard_library_too() -> None:
    assert json.dumps([NAIVE], cls=DatetimeSerializer) == '["2026-01-31T12:00:00"]'
    assert DatetimeSerializer().encode({"at": NAIVE}) == '{"at": "2026-01-31T12:00:00"}'


@pytest.mark.parametrize("value", [Decimal(1), date(2026, 1, 31), {1}, b"bytes", Ellipsis], ids=repr)
def test_what_json_does_not_know_is_a_type_error_as_ever(value: object) -> None:
    for written in (
        lambda: json_dumps(value),
        lambda: json_dumps(value, cls=DatetimeSerializer),
        lambda: mixpanel.json_dumps(value, cls=mixpanel.DatetimeSerializer),
    ):
        with pytest.raises(TypeError, match="is not JSON serializable"):
            written()


def test_a_time_without_the_serializer_is_a_type_error_as_ever() -> None:
    with pytest.raises(TypeError, match="is not JSON serializable"):
        json_dumps(NAIVE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=repr)
@pytest.mark.parametrize("cls", [None, DatetimeSerializer], ids=["plain", "serializer"])
def test_a_number_without_a_word_in_json_is_refused(value: float, cls: Any) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        json_dumps({"a": [value]}, cls=cls)


class PriceSerializer(DatetimeSerializer):
    """
    A serializer as users write them: their own types first, the rest for the base.
    """

    def default(self, o: object) -> object:
        return str(o) if isinstance(o, Decimal) else super().default(o)


def test_a_subclass_adds_its_own_types() -> None:
    data = {"price": Decimal("9.99"), "at": NAIVE}
    assert json_dumps(data, cls=PriceSerializer) == '{"price":"9.99","at":"2026-01-31T12:00:00"}'
    with pytest.raises(TypeError, match="is not JSON serializable"):
        json_dumps({1}, cls=PriceSerializer)


@pytest.mark.parametrize(
    "moment",
    [datetime.min.replace(tzinfo=INDIA), datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))],
    ids=["before the year 1", "after the year 9999"],
)
def test_a_time_that_has_no_place_in_utc_is_refused_in_a_whole_sentence(moment: datetime) -> None:
    with pytest.raises(InvalidValue, match=r"^\S.* must be a datetime between the years 1 and 9999 in UTC"):
        json_dumps({"at": moment}, cls=DatetimeSerializer)
