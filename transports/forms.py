"""
A configuration written as one string: a tag, a URL-like string, or JSON.

    buffered
    buffered://eu?flush_after_seconds=2&spool=/var/spool/app
    file:///var/spool/app?sync=always
    tee:?transports=sync&transports=file%3A%2F%2F%2Fvar%2Fspool%2Fapp
    {"type": "buffered", "spool": {"directory": "/var/spool/app", "sync": "always"}}

A URL-like string is read as written, with nothing but percent-encoding: a plus is a plus. The values of its keys are
text, which is converted later by whoever knows their types. Dots lead into tables (``spool.sync=always``), a key that
stands there several times is a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, TypeAlias, cast
from urllib.parse import unquote

from attrs import frozen

from ..core import InvalidValue
from ..core.text import short_name

__all__ = ["Form", "Text", "read_form", "read_json"]


class Text(str):
    """
    A value that could be written as text only, and stands for the value of another type that it spells.
    """

    __slots__ = ()


_Values: TypeAlias = dict[str, object]


@frozen
class Form:
    """
    What a string says.

    Attributes:
        tag: Of the transport.
        host, path: Of a URL-like string; empty where it has none.
        keys: Texts, lists of texts, and tables of such.
    """

    tag: str
    host: Text
    path: Text
    keys: Mapping[str, object]


_URL: Final = re.compile(
    r"(?P<tag>[A-Za-z][A-Za-z0-9_.+-]*)"
    r"(?P<rest>:(?://(?P<host>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?)?"
)
_BROKEN_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORMS: Final = "a tag such as 'buffered', a string such as 'file:///var/spool/app?sync=always', or a JSON object"


def read_form(text: str) -> Form:
    """
    What a tag or a URL-like string says.

    Raises:
        InvalidValue: If it is neither; no sentence repeats more of it than the names of keys.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise InvalidValue("", _FORMS, "another form" if text else "empty")
    host, path, query = (match[name] or "" for name in ("host", "path", "query"))
    if "@" in host:
        raise InvalidValue("", "without a user or a password, which belong to the project", "with one")
    return Form(match["tag"], _decoded(host), _decoded(path), _read_query(query))


def read_json(text: str) -> object:
    """
    The value that a text of JSON says.

    Raises:
        InvalidValue: If it is broken, or an object holds a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_with_single_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        fault = InvalidValue("", "JSON", f"broken at character {error.pos + 1:,}")
    except InvalidValue:
        raise
    except ValueError:  # an integer of thousands of digits
        fault = InvalidValue("", "JSON with numbers that can be read", "with another")
    # Raised out here, because the exception of the decoder holds the text.
    raise fault


def _with_single_keys(pairs: list[tuple[str, object]]) -> _Values:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValue("", "JSON with each key once", f"with {short_name(twice)} twice")
    return found


def _no_constant(name: str) -> object:
    raise InvalidValue("", "JSON, which has finite numbers only", f"with {name}")


def _decoded(text: str) -> Text:
    if _BROKEN_PERCENT.search(text):
        raise InvalidValue("", "percent-encoded ('%25' for a percent sign)", "with a single percent sign")
    try:
        return Text(unquote(text, errors="strict"))
    except UnicodeDecodeError:
        pass
    # Raised out here, because the exception of the codec holds the text.
    raise InvalidValue("", "percent-encoded UTF-8", "in another encoding")


def _read_query(query: str) -> _Values:
    table: _Values = {}
    for pair in query.split("&") if query else ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise InvalidValue("", "followed by key=value&key=value", "something else after the question mark")
        *parents, name = _decoded(key).split(".")
        inner = table
        for depth, parent in enumerate(parents, 1):
            deeper = inner.setdefault(parent, {})
            if not isinstance(deeper, dict):
                raise InvalidValue(".".join(parents[:depth]), "given as a value or by its keys", "both ways")
            inner = cast("_Values", deeper)
        _add(inner, name, _decoded(value), _decoded(key))
    return table


def _add(table: _Values, name: str, value: Text, path: str) -> None:
    earlier = table.get(name)
    if earlier is None:
        table[name] = value
    elif isinstance(earlier, dict):
        raise InvalidValue(path, "given as a value or by its keys", "both ways")
    elif isinstance(earlier, list):
        cast("list[object]", earlier).append(value)
    else:
        table[name] = [earlier, value]
