"""
The JSON encoder that code for the official client may build on.
"""

from __future__ import annotations

import json
from datetime import datetime

from .core.times import instant_text

__all__ = ["DatetimeSerializer", "json_dumps"]


class DatetimeSerializer(json.JSONEncoder):
    """
    Writes a datetime the way Mixpanel reads dates: in UTC, without an offset; without a timezone it is read as UTC.

    `Mixpanel` itself takes far more types than this (see `mixwire.core.values`). A subclass with a ``default`` of its
    own, given as ``serializer``, turns others into what JSON can say.
    """

    def default(self, o: object) -> object:
        """
        The text of a datetime.

        Raises:
            TypeError: If *o* is something else.
        """
        if isinstance(o, datetime):
            return instant_text(o, "the datetime")
        return super().default(o)


def json_dumps(data: object, cls: type[json.JSONEncoder] | None = None) -> str:
    """
    *data* as JSON without white space.

    Raises:
        TypeError: If it holds what neither JSON nor *cls* knows.
        ValueError: If it holds NaN or an infinity, for which JSON has no word.
    """
    return json.dumps(data, separators=(",", ":"), cls=cls, allow_nan=False)
