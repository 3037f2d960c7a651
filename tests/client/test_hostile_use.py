"""
What an enemy does to the front door: in the midst of itself, beside a fork, at the end of the process, by what a server
says.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from mixwire import BufferedConsumer, Consumer, Mixpanel, MixpanelException
from mixwire.core import Credentials, InvalidValue, Project, ProjectSecret, Response, Track
from mixwire.testing import Judge, MemoryTransport, Status
from mixwire.transports import NullTransport, SyncTransport
from mixwire.transports.reports import Reporter

PAST: Final = 1767225600
TOKEN: Final = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


def run(program: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """
    What a program wrote that ended well.
    """
    done = subprocess.run(
        [sys.executable, *options, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def in_a_child(do: Callable[[], object]) -> None:
    """
    Do it in a child process, which may not take longer than five seconds.
    """
    child = os.fork()
    if not child:
        signal.alarm(5)
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def everything_in(error: BaseException | None) -> str:
    """
    All that an exception and those behind it say and hold.
    """
    told: list[str] = []
    while error is not None:
        told += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(told)


# In the midst of itself.


class Tracking(logging.Handler):
    """
    Ships what is logged as events, but not what comes of that.
    """

    def __init__(self, mp: Mixpanel) -> None:
        super().__init__()
        self.mp = mp
        self.is_busy = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.is_busy:
            self.is_busy = True
            try:
                self.mp.track("user-1", "Logged")
            finally:
                self.is_busy = False


@pytest.fixture
def on_urllib3() -> Iterator[Callable[[logging.Handler], None]]:
    """
    Has a handler handle all that urllib3 logs.
    """
    logger = logging.getLogger("urllib3")
    before = logger.level
    added: list[logging.Handler] = []

    def add(handler: logging.Handler) -> None:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        added.append(handler)

    yield add
    for handler in added:
        logger.removeHandler(handler)
    logger.setLevel(before)


def test_a_request_in_the_midst_of_another_breaks_neither(
    judge: Judge, on_urllib3: Callable[[logging.Handler], None]
) -> None:
    with Mixpanel("T0", server=judge.url) as mp:
        on_urllib3(Tracking(mp))
        mp.track("user-1", "Opened")
        mp.track("user-1", "Closed")
        names = [event["event"] for event in judge.events()]
        assert {"Opened", "Closed"} <= set(names)
        assert len(names) == mp.stats().delivered == mp.stats().accepted


INTERRUPTING: Final = """
import signal, sys
from mixwire import Mixpanel

signal.alarm(10)
mp = Mixpanel("T0", server=sys.argv[1])
if sys.argv[2] == "later":
    mp.track("user-1", "First")


def each_line(frame, event, argument):
    # As a signal handler or a finaliser that comes right here.
    sys.settrace(None)
    mp.track("user-1", "Inner")


def inside(frame, event, argument):
    return each_line if event == "line" and frame.f_lineno >= frame.f_code.co_firstlineno + 12 else inside


def trace(frame, event, argument):
    code = frame.f_code
    if (code.co_name, code.co_filename.rpartition("/")[2]) in {("get", "queue.py"), ("get", "network.py")}:
        return inside
    return each_line if code.co_name == "_new_pool" else None


sys.settrace(trace)
mp.track("user-1", "Outer")
sys.settrace(None)
mp.close()
"""


@pytest.mark.parametrize("when", ["first", "later"])
def test_a_handler_that_tracks_while_its_thread_does_waits_for_no_lock(judge: Judge, when: str) -> None:
    run(INTERRUPTING, judge.url, when)
    assert "Outer" in {event["event"] for event in judge.events()}


def test_a_handler_that_closes_while_its_thread_does_waits_for_no_lock() -> None:
    mp = Mixpanel("T0", transport=NullTransport())

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_name == "set" and frame.f_code.co_filename.endswith("threading.py"):
            return within
        return None

    def within(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_lineno > frame.f_code.co_firstlineno + 7:
            sys.settrace(None)
            mp.close()
        return within

    def close() -> None:
        sys.settrace(trace)
        mp.close()

    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    thread.join(5.0)
    assert not thread.is_alive()


class Broken(logging.Handler):
    """
    Raises for each line that holds the words.
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def emit(self, record: logging.LogRecord) -> None:
        if self.words in record.getMessage():
            raise RuntimeError


@pytest.mark.parametrize(("words", "place"), [("Starting", "failed"), ("POST", "unknown")])
def test_a_handler_that_raises_leaves_the_outcome_of_the_request(
    words: str, place: str, judge: Judge, on_urllib3: Callable[[logging.Handler], None]
) -> None:
    on_urllib3(Broken(words))
    transport = SyncTransport(Project("T0", server=judge.url), max_tries=1)
    with Mixpanel("T0", transport=transport) as mp, pytest.raises(MixpanelException) as caught:
        mp.people_increment("user-1", {"visits": 1})
    assert len(getattr(caught.value.outcome, place)) == 1


SHIPPING: Final = """
import logging, sys
from mixwire import Mixpanel


class Shipping(logging.Handler):
    def emit(self, record):
        mp.track("user-1", "Logged")


mp = Mixpanel("T0", transport="buffered", server=sys.argv[1])
logging.getLogger().addHandler(Shipping())
logging.getLogger("urllib3").setLevel(logging.DEBUG)
mp.track("user-1", "Opened")
mp.close(10.0)
"""


def test_a_handler_that_ships_what_is_logged_does_not_keep_the_last_messages_from_leaving(judge: Judge) -> None:
    run(SHIPPING, judge.url)
    assert "Opened" in {event["event"] for event in judge.events()}


def test_what_an_interrupted_call_had_taken_is_not_held_for_ever() -> None:
    def interrupted(request: object) -> Any:
        raise KeyboardInterrupt

    with Mixpanel("T0", transport=SyncTransport(Project("T0"), post=interrupted)) as mp:
        with pytest.raises(KeyboardInterrupt):
            mp.track("user-1", "Opened")
        stats = mp.stats()
    assert (stats.held, stats.unknown) == (0, 1)


# Beside a fork.


def told_by_another_thread(reporter: Reporter) -> None:
    thread = threading.Thread(target=reporter.tell, args=("a cause",), daemon=True)
    thread.start()
    thread.join(3.0)
    assert not thread.is_alive()


def test_after_a_fork_a_child_can_tell_something_although_another_thread_was_about_to() -> None:
    reporter = Reporter()
    # As if another thread held it at the moment of the fork.
    with reporter._lock:
        in_a_child(lambda: told_by_another_thread(reporter))


FORKING: Final = """
import os, signal, sys, threading, time
from mixwire import Mixpanel

mp = Mixpanel("T0", transport="null")
is_over = False


def work():
    while not is_over:
        {work}


threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
end = time.monotonic() + 2.0
while time.monotonic() < end:
    child = os.fork()
    if not child:
        signal.alarm(5)
        {work}
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
is_over = True
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("work", ["mp.track('user-1', 'Opened', {'text': 300 * 'x'})", "mp.close()"])
def test_a_fork_while_other_threads_are_busy_leaves_a_door_that_works(work: str) -> None:
    run(FORKING.replace("{work}", work), options=("-W", "ignore"))


CHILDREN: Final = """
import multiprocessing, sys
from mixwire import Mixpanel


def child(url):
    global mp
    mp = Mixpanel("T0", transport="buffered", server=url)
    mp.track("user-1", "Opened")


if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child, args=sys.argv[1:])
    process.start()
    process.join()
"""


def test_a_child_of_multiprocessing_that_just_ends_delivers_what_it_holds(judge: Judge) -> None:
    run(CHILDREN, judge.url)
    assert judge.counts().events == 1


# At the end of the process.


ENDING: Final = """
import atexit, sys


@atexit.register
def last():
    # Whoever registered first is called last.
    Mixpanel("T0", transport="buffered", server=sys.argv[1]).track("user-1", "Opened")


from mixwire import Mixpanel
"""


def test_what_is_tracked_after_everything_was_closed_is_delivered_by_the_caller(judge: Judge) -> None:
    run(ENDING, judge.url)
    assert judge.counts().events == 1


FORGOTTEN: Final = """
import atexit, sys, time

# Registered first, and so called last.
atexit.register(time.sleep, 1.0)
from mixwire import Mixpanel

mp = Mixpanel("T0", transport="buffered", server=sys.argv[1])
mp.track("user-1", "Opened")
del mp
"""


def test_a_forgotten_door_delivers_also_where_warnings_are_errors(judge: Judge) -> None:
    run(FORGOTTEN, judge.url, options=("-W", "error::ResourceWarning"))
    assert judge.counts().events == 1


# What consumers are given, and what they are.


def test_a_token_that_cannot_be_one_keeps_all_of_a_list_from_being_sent(judge: Judge) -> None:
    texts = [{"event": "Opened", "properties": {"token": token}} for token in ("T0", "no token")]
    with Consumer(events_url=judge.url + "/track") as consumer, pytest.raises(MixpanelException):
        consumer.send("events", json.dumps(texts))
    assert judge.counts().requests == 0


def test_after_a_failure_nothing_later_of_its_project_is_tried_whatever_stands_between(judge: Judge) -> None:
    judge.fail_next(Status(503))
    updates = [
        {"$token": token, "$distinct_id": user, "$set": {"plan": plan}}
        for token, user, plan in (("T0", "user-1", "a"), ("T1", "user-2", "a"), ("T0", "user-1", "b"))
    ]
    consumer = Consumer(people_url=judge.url + "/engage", retry_limit=0)
    with consumer, pytest.raises(MixpanelException) as caught:
        consumer.send("people", json.dumps(updates))
    # What is sent again as a whole must not undo what was newer.
    assert judge.profile("user-1") is None
    assert len(caught.value.records) == 2


class Asynchronous:
    def send(self, endpoint: str, json_message: str) -> None: ...

    async def flush(self) -> None: ...


class Generating:
    def send(self, endpoint: str, json_message: str) -> Iterator[str]:
        yield endpoint


@pytest.mark.parametrize(("consumer", "path"), [(Asynchronous(), "consumer.flush"), (Generating(), "consumer.send")])
def test_a_consumer_whose_code_nobody_would_run_is_refused(consumer: object, path: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Mixpanel("T0", consumer)
    assert caught.value.path == path


def test_a_flush_whose_timeout_has_no_name_is_called_without_one() -> None:
    class Flushing:
        def send(self, endpoint: str, json_message: str) -> None: ...

        def flush(self, timeout: float | None = None, /) -> None:
            flushed.append(timeout)

    flushed: list[float | None] = []
    Mixpanel("T0", Flushing()).flush(1.0)
    assert flushed == [None]


# Arguments.

TIMES: Final[list[Any]] = [math.nan, 10**400]


@pytest.mark.parametrize("timeout", TIMES, ids=["nan", "a large int"])
@pytest.mark.parametrize("name", ["flush", "close"])
@pytest.mark.parametrize("make", [lambda: Mixpanel("T0", transport="buffered"), BufferedConsumer])
def test_a_timeout_that_no_clock_reaches_is_refused(make: Callable[[], Any], name: str, timeout: Any) -> None:
    with make() as made, pytest.raises(InvalidValue, match="timeout"):
        getattr(made, name)(timeout=timeout)


@pytest.mark.parametrize("name", ["flush", "close"])
def test_a_timeout_of_a_consumer_that_is_no_number_is_named(name: str) -> None:
    with BufferedConsumer() as consumer, pytest.raises(InvalidValue, match="timeout"):
        getattr(consumer, name)(timeout="1")


def test_a_member_whose_value_cannot_be_read_is_refused_with_its_path() -> None:
    class Plan(Enum):
        PRO = "pro"

        @property
        def value(self) -> Any:
            raise RuntimeError

    with pytest.raises(InvalidValue, match=r"^properties\['plan'\] must be a value with fields that can be read"):
        Mixpanel("T0", transport=MemoryTransport()).track("user-1", "Opened", {"plan": Plan.PRO})


# Files.


@pytest.mark.parametrize(
    ("text", "words"),
    [("a = " + 5000 * "[" + 5000 * "]", "TOML"), ("a = " + 5000 * "1", "TOML")],
    ids=["deep", "a large number"],
)
def test_a_file_that_python_cannot_read_is_told_as_one(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mixwire.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidValue, match=f"mixwire.toml must be {words}"):
        Mixpanel.from_file(tmp_path / "mixwire.toml", {})


def test_an_unknown_key_of_a_file_is_told_on_one_line_that_is_not_too_long(tmp_path: Path) -> None:
    for key in ("a\\nb", 100_000 * "k"):
        (tmp_path / "mixwire.toml").write_text(f'"{key}" = 1', encoding="utf-8")
        with pytest.raises(InvalidValue) as caught:
            Mixpanel.from_file(tmp_path / "mixwire.toml", {})
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("transport", [{"type": "file", "directory": "\ud800"}, "sync:?ca_file=\ud800"])
def test_a_path_that_no_file_can_have_is_a_mistake(transport: Any) -> None:
    with pytest.raises(InvalidValue):
        Mixpanel("T0", transport=transport)


# Secrets.


@pytest.mark.parametrize(
    "data",
    [
        f'token = "{TOKEN}"\n# \xe4'.encode("latin-1"),
        f'transport = "{{\\"type\\": {TOKEN}}}"'.encode(),
        f'transport = "buffered:?spool={TOKEN}%ff"'.encode(),
    ],
    ids=["another encoding", "broken JSON", "broken percent"],
)
def test_nothing_behind_an_exception_holds_the_file(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "mixwire.toml").write_bytes(data)
    with pytest.raises(InvalidValue) as caught:
        Mixpanel.from_file(tmp_path / "mixwire.toml", {})
    assert TOKEN not in everything_in(caught.value)


def test_what_a_server_writes_among_its_headers_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with RawAnswer(
        b"HTTP/1.1 200 OK\r\nan echo of the token " + TOKEN.encode() + b'\r\nX: 1\r\n\r\n{"status": 1}'
    ) as url:
        transport = SyncTransport(Project(TOKEN, server=url), max_tries=1)
        with caplog.at_level(logging.INFO), Mixpanel(TOKEN, transport=transport) as mp:
            mp.track("user-1", "Opened")
    assert caplog.text == ""


CREDENTIALS: Final[list[Credentials | None]] = [None, ProjectSecret("fedcba9876543210fedcba9876543210")]


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["token", "secret"])
def test_a_server_that_repeats_what_it_was_sent_puts_no_secret_in_an_exception(
    credentials: Credentials | None,
) -> None:
    def echo(request: Any) -> Response:
        said = f"{request.authorization} {TOKEN} fedcba9876543210fedcba9876543210"
        return Response(status=500, body=said.encode(), headers=(), complete=True)

    project = Project(TOKEN, credentials=credentials, events="import")
    mp = Mixpanel(TOKEN, transport=SyncTransport(project, post=echo, max_tries=1), events="import")
    with mp, pytest.raises(MixpanelException) as caught:
        mp.track("user-1", "Opened")
    told = everything_in(caught.value)
    assert TOKEN not in told
    assert credentials is None or credentials.secret not in told
    assert "Basic ***" in told


# One sentence.


def test_a_sentence_stays_one_when_each_record_has_a_reason_of_its_own() -> None:
    def refuse(request: Any) -> Response:
        count = len(json.loads(request.body))
        rows = [{"index": index, "field": f"field {index}", "message": "bad"} for index in range(count)]
        said = {"code": 400, "failed_records": rows, "num_records_imported": 0}
        return Response(status=400, body=json.dumps(said).encode(), headers=(), complete=True)

    project = Project("T0", events="import")
    mp = Mixpanel("T0", transport=SyncTransport(project, post=refuse), events="import")
    with mp, pytest.raises(MixpanelException) as caught:
        mp.send(*[Track("Opened", distinct_id="user-1") for _ in range(2000)])
    assert len(caught.value.reasons) == 2000
    assert len(str(caught.value)) < 2000


class RawAnswer:
    """
    A server that gives one answer to one request; its URL.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        with peer:
            while b'"token"' not in peer.recv(65536):
                pass
            peer.sendall(self._answer)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join(10.0)
        self._server.close()
