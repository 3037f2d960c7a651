"""
Transports as data: what is written down is read back, whatever way it is written, and nothing else is taken.
"""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixwire.core import InvalidValue
from mixwire.testing.memory import Memory
from mixwire.transports.config import structure, transport_from_environment, unstructure
from mixwire.transports.descriptions import Buffered, Fallback, File, Logging, Null, Sync, Tee

PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
SERVERS = st.sampled_from(["us", "eu", "in", "https://proxy.example.com:8443", "http://127.0.0.1:8080"])
TIMEOUTS = st.floats(0, 3600, exclude_min=True)
SECONDS = st.floats(0, 3600)
COUNTS = st.integers(1, 2**60)


def some(**fields):
    """
    Keyword arguments of which each may be missing.
    """
    return st.fixed_dictionaries({}, optional=fields)


NETWORK = {
    "server": st.none() | SERVERS,
    "at_least_once": st.booleans(),
    "max_messages": st.integers(1, 2_000),
    "max_bytes": st.integers(1, 10_000_000),
    "connect_timeout_seconds": TIMEOUTS,
    "request_timeout_seconds": TIMEOUTS | st.integers(1, 3600),
    "compress": st.booleans(),
    "ca_file": st.none() | PATHS,
    "dead_letters": st.none() | PATHS,
}
FILES = st.builds(
    lambda directory, rest: File(directory=directory, **rest),
    PATHS,
    some(
        sync=st.sampled_from(["always", "interval", "never"]),
        sync_after_seconds=TIMEOUTS,
        max_segment_bytes=COUNTS,
        max_bytes=COUNTS,
        max_age_seconds=st.none() | st.floats(0, 1e12, exclude_min=True),
        when_full=st.sampled_from(["refuse", "drop_oldest"]),
    ),
)
SYNCS = st.builds(
    lambda fields: Sync(**fields),
    some(
        **NETWORK,
        max_tries=st.none() | COUNTS,
        deadline_seconds=st.none() | st.floats(0, 1e12, exclude_min=True),
    ),
)
BUFFEREDS = st.builds(
    lambda fields, beside: Buffered(**fields, **beside),
    some(
        **NETWORK,
        flush_after_seconds=SECONDS,
        max_held_messages=st.integers(1, 10**9),
        max_held_bytes=st.integers(1, 2**50),
        block_seconds=SECONDS,
        max_in_flight=st.integers(1, 4),
        background=st.booleans(),
        exit_seconds=SECONDS,
        close_seconds=SECONDS,
    ),
    st.one_of(
        some(max_tries=st.none() | COUNTS, when_full=st.sampled_from([None, "drop", "block"])),
        st.fixed_dictionaries(
            {"spool": PATHS.filter(lambda path: not path.lstrip().startswith(("{", "["))) | FILES},
            optional={"when_full": st.sampled_from([None, "drop", "block", "spill"])},
        ),
    ),
)
LOGGINGS = st.builds(
    lambda fields: Logging(**fields),
    some(logger=st.text(max_size=10), level=st.integers(0, 100), include_body=st.booleans()),
)
MEMORIES = st.builds(lambda count: Memory(max_messages=count), st.none() | COUNTS)
DESCRIPTIONS = st.recursive(
    st.one_of(st.just(Null()), SYNCS, BUFFEREDS, FILES, LOGGINGS, MEMORIES),
    lambda members: st.builds(
        lambda kind, each: kind(transports=tuple(each)),
        st.sampled_from([Tee, Fallback]),
        st.lists(members, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@given(DESCRIPTIONS)
def test_structure_undoes_unstructure(description):
    data = unstructure(description)
    read = structure(data)
    assert read == description
    assert type(read) is type(description)
    assert unstructure(read) == data


@given(DESCRIPTIONS)
def test_json_says_the_same_as_the_table(description):
    assert structure(json.dumps(unstructure(description))) == description


def as_string(data, is_short):
    """
    A table as a URL-like string: each value as text, tables by dots, members as strings or as JSON.
    """
    pairs = []

    def add(name, value):
        if isinstance(value, dict):
            for inner, each in value.items():
                add(f"{name}.{inner}", each)
        elif isinstance(value, list):
            write = as_short_string if is_short else json.dumps
            pairs.extend((name, write(member)) for member in value)
        elif value is None:
            pairs.append((name, "none"))
        elif isinstance(value, bool):
            pairs.append((name, str(value).lower()))
        else:
            pairs.append((name, str(value)))

    for key, value in data.items():
        if key != "type":
            add(key, value)
    query = "&".join(f"{name}={quote(value, safe='/:' if is_short else '')}" for name, value in pairs)
    return data["type"] + (f":?{query}" if query else "")


def as_short_string(data):
    return as_string(data, is_short=True)


@given(DESCRIPTIONS, st.booleans())
def test_a_string_says_the_same_as_the_table(description, is_short):
    assert structure(as_string(unstructure(description), is_short)) == description


@given(DESCRIPTIONS)
def test_variables_say_the_same_as_the_table(description):
    data = unstructure(description)
    environment = {
        f"MIXWIRE_TRANSPORT_{name.upper()}": json.dumps(value)
        if isinstance(value, dict | list)
        else "none"
        if value is None
        else str(value)
        for name, value in data.items()
    }
    assert transport_from_environment(environment) == description


KEYS = st.sampled_from(
    """
    type server max_tries at_least_once max_messages max_bytes deadline_seconds compress ca_file dead_letters spool
    directory sync max_age_seconds when_full transports logger level include_body background max_in_flight other
    """.split()
)
TAGS = st.sampled_from("sync buffered file logging null memory tee fallback other".split())
CANARY = "c4n4ry"
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    TAGS,
    st.just(CANARY),
    st.just(f"sync://{CANARY}:{CANARY}@eu"),
    st.just(f"sync:?server={CANARY}&max_tries={CANARY}"),
    st.binary(max_size=3),
)
DATA = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.builds(lambda tag, rest: {"type": tag, **rest}, TAGS, st.dictionaries(KEYS, inner, max_size=4))
    ),
    max_leaves=10,
)


def read(data):
    """
    The description that *data* is, or why it is none.
    """
    try:
        return structure(data)
    except InvalidValue as fault:
        return fault


@given(DATA)
def test_data_is_a_description_or_refused_with_its_path_and_never_repeated(data):
    found = read(data)
    if isinstance(found, InvalidValue):
        assert found.path.startswith("transport")
        assert CANARY not in str(found)
        assert "\n" not in str(found)
    else:
        assert structure(unstructure(found)) == found


@given(st.text(max_size=30) | st.text('sync:file/?=&%.{}[]",0aF', max_size=20))
def test_every_string_is_a_description_or_refused(text):
    found = read(text)
    if isinstance(found, InvalidValue):
        assert found.path.startswith("transport")
    else:
        assert structure(unstructure(found)) == found


@given(DESCRIPTIONS, KEYS.map("un".__add__))
def test_no_unknown_key_is_overlooked(description, key):
    with pytest.raises(InvalidValue) as refusal:
        structure({**unstructure(description), key: None})
    assert refusal.value.path == f"transport.{key}"
