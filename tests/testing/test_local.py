"""
The emulator in this process: where a transport finds the network, it finds this.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mixwire.core import (
    Add,
    Answer,
    Endpoint,
    GroupOp,
    InvalidValue,
    Message,
    NoResponse,
    Operation,
    PeopleOp,
    Project,
    Request,
    Response,
    ServiceAccount,
    Set,
    Track,
    Union,
    encode,
)
from mixwire.testing import Delay, LocalMixpanel, LostAnswer, Reset, Settings, Status
from mixwire.testing.state import HttpRequest
from mixwire.transports import SyncTransport

NOW = 1767225600000
PROJECT = Project("token")


def local(settings: Settings | None = None) -> LocalMixpanel:
    return LocalMixpanel(settings, now=lambda: NOW)


def message(operation: Operation) -> Message:
    return encode(operation, PROJECT)


def signup(insert_id: str = "insert-1") -> Message:
    return message(Track("Signed Up", distinct_id="user-1", properties={"plan": "pro"}, time=NOW, insert_id=insert_id))


def send(mixpanel: LocalMixpanel, *messages: Message, project: Project = PROJECT) -> str:
    with SyncTransport(project, post=mixpanel.post, max_tries=1) as transport:
        return str(transport.send(*messages))


def engage(mixpanel: LocalMixpanel) -> Answer:
    body = b"[" + message(PeopleOp("user-1", Add({"visits": 1}))).body + b"]"
    return mixpanel.post(Request(url="http://127.0.0.1/engage?verbose=1&ip=0", body=body, compressible=False))


def test_what_a_transport_sends_can_be_read_back() -> None:
    mixpanel = local()
    changes = [PeopleOp("user-1", Add({"credits": 10})), GroupOp("company", "acme", Set({"plan": "pro"}))]

    said = send(mixpanel, signup(), *map(message, changes))

    assert said == "Outcome(delivered=3, rejected=0, failed=0, unknown=0)"
    (event,) = mixpanel.events()
    assert (event.name, event.distinct_id, event.time, event.properties["plan"]) == ("Signed Up", "user-1", NOW, "pro")
    assert mixpanel.profile("user-1") == {"credits": 10}
    assert mixpanel.group("company", "acme") == {"plan": "pro"}
    assert [exchange.request.target for exchange in mixpanel.state.exchanges.entries] == [
        "/import?strict=1&ip=0",
        "/engage?verbose=1&ip=0",
        "/groups?verbose=1&ip=0",
    ]


def test_credentials_reach_import_and_are_not_kept() -> None:
    settings = Settings(username="app", secret="s3cret", project_id="7")
    project = Project(
        "token", events="import", credentials=ServiceAccount(username="app", secret="s3cret", project_id=7)
    )
    mixpanel = local(settings)
    event = encode(Track("Paid", distinct_id="user-1", time=NOW, insert_id="insert-1"), project)

    assert "delivered=1" in send(mixpanel, event, project=project)

    (exchange,) = mixpanel.state.exchanges.entries
    assert exchange.request.header("authorization") == "Basic ***"
    assert "s3cret" not in repr(mixpanel.state)


def test_what_is_not_there_is_none() -> None:
    assert local().profile("user-1") is None
    assert local().group("company", "acme") is None


def test_what_is_read_is_a_copy() -> None:
    mixpanel = local()
    send(mixpanel, message(PeopleOp("user-1", Union({"tags": ["a"]}))))

    profile = mixpanel.profile("user-1")
    assert profile is not None
    tags = profile["tags"]
    assert isinstance(tags, list)
    tags.append("b")

    assert mixpanel.profile("user-1") == {"tags": ["a"]}


@pytest.mark.parametrize(
    ("fault", "answer", "visits"),
    [
        pytest.param(Status(503), (503, None), None, id="an error"),
        pytest.param(Status(429, retry_after="7"), (429, "7"), None, id="a limit"),
        pytest.param(Status(502, is_applied=True), (502, None), 1, id="an error after it was applied"),
        pytest.param(Delay(0.01), (200, None), 1, id="a delay"),
    ],
)
def test_a_scripted_answer_comes_once(
    fault: Status | Delay, answer: tuple[int, str | None], visits: int | None
) -> None:
    mixpanel = local()
    mixpanel.fail_next(fault, endpoint=Endpoint.ENGAGE)

    first = engage(mixpanel)

    assert isinstance(first, Response)
    assert (first.status, first.header("Retry-After")) == answer
    assert mixpanel.profile("user-1") == (None if visits is None else {"visits": visits})
    second = engage(mixpanel)
    assert isinstance(second, Response)
    assert second.status == 200


@pytest.mark.parametrize(("fault", "visits"), [(Reset(), None), (LostAnswer(), 1)], ids=["before", "after"])
def test_a_lost_connection_is_no_response(fault: Reset | LostAnswer, visits: int | None) -> None:
    mixpanel = local()
    mixpanel.fail_next(fault)

    answer = engage(mixpanel)

    assert isinstance(answer, NoResponse)
    assert answer.maybe_received
    assert mixpanel.profile("user-1") == (None if visits is None else {"visits": visits})


def test_faults_go_on_until_it_is_healed() -> None:
    mixpanel = local()
    mixpanel.fail_next(Status(503), times=None)
    assert [answer.status for answer in (engage(mixpanel), engage(mixpanel)) if isinstance(answer, Response)] == [
        503
    ] * 2

    mixpanel.heal()

    assert "delivered=1" in send(mixpanel, signup())


def test_times_below_one_are_refused() -> None:
    with pytest.raises(InvalidValue, match="times must be at least 1, or None, not 0"):
        local().fail_next(Reset(), times=0)


def test_a_reset_forgets_everything_but_the_settings() -> None:
    mixpanel = local(Settings(token="token", max_events=5))
    send(mixpanel, signup())
    mixpanel.fail_next(Reset())

    mixpanel.reset()

    assert mixpanel.events() == ()
    assert mixpanel.state.scripts == ()
    assert mixpanel.state.settings == Settings(token="token", max_events=5)


def test_waiting_ends_when_it_is_so() -> None:
    mixpanel = local()
    assert not mixpanel.wait_for(lambda state: bool(state.events.entries), 0.01)

    sending = threading.Thread(target=send, args=(mixpanel, signup()))
    sending.start()

    assert mixpanel.wait_for(lambda state: bool(state.events.entries), 10)
    sending.join()


def test_requests_of_many_threads_each_count_once() -> None:
    mixpanel = local()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: engage(mixpanel), range(200)))

    assert mixpanel.profile("user-1") == {"visits": 200}
    assert mixpanel.state.counts.requests == 200


def test_what_is_kept_of_requests_is_bounded_in_bytes_though_they_have_no_body() -> None:
    mixpanel = local(Settings(max_bytes=100_000))

    for _ in range(100):
        mixpanel.respond(HttpRequest(method="GET", target="/track?data=" + "A" * 50_000, headers=(("X", "y" * 5_000),)))

    kept = mixpanel.state.exchanges
    assert sum(len(exchange.request.target) for exchange in kept.entries) <= kept.bytes <= 100_000
    assert kept.forgotten == 100 - len(kept.entries) > 0


def test_a_fault_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(InvalidValue, match=r"fault must be a Status\(...\), Reset\(\).*, not int"):
        local().fail_next(503)  # type: ignore[arg-type]


def test_what_is_kept_beside_events_counts_too() -> None:
    mixpanel = local(Settings(max_bytes=1_000_000))
    for number in range(4):
        record = {"event": "x" * 400_000, "properties": {"token": "t", "time": NOW, "$insert_id": f"insert-{number}"}}
        body = json.dumps([record]).encode()
        mixpanel.respond(HttpRequest(target="/track", headers=(("Content-Type", "application/json"),), body=body))

    assert len(mixpanel.state.events.entries) == 2
    assert mixpanel.state.events.bytes > 800_000


def test_profiles_are_bounded_in_bytes() -> None:
    mixpanel = local(Settings(max_bytes=1_000_000))
    for number in range(10):
        send(mixpanel, message(PeopleOp(f"user-{number}", Set({"texts": ["x" * 250] * 1_000}))))

    assert list(mixpanel.state.profiles) == ["user-7", "user-8", "user-9"]
    assert mixpanel.state.forgotten_profiles == 7
