"""
Wherever a method of the front door takes a dict, it takes any other mapping, and sends the same for it.
"""

from __future__ import annotations

import json
from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import pytest

from mixwire import DatetimeSerializer, Mixpanel
from mixwire.testing import MemoryTransport

As: TypeAlias = Callable[[dict[str, object]], Mapping[str, object]]


class Named(dict[str, object]):
    """
    A dict of the caller's own kind.
    """


KINDS: Final[tuple[As, ...]] = (OrderedDict, MappingProxyType, ChainMap, UserDict, Named)

CALLS: Final[dict[str, Callable[[Mixpanel, As], None]]] = {
    "track": lambda mp, kind: mp.track("user-1", "Opened", kind({"plan": "pro"})),
    "import_data": lambda mp, kind: mp.import_data(None, "user-1", "Opened", 1767225600, kind({"plan": "pro"})),
    "with_properties": lambda mp, kind: mp.with_properties(kind({"plan": "pro"})).track("user-1", "Opened"),
    "people_set": lambda mp, kind: mp.people_set("user-1", kind({"plan": "pro"})),
    "people_set_once": lambda mp, kind: mp.people_set_once("user-1", kind({"plan": "pro"})),
    "people_increment": lambda mp, kind: mp.people_increment("user-1", kind({"credits": -1.5})),
    "people_append": lambda mp, kind: mp.people_append("user-1", kind({"seen": "/"})),
    "people_union": lambda mp, kind: mp.people_union("user-1", kind({"tags": ["a", 1]})),
    "people_remove": lambda mp, kind: mp.people_remove("user-1", kind({"tags": "a"})),
    "people_track_charge": lambda mp, kind: mp.people_track_charge("user-1", 5, kind({"sku": "a"})),
    "people_update": lambda mp, kind: mp.people_update(kind({"$distinct_id": "user-1", "$set": kind({"plan": "pro"})})),
    "people_update with a new operator": lambda mp, kind: mp.people_update(
        kind({"$distinct_id": "user-1", "$set": kind({"plan": "pro"}), "$new": kind({"a": 1})})
    ),
    "group_set": lambda mp, kind: mp.group_set("Company", "acme", kind({"plan": "pro"})),
    "group_set_once": lambda mp, kind: mp.group_set_once("Company", "acme", kind({"plan": "pro"})),
    "group_union": lambda mp, kind: mp.group_union("Company", "acme", kind({"tags": ["a", 1]})),
    "group_remove": lambda mp, kind: mp.group_remove("Company", "acme", kind({"tags": "a"})),
    "group_update": lambda mp, kind: mp.group_update(
        kind({"$group_key": "Company", "$group_id": "acme", "$set": kind({"plan": "pro"})})
    ),
    "people_set with meta": lambda mp, kind: mp.people_set("user-1", {"plan": "pro"}, kind({"$ip": "0"})),
    "people_unset with meta": lambda mp, kind: mp.people_unset("user-1", ["plan"], kind({"$ip": "0"})),
    "people_delete with meta": lambda mp, kind: mp.people_delete("user-1", kind({"$ignore_alias": True})),
    "people_track_charge with meta": lambda mp, kind: mp.people_track_charge("user-1", 5, {}, kind({"$ip": "0"})),
    "people_clear_charges with meta": lambda mp, kind: mp.people_clear_charges("user-1", kind({"$ip": "0"})),
    "track with meta": lambda mp, kind: mp.track("user-1", "Opened", {}, kind({"a": 1})),
    "import_data with meta": lambda mp, kind: mp.import_data(None, "user-1", "Opened", 1767225600, {}, kind({"a": 1})),
    "alias with meta": lambda mp, kind: mp.alias("user-1", "device-1", kind({"a": 1})),
    "merge with meta": lambda mp, kind: mp.merge(None, "user-1", "user-9", kind({"a": 1})),
    "group_delete with meta": lambda mp, kind: mp.group_delete("Company", "acme", kind({"$ip": "0"})),
}


class Own(json.JSONEncoder):
    """
    A serializer of the caller's own.
    """


def sent(call: Callable[[Mixpanel, As], None], kind: As, serializer: type[json.JSONEncoder]) -> list[bytes]:
    memory = MemoryTransport()
    stamps: dict[str, Any] = {"now": lambda: 1767225600000, "make_insert_id": lambda: "a1"}
    call(Mixpanel("T0", serializer=serializer, transport=memory, **stamps), kind)
    return [message.body for message in memory.messages]


@pytest.mark.parametrize("serializer", [DatetimeSerializer, Own], ids=["the default", "of the caller's"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_any_mapping_says_what_a_dict_says(
    call: Callable[[Mixpanel, As], None], kind: As, serializer: type[json.JSONEncoder]
) -> None:
    assert sent(call, kind, serializer) == sent(call, dict, serializer) != []
