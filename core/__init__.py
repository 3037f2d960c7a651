"""
The pure core: operations become messages, messages become requests, answers become outcomes. No I/O, no
clock, no chance.

Read the modules in this order: errors, limits, text, times, shapes, properties, values, ids, changes, events, identity,
profiles, operations, updates, project, findings, messages, foreign, batches, http, outcomes, answers, delivery,
explain, lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answers import Advice, Verdict, interpret
from .batches import Batch, BatchLimits, pack
from .changes import Add, Append, Delete, GroupChange, PeopleChange, Remove, Set, SetOnce, Union, Unset
from .delivery import Delivery, Done, Post, RetryPolicy, Step, Wait
from .errors import InvalidValue, LimitExceeded, MixwireError, NotStamped
from .events import Track
from .explain import Explanation, Measure, explain
from .findings import Effect, Finding, Refused
from .http import Answer, NoResponse, Request, Response, to_request
from .identity import Alias, Identify, Merge
from .ids import UserId
from .library import VERSION
from .limits import LIMITS, PLACEHOLDERS, Excess, Limit, Policy
from .messages import Endpoint, Key, Message, encode, route
from .operations import Operation, split, stamp
from .outcomes import Cause, Failed, Outcome, Rejected, Unknown
from .profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from .project import SERVERS, Credentials, EventRoute, Project, ProjectSecret, ServiceAccount
from .properties import JSON, Frozen, Properties
from .times import Instant

if TYPE_CHECKING:
    from .lines import message_from_line, message_to_line, operation_from_line, operation_to_line

__all__ = [
    "JSON",
    "LIMITS",
    "PLACEHOLDERS",
    "SERVERS",
    "VERSION",
    "Add",
    "Advice",
    "Alias",
    "Answer",
    "Append",
    "Batch",
    "BatchLimits",
    "Cause",
    "Charge",
    "ClearCharges",
    "Credentials",
    "Delete",
    "Delivery",
    "Done",
    "Effect",
    "Endpoint",
    "EventRoute",
    "Excess",
    "Explanation",
    "Failed",
    "Finding",
    "Frozen",
    "GroupChange",
    "GroupOp",
    "Identify",
    "Instant",
    "InvalidValue",
    "Key",
    "Limit",
    "LimitExceeded",
    "Measure",
    "Merge",
    "Message",
    "MixwireError",
    "NoResponse",
    "NotStamped",
    "Operation",
    "Outcome",
    "PeopleChange",
    "PeopleOp",
    "Policy",
    "Post",
    "Project",
    "ProjectSecret",
    "Properties",
    "RawGroupOp",
    "RawPeopleOp",
    "Refused",
    "Rejected",
    "Remove",
    "Request",
    "Response",
    "RetryPolicy",
    "ServiceAccount",
    "Set",
    "SetOnce",
    "Step",
    "Track",
    "Union",
    "Unknown",
    "Unset",
    "UpdateOptions",
    "UserId",
    "Verdict",
    "Wait",
    "encode",
    "explain",
    "interpret",
    "message_from_line",
    "message_to_line",
    "operation_from_line",
    "operation_to_line",
    "pack",
    "route",
    "split",
    "stamp",
    "to_request",
]


def __getattr__(name: str) -> object:
    # Only who reads or writes lines pays for loading cattrs.
    if name in ("message_from_line", "message_to_line", "operation_from_line", "operation_to_line"):
        from . import lines

        return getattr(lines, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
