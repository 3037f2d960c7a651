from datetime import UTC, datetime

import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core import limits
from mixwire.core.limits import LIMITS, PLACEHOLDERS, Excess, Limit

# The published numbers (section 1.7 of the protocol), written down a second time.
NUMBERS = {
    "BATCH_MESSAGES": (2_000, "messages", Excess.SPLIT),
    "BATCH_BYTES": (2_000_000, "bytes", Excess.SPLIT),
    "BATCH_BYTES_CEILING": (10_000_000, "bytes", Excess.REFUSED),
    "EVENT_BYTES": (999_999, "bytes", Excess.REFUSED),
    "UPDATE_BYTES": (999_999, "bytes", Excess.REFUSED),
    "EVENT_PROPERTIES": (254, "properties", Excess.REFUSED),
    "PROFILE_PROPERTIES": (2_000, "properties", Excess.REFUSED),
    "OBJECT_KEYS": (254, "keys", Excess.REFUSED),
    "OBJECT_DEPTH": (3, "objects deep", Excess.REFUSED),
    "NESTING": (32, "levels deep", Excess.REFUSED),
    "LIST_ELEMENTS": (254, "elements", Excess.REFUSED),
    "EVENT_NAME_CHARACTERS": (255, "characters", Excess.TRUNCATED),
    "PROPERTY_NAME_CHARACTERS": (255, "characters", Excess.TRUNCATED),
    "STRING_BYTES": (255, "bytes", Excess.TRUNCATED),
    "EVENT_CONTAINER_BYTES": (8_000, "bytes", Excess.TRUNCATED),
    "PROFILE_CONTAINER_BYTES": (256_000, "bytes", Excess.TRUNCATED),
    "DISTINCT_ID_CHARACTERS": (255, "characters", Excess.REFUSED),
    "INSERT_ID_BYTES": (36, "bytes", Excess.REFUSED),
    "LIVE_SECONDS": (432_000, "seconds", Excess.REROUTED),
    "FUTURE_SECONDS": (3_600, "seconds", Excess.REFUSED),
}
ROW = {"name": "n", "maximum": 1, "unit": "u", "excess": Excess.REFUSED, "source": "s"}


@pytest.mark.parametrize(("name", "row"), NUMBERS.items(), ids=list(NUMBERS))
def test_a_limit_has_its_published_number_and_unit(name, row):
    limit = getattr(limits, name)
    assert (limit.maximum, limit.unit, limit.excess) == row


def test_the_table_holds_every_limit_of_the_module_once():
    assert [getattr(limits, name) for name in NUMBERS] == list(LIMITS)
    assert [value for value in vars(limits).values() if type(value) is Limit] == list(LIMITS)
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_limit_names_the_page_that_it_comes_from(limit):
    assert limit.source == "mixwire" or all(page.startswith("https://") for page in limit.source.split(" and "))


def test_a_limit_is_a_value():
    assert Limit(**ROW) == Limit(**ROW)
    assert hash(Limit(**ROW)) == hash(Limit(**ROW))
    assert Limit(**ROW) != Limit(**ROW | {"maximum": 2})
    with pytest.raises(FrozenInstanceError):
        Limit(**ROW).maximum = 2


def test_r36_the_placeholders_are_the_seventeen_published_ones_and_one_that_was_seen():
    published = """
    00000000-0000-0000-0000-000000000000   anon   anonymous   nil   none   null   n/a   na
    undefined   unknown   <nil>   0   -1   true   false   []   {}
    """.split()
    assert len(published) == 17
    assert {*published, "lmy47d"} == PLACEHOLDERS


def test_the_bounds_of_time_are_the_years_1971_and_9999():
    assert datetime(1971, 1, 1, tzinfo=UTC).timestamp() == limits.EARLIEST_SECONDS
    assert datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() == limits.LATEST_MILLISECONDS // 1000
    assert limits.LATEST_MILLISECONDS % 1000 == 999
    assert limits.MILLISECONDS_FROM == 100_000_000_000


def test_every_public_name_is_there():
    assert sorted(limits.__all__) == sorted(name for name in limits.__all__ if hasattr(limits, name))
    assert {*NUMBERS} <= {*limits.__all__}
