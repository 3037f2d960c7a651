"""
Configurations in one string, as they are read before anybody knows the types of the keys.
"""

from __future__ import annotations

import pytest

from mixwire.core import InvalidValue
from mixwire.transports.forms import Text, read_form, read_json


@pytest.mark.parametrize(
    ("text", "tag", "host", "path", "keys"),
    [
        ("buffered", "buffered", "", "", {}),
        ("buffered:", "buffered", "", "", {}),
        ("buffered://eu", "buffered", "eu", "", {}),
        ("buffered://eu/?compress=true", "buffered", "eu", "/", {"compress": "true"}),
        (
            "buffered://eu?flush_after_seconds=2&spool=/var/spool/app",
            "buffered",
            "eu",
            "",
            {"flush_after_seconds": "2", "spool": "/var/spool/app"},
        ),
        ("sync:?server=http://127.0.0.1:8080", "sync", "", "", {"server": "http://127.0.0.1:8080"}),
        ("file:///var/spool/app?sync=always", "file", "", "/var/spool/app", {"sync": "always"}),
        ("file:/var/spool/app", "file", "", "/var/spool/app", {}),
        ("file:var/spool", "file", "", "var/spool", {}),
        ("file:///var/spool/a%20b%3Fc", "file", "", "/var/spool/a b?c", {}),
        ("file:///a+b?sync=a+b", "file", "", "/a+b", {"sync": "a+b"}),
        ("x:?key=a=b?c", "x", "", "", {"key": "a=b?c"}),
        ("x:?key=", "x", "", "", {"key": ""}),
        ("x:?k%C3%A9y=%F0%9F%8E%89", "x", "", "", {"kéy": "🎉"}),
        (
            "tee:?transports=sync&transports=file%3A%2F%2F%2Fvar%3Fsync%3Dalways&transports=null",
            "tee",
            "",
            "",
            {"transports": ["sync", "file:///var?sync=always", "null"]},
        ),
        (
            "buffered:?spool.directory=/x&max_bytes=1&spool.sync=never&a.b.c=1&a.b.d=2",
            "buffered",
            "",
            "",
            {"spool": {"directory": "/x", "sync": "never"}, "max_bytes": "1", "a": {"b": {"c": "1", "d": "2"}}},
        ),
    ],
)
def test_a_string_is_read_into_tag_host_path_and_keys(
    text: str, tag: str, host: str, path: str, keys: dict[str, object]
) -> None:
    form = read_form(text)
    assert (form.tag, form.host, form.path, form.keys) == (tag, host, path, keys)


def test_every_value_is_text() -> None:
    form = read_form("x://host/path?a=1&b=2&b=3&c.d=4")
    values = [form.host, form.path, form.keys["a"], *form.keys["b"], form.keys["c"]["d"]]  # type: ignore[misc, index]
    assert {type(value) for value in values} == {Text}


FORMS = "a tag such as 'buffered', a string such as 'file:///var/spool/app?sync=always', or a JSON object"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f" must be {FORMS}, not empty"),
        ("two words", f" must be {FORMS}, not another form"),
        ("/var/spool", f" must be {FORMS}, not another form"),
        ("sync:?a=1#b", f" must be {FORMS}, not another form"),
        ("sync\n", f" must be {FORMS}, not another form"),
        ("sync://me:secret@eu", " must be without a user or a password, which belong to the project, not with one"),
        ("x:?a", " must be followed by key=value&key=value, not something else after the question mark"),
        ("x:?=1", " must be followed by key=value&key=value, not something else after the question mark"),
        ("x:?a=1&", " must be followed by key=value&key=value, not something else after the question mark"),
        ("x:?a=1%", " must be percent-encoded ('%25' for a percent sign), not with a single percent sign"),
        ("x:?a=%ff", " must be percent-encoded UTF-8, not in another encoding"),
        ("x:?a=1&a.b=2", "a must be given as a value or by its keys, not both ways"),
        ("x:?a.b=1&a=2", "a must be given as a value or by its keys, not both ways"),
        ("x:?a.b=1&a.b.c=2", "a.b must be given as a value or by its keys, not both ways"),
        ("x:?a.b.c=1&a.b=2", "a.b must be given as a value or by its keys, not both ways"),
    ],
)
def test_what_is_no_such_string_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_form(text)
    assert str(refusal.value) == sentence
    assert "secret" not in str(refusal.value)


def test_json_is_read() -> None:
    assert read_json(' {"type": "file", "sync": [1, 2.5, null, true]}') == {
        "type": "file",
        "sync": [1, 2.5, None, True],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"type": "file"', " must be JSON, not broken at character 16"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', " must be JSON with each key once, not with 'c' twice"),
        ('{"a": NaN}', " must be JSON, which has finite numbers only, not with NaN"),
        ('{"a": -Infinity}', " must be JSON, which has finite numbers only, not with -Infinity"),
        ('{"a": ' + "9" * 5000 + "}", " must be JSON with numbers that can be read, not with another"),
    ],
    ids=["broken", "a key twice", "NaN", "Infinity", "thousands of digits"],
)
def test_broken_json_is_told_and_not_repeated(text: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_json(text)
    assert str(refusal.value) == sentence
