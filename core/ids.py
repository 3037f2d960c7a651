"""
Ids: of users, of groups, of single events.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias
from uuid import UUID

from .errors import InvalidValue, LimitExceeded, describe
from .limits import DISTINCT_ID_CHARACTERS, INSERT_ID_BYTES, PLACEHOLDERS
from .text import utf8

__all__ = ["UserId", "anon_id", "group_name", "insert_id_of", "named_id", "user_id"]

UserId: TypeAlias = str | int | UUID
"""What is taken as an id of a user or a group; kept as a str."""

_INSERT_ID: Final = re.compile(r"[A-Za-z0-9-]{1,36}")
_UUID4: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


def _id_text(value: UserId, path: str) -> str:
    if type(value) is str:
        return value
    if type(value) is UUID:
        return str(value)
    if type(value) is int:
        # Python refuses to write integers of some thousand digits; no id is nearly so long.
        if value.bit_length() > 8 * DISTINCT_ID_CHARACTERS.maximum:
            raise InvalidValue(
                path, f"at most {DISTINCT_ID_CHARACTERS.maximum} characters", "an int of far more digits"
            )
        return str(value)
    raise InvalidValue(path, "a str, int or UUID", describe(value))


def user_id(value: UserId, path: str) -> str:
    """
    An id as a str that is neither longer than the server keeps nor one of its placeholders.
    """
    text = _id_text(value, path)
    length = len(text)
    if length > DISTINCT_ID_CHARACTERS.maximum:
        raise LimitExceeded(path, DISTINCT_ID_CHARACTERS, length)
    if text.strip().lower() in PLACEHOLDERS:
        raise InvalidValue(path, "an id of somebody", "a placeholder that Mixpanel refuses, such as 'null' or '0'")
    return utf8(text, path)


def named_id(value: UserId, path: str) -> str:
    """
    The id of somebody in particular, which may not be empty.
    """
    text = user_id(value, path)
    if not text or text.isspace():
        raise InvalidValue(path, "an id of somebody", "blank" if text else "empty")
    return text


def group_name(value: UserId, path: str) -> str:
    """
    A group key, or the id of a group.
    """
    text = _id_text(value, path)
    if not text or text.isspace():
        raise InvalidValue(path, "given", "blank" if text else "empty")
    if len(text) > DISTINCT_ID_CHARACTERS.maximum:
        raise LimitExceeded(path, DISTINCT_ID_CHARACTERS, len(text))
    return utf8(text, path)


def insert_id_of(value: str | UUID | None) -> str | None:
    """
    The id of one event: 1 to 36 of A-Z a-z 0-9 and -, and no placeholder. None stays None.
    """
    if value is None:
        return None
    text = str(value) if type(value) is UUID else value
    if type(text) is not str:
        raise InvalidValue("insert_id", "a str", describe(value))
    if _INSERT_ID.fullmatch(text) is None:
        if len(text) > INSERT_ID_BYTES.maximum:
            raise LimitExceeded("insert_id", INSERT_ID_BYTES, len(text))
        raise InvalidValue("insert_id", "1 to 36 of A-Z a-z 0-9 and -", "with others" if text else "empty")
    if text.lower() in PLACEHOLDERS:
        raise InvalidValue("insert_id", "an id of one event", "a placeholder that Mixpanel refuses, such as 'null'")
    return value.hex if type(value) is UUID else text


def anon_id(value: str | UUID) -> str:
    """
    The id of an anonymous user, as `$identify` takes it: a UUID of version 4.
    """
    text = str(value) if type(value) is UUID else value
    if type(text) is not str:
        raise InvalidValue("anon_id", "a UUID of version 4", describe(value))
    if _UUID4.fullmatch(text) is None:
        raise InvalidValue("anon_id", "a UUID of version 4", "a UUID of another version or another str")
    return text
