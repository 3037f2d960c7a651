"""
`ServiceAccountCredentials`, beside those of the official client.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any, Final

import mixpanel
import pytest

from mixwire import ServiceAccountCredentials
from mixwire.core import InvalidValue, MixwireError, ProjectSecret, ServiceAccount
from mixwire.credentials import credentials_of

GOOD: Final = {"username": "app.1a2b3c", "secret": "hush-hush", "project_id": "12345"}
NAMES: Final = tuple(GOOD)


def made(**changed: Any) -> ServiceAccountCredentials:
    return ServiceAccountCredentials(**{**GOOD, **changed})


def test_they_are_given_by_position_too() -> None:
    ours = ServiceAccountCredentials("app.1a2b3c", "hush-hush", "12345")
    assert (ours.username, ours.secret, ours.project_id) == ("app.1a2b3c", "hush-hush", "12345")


@pytest.mark.parametrize("name", NAMES)
def test_white_space_around_a_part_is_taken_off(name: str) -> None:
    assert getattr(made(**{name: f" \t{GOOD[name]}\n"}), name) == GOOD[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 5, b"bytes", ["a"], "", " \t\n"], ids=repr)
def test_what_the_official_client_refuses_is_refused_in_its_words(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as theirs:
        mixpanel.ServiceAccountCredentials(**{**GOOD, name: value})
    with pytest.raises(theirs.type) as ours:
        made(**{name: value})
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("username", "app:1a2b3c", "username must be without a colon, which ends it in the header, not with one"),
        ("username", "app\x00", "username must be printable ASCII without spaces, not with other characters"),
        ("username", "äpp", "username must be printable ASCII without spaces, not with other characters"),
        ("secret", "hush hush", "secret must be printable ASCII without spaces, not with other characters"),
        ("secret", "hush\r\nX-Other: 1", "secret must be printable ASCII without spaces, not with other characters"),
        ("project_id", "twelve", "project_id must be the number of the project, not something else"),
        ("project_id", "12345&strict=0", "project_id must be the number of the project, not something else"),
    ],
)
def test_what_cannot_stand_in_a_request_is_refused(name: str, value: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        made(**{name: value})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, MixwireError)
    assert str(caught.value) == sentence


def test_a_secret_may_hold_a_colon() -> None:
    assert made(secret="hush:hush").to_http_basic_auth() == ("app.1a2b3c", "hush:hush")


def test_the_pair_for_http_is_user_and_secret() -> None:
    theirs = mixpanel.ServiceAccountCredentials(**GOOD).to_http_basic_auth()
    assert made().to_http_basic_auth() == (theirs.username, theirs.password)


def test_the_repr_is_the_official_one_and_hides_the_secret() -> None:
    assert repr(made()) == repr(mixpanel.ServiceAccountCredentials(**GOOD))
    assert "hush" not in repr(made())
    assert "hush" not in str(made())
    assert "hush" not in repr(made().account)


def test_they_do_not_change() -> None:
    with pytest.raises(AttributeError):
        made().secret = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_worth_the_same(copied: Any) -> None:
    assert copied(made()).account == made().account


def test_as_a_value_of_the_core_they_are_a_service_account() -> None:
    account = ServiceAccount(username="app.1a2b3c", secret="hush-hush", project_id="12345")
    assert made().account == account
    assert credentials_of(made()) == account


@pytest.mark.parametrize("value", [None, ProjectSecret("hush-hush"), made().account], ids=repr)
def test_what_is_a_value_of_the_core_stays_what_it_is(value: Any) -> None:
    assert credentials_of(value) is value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("hush-hush", "str"),
        (("app", "hush-hush"), "tuple"),
        (ServiceAccountCredentials, "type"),
        (mixpanel.ServiceAccountCredentials(**GOOD), "mixpanel.credentials.ServiceAccountCredentials"),
    ],
    ids=["a text", "a pair", "the class", "those of the official client"],
)
def test_what_are_no_credentials_is_refused_without_being_shown(value: Any, found: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        credentials_of(value)
    allowed = "ServiceAccountCredentials(...), ProjectSecret(...) or None"
    assert str(caught.value) == f"credentials must be {allowed}, not {found}"
