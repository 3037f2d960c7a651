"""
Mixpanel's published numbers, each with its unit, its source and what happens beyond it.

Where the published pages disagree, the row holds the tighter figure: what passes here is safe everywhere.
Sizes are decimal (1 MB = 1,000,000 bytes) because the pages do not say and this is the smaller reading.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias

from attrs import frozen

__all__ = [
    "BATCH_BYTES",
    "BATCH_BYTES_CEILING",
    "BATCH_MESSAGES",
    "DISTINCT_ID_CHARACTERS",
    "EARLIEST_SECONDS",
    "EVENT_BYTES",
    "EVENT_CONTAINER_BYTES",
    "EVENT_NAME_CHARACTERS",
    "EVENT_PROPERTIES",
    "FUTURE_SECONDS",
    "INSERT_ID_BYTES",
    "LATEST_MILLISECONDS",
    "LIMITS",
    "LIST_ELEMENTS",
    "LIVE_SECONDS",
    "MILLISECONDS_FROM",
    "NESTING",
    "OBJECT_DEPTH",
    "OBJECT_KEYS",
    "PLACEHOLDERS",
    "PROFILE_CONTAINER_BYTES",
    "PROFILE_PROPERTIES",
    "PROPERTY_NAME_CHARACTERS",
    "STRING_BYTES",
    "UPDATE_BYTES",
    "Excess",
    "Limit",
    "Policy",
]

Policy: TypeAlias = Literal["strict", "warn", "off"]
"""
What to do about values that the server would accept but silently truncate, trim or drop: ``strict`` raises when
the message is encoded; ``warn`` sends them, and what tells people about messages tells of them (`Message.findings`,
`explain`, the command line); ``off`` sends them and `explain` and the command line say nothing.
"""


class Excess(Enum):
    """
    What happens to what exceeds a limit.
    """

    REFUSED = "refused"
    """Refused at the door: the operation cannot be made, or the message cannot be encoded."""
    SPLIT = "split"
    """Sent in several requests."""
    TRUNCATED = "truncated"
    """The server cuts it without a word."""
    REROUTED = "rerouted"
    """Sent to another endpoint, where it counts."""


@frozen(kw_only=True)
class Limit:
    """
    One row of the table.
    """

    name: str
    maximum: int
    unit: str
    excess: Excess
    source: str


_DOCS: Final = "https://docs.mixpanel.com"

BATCH_MESSAGES: Final = Limit(
    name="messages per request",
    maximum=2_000,
    unit="messages",
    excess=Excess.SPLIT,
    source=f"{_DOCS}/reference/import-events and {_DOCS}/reference/user-profile-limits",
)
BATCH_BYTES: Final = Limit(
    name="bytes per request, uncompressed",
    # The prose says 10 MB, the sample of a 413 answer says 2,097,152 bytes: aim below the smaller one.
    maximum=2_000_000,
    unit="bytes",
    excess=Excess.SPLIT,
    source=f"{_DOCS}/reference/import-events",
)
BATCH_BYTES_CEILING: Final = Limit(
    name="bytes per request, as far as a setting may raise them",
    maximum=10_000_000,
    unit="bytes",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/troubleshooting/errors/413-payload-too-large",
)
EVENT_BYTES: Final = Limit(
    name="bytes per event, uncompressed JSON",
    maximum=999_999,
    unit="bytes",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)
UPDATE_BYTES: Final = Limit(
    name="bytes per profile or group update",
    maximum=999_999,
    unit="bytes",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/user-profile-limits",
)
EVENT_PROPERTIES: Final = Limit(
    name="properties per event, the library's own six included",
    maximum=254,
    unit="properties",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)
PROFILE_PROPERTIES: Final = Limit(
    name="properties per profile",
    maximum=2_000,
    unit="properties",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/docs/data-structure/user-profiles",
)
OBJECT_KEYS: Final = Limit(
    name="keys per nested object",
    maximum=254,
    unit="keys",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)
OBJECT_DEPTH: Final = Limit(
    name="objects nested in each other",
    maximum=3,
    unit="objects deep",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)
NESTING: Final = Limit(
    name="lists and objects nested in each other",
    # No page names a limit for lists; the bound keeps a hostile value from exhausting the stack.
    maximum=32,
    unit="levels deep",
    excess=Excess.REFUSED,
    source="mixwire",
)
LIST_ELEMENTS: Final = Limit(
    name="elements per list in an event",
    maximum=254,
    unit="elements",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)
EVENT_NAME_CHARACTERS: Final = Limit(
    name="characters per event name",
    maximum=255,
    unit="characters",
    excess=Excess.TRUNCATED,
    source=f"{_DOCS}/docs/data-structure/events-and-properties",
)
PROPERTY_NAME_CHARACTERS: Final = Limit(
    name="characters per property name",
    maximum=255,
    unit="characters",
    excess=Excess.TRUNCATED,
    source=f"{_DOCS}/docs/data-structure/events-and-properties",
)
STRING_BYTES: Final = Limit(
    name="bytes per string value",
    # One page says 255 characters, another 255 bytes: only 255 bytes are safe by both.
    maximum=255,
    unit="bytes",
    excess=Excess.TRUNCATED,
    source=f"{_DOCS}/docs/data-structure/property-reference/data-type",
)
EVENT_CONTAINER_BYTES: Final = Limit(
    name="bytes per list or object in an event",
    maximum=8_000,
    unit="bytes",
    excess=Excess.TRUNCATED,
    source=f"{_DOCS}/docs/data-structure/property-reference/data-type",
)
PROFILE_CONTAINER_BYTES: Final = Limit(
    name="bytes per list or object in a profile",
    maximum=256_000,
    unit="bytes",
    excess=Excess.TRUNCATED,
    source=f"{_DOCS}/docs/data-structure/property-reference/data-type",
)
DISTINCT_ID_CHARACTERS: Final = Limit(
    name="characters per distinct_id",
    maximum=255,
    unit="characters",
    excess=Excess.REFUSED,
    source="https://developer.mixpanel.com/docs/cloud-import-data-preparation-guide",
)
INSERT_ID_BYTES: Final = Limit(
    name="bytes per insert_id",
    maximum=36,
    unit="bytes",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)
LIVE_SECONDS: Final = Limit(
    name="age of an event on /track",
    maximum=5 * 24 * 60 * 60,
    unit="seconds",
    excess=Excess.REROUTED,
    source=f"{_DOCS}/reference/track-event",
)
FUTURE_SECONDS: Final = Limit(
    name="time ahead of the server on /import",
    maximum=60 * 60,
    unit="seconds",
    excess=Excess.REFUSED,
    source=f"{_DOCS}/reference/import-events",
)

LIMITS: Final = (
    BATCH_MESSAGES,
    BATCH_BYTES,
    BATCH_BYTES_CEILING,
    EVENT_BYTES,
    UPDATE_BYTES,
    EVENT_PROPERTIES,
    PROFILE_PROPERTIES,
    OBJECT_KEYS,
    OBJECT_DEPTH,
    NESTING,
    LIST_ELEMENTS,
    EVENT_NAME_CHARACTERS,
    PROPERTY_NAME_CHARACTERS,
    STRING_BYTES,
    EVENT_CONTAINER_BYTES,
    PROFILE_CONTAINER_BYTES,
    DISTINCT_ID_CHARACTERS,
    INSERT_ID_BYTES,
    LIVE_SECONDS,
    FUTURE_SECONDS,
)
"""Every limit that this library knows."""

PLACEHOLDERS: Final = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "anon",
        "anonymous",
        "nil",
        "none",
        "null",
        "n/a",
        "na",
        "undefined",
        "unknown",
        "<nil>",
        "0",
        "-1",
        "true",
        "false",
        "[]",
        "{}",
        "lmy47d",
    }
)
"""
Values that Mixpanel refuses as `distinct_id` and `$insert_id`, because they name nobody and nothing. Compared in
lower case without outer white space. All but the last are documented at https://docs.mixpanel.com/reference/import-events;
the last was seen in answers of the service.
"""

EARLIEST_SECONDS: Final = 31_536_000
"""1971-01-01T00:00:00Z, the earliest event that /import takes. https://docs.mixpanel.com/reference/import-events"""

LATEST_MILLISECONDS: Final = 253_402_300_799_999
"""The end of the year 9999: more than that is a time in micro- or nanoseconds."""

MILLISECONDS_FROM: Final = 100_000_000_000
"""
A `time` below this counts seconds, one from here on milliseconds. The service takes both and does not publish the
threshold; this one reads seconds up to the year 5138 and milliseconds from March 1973.
"""
