"""
What the server would do to a message without saying so: truncate, trim, drop, overwrite.

None of it is an error for Mixpanel, and all of it is a surprise for the sender. A project's `limits` policy says
whether such a finding raises, is reported, or is passed over.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeGuard, cast

import orjson
from attrs import frozen

from .errors import MixwireError
from .limits import (
    EVENT_CONTAINER_BYTES,
    EVENT_NAME_CHARACTERS,
    PROFILE_CONTAINER_BYTES,
    PROPERTY_NAME_CHARACTERS,
    STRING_BYTES,
)
from .properties import JSON

__all__ = ["Effect", "Finding", "Refused", "find"]


class Effect(Enum):
    """
    What the server would do.
    """

    REFUSED = "refused"
    """It would answer that it does not take the record."""
    TRUNCATED = "truncated"
    """It would cut the text to the limit."""
    TRIMMED = "trimmed"
    """It would take white space away."""
    DROPPED = "dropped"
    """It would answer success and store nothing."""
    OVERWRITTEN = "overwritten"
    """It would put a value of its own in the place."""
    REROUTED = "rerouted"
    """The library would send it to another endpoint than usual."""
    UNDOCUMENTED = "undocumented"
    """What it would do is not documented."""


@frozen
class Finding:
    """
    One thing that would happen to a message.

    Attributes:
        path: Where, as in ``properties['Subject']``.
        effect: What the server would do.
        reason: Why, in one sentence without the value.
    """

    path: str
    effect: Effect
    reason: str

    def __str__(self) -> str:
        if self.effect is Effect.UNDOCUMENTED:
            return f"{self.path}: {self.reason}"
        return f"{self.path} would be {self.effect.value}: {self.reason}"


class Refused(MixwireError):
    """
    A message was not encoded because the project's limits are ``strict`` and there are findings.

    Attributes:
        findings: All of them.
    """

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(findings)
        self.findings = findings

    def __str__(self) -> str:
        return "; ".join(map(str, self.findings))


_OWN_NAMES: Final = frozenset({"token", "time", "distinct_id", "$insert_id", "mp_lib", "$lib_version"})

# https://docs.mixpanel.com/docs/data-structure/property-reference/reserved-properties and default-properties
_KNOWN_EVENT_NAMES: Final = frozenset(
    """
    $device_id $user_id $latitude $longitude $city $region $country_code mp_country_code mp_lib $lib_version $ignore
    $source $partner_id $anon_id $identified_id $distinct_ids $browser $browser_version $os $os_version $model
    $manufacturer $brand $device $current_url $referrer $referring_domain $initial_referrer
    $initial_referring_domain $search_engine $screen_height $screen_width $screen_dpi $app_version $app_version_string
    $app_build_number $app_release $carrier $radio $wifi $bluetooth_enabled $bluetooth_version $has_nfc
    $has_telephone $google_play_services $android_app_version $android_app_version_code $android_os
    $android_os_version $android_lib_version $ios_ifa $ios_app_version $ios_app_release $ios_version $ios_device_model
    $ios_lib_version $swift_lib_version $email $name $first_name $last_name $phone $avatar $created $timezone
    $screen_name $title $had_persisted_distinct_id mp_keyword mp_platform mp_page mp_browser mp_referrer
    """.split()
)
_KNOWN_PROFILE_NAMES: Final = frozenset(
    """
    $name $first_name $last_name $email $phone $avatar $created $city $region $country_code $timezone $transactions
    $ios_devices $android_devices $unsubscribed $geo_source $browser $browser_version $os $os_version $referrer
    $initial_referrer $initial_referring_domain $android_app_version $android_os_version $android_model
    $android_manufacturer $android_brand $android_lib_version $ios_app_version $ios_app_release $ios_version
    $ios_device_model $ios_lib_version $ios_ifa $swift_lib_version $push_token
    """.split()
)
_SERVER_NAMES: Final = frozenset(
    """
    $import $mp_api_endpoint $mp_api_timestamp_ms mp_processing_time_ms $mp_event_size mp_sent_by_lib_version
    $distinct_id_before_identity $is_reshuffled $preshuffle_distinct_id $failure_reason $failure_description
    $identity_failure_reason mp_original_distinct_id mp_original_event_name $warehouse_type $warehouse_import_id
    $warehouse_import_job_id $warehouse_import_run_id $warehouse_table $duration_s $event_count $origin_start
    $origin_end $mp_experiment_name $event_name $last_seen $mp_first_event_time
    """.split()
)
_WITH_NAMES: Final = ("$set", "$set_once", "$add", "$append", "$union", "$remove")
_OPERATORS: Final = frozenset({*_WITH_NAMES, "$unset", "$delete"})
_BESIDE: Final = frozenset(
    """
    $token $distinct_id $group_key $group_id $time $ip $ignore_time $ignore_alias $latitude $longitude
    """.split()
)
_MAX_STRING: Final = STRING_BYTES.maximum


def find(body: bytes, *, is_event: bool) -> tuple[Finding, ...]:
    """
    All findings in the JSON of one message, in the order in which they stand there.
    """
    record = cast("dict[str, JSON]", orjson.loads(body))
    found: list[Finding] = []
    if is_event:
        _find_in_event(record, found)
        return tuple(found)
    for name, value in record.items():
        # What may be an operator that is newer than this library is the business of whoever gives it.
        may_be_newer = name.startswith("$") and isinstance(value, dict | list)
        if name not in _OPERATORS and name not in _BESIDE and not may_be_newer:
            path = name if len(name) <= 60 else f"{name[:59]}…"
            reason = "it is neither an operator nor an option that is documented"
            found.append(Finding(path, Effect.UNDOCUMENTED, reason))
    several = [name for name in record if name in _OPERATORS]
    touched = [name for operator in several for name in _names(record[operator])]
    if len(several) > 1 and ("$delete" in several or len(set(touched)) < len(touched)):
        reason = "in which order the server applies operators to one property is not documented"
        found.append(Finding(" and ".join(several), Effect.UNDOCUMENTED, reason))
    names = record.get("$unset")
    if isinstance(names, list):
        unset: dict[str, JSON] = {str(name): None for name in names}
        _find_in_properties(unset, "$unset", _KNOWN_PROFILE_NAMES, PROFILE_CONTAINER_BYTES.maximum, found)
    for operator in _WITH_NAMES:
        properties = record.get(operator)
        if _is_object(properties):
            _find_in_properties(properties, operator, _KNOWN_PROFILE_NAMES, PROFILE_CONTAINER_BYTES.maximum, found)
    return tuple(found)


def _names(content: JSON) -> list[str]:
    """
    The properties that an operator touches.
    """
    return list(map(str, content)) if isinstance(content, dict | list) else []


def _is_object(value: JSON) -> TypeGuard[dict[str, JSON]]:
    return isinstance(value, dict)


def _find_in_event(record: dict[str, JSON], found: list[Finding]) -> None:
    event, properties = str(record["event"]), cast("dict[str, JSON]", record["properties"])
    if len(event) > EVENT_NAME_CHARACTERS.maximum:
        found.append(Finding("event", Effect.TRUNCATED, f"it has {len(event):,} characters, at most 255 are kept"))
    if event.startswith(("$", "mp_")) and event not in ("$create_alias", "$identify", "$merge"):
        reason = "names that start with '$' or 'mp_' are reserved for Mixpanel's own events"
        found.append(Finding("event", Effect.UNDOCUMENTED, reason))
    if properties.get("$ignore") not in (None, False, ""):
        found.append(Finding("properties['$ignore']", Effect.DROPPED, "the server drops events that carry it"))
    own = {name: value for name, value in properties.items() if name not in _OWN_NAMES}
    _find_in_properties(own, "properties", _KNOWN_EVENT_NAMES, EVENT_CONTAINER_BYTES.maximum, found)


def _find_in_properties(
    properties: dict[str, JSON], root: str, known: frozenset[str], max_container: int, found: list[Finding]
) -> None:
    for name, value in properties.items():
        path = f"{root}[{name if len(name) <= 60 else name[:59] + '…'!r}]"
        if name in _SERVER_NAMES:
            found.append(Finding(path, Effect.OVERWRITTEN, "the server writes this property itself"))
        elif name.startswith(("$", "mp_")) and name not in known:
            reason = "names that start with '$' or 'mp_' are reserved, and this one is not documented"
            found.append(Finding(path, Effect.UNDOCUMENTED, reason))
        if not name:
            found.append(Finding(path, Effect.UNDOCUMENTED, "its name is empty"))
        if name != name.strip():
            found.append(Finding(path, Effect.TRIMMED, "its name starts or ends with white space"))
        if len(name) > PROPERTY_NAME_CHARACTERS.maximum:
            reason = f"its name has {len(name):,} characters, at most 255 are kept"
            found.append(Finding(path, Effect.TRUNCATED, reason))
        _find_long_strings(value, path, found)
        if isinstance(value, dict | list):
            size = len(orjson.dumps(value))
            if size > max_container:
                reason = f"it has {size:,} bytes of JSON, at most {max_container:,} are documented"
                found.append(Finding(path, Effect.TRUNCATED, reason))
            if isinstance(value, list) and any(
                isinstance(inner, dict | list) for element in value if _is_object(element) for inner in element.values()
            ):
                reason = "objects in a list are documented as one level deep"
                found.append(Finding(path, Effect.UNDOCUMENTED, reason))


def _find_long_strings(value: JSON, path: str, found: list[Finding]) -> None:
    if isinstance(value, str):
        # No character takes more than four bytes, so most strings need no counting.
        if len(value) * 4 > _MAX_STRING and (size := len(value.encode())) > _MAX_STRING:
            reason = f"it has {size:,} bytes, only {_MAX_STRING} are sure to be kept"
            found.append(Finding(path, Effect.TRUNCATED, reason))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            _find_long_strings(element, f"{path}[{index}]", found)
    elif isinstance(value, dict):
        for name, element in value.items():
            _find_long_strings(element, f"{path}[{name!r}]", found)
