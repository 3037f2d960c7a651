"""
What is printed hides tokens and secrets, and nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from mixwire.commands import mixwire
from mixwire.printing import masked

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "text", [TOKEN, f"no {TOKEN}!", f"x{TOKEN}x", f"{TOKEN}{TOKEN}"], ids=["alone", "word", "inside", "twice"]
)
def test_a_secret_of_the_usual_length_is_hidden_wherever_it_stands(text: str) -> None:
    assert masked(text, [TOKEN]) == text.replace(TOKEN, "***")


@pytest.mark.parametrize("short", ["a", "er", "T0", "server", "refused"])
def test_a_short_secret_does_not_eat_the_letters_of_words(short: str) -> None:
    sentence = "the parser of another T00 preserved aT0 and unrefused, answered by servers"
    assert masked(sentence, [short]) == sentence


@pytest.mark.parametrize("text", ["T0", "bad token T0", "(T0)", "token=T0&ip=1", '{"token":"T0"}', "T0_T0", "é T0 é"])
def test_a_short_secret_is_hidden_where_it_stands_alone(text: str) -> None:
    assert masked(text, ["T0"]) == text.replace("T0", "***")


@pytest.mark.parametrize("secret", ["-a-", ".", "(", "a+", "$1"])
def test_a_short_secret_of_other_characters_is_hidden_as_it_is_written(secret: str) -> None:
    assert masked(f"bad {secret}, and ab", [secret]) == "bad ***, and ab"


def test_one_secret_that_begins_like_another_does_not_leave_its_rest() -> None:
    assert masked("app.1a2b3c4d and app", ["app", "app.1a2b3c4d"]) == "*** and ***"
    assert masked(f"{TOKEN}-more", [TOKEN, f"{TOKEN}-more"]) == "***"


def test_what_stands_for_a_secret_is_not_looked_at_again() -> None:
    assert masked(f"a {TOKEN} * b", [TOKEN, "*"]) == "a *** *** b"


@pytest.mark.parametrize("secrets", [[], [""]], ids=["none", "empty"])
def test_without_a_secret_the_text_stays_as_it_is(secrets: list[str]) -> None:
    assert masked("as it is", secrets) == "as it is"


def test_a_command_with_a_short_token_prints_words_that_can_be_read(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/import").respond_with_json({"error": "bad token a"}, status=401)
    line = json.dumps({"event": "E", "properties": {"distinct_id": "user-1", "time": 1767225600, "$insert_id": "a1"}})
    result = CliRunner().invoke(
        mixwire, ["send", "-", "--server", httpserver.url_for(""), "--token", "a"], input=f"{line}\n"
    )
    assert result.stderr == "line 1: failed: the credentials were refused (HTTP 401: bad token ***)\n"
