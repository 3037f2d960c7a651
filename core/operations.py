"""
What a user wants Mixpanel to know, as immutable values that are checked when they are made.

================================  ===============================================
operation                         says
================================  ===============================================
`Track`                           something happened
`Alias`, `Identify`, `Merge`      two ids are the same person
`PeopleOp`, `GroupOp`             change a user's or a group's profile
`Charge`, `ClearCharges`          record or forget what a user paid
`RawPeopleOp`, `RawGroupOp`       an update that is newer than this library
================================  ===============================================

They live in `mixwire.core.events`, `mixwire.core.identity` and `mixwire.core.profiles`.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import evolve

from .events import Track
from .identity import Alias, Identify, Merge
from .profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp
from .times import Instant

__all__ = ["Operation", "split", "stamp"]

Operation: TypeAlias = (
    Track | Alias | Identify | Merge | PeopleOp | GroupOp | Charge | ClearCharges | RawPeopleOp | RawGroupOp
)
"""Everything that `mixwire.core.messages.encode` takes."""


def stamp(operation: Operation, *, time: Instant, insert_id: str) -> Operation:
    """
    The operation with *time* and *insert_id* wherever it takes one and has none yet; what is set stays.
    """
    if isinstance(operation, Track):
        if operation.time is not None and operation.insert_id is not None:
            return operation
        return Track(
            operation.event,
            distinct_id=operation.distinct_id,
            properties=operation.properties,
            time=time if operation.time is None else operation.time,
            insert_id=insert_id if operation.insert_id is None else operation.insert_id,
        )
    if isinstance(operation, PeopleOp):
        if operation.time is not None:
            return operation
        return PeopleOp(operation.distinct_id, *operation.changes, time=time, options=operation.options)
    if isinstance(operation, GroupOp):
        if operation.time is not None:
            return operation
        return GroupOp(
            operation.group_key, operation.group_id, *operation.changes, time=time, options=operation.options
        )
    if isinstance(operation, Charge | ClearCharges) and operation.time is None:
        return evolve(operation, time=time)
    return operation


def split(operation: Operation) -> tuple[Operation, ...]:
    """
    The operation as several with one change each, in order; any other than `PeopleOp` and `GroupOp` as it is.
    """
    if isinstance(operation, PeopleOp):
        return tuple(
            PeopleOp(operation.distinct_id, change, time=operation.time, options=operation.options)
            for change in operation.changes
        )
    if isinstance(operation, GroupOp):
        return tuple(
            GroupOp(operation.group_key, operation.group_id, change, time=operation.time, options=operation.options)
            for change in operation.changes
        )
    return (operation,)
