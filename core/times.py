"""
Times as they are kept and as they are written.

A time is Unix time as an int, in seconds or milliseconds as it was given: below 100,000,000,000 it counts seconds. A
datetime without a timezone is read as UTC, here and everywhere in this library.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from .errors import InvalidValue, describe
from .limits import EARLIEST_SECONDS, LATEST_MILLISECONDS, MILLISECONDS_FROM

__all__ = ["Instant", "in_utc", "instant_of", "instant_text", "milliseconds", "seconds", "time_of"]

Instant: TypeAlias = int | float | datetime
"""What is taken as a time; kept as an int."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALLOWED: Final = "Unix time in seconds or milliseconds, from 1971 to 9999"


def time_of(value: Instant | None) -> int | None:
    """
    A time as it is kept: an int and None stay what they are; a float of seconds or milliseconds and a datetime become
    milliseconds.

    Raises:
        InvalidValue: If it lies before 1971 or after 9999, or is no time at all; its path is ``time``.
    """
    if value is None:
        return None
    if type(value) is int:
        if EARLIEST_SECONDS <= value <= LATEST_MILLISECONDS:
            return value
        raise InvalidValue("time", _ALLOWED, "outside of that")
    if type(value) is float:
        if not math.isfinite(value):
            raise InvalidValue("time", _ALLOWED, describe(value))
        if not 0 <= value <= LATEST_MILLISECONDS:
            raise InvalidValue("time", _ALLOWED, "outside of that")
        return _kept(round(value if value >= MILLISECONDS_FROM else value * 1000))
    if type(value) is datetime:
        return _kept((in_utc(value, "time") - _EPOCH) // timedelta(milliseconds=1))
    raise InvalidValue("time", "an int, float or datetime", describe(value))


def _kept(instant: int) -> int:
    if not EARLIEST_SECONDS * 1000 <= instant <= LATEST_MILLISECONDS:
        raise InvalidValue("time", _ALLOWED, "outside of that")
    # So few milliseconds would be read as seconds: before March 1973 only whole seconds can be told.
    return instant if instant >= MILLISECONDS_FROM else instant // 1000


def milliseconds(time: int) -> int:
    """
    A time as it is kept, as milliseconds since 1970.
    """
    return time * 1000 if time < MILLISECONDS_FROM else time


def seconds(time: int) -> int:
    """
    A time as it is kept, as whole seconds since 1970.
    """
    return time if time < MILLISECONDS_FROM else time // 1000


def in_utc(value: datetime, path: str) -> datetime:
    """
    The datetime in UTC; without a timezone it is read as UTC.
    """
    try:
        if value.utcoffset() is None:
            return value.replace(tzinfo=UTC)
        return value.astimezone(UTC)
    except OverflowError:
        fault = InvalidValue(path, "a datetime between the years 1 and 9999 in UTC", "one outside")
    except Exception:  # noqa: BLE001  # a timezone is code of the caller's and may raise anything
        fault = InvalidValue(path, "a datetime with a timezone that knows its offset", "one with another")
    # Raised out here, so that what the timezone raised is not shown beside it.
    raise fault


def instant_text(value: datetime, path: str = "") -> str:
    """
    A datetime the way Mixpanel reads dates: in UTC, without an offset.

    The documented form has whole seconds (https://docs.mixpanel.com/docs/data-structure/property-reference/data-type);
    microseconds, if there are any, follow after a dot rather than being dropped.
    """
    return in_utc(value, path).replace(tzinfo=None).isoformat()


def instant_of(seconds: int) -> str:
    """
    Unix time in seconds the way Mixpanel reads dates.
    """
    return instant_text(_EPOCH + timedelta(seconds=seconds))
