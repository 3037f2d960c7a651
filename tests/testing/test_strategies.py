"""
The strategies draw valid values and reach what programs forget.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import get_args
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from mixwire.core import (
    Add,
    Alias,
    Answer,
    Append,
    Batch,
    BatchLimits,
    Charge,
    ClearCharges,
    Delete,
    Endpoint,
    GroupChange,
    GroupOp,
    Identify,
    InvalidValue,
    Merge,
    Message,
    NoResponse,
    Operation,
    Outcome,
    PeopleChange,
    PeopleOp,
    Project,
    RawGroupOp,
    RawPeopleOp,
    Remove,
    Response,
    RetryPolicy,
    Set,
    SetOnce,
    Track,
    Union,
    Unset,
    UpdateOptions,
    interpret,
)
from mixwire.core.shapes import CHARGE, EVENT, PROFILE, RAW
from mixwire.core.values import freeze
from mixwire.testing import strategies as mx

PATIENT = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
A_FEW = settings(PATIENT, max_examples=40)

TYPES = {
    "add_changes": Add,
    "aliases": Alias,
    "answers": Answer,
    "append_changes": Append,
    "batch_limits": BatchLimits,
    "batches": Batch,
    "charge_properties": dict,
    "charges": Charge,
    "clear_charges": ClearCharges,
    "delete_changes": Delete,
    "distinct_ids": str | int | UUID,
    "event_names": str,
    "event_properties": dict,
    "group_changes": GroupChange,
    "group_ops": GroupOp,
    "identifies": Identify,
    "insert_ids": str,
    "instants": int | float | datetime,
    "json_garbage": object,
    "json_scalars": str | int | float | bool | None,
    "json_values": str | int | float | bool | list | dict | None,
    "merges": Merge,
    "messages": Message,
    "no_responses": NoResponse,
    "operations": Operation,
    "outcomes": Outcome,
    "people_changes": PeopleChange,
    "people_ops": PeopleOp,
    "profile_properties": dict,
    "projects": Project,
    "property_names": str,
    "property_values": object,
    "raw_group_ops": RawGroupOp,
    "raw_people_ops": RawPeopleOp,
    "remove_changes": Remove,
    "responses": Response,
    "retry_policies": RetryPolicy,
    "set_changes": Set,
    "set_once_changes": SetOnce,
    "tracks": Track,
    "union_changes": Union,
    "unset_changes": Unset,
    "update_options": UpdateOptions,
}


def test_every_strategy_is_public_sorted_and_says_what_it_draws():
    assert list(mx.__all__) == sorted(mx.__all__) == list(TYPES)
    for name in mx.__all__:
        assert getattr(mx, name).__doc__.strip().endswith(".")


@pytest.mark.parametrize("name", [name for name, kind in TYPES.items() if kind is not object])
@given(data=st.data())
@A_FEW
def test_each_strategy_draws_its_type(name, data):
    drawn, kind = data.draw(getattr(mx, name)()), TYPES[name]
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    assert type(drawn) in kinds


@given(mx.event_properties(), mx.profile_properties(), mx.charge_properties(), mx.json_values())
@A_FEW
def test_drawn_properties_are_taken(event, profile, charge, value):
    assert freeze(event, EVENT) is not None
    assert freeze(profile, PROFILE) is not None
    assert freeze(charge, CHARGE) is not None
    assert freeze({"a": value}, RAW) is not None


@given(
    mx.tracks(), mx.batches(min_size=2, max_size=3, repeatable=False), mx.projects(limits=["off"], events=["import"])
)
@A_FEW
def test_options_are_kept(track, batch, project):
    assert track.time is not None
    assert track.insert_id is not None
    assert 2 <= len(batch) <= 3
    assert not batch.repeatable
    assert (project.limits, project.events) == ("off", "import")


def inside(value):
    """A value and everything in it."""
    yield value
    if isinstance(value, Mapping):
        for each in value.values():
            yield from inside(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from inside(each)


def refused(value):
    try:
        freeze({"a": value}, EVENT)
    except InvalidValue as fault:
        return fault
    return None


def refused_as(words):
    return lambda value: (fault := refused(value)) is not None and words in str(fault)


PARTIAL = Batch(
    tuple(
        Message(
            Endpoint.IMPORT, json.dumps({"event": "E", "properties": {"$insert_id": f"a{number}"}}).encode(), ("u",)
        )
        for number in range(3)
    )
)


def advice_of(answer):
    return interpret(PARTIAL, answer).advice.name


REGIONS = {
    "text in other scripts": (mx.json_scalars(), lambda value: isinstance(value, str) and not value.isascii()),
    "an int of 64 bits": (mx.json_scalars(), lambda value: type(value) is int and value >= 2**63),
    "a list in a list": (mx.property_values(), lambda v: isinstance(v, list) and any(type(e) is list for e in v)),
    "a dict in a list": (mx.property_values(), lambda v: isinstance(v, list) and any(type(e) is dict for e in v)),
    "ten lists deep": (mx.property_values(), lambda v: sum(type(each) is list for each in inside(v)) >= 10),
    "an aware datetime": (mx.property_values(), lambda v: isinstance(v, datetime) and v.tzinfo is not None),
    "a naive datetime": (mx.property_values(), lambda v: isinstance(v, datetime) and v.tzinfo is None),
    "a Decimal": (mx.property_values(), lambda v: isinstance(v, Decimal) and v % 1 != 0),
    "a UUID": (mx.property_values(), lambda v: isinstance(v, UUID)),
    "an Enum": (mx.property_values(), lambda v: isinstance(v, Enum)),
    "a set": (mx.property_values(), lambda v: isinstance(v, set) and len(v) > 1),
    "an attrs value": (mx.property_values(), lambda v: attrs.has(type(v))),
    "no properties": (mx.event_properties(), lambda v: not v),
    "several properties": (mx.event_properties(), lambda v: len(v) > 3),
    "nobody's event": (mx.tracks(), lambda track: track.distinct_id == ""),
    "a device's event": (mx.tracks(), lambda track: track.distinct_id is None),
    "an event without a time": (mx.tracks(stamped=False), lambda track: track.time is None),
    "an event without an insert_id": (mx.tracks(stamped=False), lambda track: track.insert_id is None),
    "an event from another library": (mx.tracks(), lambda track: "mp_lib" in track.properties),
    "a long event name": (mx.tracks(), lambda track: len(track.event) > 255),
    "several changes": (mx.people_ops(), lambda op: len(op.changes) > 2),
    "several changes of a group": (mx.group_ops(), lambda op: len(op.changes) > 1),
    "a place": (mx.people_ops(), lambda op: op.options.latitude is not None),
    "a refund": (mx.charges(), lambda charge: charge.amount < 0),
    "an unknown operator": (mx.raw_people_ops(), lambda op: not op.repeatable),
    "a repeatable raw update": (mx.raw_people_ops(), lambda op: op.repeatable),
    "a strict project": (mx.projects(), lambda project: project.limits == "strict"),
    "a project with an account": (mx.projects(), lambda project: "Account" in type(project.credentials).__name__),
    "an unrepeatable message": (mx.messages(), lambda message: not message.repeatable),
    "a barrier": (mx.messages(), lambda message: message.barrier),
    "a batch of several": (mx.batches(), lambda batch: len(batch) > 2),
    "a batch that is a barrier": (mx.batches(), lambda batch: batch.messages[0].barrier),
    "an unrepeatable batch": (mx.batches(), lambda batch: not batch.repeatable and len(batch) > 1),
    **{
        f"a batch for {endpoint.name}": (mx.batches(), lambda batch, endpoint=endpoint: batch.endpoint is endpoint)
        for endpoint in Endpoint
    },
    "a partial refusal": (
        mx.answers(PARTIAL),
        lambda answer: 0 < len(interpret(PARTIAL, answer).outcome.rejected) < 3,
    ),
    "a success": (mx.answers(PARTIAL), lambda answer: len(interpret(PARTIAL, answer).outcome.delivered) == 3),
    **{
        f"an answer to {advice}": (mx.answers(PARTIAL), lambda answer, advice=advice: advice_of(answer) == advice)
        for advice in ("RETRY", "THROTTLE", "RECHECK", "HALVE", "BISECT", "STOP")
    },
    "a wait that is asked for": (
        mx.answers(PARTIAL),
        lambda answer: interpret(PARTIAL, answer).retry_after is not None,
    ),
    "a truncated body": (mx.responses(), lambda response: not response.complete),
    "a blocked request": (mx.no_responses(), lambda answer: answer.blocked),
    "an outcome in all places": (mx.outcomes(), lambda o: o.delivered and o.rejected and o.failed and o.unknown),
    "a policy without an end": (mx.retry_policies(), lambda policy: policy.max_tries is None),
    "NaN": (mx.json_garbage(), refused_as("not nan")),
    "a lone surrogate": (mx.json_garbage(), refused_as("lone surrogate")),
    "a huge int": (mx.json_garbage(), refused_as("64 bits")),
    "a key that is no text": (mx.json_garbage(), refused_as("str keys")),
    "a value in itself": (mx.json_garbage(), refused_as("inside itself")),
    "a value nested too deep": (mx.json_garbage(), refused_as("32 levels deep")),
    "objects nested too deep": (mx.json_garbage(), refused_as("objects deep")),
    "bytes": (mx.json_garbage(), refused_as("not bytes")),
    "a list too long": (mx.json_garbage(), refused_as("elements")),
    "an object too wide": (mx.json_garbage(), refused_as("254 keys")),
    "a subclass of str": (mx.json_garbage(), lambda value: isinstance(value, str) and type(value) is not str),
    "a fault inside a set": (mx.json_garbage(), refused_as("[...]")),
    "what is no garbage": (mx.json_garbage(), lambda value: refused(value) is None),
}


@pytest.mark.parametrize("region", REGIONS)
def test_interesting_regions_are_reached(region):
    strategy, is_interesting = REGIONS[region]
    found = find(
        strategy, is_interesting, settings=settings(PATIENT, max_examples=50_000, phases=[Phase.generate]), random=None
    )
    assert is_interesting(found)


@given(mx.projects(), st.data())
@A_FEW
def test_finite_policies_end(project, data):
    assert data.draw(mx.retry_policies(finite=True)).max_tries is not None
    assert data.draw(mx.messages(project=Project(project.token))).body


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_package_does_not_load_hypothesis():
    code = "import sys, mixwire.testing; assert 'hypothesis' not in sys.modules"
    assert run(code).returncode == 0


def test_a_missing_hypothesis_is_told_in_one_sentence():
    done = run("import sys; sys.modules['hypothesis'] = None; import mixwire.testing.strategies")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: mixwire.testing.strategies needs Hypothesis: pip install 'mixwire[testing]'"
