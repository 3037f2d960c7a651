from __future__ import annotations

import pytest

from mixwire.core.changes import Append, Set, Union, Unset
from mixwire.core.errors import LimitExceeded, NotStamped
from mixwire.core.events import Track
from mixwire.core.explain import Explanation, Measure, explain
from mixwire.core.findings import Effect
from mixwire.core.identity import Alias, Merge
from mixwire.core.limits import (
    DISTINCT_ID_CHARACTERS,
    EVENT_BYTES,
    EVENT_CONTAINER_BYTES,
    EVENT_NAME_CHARACTERS,
    EVENT_PROPERTIES,
    INSERT_ID_BYTES,
    LIST_ELEMENTS,
    OBJECT_DEPTH,
    OBJECT_KEYS,
    PROFILE_CONTAINER_BYTES,
    PROFILE_PROPERTIES,
    PROPERTY_NAME_CHARACTERS,
    STRING_BYTES,
    UPDATE_BYTES,
    Limit,
)
from mixwire.core.messages import Endpoint, encode
from mixwire.core.operations import Operation
from mixwire.core.profiles import Charge, GroupOp, PeopleOp, RawPeopleOp
from mixwire.core.project import Credentials, Project, ProjectSecret, ServiceAccount

PROJECT = Project("TOKEN")
IMPORTS = Project("TOKEN", events="import")
NOW = 1767225600000
HOUR = 3_600_000
DAY = 24 * HOUR


def track(time: int = NOW, properties: dict[str, object] | None = None) -> Track:
    return Track("Signed Up", distinct_id="user-1", properties=properties or {}, time=time, insert_id="a1")


def measured(explanation: Explanation) -> dict[Limit, int]:
    return {measure.limit: measure.measured for measure in explanation.measures}


def test_an_explanation_holds_the_very_message_that_would_be_sent() -> None:
    explanation = explain(track(), PROJECT)
    assert explanation.message == encode(track(), PROJECT)
    assert explanation.url == "https://api.mixpanel.com/track?verbose=1&ip=0"
    assert explanation.findings == ()


@pytest.mark.parametrize(
    ("operation", "project", "authorization", "path"),
    [
        pytest.param(track(), PROJECT, "none", "/track", id="track"),
        pytest.param(PeopleOp("u", Set({"a": 1})), IMPORTS, "none", "/engage", id="people"),
        pytest.param(GroupOp("k", "i", Unset("a")), PROJECT, "none", "/groups", id="group"),
        pytest.param(track(), IMPORTS, "token", "/import", id="import"),
        pytest.param(Merge("a", "b"), PROJECT, "token", "/import", id="merge"),
    ],
)
def test_an_explanation_says_where_it_would_go_and_with_which_credentials(
    operation: Operation, project: Project, authorization: str, path: str
) -> None:
    explanation = explain(operation, project)
    assert explanation.authorization == authorization
    assert explanation.url.split("?")[0] == f"https://api.mixpanel.com{path}"


@pytest.mark.parametrize(
    ("credentials", "authorization"),
    [
        (ServiceAccount(username="robot", secret="hush", project_id=1), "service account"),
        (ProjectSecret("hush"), "project secret"),
        (None, "token"),
    ],
    ids=["service account", "project secret", "token"],
)
def test_an_explanation_names_the_kind_of_credentials_only(credentials: Credentials | None, authorization: str) -> None:
    explanation = explain(track(), Project("TOKEN", credentials=credentials, events="import"))
    assert explanation.authorization == authorization
    assert "hush" not in repr(explanation)


@pytest.mark.parametrize(
    ("time", "project", "expected"),
    [
        pytest.param(NOW, PROJECT, None, id="now"),
        pytest.param(NOW - 4 * DAY, PROJECT, None, id="four days old"),
        pytest.param(
            NOW - 1_234 * DAY,
            PROJECT,
            (Effect.REROUTED, "it is 29,616 hours old, and /track takes events for 120; it goes to /import"),
            id="1,234 days old",
        ),
        pytest.param(NOW - 1_234 * DAY, IMPORTS, None, id="old, for import"),
        pytest.param(NOW + 999, PROJECT, None, id="less than a second ahead"),
        pytest.param(
            NOW + 90_000,
            PROJECT,
            (Effect.OVERWRITTEN, "it is 90 seconds ahead, and the server puts its own time in its place"),
            id="90 seconds ahead",
        ),
        pytest.param(
            NOW + 2 * HOUR,
            PROJECT,
            (Effect.OVERWRITTEN, "it is 7,200 seconds ahead, and the server puts its own time in its place"),
            id="two hours ahead",
        ),
        pytest.param(
            NOW + HOUR,
            IMPORTS,
            (Effect.OVERWRITTEN, "it is 3,600 seconds ahead, and the server puts its own time in its place"),
            id="an hour ahead, for import",
        ),
        pytest.param(
            NOW + HOUR + 1000,
            IMPORTS,
            (Effect.REFUSED, "it is 3,601 seconds ahead, and /import takes one hour at most"),
            id="more than an hour ahead, for import",
        ),
        pytest.param(
            NOW + HOUR + 1,
            IMPORTS,
            (Effect.REFUSED, "it is 3,600 seconds ahead, and /import takes one hour at most"),
            id="a moment more than an hour ahead, for import",
        ),
    ],
)
def test_the_age_of_an_event_is_a_finding(time: int, project: Project, expected: tuple[Effect, str] | None) -> None:
    findings = explain(track(time), project, NOW).findings
    assert [(each.path, each.effect, each.reason) for each in findings] == (
        [] if expected is None else [("properties['time']", *expected)]
    )
    assert explain(track(time), project).findings == ()


def test_an_old_event_is_explained_for_the_endpoint_where_it_would_go() -> None:
    explanation = explain(track(NOW - 9 * DAY), PROJECT, NOW)
    assert explanation.message.endpoint is Endpoint.IMPORT
    assert explanation.url == "https://api.mixpanel.com/import?strict=1&ip=0"
    assert explanation.authorization == "token"


@pytest.mark.parametrize(
    "operation",
    [PeopleOp("u", Set({"a": 1}), time=NOW - 9 * DAY), Alias(alias="a", distinct_id="b")],
    ids=["update", "alias"],
)
def test_what_is_no_event_has_no_age(operation: Operation) -> None:
    assert explain(operation, PROJECT, NOW).findings == ()


def test_the_findings_of_the_message_come_before_that_of_its_time() -> None:
    findings = explain(track(NOW - 9 * DAY, {"a ": 1}), PROJECT, NOW).findings
    assert [finding.effect for finding in findings] == [Effect.TRIMMED, Effect.REROUTED]


def test_an_event_is_measured_against_every_limit_that_concerns_it() -> None:
    properties = {
        "été": "é" * 40,
        "list": [1, ["x" * 90, 3, 4], {"flat": 1}],
        "object": {"a": {"b": {"c": 1, "d": 2, "e": 3}}},
        "flag": True,
    }
    explanation = explain(track(properties=properties), PROJECT)
    assert measured(explanation) == {
        EVENT_BYTES: len(explanation.message.body),
        EVENT_NAME_CHARACTERS: len("Signed Up"),
        EVENT_PROPERTIES: 6 + 4,
        PROPERTY_NAME_CHARACTERS: len("$lib_version"),
        STRING_BYTES: 90,
        LIST_ELEMENTS: 3,
        OBJECT_KEYS: 3,
        OBJECT_DEPTH: 3,
        EVENT_CONTAINER_BYTES: len('[1,["' + "x" * 90 + '",3,4],{"flat":1}]'),
        DISTINCT_ID_CHARACTERS: len("user-1"),
        INSERT_ID_BYTES: len("a1"),
    }
    assert not any(measure.is_over for measure in explanation.measures)


def test_a_string_is_measured_in_bytes() -> None:
    assert measured(explain(track(properties={"a": "é" * 100}), PROJECT))[STRING_BYTES] == 200


def test_lists_add_no_depth_of_objects() -> None:
    assert measured(explain(track(properties={"a": [[{"b": [1]}]]}), PROJECT))[OBJECT_DEPTH] == 1


def test_an_update_is_measured_as_an_update() -> None:
    operation = PeopleOp("u", Set({"plan": "pro", "cart": {"a": 1}}), Union({"tags": ["x", "y"]}), Unset("old"))
    explanation = explain(operation, PROJECT)
    assert measured(explanation) == {
        UPDATE_BYTES: len(explanation.message.body),
        PROFILE_PROPERTIES: 2,
        PROPERTY_NAME_CHARACTERS: 4,
        STRING_BYTES: 3,
        OBJECT_KEYS: 1,
        OBJECT_DEPTH: 1,
        PROFILE_CONTAINER_BYTES: len('["x","y"]'),
        DISTINCT_ID_CHARACTERS: 1,
    }


def test_an_update_without_properties_is_measured_by_its_bytes_and_ids() -> None:
    explanation = explain(GroupOp("k", "i", Unset("a")), PROJECT)
    assert measured(explanation) == {UPDATE_BYTES: len(explanation.message.body), DISTINCT_ID_CHARACTERS: 1}


@pytest.mark.parametrize(
    ("operation", "over"),
    [
        pytest.param(track(properties={"a": "x" * 256}), [STRING_BYTES], id="long string"),
        pytest.param(track(properties={"x" * 256: 1}), [PROPERTY_NAME_CHARACTERS], id="long name"),
        pytest.param(RawPeopleOp("u", {"$set": {"a": "x" * 256}}), [STRING_BYTES], id="raw"),
        pytest.param(PeopleOp("u", Append({"a": {"b": {"c": {"d": 1}}}})), [], id="depth at the limit"),
        pytest.param(RawPeopleOp("u", {"$set": {"a": {"b": {"c": {"d": {}}}}}}), [OBJECT_DEPTH], id="raw, too deep"),
    ],
)
def test_a_measure_over_its_limit_says_so(operation: Operation, over: list[Limit]) -> None:
    assert [measure.limit for measure in explain(operation, PROJECT).measures if measure.is_over] == over


def test_the_transaction_of_a_charge_counts_as_an_object() -> None:
    charge = Charge("u", 5, {"a": {"b": {"c": 1}}})
    assert measured(explain(charge, PROJECT))[OBJECT_DEPTH] == 3
    assert measured(explain(charge, PROJECT))[OBJECT_KEYS] == 2


@pytest.mark.parametrize(("amount", "is_over"), [(254, False), (255, True)])
def test_a_measure_at_its_limit_is_not_over_it(amount: int, is_over: bool) -> None:
    assert Measure(LIST_ELEMENTS, amount).is_over is is_over


def test_what_cannot_be_encoded_is_not_explained() -> None:
    with pytest.raises(NotStamped):
        explain(Track("E", distinct_id="u"), PROJECT)
    with pytest.raises(LimitExceeded):
        explain(track(properties={"a": "x" * 999_950}), PROJECT)


def test_a_strict_project_is_told_as_a_value_and_an_indifferent_one_nothing() -> None:
    long = track(properties={"text": "x" * 300})
    assert len(explain(long, Project("TOKEN", limits="strict")).findings) == 1
    assert explain(long, Project("TOKEN", limits="off")).findings == ()


def test_the_longer_part_of_a_group_is_measured() -> None:
    assert (
        measured(explain(GroupOp("Company", "example-1", Set({"plan": "pro"})), PROJECT))[DISTINCT_ID_CHARACTERS] == 9
    )
