"""
Settings: options over variables over the file, and faults with their place.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from attrs import NOTHING, Attribute, evolve, fields

from mixwire import Mixpanel
from mixwire.core import InvalidValue, ServiceAccount
from mixwire.settings import (
    AccountSettings,
    Settings,
    project_of,
    read_settings,
    settings_from_environment,
    structure_settings,
    transport_of,
)
from mixwire.transports.config import Layers
from mixwire.transports.descriptions import Buffered, Description, File, Null, Sync, Tee


def test_what_is_set_wins_over_what_comes_after() -> None:
    options = Settings(token="from-option", service_account=AccountSettings(username="u"))
    file = Settings(token="from-file", server="eu", service_account=AccountSettings(username="x", secret="s"))
    assert options.over(file) == Settings(
        token="from-option", server="eu", service_account=AccountSettings(username="u", secret="s")
    )


def test_variables_are_read() -> None:
    environment = {
        "MIXWIRE_TOKEN": "T0",
        "MIXWIRE_SERVER": "eu",
        "MIXWIRE_EVENTS": "track",
        "MIXWIRE_LIMITS": "strict",
        "MIXWIRE_ENABLED": "false",
        "MIXWIRE_SERVICE_ACCOUNT_USERNAME": "u",
        "MIXWIRE_SERVICE_ACCOUNT_SECRET": "s",
        "MIXWIRE_SERVICE_ACCOUNT_PROJECT_ID": "12",
    }
    assert settings_from_environment(environment) == Settings(
        token="T0",
        server="eu",
        events="track",
        limits="strict",
        enabled=False,
        service_account=AccountSettings(username="u", secret="s", project_id="12"),
    )
    assert settings_from_environment({}) == Settings()


KNOWN = (
    "MIXWIRE_TOKEN, MIXWIRE_SERVER, MIXWIRE_EVENTS, MIXWIRE_LIMITS, MIXWIRE_ENABLED, MIXWIRE_SERVICE_ACCOUNT_USERNAME, "
    "MIXWIRE_SERVICE_ACCOUNT_SECRET, MIXWIRE_SERVICE_ACCOUNT_PROJECT_ID, MIXWIRE_TRANSPORT, "
    "or MIXWIRE_TRANSPORT_ and one of its keys"
)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MIXWIRE_TOKNE", "MIXWIRE_TOKEN"),
        ("MIXWIRE_SERVR", "MIXWIRE_SERVER"),
        ("MIXWIRE_Token", "MIXWIRE_TOKEN"),
        ("MIXWIRE_ENABLE", "MIXWIRE_ENABLED"),
        ("MIXWIRE_SERVICE_ACCOUNT_USER", "MIXWIRE_SERVICE_ACCOUNT_USERNAME"),
        ("MIXWIRE_SECRET", "MIXWIRE_SERVER"),
        ("MIXWIRE_TRANSPROT", "MIXWIRE_TRANSPORT"),
        ("MIXWIRE_TRANSPORTS", "MIXWIRE_TRANSPORT"),
        ("MIXWIRE_COLOUR_OF_THE_WALLS", None),
    ],
)
def test_a_variable_that_is_not_known_is_told_with_those_that_are(name: str, nearest: str | None) -> None:
    with pytest.raises(InvalidValue) as refusal:
        settings_from_environment({"MIXWIRE_TOKEN": "T0", name: "canary", "PATH": "/bin"})
    hint = "" if nearest is None else f" (perhaps {nearest!r})"
    assert str(refusal.value) == f"{name} must be one of the known variables: {KNOWN}, not an unknown one{hint}"


@pytest.mark.parametrize(
    ("name", "path"),
    [("MIXWIRE_ T\n", "'MIXWIRE_ T\\n'"), ("MIXWIRE_" + "X" * 99, f"'MIXWIRE_{'X' * 51}…'")],
    ids=["with other characters", "long"],
)
def test_an_odd_name_of_a_variable_fits_into_the_sentence(name: str, path: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        settings_from_environment({name: "canary"})
    assert refusal.value.path == path


def test_variables_of_other_programs_are_passed_over() -> None:
    others = ("PATH", "TOKEN", "MIXWIRE", "MIXWIRES_TOKEN", "mixwire_tokne", "MIXPANEL_TOKEN", "OUR_MIXWIRE_TOKNE", "")
    assert settings_from_environment(dict.fromkeys(others, "x")) == Settings()


@pytest.mark.parametrize("service", ["MIXWIRE", "MIXWIRE_EMULATOR"])
def test_what_kubernetes_sets_for_a_service_of_that_name_is_passed_over(service: str) -> None:
    names = (
        "SERVICE_HOST SERVICE_PORT SERVICE_PORT_HTTP PORT PORT_8788_TCP PORT_8788_TCP_PROTO PORT_8788_TCP_PORT "
        "PORT_8788_TCP_ADDR"
    ).split()
    assert settings_from_environment({f"{service}_{name}": "x" for name in names}) == Settings()


@pytest.mark.parametrize("name", ["MIXWIRE_PORT_", "MIXWIRE_SERVICE", "MIXWIRE_SERVICE_HOSTS", "MIXWIRE_PORT_X_TCP"])
def test_what_only_looks_like_that_is_not(name: str) -> None:
    with pytest.raises(InvalidValue, match=r"^MIXWIRE_"):
        settings_from_environment({name: "x"})


def test_a_front_door_is_not_made_with_a_misspelt_variable(tmp_path: Path) -> None:
    file = tmp_path / "mixwire.toml"
    file.write_text('token = "T0"\n')
    misspelt = {"MIXWIRE_TOKEN": "T0", "MIXWIRE_SERVR": "eu"}
    with pytest.raises(InvalidValue, match=r"^MIXWIRE_SERVR must be one of the known variables"):
        Mixpanel.from_env(misspelt)
    with pytest.raises(InvalidValue, match=r"^MIXWIRE_SERVR must be one of the known variables"):
        Mixpanel.from_env({**misspelt, "MIXWIRE_ENABLED": "false"})
    with pytest.raises(InvalidValue, match=r"^MIXWIRE_SERVR must be one of the known variables"):
        Mixpanel.from_file(file, misspelt)


def test_a_misspelt_key_of_the_transport_in_a_variable_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidValue, match=r"^transport\.max_byte must be .* \(perhaps 'max_bytes'\)$"):
        Mixpanel.from_env(
            {"MIXWIRE_TOKEN": "T0", "MIXWIRE_TRANSPORT": "sync", "MIXWIRE_TRANSPORT_MAX_BYTE": "5", "": ""}
        )


def test_a_misspelt_key_of_a_file_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidValue, match=r"not an unknown one \(perhaps 'token'\)$"):
        structure_settings({"tokn": "x"})


def test_a_whole_file_makes_a_project(tmp_path: Path) -> None:
    file = tmp_path / "mixwire.toml"
    file.write_text(
        'token = "T0"\nserver = "in"\nevents = "track"\nlimits = "off"\n'
        '[service_account]\nusername = "u"\nsecret = "s"\nproject_id = 12\n'
    )
    project = project_of(read_settings(file))
    assert (project.token, project.server, project.events, project.limits) == (
        "T0",
        "https://api-in.mixpanel.com",
        "track",
        "off",
    )
    assert project.credentials == ServiceAccount(username="u", secret="s", project_id="12")


def test_without_more_than_a_token_all_events_go_to_import() -> None:
    project = project_of(Settings(token="T0"))
    assert (project.server, project.events, project.limits, project.credentials) == (
        "https://api.mixpanel.com",
        "import",
        "warn",
        None,
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"tokn": "x"},
            "tokn must be one of the known keys: token, server, events, limits, enabled, service_account, transport,",
        ),
        ({"token": 5}, "token must be a str, not int"),
        ({"enabled": "true"}, "enabled must be true or false, not str"),
        ({"enabled": 1}, "enabled must be true or false, not int"),
        ({"service_account": "x"}, "service_account must be a table, not str"),
        ({"service_account": {"secrt": "x"}}, "service_account.secrt must be one of the known keys: username, secret,"),
        ({"service_account": {"project_id": True}}, "service_account.project_id must be a str, not bool"),
        ({"transport": 5}, "transport must be a table or a str, not int"),
        ({"transport": {"type": "nul"}}, "transport.type must be one of the known tags: "),
    ],
    ids=[
        "unknown key",
        "wrong type",
        "no switch",
        "a number for a switch",
        "no table",
        "unknown key inside",
        "wrong type inside",
        "no transport",
        "unknown transport",
    ],
)
def test_a_fault_in_the_data_is_told_with_its_path(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        structure_settings(data)
    assert str(refusal.value).startswith(sentence)


def test_a_table_may_be_any_mapping() -> None:
    account, transport = MappingProxyType({"username": "u"}), MappingProxyType({"type": "null"})
    settings = structure_settings(MappingProxyType({"service_account": account, "transport": transport}))
    assert settings.service_account == AccountSettings(username="u")
    assert transport_of(settings) == Null()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"token = x", "must be TOML, not broken at line 1, column 9"),
        (b"token = 'x", "must be TOML, not broken at end of document"),
        (b"\xff", "must be a file of UTF-8 text, not one in another encoding"),
        (b"tokn = 'x'", "tokn must be one of the known keys"),
        (
            b"[transport]\ntype = 'buffered'\nspool = {directory = '/x', sync = 'often'}",
            "transport.spool.sync must be one of 'always', 'interval', 'never', not another value",
        ),
    ],
    ids=["broken", "broken at the end", "no text", "unknown key", "a fault in the transport"],
)
def test_a_fault_in_a_file_is_told_with_the_file(content: bytes, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "mixwire.toml"
    file.write_bytes(content)
    with pytest.raises(InvalidValue) as refusal:
        read_settings(file)
    assert str(file) in str(refusal.value)
    assert sentence in str(refusal.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="must be a file that can be read, not unreadable \\(Is a directory\\)"):
        read_settings(tmp_path)


def test_a_path_that_cannot_be_one_is_told() -> None:
    with pytest.raises(InvalidValue, match=r"^path must be a path, not one with a NUL$"):
        read_settings(Path("mixwire\0.toml"))


@pytest.mark.parametrize("name", ["username", "secret", "project_id"])
def test_a_service_account_that_is_not_complete_is_refused(name: str) -> None:
    account = {"username": "u", "secret": "s", "project_id": "12"}
    del account[name]
    with pytest.raises(InvalidValue) as refusal:
        project_of(Settings(token="T0", service_account=AccountSettings(**account)))
    assert str(refusal.value) == f"service_account.{name} must be given, not missing"


def test_no_token_is_told_with_the_three_places_where_it_can_stand() -> None:
    with pytest.raises(InvalidValue, match="--token, MIXWIRE_TOKEN or token in the file of --config"):
        project_of(Settings())


@pytest.mark.parametrize(
    ("given", "events"), [(None, "track"), ("import", "import"), ("track", "track")], ids=["nothing", "import", "track"]
)
def test_where_events_go_is_said_by_the_settings_before_the_caller(given: str | None, events: str) -> None:
    assert project_of(Settings(token="T0", events=given), events="track").events == events


def test_where_a_token_can_stand_is_said_by_the_caller() -> None:
    with pytest.raises(InvalidValue) as refusal:
        project_of(Settings(), token_from="a note on the door")
    assert str(refusal.value) == "token must be given with a note on the door, not missing"


# The switch


@pytest.mark.parametrize(
    ("text", "enabled"),
    [
        *((text, True) for text in ("true", "True", "TRUE", "1", "yes", "Yes", "on", "ON")),
        *((text, False) for text in ("false", "False", "0", "no", "NO", "off", "Off")),
    ],
)
def test_the_switch_is_read_from_a_variable(text: str, enabled: bool) -> None:
    assert settings_from_environment({"MIXWIRE_ENABLED": text}).enabled is enabled


@pytest.mark.parametrize(
    ("text", "found"), [("", "empty"), ("2", "another value"), ("none", "another value"), (" true", "another value")]
)
def test_another_word_for_the_switch_is_refused(text: str, found: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        settings_from_environment({"MIXWIRE_ENABLED": text})
    assert str(refusal.value) == f"MIXWIRE_ENABLED must be one of true, false, 1, 0, yes, no, on, off, not {found}"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_switch_is_read_from_a_file(enabled: bool, tmp_path: Path) -> None:
    file = tmp_path / "mixwire.toml"
    file.write_text(f"enabled = {str(enabled).lower()}\n")
    assert read_settings(file) == Settings(enabled=enabled)


@pytest.mark.parametrize("over", [True, False])
def test_the_switch_in_a_variable_wins_over_the_file(over: bool) -> None:
    assert Settings(enabled=over).over(Settings(enabled=not over)).enabled is over


@pytest.mark.parametrize("name", ["token", "server", "events", "limits"])
def test_an_empty_setting_is_an_error_and_never_a_default(name: str) -> None:
    with pytest.raises(InvalidValue, match=f"^{name} must be"):
        project_of(structure_settings({"token": "T0", name: ""}))


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "SERVER",
        "EVENTS",
        "LIMITS",
        "ENABLED",
        "SERVICE_ACCOUNT_USERNAME",
        "SERVICE_ACCOUNT_SECRET",
        "SERVICE_ACCOUNT_PROJECT_ID",
        "TRANSPORT",
    ],
)
def test_an_empty_variable_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(InvalidValue, match=f"^MIXWIRE_{name} must be"):
        settings_from_environment({f"MIXWIRE_{name}": ""})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TOKEN", "canary canary", "printable ASCII without spaces, not with other characters"),
        ("SERVER", "api-eu.mixpanel.com", ".*, not another form \\(perhaps 'eu'\\)"),
        ("EVENTS", "imports", "one of 'track', 'import', not another value \\(perhaps 'import'\\)"),
        ("LIMITS", "canary", "one of 'strict', 'warn', 'off', not another value"),
        ("SERVICE_ACCOUNT_USERNAME", "canary:canary", "without a colon, which ends it in the header, not with one"),
        ("SERVICE_ACCOUNT_SECRET", "canary\n", "printable ASCII without spaces, not with other characters"),
        ("SERVICE_ACCOUNT_PROJECT_ID", "canary", "the number of the project, not something else"),
    ],
)
def test_a_wrong_value_of_a_variable_is_told_by_its_name_and_not_repeated(name: str, value: str, sentence: str) -> None:
    with pytest.raises(InvalidValue, match=f"^MIXWIRE_{name} must be {sentence}$") as refusal:
        settings_from_environment({f"MIXWIRE_{name}": value})
    assert "canary" not in str(refusal.value)


# The transport

TABLE = """
token = "T0"

[transport]
type = "buffered"
max_tries = "none"
max_bytes = 5

[transport.spool]
directory = "/var/spool/app"
sync = "always"
"""
BUFFERED = Buffered(max_bytes=5, spool=File(directory="/var/spool/app", sync="always"))


@pytest.mark.parametrize(
    ("content", "environment", "description"),
    [
        ("", {}, None),
        (TABLE, {}, BUFFERED),
        (TABLE, {"MIXWIRE_TRANSPORT_MAX_BYTES": "6"}, evolve(BUFFERED, max_bytes=6)),
        (TABLE, {"MIXWIRE_TRANSPORT": "sync"}, Sync()),
        (TABLE, {"MIXWIRE_TRANSPORT": "sync", "MIXWIRE_TRANSPORT_MAX_BYTES": "6"}, Sync(max_bytes=6)),
        ('transport = "sync://eu?max_tries=2"', {}, Sync(server="eu", max_tries=2)),
        ('transport = "sync://eu?max_tries=2"', {"MIXWIRE_TRANSPORT_MAX_TRIES": "3"}, Sync(server="eu", max_tries=3)),
        ('[transport]\ntype = "tee"\n[[transport.transports]]\ntype = "null"', {}, Tee(transports=(Null(),))),
        ("", {"MIXWIRE_TRANSPORT": "null"}, Null()),
    ],
    ids=[
        "nothing",
        "table",
        "a key over it",
        "another over it",
        "with a key",
        "a line",
        "a key over that",
        "nested",
        "a variable",
    ],
)
def test_variables_win_over_the_file(
    content: str, environment: dict[str, str], description: Description | None, tmp_path: Path
) -> None:
    file = tmp_path / "mixwire.toml"
    file.write_text(content)
    settings = Settings().over(settings_from_environment(environment)).over(read_settings(file))
    assert transport_of(settings) == description


def test_an_option_wins_over_both() -> None:
    options = Settings(transport=Layers(data="null"))
    file = Settings(transport=Layers(data="sync"))
    assert transport_of(options.over(settings_from_environment({"MIXWIRE_TRANSPORT": "sync"})).over(file)) == Null()


def test_single_keys_of_no_transport_are_refused() -> None:
    settings = settings_from_environment({"MIXWIRE_TRANSPORT_MAX_BYTES": "6"})
    with pytest.raises(
        InvalidValue, match=r"^transport must be given as a whole, because MIXWIRE_TRANSPORT_MAX_BYTES is"
    ):
        transport_of(settings)


# The page

PAGE = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_each_setting_and_each_variable_is_on_the_page() -> None:
    rows = [row for row in ROWS if "MIXWIRE_" in row[1]]
    account = [f"service_account.{field.name}" for field in fields(AccountSettings)]
    names = [field.name for field in fields(Settings) if field.name != "service_account"]
    keys = [words(row[0])[0] for row in rows if "." not in row[0] or "service_account." in row[0]]
    assert sorted(keys) == sorted([*names, *account])
    assert [words(row[1])[0] for row in rows] == [
        f"MIXWIRE_{words(row[0])[0].upper()}".replace(".", "_") for row in rows
    ]


def default(field: Attribute[Any]) -> str:
    return "" if field.default is NOTHING else str(field.default).replace("True", "true").replace("False", "false")


@pytest.mark.parametrize(
    ("kind", "heading", "column"),
    [(Sync, "`sync` and `buffered`", 1), (Buffered, "`sync` and `buffered`", 2), (File, "`file`, also of a spool", 1)],
)
def test_each_key_of_a_transport_is_on_the_page_with_its_default(kind: type, heading: str, column: int) -> None:
    lines = PAGE.split(f"## Keys of {heading}")[1].split("## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    told = {
        name: value
        for row in rows
        if row[column] or "directory" in row[0]
        for name, value in zip(words(row[0]), words(row[column]) or [""], strict=True)
    }
    assert told == {field.name: default(field).replace("None", "none") for field in fields(kind)}
