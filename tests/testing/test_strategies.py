"""
The strategies draw valid values and reach what programs forget.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
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
from hypothesis.errors import NoSuchExample

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


# Made once, because to make a strategy takes longer than to draw from it.
MADE = {name: getattr(mx, name)() for name in TYPES}


@pytest.mark.parametrize("name", [name for name, kind in TYPES.items() if kind is not object])
@given(data=st.data())
@A_FEW
def test_each_strategy_draws_its_type(name, data):
    drawn, kind = data.draw(MADE[name]), TYPES[name]
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
    "json_scalars": (
        MADE["json_scalars"],
        {
            "text in other scripts": lambda value: isinstance(value, str) and not value.isascii(),
            "an int of 64 bits": lambda value: type(value) is int and value >= 2**63,
        },
    ),
    "property_values": (
        MADE["property_values"],
        {
            "a list in a list": lambda v: isinstance(v, list) and any(type(e) is list for e in v),
            "a dict in a list": lambda v: isinstance(v, list) and any(type(e) is dict for e in v),
            "ten lists deep": lambda v: sum(type(each) is list for each in inside(v)) >= 10,
            "an aware datetime": lambda v: isinstance(v, datetime) and v.tzinfo is not None,
            "a naive datetime": lambda v: isinstance(v, datetime) and v.tzinfo is None,
            "a Decimal": lambda v: isinstance(v, Decimal) and v % 1 != 0,
            "a UUID": lambda v: isinstance(v, UUID),
            "an Enum": lambda v: isinstance(v, Enum),
            "a set": lambda v: isinstance(v, set) and len(v) > 1,
            "an attrs value": lambda v: attrs.has(type(v)),
        },
    ),
    "event_properties": (
        MADE["event_properties"],
        {
            "no properties": lambda v: not v,
            "several properties": lambda v: len(v) > 3,
        },
    ),
    "tracks": (
        MADE["tracks"],
        {
            "nobody's event": lambda track: track.distinct_id == "",
            "a device's event": lambda track: track.distinct_id is None,
            "an event from another library": lambda track: "mp_lib" in track.properties,
            "a long event name": lambda track: len(track.event) > 255,
        },
    ),
    "tracks(stamped=False)": (
        mx.tracks(stamped=False),
        {
            "an event without a time": lambda track: track.time is None,
            "an event without an insert_id": lambda track: track.insert_id is None,
        },
    ),
    "people_ops": (
        MADE["people_ops"],
        {
            "several changes": lambda op: len(op.changes) > 2,
            "a place": lambda op: op.options.latitude is not None,
        },
    ),
    "group_ops": (
        MADE["group_ops"],
        {
            "several changes of a group": lambda op: len(op.changes) > 1,
        },
    ),
    "charges": (
        MADE["charges"],
        {
            "a refund": lambda charge: charge.amount < 0,
        },
    ),
    "raw_people_ops": (
        MADE["raw_people_ops"],
        {
            "an unknown operator": lambda op: not op.repeatable,
            "a repeatable raw update": lambda op: op.repeatable,
        },
    ),
    "projects": (
        MADE["projects"],
        {
            "a strict project": lambda project: project.limits == "strict",
            "a project with an account": lambda project: "Account" in type(project.credentials).__name__,
        },
    ),
    "messages": (
        MADE["messages"],
        {
            "an unrepeatable message": lambda message: not message.repeatable,
            "a barrier": lambda message: message.barrier,
        },
    ),
    "batches": (
        MADE["batches"],
        {
            "a batch of several": lambda batch: len(batch) > 2,
            "a batch that is a barrier": lambda batch: batch.messages[0].barrier,
            "an unrepeatable batch": lambda batch: not batch.repeatable and len(batch) > 1,
            **{
                f"a batch for {endpoint.name}": lambda batch, endpoint=endpoint: batch.endpoint is endpoint
                for endpoint in Endpoint
            },
        },
    ),
    "answers(batch)": (
        mx.answers(PARTIAL),
        {
            "a partial refusal": lambda answer: 0 < len(interpret(PARTIAL, answer).outcome.rejected) < 3,
            "a success": lambda answer: len(interpret(PARTIAL, answer).outcome.delivered) == 3,
            **{
                f"an answer to {advice}": lambda answer, advice=advice: advice_of(answer) == advice
                for advice in ("RETRY", "THROTTLE", "RECHECK", "HALVE", "BISECT", "STOP")
            },
            "a wait that is asked for": lambda answer: interpret(PARTIAL, answer).retry_after is not None,
        },
    ),
    "responses": (
        MADE["responses"],
        {
            "a truncated body": lambda response: not response.complete,
        },
    ),
    "no_responses": (
        MADE["no_responses"],
        {
            "a blocked request": lambda answer: answer.blocked,
        },
    ),
    "outcomes": (
        MADE["outcomes"],
        {
            "an outcome in all places": lambda o: o.delivered and o.rejected and o.failed and o.unknown,
        },
    ),
    "retry_policies": (
        MADE["retry_policies"],
        {
            "a policy without an end": lambda policy: policy.max_tries is None,
        },
    ),
    "json_garbage": (
        MADE["json_garbage"],
        {
            "NaN": refused_as("not nan"),
            "a lone surrogate": refused_as("lone surrogate"),
            "a huge int": refused_as("64 bits"),
            "a key that is no text": refused_as("str keys"),
            "a value in itself": refused_as("inside itself"),
            "a value nested too deep": refused_as("32 levels deep"),
            "objects nested too deep": refused_as("objects deep"),
            "bytes": refused_as("not bytes"),
            "a list too long": refused_as("elements"),
            "an object too wide": refused_as("254 keys"),
            "a subclass of str": lambda value: isinstance(value, str) and type(value) is not str,
            "a fault inside a set": refused_as("[...]"),
            "what is no garbage": lambda value: refused(value) is None,
        },
    ),
}


@pytest.mark.parametrize("name", REGIONS)
def test_interesting_regions_are_reached(name):
    strategy, regions = REGIONS[name]
    missing = dict(regions)

    def all_were_reached(value):
        for region in [region for region, is_interesting in missing.items() if is_interesting(value)]:
            del missing[region]
        return not missing

    with suppress(NoSuchExample):
        find(strategy, all_were_reached, settings=settings(PATIENT, max_examples=3_000, phases=[Phase.generate]))
    assert list(missing) == []


@given(mx.retry_policies(finite=True))
@A_FEW
def test_finite_policies_end(policy):
    assert policy.max_tries is not None


@given(mx.messages(project=Project("canary-t")))
@A_FEW
def test_messages_are_encoded_for_the_project(message):
    assert b"canary-t" in message.body


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
