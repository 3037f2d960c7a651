"""
The documents that users of Mixpanel know show code; it runs here with another import line, and no other change.

Their code blocks lie in `seeds/`, each with a name of ours. What is sent goes over real HTTP to a server on loopback,
which stands for whatever host was asked for. Blocks that are not run:

- The blocks of signatures (``{ .api }``): the document lost their indentation, without which they are no Python. Their
  signatures are compared with those of our methods.
- The command for a shell that installs the official client.
"""

from __future__ import annotations

import gc
import inspect
import json
import re
import time
import tomllib
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType
from typing import IO, Any, Final, TypeAlias
from urllib.parse import urlsplit

import pytest
from attrs import evolve

import mixwire
from mixwire.core import Answer, Request
from mixwire.testing import Judge
from mixwire.transports import Network

HERE: Final = Path(__file__).parent
# The documents themselves, which lie beside the checkout where they may be used; they are not part of this project.
DOCUMENTS: Final = HERE.parent.parent / "shared" / "seeds"
GUIDE: Final = "python-guide"
REFERENCE: Final = "people-analytics"

US: Final = "https://api.mixpanel.com"
EU: Final = "https://api-eu.mixpanel.com"


# --- the blocks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """
    A code block: the document it is in, our name for it, and as the document has them what is said of its language and
    its code.
    """

    seed: str
    name: str
    info: str
    code: str

    def __str__(self) -> str:
        return f"{self.seed}: {self.name}"

    @property
    def moved(self) -> str:
        """
        The code, with our import line.
        """
        code = re.sub(r"^from mixpanel import ", "from mixwire import ", self.code, flags=re.MULTILINE)
        return re.sub(r"^import mixpanel$", "import mixwire as mixpanel", code, flags=re.MULTILINE)


def kept(seed: str) -> list[Block]:
    table = tomllib.loads((HERE / "seeds" / f"{seed}.toml").read_text(encoding="utf-8"))
    return [Block(seed, **block) for block in table["block"]]


BLOCKS: Final = [*kept(GUIDE), *kept(REFERENCE)]
SHELL: Final = [block for block in BLOCKS if block.info == "shell"]
SIGNATURES: Final = [block for block in BLOCKS if ".api" in block.info]
RUN: Final = [block for block in BLOCKS if block.info in ("py", "py Python", "python")]


# --- what each of them sends ----------------------------------------------------------------------------------------

Sent: TypeAlias = tuple[str, dict[str, Any]]
"""A path, and the record that arrives there; what differs from run to run is named by its kind."""

TOKENS: Final = {GUIDE: "YOUR_TOKEN", REFERENCE: "YOUR_PROJECT_TOKEN"}


def event(name: str, **properties: str) -> Sent:
    added = {
        "token": TOKENS[GUIDE],
        "distinct_id": "user-1",
        "time": "<milliseconds>",
        "$insert_id": "<insert_id>",
        "mp_lib": "mixwire",
        "$lib_version": mixwire.__version__,
    }
    return "/track", {"event": name, "properties": {**added, **properties}}


def alias(new: str, original: str) -> Sent:
    properties = {"token": TOKENS[GUIDE], "alias": new, "distinct_id": original}
    return "/track", {"event": "$create_alias", "properties": properties}


def profile(token: str, distinct_id: str, update: dict[str, Any]) -> Sent:
    return "/engage", {"$token": token, "$distinct_id": distinct_id, "$time": "<seconds>", **update}


def group(update: dict[str, Any]) -> Sent:
    whose = {"$token": TOKENS[GUIDE], "$group_key": "Company", "$group_id": "mixpanel", "$time": "<seconds>"}
    return "/groups", {**whose, **update}


def in_guide(distinct_id: str, update: dict[str, Any]) -> Sent:
    return profile(TOKENS[GUIDE], distinct_id, update)


def in_reference(distinct_id: str, update: dict[str, Any]) -> Sent:
    return profile(TOKENS[REFERENCE], distinct_id, update)


NO_PLACE: Final = {"$ignore_time": True, "$ip": "0"}

SENT: Final[dict[str, dict[str, list[Sent]]]] = {
    GUIDE: {
        "client": [],
        "eu": [],
        "track": [
            event("Sent Message"),
            event("Plan Upgraded", **{"Old Plan": "Business", "New Plan": "Premium"}),
        ],
        "alias": [alias("new-1", "anonymous-1"), alias("new-2", "anonymous-1")],
        "people_set": [
            in_guide(
                "12345",
                {
                    "$set": {
                        "$first_name": "John",
                        "$last_name": "Doe",
                        "$email": "john.doe@example.com",
                        "$phone": "5555555555",
                        "Favorite Color": "red",
                    },
                    **NO_PLACE,
                },
            )
        ],
        "people_append": [in_guide("12345", {"$append": {"Favorite Fruits": "Apples"}})],
        "track_of_group": [event("Plan Purchase", **{"Plan Type": "Premium", "Company": "mixpanel"})],
        "people_set_of_group": [
            in_guide(
                "12345",
                {
                    "$set": {
                        "$first_name": "John",
                        "$last_name": "Doe",
                        "Favorite Color": "red",
                        "Company": "Mixpanel",
                    },
                    **NO_PLACE,
                },
            )
        ],
        "group_profile": [group({"$set": {"Company Type": "Analytics", "$name": "Mixpanel"}})],
        "group_set": [group({"$set": {"Company Type": "Analytics", "$name": "Mixpanel"}})],
        "group_set_once": [group({"$set_once": {"Company Type": "Analytics"}})],
        "group_unset": [group({"$unset": ["Company Type"]})],
        "group_union": [group({"$union": {"Features": ["Insights", "Funnels"]}})],
        "group_remove": [
            group({"$set": {"Company Type": ["Hardware", "Analytics"], "$name": "Mixpanel"}}),
            group({"$remove": {"Company Type": "Hardware"}}),
        ],
        "group_delete": [group({"$delete": ""})],
        "log": [],
        # The log is empty where nothing was tracked in between.
        "replay": [],
        "queue": [event("Sent Message"), in_guide("user-1", {"$add": {"Messages Sent": 1}})],
    },
    REFERENCE: {
        "set": [
            in_reference(
                "user_123",
                {
                    "$set": {
                        "$first_name": "John",
                        "$last_name": "Doe",
                        "$email": "john@example.com",
                        "$phone": "+1234567890",
                        "plan": "premium",
                        "signup_date": "2024-01-15",
                        "preferences": "email_notifications",
                    }
                },
            ),
            in_reference(
                "user_123",
                {"$set_once": {"first_login": "2024-01-15", "signup_source": "organic", "initial_plan": "free"}},
            ),
        ],
        "increment": [
            in_reference(
                "user_123",
                {"$add": {"page_views": 1, "session_count": 1, "total_time_spent": 300, "feature_usage": 1}},
            ),
            in_reference("user_456", {"$add": {"credits_remaining": -10, "points_balance": -50}}),
        ],
        "lists": [
            in_reference(
                "user_123",
                {
                    "$append": {
                        "favorite_categories": "electronics",
                        "purchased_items": "laptop_pro_001",
                        "viewed_pages": "/product/smartphone",
                    }
                },
            ),
            in_reference(
                "user_123",
                {"$union": {"interests": ["technology", "gaming", "music"], "tags": ["vip", "early_adopter"]}},
            ),
            in_reference(
                "user_123", {"$remove": {"cart_items": "item_to_remove", "notifications": "promotional_emails"}}
            ),
        ],
        "unset": [in_reference("user_123", {"$unset": ["temp_property", "outdated_preference", "old_email"]})],
        "charges": [
            in_reference(
                "user_123",
                {
                    "$append": {
                        "$transactions": {
                            "$time": "<instant>",
                            "$amount": 99.99,
                            "product_name": "Premium Plan",
                            "plan_duration": "monthly",
                            "currency": "USD",
                            "payment_method": "credit_card",
                            "transaction_id": "txn_abc123",
                        }
                    }
                },
            ),
            in_reference(
                "user_456",
                {
                    "$append": {
                        "$transactions": {
                            "$time": "<instant>",
                            "$amount": -29.99,
                            "refund_reason": "customer_request",
                            "original_transaction": "txn_def456",
                        }
                    }
                },
            ),
            in_reference("user_789", {"$unset": ["$transactions"]}),
        ],
        "delete": [in_reference("user_to_delete", {"$delete": ""})],
        "update": [
            in_reference("user_123", {"$set": {"custom_field": "value"}, "$add": {"score": 10}}),
            in_reference(
                "user_456",
                {"$set": {"status": "premium"}, "$unset": ["temp_field"], "$append": {"actions": "upgraded"}},
            ),
        ],
    },
}

# The calls of the guide on whatever `mp` is: not those that make a client of their own.
CALLS: Final = [
    block.name
    for block in RUN
    if block.seed == GUIDE and block.code.count("Mixpanel(") == 0 and block.code.count("Consumer(") == 0
]


# --- the world in which they run ------------------------------------------------------------------------------------


class Hosts:
    """
    A server on loopback in the place of Mixpanel's hosts, and which of them was asked for each time.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._asked: list[str] = []

    def redirected(self, request: Request) -> Request:
        url = urlsplit(request.url)
        self._asked.append(f"{url.scheme}://{url.netloc}")
        return evolve(request, url=f"{self.judge.url}{url.path}?{url.query}")

    def got(self) -> str:
        """
        The hosts, targets and records, in order, as JSON.
        """
        arrivals = self.judge.arrivals()
        assert all(arrival.is_applied for arrival in arrivals)
        requests = zip(self._asked, arrivals, strict=True)
        return spelled(
            [
                [host, f"{arrival.path}?{arrival.query}", *(by_kind(record.data) for record in arrival.records)]
                for host, arrival in requests
            ]
        )


def expected(host: str, sent: list[Sent]) -> str:
    """
    What a host gets, in the form of `Hosts.got`: one request for each record.
    """
    return spelled([[host, f"{path}?verbose=1&ip=0", record] for path, record in sent])


def spelled(value: object) -> str:
    # As text, because in Python 1 is True and 1.0.
    return json.dumps(value, indent=1, sort_keys=True)


def is_now(seconds: float) -> bool:
    return abs(seconds - time.time()) < 600


# Key, what it must be, what it is then named.
KINDS: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    ("time", lambda value: type(value) is int and is_now(value / 1000), "<milliseconds>"),
    ("$insert_id", lambda value: re.fullmatch("[0-9a-f]{32}", value) is not None, "<insert_id>"),
    ("$time", lambda value: type(value) is int and is_now(value), "<seconds>"),
    (
        "$time",
        lambda value: type(value) is str and is_now(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()),
        "<instant>",
    ),
)


def by_kind(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kinds = {name: kind for name, is_of_kind, kind in KINDS if name in value and is_of_kind(value[name])}
    return {name: kinds.get(name, by_kind(inner)) for name, inner in value.items()}


class QueueIsEmpty(Exception):
    """
    Ends the worker of the guide, which would go on for ever.
    """


class Queue:
    """
    Holds texts, as a queue between machines does.
    """

    def __init__(self) -> None:
        self.jobs: deque[str] = deque()

    def set(self, name: str, job: str) -> None:
        assert (name, type(job)) == ("mixpanel_queue", str)
        self.jobs.append(job)

    def get(self, name: str) -> str:
        assert name == "mixpanel_queue"
        if not self.jobs:
            raise QueueIsEmpty
        return self.jobs.popleft()


class Reader:
    """
    Runs blocks of a document one after the other, as its reader would. Gives them the names that the document leaves
    open, or that it takes from its earlier blocks.
    """

    def __init__(self, seed: str) -> None:
        self._blocks = {block.name: block for block in BLOCKS if block.seed == seed}
        self._files: list[IO[str]] = []
        self.queue = Queue()
        self.encoding: str | None = None
        self.names: dict[str, Any] = {
            "Mixpanel": mixwire.Mixpanel,
            "mixpanel": mixwire,
            "mp": mixwire.Mixpanel(TOKENS[seed]),
            "PROJECT_TOKEN": TOKENS[seed],
            "YOUR_TOKEN": TOKENS[seed],
            "YOUR_QUEUE": self.queue,
            "JSON": json,
            "user_id": "user-1",
            "new_id": "new-1",
            "new_second_id": "new-2",
            "original_anonymous_id": "anonymous-1",
            "open": self._open,
        }

    def run(self, name: str) -> None:
        """
        Run a block. That of the queue ends with `QueueIsEmpty`.
        """
        block = self._blocks[name]
        with pytest.raises(QueueIsEmpty) if name == "queue" else nullcontext():
            exec(compile(block.moved, str(block), "exec"), self.names)

    def close_files(self) -> None:
        """
        Close the files that blocks opened: the guide leaves that to the end of the process.
        """
        for file in self._files:
            file.close()

    def _open(self, name: str, mode: str) -> IO[str]:
        self._files.append(Path(name).open(mode, encoding=self.encoding))  # noqa: SIM115  # see `close_files`
        return self._files[-1]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hosts]:
    """
    Turns every request to the loopback server, at the one place that all of them pass. The file of the log is made in a
    directory of its own.
    """
    monkeypatch.chdir(tmp_path)
    within = Network.within
    with Judge() as judge:
        hosts = Hosts(judge)

        def turned(network: Network, request: Request, seconds: float) -> Answer:
            return within(network, hosts.redirected(request), seconds)

        monkeypatch.setattr(Network, "within", turned)
        yield hosts


@pytest.fixture
def read(hosts: Hosts) -> Iterator[Callable[[str], Reader]]:
    """
    Opens a document.
    """
    readers: list[Reader] = []

    def opened(seed: str) -> Reader:
        readers.append(Reader(seed))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.close_files()


# --- the tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [block for block in RUN if block.name not in ("log", "replay", "queue")], ids=str)
def test_a_block_sends_what_it_says(block: Block, read: Callable[[str], Reader], hosts: Hosts) -> None:
    read(block.seed).run(block.name)

    assert hosts.got() == expected(US, SENT[block.seed][block.name])


def test_the_first_client_of_the_guide_sends_to_the_us(read: Callable[[str], Reader], hosts: Hosts) -> None:
    guide = read(GUIDE)
    del guide.names["mp"]
    guide.run("client")
    guide.run("people_append")

    assert hosts.got() == expected(US, SENT[GUIDE]["people_append"])


def test_with_eu_residency_every_call_of_the_guide_goes_to_the_eu(read: Callable[[str], Reader], hosts: Hosts) -> None:
    guide = read(GUIDE)
    guide.run("eu")
    guide.names["mp"] = guide.names["mp_eu"]
    for name in CALLS:
        guide.run(name)

    assert hosts.got() == expected(EU, [sent for name in CALLS for sent in SENT[GUIDE][name]])


def test_what_the_log_file_consumer_wrote_is_sent_by_its_replay_byte_for_byte(
    read: Callable[[str], Reader], hosts: Hosts
) -> None:
    guide = read(GUIDE)
    guide.run("log")
    guide.names["mp"] = guide.names["logging_mp"]
    for name in CALLS:
        guide.run(name)
    guide.close_files()
    assert hosts.judge.arrivals() == ()

    guide.run("replay")

    assert hosts.got() == expected(US, [sent for name in CALLS for sent in SENT[GUIDE][name]])
    lines = Path("MIXPANEL_LOG.txt").read_text(encoding="utf-8").splitlines()
    bodies = [arrival.body.decode() for arrival in hosts.judge.arrivals()]
    assert bodies == [f"[{message}]" for _, message in (line.split("::", 1) for line in lines)]


def test_the_log_file_consumer_takes_any_text_where_files_are_ascii(
    read: Callable[[str], Reader], hosts: Hosts
) -> None:
    guide = read(GUIDE)
    guide.encoding = "ascii"
    guide.run("log")
    guide.names["logging_mp"].people_set("user-1", {"Name": "Zo\u00eb \U0001f980"})
    guide.close_files()

    guide.run("replay")

    assert hosts.got() == expected(US, [in_guide("user-1", {"$set": {"Name": "Zo\u00eb \U0001f980"}})])


def test_the_worker_sends_what_the_queue_consumer_put_into_the_queue(
    read: Callable[[str], Reader], hosts: Hosts
) -> None:
    guide = read(GUIDE)

    guide.run("queue")

    assert hosts.got() == expected(US, SENT[GUIDE]["queue"])


def test_with_the_queue_consumer_every_call_of_the_guide_goes_into_the_queue(
    read: Callable[[str], Reader], hosts: Hosts
) -> None:
    guide = read(GUIDE)
    guide.run("queue")
    sent_by_worker = hosts.got()

    for name in CALLS:
        guide.run(name)

    assert hosts.got() == sent_by_worker
    jobs = [json.loads(job) for job in guide.queue.jobs]
    paths = {"events": "/track", "people": "/engage", "groups": "/groups"}
    assert spelled([[paths[endpoint], by_kind(json.loads(text))] for endpoint, text in jobs]) == spelled(
        [sent for name in CALLS for sent in SENT[GUIDE][name]]
    )


def documented(block: Block) -> list[FunctionType]:
    """
    Functions with the signatures in a block; a line holds each.
    """
    made: dict[str, Any] = {}
    for line in re.findall(r"^def .*:$", block.code, re.MULTILINE):
        exec(f"{line} ...", made)
    return [each for each in made.values() if isinstance(each, FunctionType)]


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("block", SIGNATURES, ids=str)
def test_our_methods_take_what_the_signatures_of_the_reference_say(block: Block) -> None:
    functions = documented(block)

    assert len(functions) == block.code.count("Returns:\n\nNone") == block.code.count("def ")
    for function in functions:
        ours = getattr(mixwire.Mixpanel, function.__name__)
        assert parameters(ours)[1:] == parameters(function), function.__name__
        assert inspect.signature(ours).return_annotation == "None"


@pytest.mark.parametrize("block", SIGNATURES, ids=str)
def test_a_block_of_signatures_lost_the_indentation_without_which_it_is_no_python(block: Block) -> None:
    with pytest.raises(IndentationError, match="expected an indented block after function definition"):
        compile(block.code, str(block), "exec")


@pytest.mark.parametrize("seed", [GUIDE, REFERENCE])
def test_a_document_runs_from_its_first_block_to_its_last_and_leaves_nothing_open(seed: str, hosts: Hosts) -> None:
    blocks = [block for block in RUN if block.seed == seed]
    with warnings.catch_warnings(record=True, action="always") as warned:
        reader = Reader(seed)
        for block in blocks:
            reader.run(block.name)
            reader.close_files()

        del reader
        gc.collect()

    assert hosts.got() == expected(US, [sent for block in blocks for sent in SENT[seed][block.name]])
    assert warned == []


def test_every_block_is_run_or_compared_but_the_one_for_a_shell() -> None:
    assert [(block.name, block.code) for block in SHELL] == [("install", "pip install mixpanel")]
    assert {seed: list(sent) for seed, sent in SENT.items()} == {
        seed: [block.name for block in RUN if block.seed == seed] for seed in (GUIDE, REFERENCE)
    }
    counts = {
        seed: [sum(block.seed == seed for block in blocks) for blocks in (RUN, SIGNATURES, SHELL, BLOCKS)]
        for seed in (GUIDE, REFERENCE)
    }
    assert counts == {GUIDE: [18, 0, 1, 19], REFERENCE: [7, 7, 0, 14]}
    assert len({(block.seed, block.name) for block in BLOCKS}) == len(BLOCKS)


def test_nothing_but_the_import_line_of_a_block_is_changed() -> None:
    changed = [
        (before, after)
        for block in RUN
        for before, after in zip(block.code.split("\n"), block.moved.split("\n"), strict=True)
        if before != after
    ]
    assert set(changed) == {
        ("from mixpanel import Mixpanel", "from mixwire import Mixpanel"),
        ("import mixpanel", "import mixwire as mixpanel"),
    }
    assert len(changed) == sum(len(re.findall(r"^\s*(?:from|import)\b", block.code, re.MULTILINE)) for block in RUN)


FENCED: Final = r"^```(?P<info>.*)\n(?P<code>(?:.*\n)*?)```$"
IN_JSON: Final = r"^\[block:code\]\n(?P<json>(?:.*\n)*?)\[/block\]$"


def blocks_of(document: str) -> list[tuple[str, str]]:
    """
    The code blocks of a document: what is said of the language, and the code.
    """
    found: list[tuple[str, str]] = []
    for match in re.finditer(f"{FENCED}|{IN_JSON}", document, re.MULTILINE):
        if match["json"] is None:
            found.append((match["info"], match["code"].removesuffix("\n")))
        else:
            found += [(each["language"], each["code"]) for each in json.loads(match["json"])["codes"]]
    return found


if DOCUMENTS.exists():

    @pytest.mark.parametrize("seed", [GUIDE, REFERENCE])
    def test_the_kept_blocks_are_those_of_the_document(seed: str) -> None:
        document = (DOCUMENTS / f"{seed}.txt").read_text(encoding="utf-8")
        found = blocks_of(document)

        assert len(found) == document.count("\n```") // 2 + document.count("\n[block:code]\n")
        # The guide has an empty fence after some blocks, for a second tab that shows nothing.
        assert [each for each in found if each != ("", "")] == [(block.info, block.code) for block in kept(seed)]
