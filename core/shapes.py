"""
How much the properties of an event, a profile or a charge may hold, and which names they may not use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from attrs import Factory, field, frozen

from .limits import (
    EVENT_BYTES,
    EVENT_PROPERTIES,
    LIST_ELEMENTS,
    OBJECT_DEPTH,
    OBJECT_KEYS,
    PROFILE_PROPERTIES,
    UPDATE_BYTES,
    Limit,
)

__all__ = ["CHARGE", "EVENT", "PROFILE", "RAW", "Shape"]


@frozen(kw_only=True)
class Shape:
    """
    How much a set of properties may hold: rows of the limit table, or None for no limit.

    Attributes:
        own: How many properties the library adds beside them.
        depth: How many objects they stand in already.
        library_names: Names that tell which library first sent the properties.
        misplaced: Names that may not be used, each with where its value belongs, phrased to follow "must be".
    """

    misplaced: Mapping[str, str] = field(factory=dict[str, str])
    misplaced_names: frozenset[str] = field(
        init=False, default=Factory(lambda self: frozenset(self.misplaced), takes_self=True)
    )
    library_names: frozenset[str] = frozenset()
    special_names: frozenset[str] = field(
        init=False, default=Factory(lambda self: self.misplaced_names | self.library_names, takes_self=True)
    )
    count: Limit | None = None
    own: int = 0
    depth: int = 0
    list_elements: Limit | None = None
    object_keys: Limit | None = None
    object_depth: Limit | None = None
    size: Limit
    max_given: float = field(init=False, default=Factory(lambda self: _most(self.count) - self.own, takes_self=True))
    """How many properties may be given, beside the library's own."""
    max_elements: float = field(init=False, default=Factory(lambda self: _most(self.list_elements), takes_self=True))
    max_keys: float = field(init=False, default=Factory(lambda self: _most(self.object_keys), takes_self=True))
    max_depth: float = field(init=False, default=Factory(lambda self: _most(self.object_depth), takes_self=True))
    max_bytes: int = field(init=False, default=Factory(lambda self: self.size.maximum, takes_self=True))


def _most(limit: Limit | None) -> float:
    return math.inf if limit is None else limit.maximum


_NO_BUCKET: Final = "left out: the product hides data with a property of this name"

EVENT: Final = Shape(
    misplaced={
        "token": "left out: the token comes from the project",
        "time": "given as Track(time=...)",
        "$time": "given as Track(time=...)",
        "distinct_id": "given as Track(distinct_id=...)",
        "$distinct_id": "given as Track(distinct_id=...)",
        "$insert_id": "given as Track(insert_id=...)",
        "bucket": _NO_BUCKET,
        "$bucket": _NO_BUCKET,
    },
    library_names=frozenset({"mp_lib", "$lib_version"}),
    count=EVENT_PROPERTIES,
    own=6,  # token, mp_lib, $lib_version, distinct_id, time, $insert_id
    list_elements=LIST_ELEMENTS,
    object_keys=OBJECT_KEYS,
    object_depth=OBJECT_DEPTH,
    size=EVENT_BYTES,
)
PROFILE: Final = Shape(
    misplaced={
        "$token": "left out: the token comes from the project",
        "$distinct_id": "given as distinct_id of the operation",
        "$ip": "given as options=UpdateOptions(ip=...)",
        "$time": "given as time of the operation",
        "$ignore_time": "given as options=UpdateOptions(ignore_time=...)",
        "$ignore_alias": "given as options=UpdateOptions(ignore_alias=...)",
        "$latitude": "given as options=UpdateOptions(latitude=..., longitude=...)",
        "$longitude": "given as options=UpdateOptions(latitude=..., longitude=...)",
        "bucket": _NO_BUCKET,
        "$bucket": _NO_BUCKET,
    },
    count=PROFILE_PROPERTIES,
    object_keys=OBJECT_KEYS,
    object_depth=OBJECT_DEPTH,
    size=UPDATE_BYTES,
)
CHARGE: Final = Shape(
    misplaced={"$amount": "given as amount of the charge", "$time": "given as time of the charge"},
    count=OBJECT_KEYS,
    own=2,  # $amount, $time
    depth=1,  # the transaction itself
    object_keys=OBJECT_KEYS,
    object_depth=OBJECT_DEPTH,
    size=UPDATE_BYTES,
)
RAW: Final = Shape(size=UPDATE_BYTES)
"""For what is newer than this library: no limit but size, nesting and what JSON can say."""
