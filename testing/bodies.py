"""
The records of a request, whichever way they travel: a JSON list, one event a line, a form, the query; gzip or not.

Source: https://docs.mixpanel.com/reference/track-event and https://docs.mixpanel.com/reference/import-events
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from enum import Enum
from io import BytesIO
from math import isfinite
from typing import Final, NoReturn, cast
from urllib.parse import parse_qsl

import orjson
from attrs import field, frozen

from ..core import JSON, Endpoint

__all__ = ["BadBody", "Content", "Form", "TooLong", "read_content", "uncompressed"]


class BadBody(ValueError):
    """
    The body cannot be read; the text says why.

    Attributes:
        parameters: Of the query and of the fields that could be read all the same.
    """

    def __init__(self, reason: str, parameters: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.parameters = parameters or {}


class TooLong(ValueError):
    """
    The body is longer than it may be, uncompressed.
    """


class Form(Enum):
    """
    How records travel.
    """

    JSON = "json"
    LINES = "lines"
    FORM = "form"


@frozen
class Content:
    """
    What a request holds.

    Attributes:
        records: In order; whatever JSON stood where a record belongs.
        parameters: Of the query and, if the body is a form, of its fields.
        form: How the records travelled.
    """

    records: tuple[JSON, ...] = field(repr=lambda records: f"<{len(records)} records>")
    parameters: dict[str, str] = field(repr=False)
    form: Form


def uncompressed(body: bytes, encoding: str, most: int) -> bytes:
    """
    *body* without its ``Content-Encoding``.

    Raises:
        BadBody: If it is not what the encoding says, or the encoding is none of ``gzip`` and ``identity``.
        TooLong: If it has more than *most* bytes; a small body that expands beyond is not expanded further.
    """
    if encoding.lower() in ("", "identity"):
        if len(body) > most:
            raise TooLong
        return body
    if encoding.lower() != "gzip":
        raise BadBody("the only Content-Encoding is gzip")
    try:
        # One gzip stream may follow another.
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            content = file.read(most + 1)
    except EOFError:
        raise BadBody("the gzip body ends too early") from None
    except (OSError, zlib.error):
        raise BadBody("the body is not gzip") from None
    if len(content) > most:
        raise TooLong
    return content


def read_content(endpoint: Endpoint, content_type: str, query: str, body: bytes, *, is_get: bool) -> Content:
    """
    The records and the parameters of a request.

    Raises:
        BadBody: If there is none. Where ``data`` is missing or empty the text is ``data, missing or empty``.
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    media_type = content_type.partition(";")[0].strip().lower()
    if is_get:
        return Content(_of_data(parameters.pop("data", "")), parameters, Form.FORM)
    if endpoint is Endpoint.IMPORT and media_type == "application/x-ndjson":
        return Content(_of_lines(body), parameters, Form.LINES)
    is_form = media_type == "application/x-www-form-urlencoded"
    if is_form or (media_type != "application/json" and not body.lstrip().startswith((b"[", b"{"))):
        text = body.decode("utf-8", "surrogateescape")
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))
        data = fields.pop("data", parameters.pop("data", ""))
        parameters |= fields
        try:
            return Content(_of_data(data), parameters, Form.FORM)
        except BadBody as bad:
            # How the answer should look stands in fields beside the data.
            raise BadBody(str(bad), parameters) from None
    if not body.strip():
        raise BadBody("data, missing or empty")
    value = _parse(body)
    if isinstance(value, list):
        return Content(tuple(value), parameters, Form.JSON)
    if isinstance(value, dict) and endpoint is not Endpoint.IMPORT:
        return Content((value,), parameters, Form.JSON)
    raise BadBody("the body is not a list of records")


def _of_data(data: str) -> tuple[JSON, ...]:
    data = data.strip()
    if not data:
        raise BadBody("data, missing or empty")
    if data.startswith(("{", "[")):
        content = data.encode("utf-8", "surrogateescape")
    else:
        # A plus that was not percent-encoded arrives as a space, and padding gets lost on the way.
        plain = data.replace(" ", "+").rstrip("=")
        try:
            content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise BadBody("data is neither JSON nor base64 of it") from None
    value = _parse(content)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return (value,)
    raise BadBody("data is not a record or a list of them")


def _of_lines(body: bytes) -> tuple[JSON, ...]:
    return tuple(_parse(line) for line in body.split(b"\n") if line.strip())


def _parse(content: bytes) -> JSON:
    value = _decode(content)
    try:
        orjson.dumps(value)
    except TypeError:
        # Nested too deeply, or one of the things that only the slower way can hold.
        if _is_deep(value):
            raise BadBody("the body is nested too deeply") from None
    return value


def _decode(content: bytes) -> JSON:
    try:
        return cast("JSON", orjson.loads(content))
    except orjson.JSONDecodeError:
        pass
    # What is no valid UTF-8 is refused for each record, not for the body: it is read here with surrogates in its place.
    try:
        text = content.decode("utf-8", "surrogateescape")
        return cast("JSON", json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole))
    except (ValueError, RecursionError):
        raise BadBody("the body is not valid JSON") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    # What no float holds is refused here as it is on the fast way.
    _finite(text)
    return int(text)


_MAX_DEPTH: Final = 200


def _is_deep(value: JSON) -> bool:
    level: list[JSON] = [value]
    for _ in range(_MAX_DEPTH):
        inside: list[JSON] = []
        for each in level:
            if isinstance(each, dict):
                inside.extend(each.values())
            elif isinstance(each, list):
                inside.extend(each)
        if not inside:
            return False
        level = inside
    return True
