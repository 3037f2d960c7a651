"""
The official client of Mixpanel against the emulator, over HTTP: it gets answers that it understands, and the state is
as its documentation says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import mixpanel as official
import pytest
import requests

from mixwire.testing.faults import LostAnswer, Reset, Status
from mixwire.testing.local import LocalMixpanel
from mixwire.testing.server import MixpanelServer
from mixwire.testing.state import Event, Fate, Settings

TOKEN: Final = "0123456789abcdef0123456789abcdef"
SECRET: Final = "secret-of-the-project"
ACCOUNT: Final = official.ServiceAccountCredentials(
    username="service-account", secret="secret-of-the-account", project_id="12345"
)
PROJECT: Final = Settings(
    token=TOKEN,
    username="service-account",
    secret="secret-of-the-account",
    project_id="12345",
    project_secret=SECRET,
)
SUCCESS: Final = b'{"error": null, "status": 1}'
LONG_AGO: Final = 1_000_000_000
"""2001-09-09T01:46:40Z"""

Call: TypeAlias = tuple[Any, ...]
"""The name of a method, its arguments, and as the last a dict of those that have names, marked by `named`."""


class named(dict[str, Any]):  # noqa: N801  # reads as a keyword in the tables
    """
    The arguments of a call that have names.
    """


class Telling(official.Consumer):  # type: ignore[misc]  # it has no types
    """
    Their consumer, which keeps what it makes of the answers: it throws that away.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.understood: list[object] = []

    def _write_request(self, *arguments: Any, **others: Any) -> object:
        self.understood.append(super()._write_request(*arguments, **others))
        return self.understood[-1]


def urls(server: MixpanelServer) -> dict[str, str]:
    # With api_host alone it would speak https.
    paths = {"events_url": "/track", "people_url": "/engage", "groups_url": "/groups", "import_url": "/import"}
    return {name: server.url + path for name, path in paths.items()}


def with_retries(consumer: official.Consumer) -> official.Consumer:
    """
    Their consumer with its retries, which it has for https:// alone, on http:// too; and without their waits.
    """
    adapter = consumer._session.get_adapter("https://x")
    adapter.max_retries = adapter.max_retries.new(backoff_factor=0)
    consumer._session.mount("http://", adapter)
    return consumer


@pytest.fixture(scope="module")
def running() -> Iterator[MixpanelServer]:
    with MixpanelServer(LocalMixpanel(PROJECT)) as server:
        yield server


@pytest.fixture
def server(running: MixpanelServer) -> MixpanelServer:
    running.mixpanel.reset()
    return running


@pytest.fixture
def consumer(server: MixpanelServer) -> Iterator[Telling]:
    made = Telling(**urls(server), credentials=ACCOUNT)
    yield made
    made._session.close()


@pytest.fixture
def client(consumer: Telling, server: MixpanelServer, monkeypatch: pytest.MonkeyPatch) -> official.Mixpanel:
    # An alias goes to api.mixpanel.com, whatever consumer there is.
    monkeypatch.setattr(official, "Consumer", partial(official.Consumer, **urls(server)))
    return official.Mixpanel(TOKEN, consumer=consumer)


def make(client: official.Mixpanel, *calls: Call) -> None:
    for name, *arguments in calls:
        others = arguments.pop() if isinstance(arguments[-1], named) else {}
        getattr(client, name)(*arguments, **others)


def kept(server: MixpanelServer) -> tuple[Event, ...]:
    return server.mixpanel.state.events.entries


def own(event: Event) -> dict[str, Any]:
    """
    The properties of an event that its caller gave it.
    """
    given = {"time", "distinct_id", "$insert_id", "mp_lib", "$lib_version"}
    return {name: value for name, value in event.properties.items() if name not in given}


TRACKS: Final[dict[str, tuple[Call, dict[str, Any]]]] = {
    "without properties": (("track", "user-1", "Opened"), {}),
    "of every type": (
        ("track", "user-1", "Opened", {"a": 1, "b": 2.5, "c": True, "d": None, "e": ["x", 1], "f": {"g": ""}}),
        {"a": 1, "b": 2.5, "c": True, "d": None, "e": ["x", 1], "f": {"g": ""}},
    ),
    "text of all kinds": (
        ("track", "user-1", "Opened", {"größe": "東京 🙂 a+b&c=d%20 \x00\n"}),
        {"größe": "東京 🙂 a+b&c=d%20 \x00\n"},
    ),
    "a date": (
        ("track", "user-1", "Opened", {"on": datetime(2026, 1, 31, 12, 30)}),  # noqa: DTZ001  # it takes no others well
        {"on": "2026-01-31T12:30:00"},
    ),
    "an address": (
        ("track", "user-1", "Opened", {"ip": "203.0.113.7"}),
        {"$city": "City 8f44", "$region": "Region 8f44", "mp_country_code": "ZZ"},
    ),
}


@pytest.mark.parametrize("row", TRACKS)
def test_an_event_is_stored_as_it_was_tracked(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling, row: str
) -> None:
    call, properties = TRACKS[row]
    before = time.time_ns() // 1_000_000
    make(client, call)
    assert consumer.understood == [True]
    (event,) = server.mixpanel.events()
    assert (event.name, event.distinct_id, event.endpoint.value) == ("Opened", "user-1", "/track")
    assert event.time is not None
    assert before <= event.time <= event.received
    assert event.properties["mp_lib"] == "python"
    found = own(event)
    if "ip" in call[-1]:
        assert found.keys() == properties.keys()
    else:
        assert found == properties


IMPORTS: Final[dict[str, tuple[Call, ...]]] = {
    "with a service account": (("import_data", None, "user-1", "Opened", LONG_AGO, {"plan": "pro"}),),
    "with the project secret": (
        ("import_data", None, "user-1", "Opened", LONG_AGO, {"plan": "pro"}, named(api_secret=SECRET)),
    ),
    "with the project secret and a key": (
        ("import_data", "a-key", "user-1", "Opened", LONG_AGO, {"plan": "pro"}, named(api_secret=SECRET)),
    ),
}


@pytest.mark.parametrize("row", IMPORTS)
def test_an_old_event_is_imported(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling, row: str
) -> None:
    consumer._credentials = ACCOUNT if row == "with a service account" else None
    make(client, *IMPORTS[row])
    assert consumer.understood == [True]
    (event,) = server.mixpanel.events()
    assert (event.name, event.distinct_id, event.endpoint.value) == ("Opened", "user-1", "/import")
    assert event.time == LONG_AGO * 1000
    assert own(event) == {"plan": "pro", "$import": True}


def test_an_old_event_that_is_tracked_is_answered_with_success_and_dropped(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling
) -> None:
    make(client, ("track", "user-1", "Opened", {"time": LONG_AGO}))
    assert consumer.understood == [True]
    assert server.mixpanel.events() == ()
    assert [event.fate for event in kept(server)] == [Fate.DROPPED]


def test_an_event_of_another_project_is_answered_with_success_and_dropped(
    server: MixpanelServer, consumer: Telling
) -> None:
    make(official.Mixpanel("another-token", consumer=consumer), ("track", "user-1", "Opened"))
    assert consumer.understood == [True]
    assert server.mixpanel.events() == ()
    assert [event.fate for event in kept(server)] == [Fate.DROPPED]


def test_an_alias_joins_two_ids(server: MixpanelServer, client: official.Mixpanel) -> None:
    make(
        client,
        ("people_set", "user-1", {"plan": "pro"}),
        ("alias", "mail-1", "user-1"),
        ("track", "mail-1", "Opened"),
        ("people_increment", "mail-1", {"logins": 1}),
    )
    assert server.mixpanel.profile("mail-1") == {"plan": "pro", "logins": 1}
    assert list(server.mixpanel.state.profiles) == ["user-1"]
    assert server.mixpanel.state.identities.user_of("mail-1") == "user-1"
    assert [exchange.reply.body for exchange in server.mixpanel.state.exchanges.entries] == [SUCCESS] * 4


@pytest.mark.parametrize("with_account", [True, False])
def test_a_merge_joins_two_ids(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling, with_account: bool
) -> None:
    consumer._credentials = ACCOUNT if with_account else None
    others = named() if with_account else named(api_secret=SECRET)
    make(client, ("track", "user-2", "Opened"), ("merge", None, "user-1", "user-2", others))
    assert consumer.understood == [True, True]
    identities = server.mixpanel.state.identities
    assert identities.user_of("user-1") == identities.user_of("user-2") == "user-1"


USERS: Final[dict[str, tuple[tuple[Call, ...], dict[str, Any] | None]]] = {
    "set": (
        (("people_set", "user-1", {"plan": "pro", "seats": 3}), ("people_set", "user-1", {"plan": "free"})),
        {"plan": "free", "seats": 3},
    ),
    "set_once": (
        (
            ("people_set_once", "user-1", {"first": "2026-01-01"}),
            ("people_set_once", "user-1", {"first": "2026-02-02", "second": ""}),
        ),
        {"first": "2026-01-01", "second": ""},
    ),
    "increment": (
        (("people_increment", "user-1", {"credits": 10}), ("people_increment", "user-1", {"credits": -2.5})),
        {"credits": 7.5},
    ),
    "append": (
        (("people_append", "user-1", {"items": "sword"}), ("people_append", "user-1", {"items": "sword"})),
        {"items": ["sword", "sword"]},
    ),
    "union": (
        (("people_union", "user-1", {"items": ["sword", 1]}), ("people_union", "user-1", {"items": [1, 2]})),
        {"items": ["sword", 1, 2]},
    ),
    "remove": (
        (("people_union", "user-1", {"items": ["sword", 1]}), ("people_remove", "user-1", {"items": "sword"})),
        {"items": [1]},
    ),
    "unset": (
        (("people_set", "user-1", {"plan": "pro", "seats": 3}), ("people_unset", "user-1", ["seats", "missing"])),
        {"plan": "pro"},
    ),
    "delete": ((("people_set", "user-1", {"plan": "pro"}), ("people_delete", "user-1")), None),
    "delete, then set": (
        (
            ("people_set", "user-1", {"plan": "pro"}),
            ("people_delete", "user-1", named(meta={"$ignore_alias": True})),
            ("people_set", "user-1", {"seats": 1}),
        ),
        {"seats": 1},
    ),
    "track_charge": (
        (
            ("people_track_charge", "user-1", 50, {"$time": "2026-01-31T12:00:00", "sku": "a-1"}),
            ("people_track_charge", "user-1", -20.5),
        ),
        {
            "$transactions": [
                {"$time": "2026-01-31T12:00:00", "sku": "a-1", "$amount": 50},
                {"$amount": -20.5},
            ]
        },
    ),
    "clear_charges": (
        (
            ("people_track_charge", "user-1", 50),
            ("people_set", "user-1", {"plan": "pro"}),
            ("people_clear_charges", "user-1"),
        ),
        {"plan": "pro"},
    ),
    "update": (
        (("people_update", {"$distinct_id": "user-1", "$set": {"plan": "pro"}, "$add": {"logins": 1}}),),
        {"plan": "pro", "logins": 1},
    ),
}


@pytest.mark.parametrize("row", USERS)
def test_a_call_about_a_user_changes_the_profile(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling, row: str
) -> None:
    calls, profile = USERS[row]
    make(client, *calls)
    assert consumer.understood == [True] * len(calls)
    assert server.mixpanel.profile("user-1") == profile


GROUPS: Final[dict[str, tuple[tuple[Call, ...], dict[str, Any] | None]]] = {
    "set": ((("group_set", "company", "acme", {"$name": "Acme"}),), {"$name": "Acme"}),
    "set_once": (
        (("group_set_once", "company", "acme", {"since": 1}), ("group_set_once", "company", "acme", {"since": 2})),
        {"since": 1},
    ),
    "union": (
        (
            ("group_union", "company", "acme", {"features": ["export"]}),
            ("group_union", "company", "acme", {"features": ["export", "sso"]}),
        ),
        {"features": ["export", "sso"]},
    ),
    "remove": (
        (
            ("group_union", "company", "acme", {"features": ["export", "sso"]}),
            ("group_remove", "company", "acme", {"features": "export"}),
        ),
        {"features": ["sso"]},
    ),
    "unset": (
        (("group_set", "company", "acme", {"plan": "pro", "seats": 3}), ("group_unset", "company", "acme", ["seats"])),
        {"plan": "pro"},
    ),
    "delete": (
        (("group_set", "company", "acme", {"plan": "pro"}), ("group_delete", "company", "acme")),
        None,
    ),
    "update": (
        (("group_update", {"$group_key": "company", "$group_id": "acme", "$set": {"plan": "pro"}}),),
        {"plan": "pro"},
    ),
}


@pytest.mark.parametrize("row", GROUPS)
def test_a_call_about_a_group_changes_its_profile(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling, row: str
) -> None:
    calls, profile = GROUPS[row]
    make(client, *calls)
    assert consumer.understood == [True] * len(calls)
    assert server.mixpanel.group("company", "acme") == profile
    assert server.mixpanel.state.profiles == {}


def test_every_call_is_tried() -> None:
    calls = {call[0] for calls, _ in (*USERS.values(), *GROUPS.values()) for call in calls}
    named_in_tests = {"track", "import_data", "alias", "merge"}
    public = {name for name in vars(official.Mixpanel) if not name.startswith("_")}
    assert calls | named_in_tests == public - {"local_flags", "remote_flags"}


# What stands beside: `meta`.


@pytest.mark.parametrize(
    "call",
    [
        ("people_set", "user-1", {"plan": "pro"}),
        ("people_set_once", "user-1", {"plan": "pro"}),
        ("people_increment", "user-1", {"logins": 1}),
        ("people_append", "user-1", {"items": "sword"}),
        ("people_union", "user-1", {"items": ["sword"]}),
        ("people_track_charge", "user-1", 5, {}),
        ("people_update", {"$distinct_id": "user-1", "$set": {"plan": "pro"}}),
    ],
    ids=lambda call: call[0],
)
def test_meta_of_a_user_may_ask_not_to_be_seen(server: MixpanelServer, client: official.Mixpanel, call: Call) -> None:
    make(client, (*call, named(meta={"$ignore_time": True})))
    assert server.mixpanel.state.profiles["user-1"].last_seen is None
    make(client, call)
    assert server.mixpanel.state.profiles["user-1"].last_seen is not None


def test_meta_of_a_user_may_say_where_they_are(server: MixpanelServer, client: official.Mixpanel) -> None:
    make(client, ("people_set", "user-1", {"plan": "pro"}, named(meta={"$ip": "203.0.113.7"})))
    profile = server.mixpanel.profile("user-1")
    assert profile is not None
    assert profile.keys() == {"plan", "$city", "$region", "$country_code"}
    make(client, ("people_set", "user-2", {"plan": "pro"}))
    assert server.mixpanel.profile("user-2") == {"plan": "pro"}


def test_meta_of_an_event_is_ignored_and_said_to_be(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling
) -> None:
    make(client, ("track", "user-1", "Opened", {}, {"$ignore_time": True}))
    assert consumer.understood == [True]
    (event,) = server.mixpanel.events()
    assert event.notes == ("'$ignore_time' beside event and properties is ignored",)


# Many at once.


def test_their_buffered_consumer_delivers_everything_in_requests_of_fifty(server: MixpanelServer) -> None:
    consumer = official.BufferedConsumer(**urls(server), credentials=ACCOUNT)
    client = official.Mixpanel(TOKEN, consumer=consumer)
    make(client, *(("track", f"user-{number}", "Opened", {"number": number}) for number in range(120)))
    make(client, *(("import_data", None, "user-0", "Opened", LONG_AGO + number) for number in range(60)))
    make(client, *(("people_increment", "user-1", {"logins": 1}) for _ in range(60)))
    make(client, *(("group_union", "company", "acme", {"numbers": [number]}) for number in range(60)))
    assert len(server.mixpanel.events()) == 150
    consumer.flush()
    consumer._consumer._session.close()
    state = server.mixpanel.state
    assert [exchange.records for exchange in state.exchanges.entries] == [50] * 5 + [20, 10, 10, 10]
    assert [event.properties.get("number") for event in kept(server) if event.endpoint.value == "/track"] == list(
        range(120)
    )
    assert len(server.mixpanel.events()) == 180
    assert server.mixpanel.profile("user-1") == {"logins": 60}
    assert server.mixpanel.group("company", "acme") == {"numbers": list(range(60))}


# What goes wrong, and what is heard of it.


def is_refused(act: Callable[[], object], text: str) -> None:
    with pytest.raises(official.MixpanelException) as raised:
        act()
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("token", "call", "error"),
    [
        ("", ("track", "user-1", "Opened"), "token, missing or empty"),
        (TOKEN, ("track", "user-1", ""), "event, missing"),
        (TOKEN, ("people_set", "", {"plan": "pro"}), "$distinct_id, missing or empty"),
        ("", ("people_set", "user-1", {"plan": "pro"}), "$token, missing or empty"),
        (TOKEN, ("people_update", {"$distinct_id": "user-1"}), "no operation"),
        (TOKEN, ("people_increment", "user-1", {"logins": "one"}), "$add, must be an object of numbers"),
        (TOKEN, ("group_set", "", "acme", {"plan": "pro"}), "$group_key, missing or empty"),
        (TOKEN, ("group_set", "company", "", {"plan": "pro"}), "$group_id, missing or empty"),
        (TOKEN, ("import_data", None, "user-1", "", LONG_AGO), "some data points in the request failed validation"),
        (TOKEN, ("alias", "", "user-1"), "distinct_id, missing or empty"),
    ],
    ids=[
        "no token",
        "no name",
        "no id",
        "no token of an update",
        "no operation",
        "no number",
        "no key of a group",
        "no id of a group",
        "no name of an old event",
        "no alias",
    ],
)
def test_what_is_refused_raises_their_exception_with_the_reason(
    server: MixpanelServer, client: official.Mixpanel, token: str, call: Call, error: str
) -> None:
    client._token = token
    is_refused(lambda: make(client, call), f"Mixpanel error: {error}")
    state = server.mixpanel.state
    assert (server.mixpanel.events(), state.profiles, state.groups) == ((), {}, {})


@pytest.mark.parametrize(
    ("account", "others"),
    [
        (None, named()),
        (None, named(api_secret="another-secret")),
        (official.ServiceAccountCredentials(username="service-account", secret="x", project_id="12345"), named()),
        (
            official.ServiceAccountCredentials(
                username="service-account", secret="secret-of-the-account", project_id="54321"
            ),
            named(),
        ),
    ],
    ids=["none", "another secret", "a wrong account", "another project"],
)
def test_wrong_credentials_raise_their_exception(
    server: MixpanelServer,
    client: official.Mixpanel,
    consumer: Telling,
    account: official.ServiceAccountCredentials | None,
    others: named,
) -> None:
    consumer._credentials = account
    for call in (
        ("import_data", "a-key", "user-1", "Opened", LONG_AGO, others),
        ("merge", "a-key", "user-1", "user-2", others),
    ):
        is_refused(partial(make, client, call), "Mixpanel error: Invalid credentials")
    assert kept(server) == ()
    assert [exchange.reply.status for exchange in server.mixpanel.state.exchanges.entries] == [401, 401]


@pytest.mark.parametrize(
    ("endpoint", "body", "error"),
    [
        ("imports", "[]", "request must hold at least one event"),
        ("imports", "[no JSON", "the body is not valid JSON"),
        ("imports", "[" + ",".join(["{}"] * 2_001) + "]", "request exceeds max limit of 2000 events"),
        ("imports", '[{"event":"' + "x" * 2_100_000 + '"}]', "request exceeds max limit of 2097152 bytes"),
        ("events", "[no JSON", "data, missing or empty"),
        ("events", "[]", "data, missing or empty"),
        ("people", "[" + ",".join(["{}"] * 2_001) + "]", "too many updates"),
    ],
    ids=["no event", "no JSON", "too many", "too long", "no JSON on track", "none on track", "too many updates"],
)
def test_a_request_that_is_refused_as_a_whole_raises_their_exception(
    server: MixpanelServer, consumer: Telling, endpoint: str, body: str, error: str
) -> None:
    is_refused(lambda: consumer.send(endpoint, body), f"Mixpanel error: {error}")
    assert kept(server) == ()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 429, 500, 503])
def test_a_status_that_was_scripted_raises_their_exception(
    server: MixpanelServer, client: official.Mixpanel, code: int
) -> None:
    server.mixpanel.fail_next(Status(code))
    is_refused(lambda: make(client, ("track", "user-1", "Opened")), "Mixpanel error: scripted")
    assert kept(server) == ()


@pytest.mark.parametrize(("fault", "stored"), [(Reset(), 0), (LostAnswer(), 1)], ids=["before", "after"])
def test_a_lost_connection_raises_their_exception(
    server: MixpanelServer, client: official.Mixpanel, fault: Reset | LostAnswer, stored: int
) -> None:
    server.mixpanel.fail_next(fault)
    with pytest.raises(official.MixpanelException) as raised:
        make(client, ("track", "user-1", "Opened"))
    assert isinstance(raised.value.__cause__, requests.ConnectionError)
    assert len(server.mixpanel.events()) == stored


def test_another_path_raises_their_exception(server: MixpanelServer) -> None:
    consumer = official.Consumer(events_url=f"{server.url}/tracks")
    is_refused(lambda: consumer.send("events", "{}"), "Mixpanel error: no such path")
    consumer._session.close()


def test_their_buffered_consumer_keeps_what_was_refused(server: MixpanelServer) -> None:
    consumer = official.BufferedConsumer(**urls(server), max_size=2)
    client = official.Mixpanel(TOKEN, consumer=consumer)
    make(client, ("track", "user-1", "Opened"))
    server.mixpanel.fail_next(Status(503))
    is_refused(lambda: make(client, ("track", "user-1", "Closed")), "Mixpanel error: scripted")
    consumer.flush()
    consumer._consumer._session.close()
    assert [event.name for event in server.mixpanel.events()] == ["Opened", "Closed"]


@pytest.mark.parametrize("fault", [LostAnswer(), Status(502, is_applied=True)], ids=["lost answer", "502"])
def test_their_retries_count_an_event_once_and_an_increment_twice(
    server: MixpanelServer, client: official.Mixpanel, consumer: Telling, fault: LostAnswer | Status
) -> None:
    with_retries(consumer)
    server.mixpanel.fail_next(fault)
    make(client, ("track", "user-1", "Opened"))
    server.mixpanel.fail_next(fault)
    make(client, ("people_increment", "user-1", {"credits": 10}))
    assert consumer.understood == [True, True]
    assert len(kept(server)) == 2
    assert len(server.mixpanel.events()) == 1
    assert server.mixpanel.profile("user-1") == {"credits": 20}
