"""
Consumers of the caller's: what they are given, and who is no consumer.
"""

from __future__ import annotations

import json
import operator
import sys
import types
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest

from mixwire import Consumer, Mixpanel, MixpanelException
from mixwire.core import (
    Alias,
    Cause,
    Endpoint,
    GroupOp,
    InvalidValue,
    Merge,
    Message,
    Operation,
    Outcome,
    PeopleOp,
    Project,
    Set,
    Track,
    encode,
)
from mixwire.hand_over import ENDPOINTS, ConsumerTransport
from mixwire.transports import Stats

PAST: Final = 1767225600
PROJECT: Final = Project("token")
OPERATIONS: Final[tuple[Operation, ...]] = (
    Track("Opened", distinct_id="user-1", time=PAST, insert_id="1"),
    Merge("user-1", "user-2"),
    PeopleOp("user-1", Set({"plan": "pro"})),
    GroupOp("Company", "acme", Set({"plan": "pro"})),
    Alias(alias="user-1", distinct_id="device-1"),
)
NAMES: Final = ["events", "imports", "people", "groups", "events"]


def messages() -> tuple[Message, ...]:
    return tuple(encode(operation, PROJECT) for operation in OPERATIONS)


class Kept:
    """
    The base of consumers that keep what they are given.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []


class TwoArguments(Kept):
    def send(self, endpoint: str, json_message: str) -> None:
        self.calls.append((endpoint, json_message))


class ThreeArguments(Kept):
    def send(self, endpoint: str, json_message: str, api_key: Any = None) -> None:
        self.calls.append((endpoint, json_message, api_key))


class FourArguments(Kept):
    def send(self, endpoint: str, json_message: str, api_key: Any = None, api_secret: Any = None) -> None:
        self.calls.append((endpoint, json_message, api_key))
        assert api_secret is None


class AnyArguments(Kept):
    def send(self, *arguments: Any) -> None:
        self.calls.append(arguments)


class AllArguments(Kept):
    def send(self, *arguments: Any, **options: Any) -> None:
        assert not options
        self.calls.append(arguments)


class NamedExtras(Kept):
    def send(self, endpoint: str, json_message: str, *, urgent: bool = False) -> None:
        assert not urgent
        self.calls.append((endpoint, json_message))


class RequiredThird(Kept):
    def send(self, endpoint: str, json_message: str, api_key: Any) -> None:
        self.calls.append((endpoint, json_message, api_key))


class PositionOnly(Kept):
    def send(self, endpoint: str, json_message: str, api_key: Any = None, /) -> None:
        self.calls.append((endpoint, json_message, api_key))


class OtherNames(Kept):
    def send(self, where: str, what: str, key: Any = None) -> None:
        self.calls.append((where, what, key))


class Static(Kept):
    kept: Final[list[tuple[Any, ...]]] = []

    def __init__(self) -> None:
        self.kept.clear()
        self.calls = self.kept

    @staticmethod
    def send(endpoint: str, json_message: str, api_key: Any = None) -> None:
        Static.kept.append((endpoint, json_message, api_key))


class Attribute(Kept):
    """
    Its ``send`` is no method.
    """

    def __init__(self) -> None:
        super().__init__()
        self.send: Callable[..., object] = lambda *arguments: self.calls.append(arguments)


class CallableAttribute(Kept):
    class Sender:
        def __init__(self, calls: list[tuple[Any, ...]]) -> None:
            self.calls = calls

        def __call__(self, endpoint: str, json_message: str) -> None:
            self.calls.append((endpoint, json_message))

    def __init__(self) -> None:
        super().__init__()
        self.send = self.Sender(self.calls)


WITH_KEYS: Final = (
    ThreeArguments,
    FourArguments,
    AnyArguments,
    AllArguments,
    RequiredThird,
    PositionOnly,
    OtherNames,
    Static,
    Attribute,
)
WITHOUT_KEYS: Final = (TwoArguments, NamedExtras, CallableAttribute)
name_of: Final = operator.attrgetter("__name__")
every = pytest.mark.parametrize("kind", [*WITH_KEYS, *WITHOUT_KEYS], ids=name_of)


# What they are given.


@every
def test_it_is_given_the_name_of_the_endpoint_and_the_json_in_order(kind: type[Any]) -> None:
    consumer = kind()
    sent = messages()
    ConsumerTransport(consumer).send(*sent)
    assert [call[0] for call in consumer.calls] == NAMES
    assert [call[1] for call in consumer.calls] == [message.body.decode() for message in sent]


@every
def test_it_is_given_str_and_never_bytes(kind: type[Any]) -> None:
    consumer = kind()
    mp = Mixpanel("token", consumer)
    mp.track("user-1", "Öffnete ☃")
    mp.people_set("user-1", {"name": "Zoë"})
    mp.import_data("key", "user-1", "Öffnete", PAST, api_secret="secret")
    assert {type(text) for _, text, *_ in consumer.calls} == {str}
    # Of any encoding may be the file that it is written to.
    assert all(text.isascii() for _, text, *_ in consumer.calls)
    assert json.loads(consumer.calls[0][1])["event"] == "Öffnete ☃"


@pytest.mark.parametrize("kind", WITH_KEYS, ids=name_of)
def test_an_import_comes_with_key_and_secret_as_a_tuple(kind: type[Any]) -> None:
    consumer = kind()
    mp = Mixpanel("token", consumer)
    mp.import_data("key", "user-1", "Opened", PAST, api_secret="secret")
    mp.import_data("key", "user-1", "Opened", PAST)
    mp.merge(None, "user-1", "user-2", api_secret="secret")
    mp.import_data(None, "user-1", "Opened", PAST)
    assert [(call[0], call[2]) for call in consumer.calls] == [
        ("imports", ("key", "secret")),
        ("imports", ("key", None)),
        ("imports", (None, "secret")),
        ("imports", (None, None)),
    ]


@pytest.mark.parametrize("kind", WITHOUT_KEYS, ids=name_of)
def test_one_that_takes_no_key_is_given_none(kind: type[Any]) -> None:
    consumer = kind()
    Mixpanel("token", consumer).import_data("key", "user-1", "Opened", PAST, api_secret="secret")
    (call,) = consumer.calls
    assert call[0] == "imports"
    assert len(call) == 2
    assert "secret" not in call[1]


@pytest.mark.parametrize("kind", [AnyArguments, AllArguments, Attribute], ids=name_of)
def test_all_but_imports_come_with_two_arguments(kind: type[Any]) -> None:
    consumer = kind()
    transport = ConsumerTransport(consumer)
    transport.send_with(messages(), ("key", "secret"))
    assert [len(call) for call in consumer.calls] == [2, 3, 2, 2, 2]


def test_one_that_must_have_a_third_argument_is_given_none_with_all_but_imports() -> None:
    consumer = RequiredThird()
    ConsumerTransport(consumer).send_with(messages(), ("key", "secret"))
    assert [call[2] for call in consumer.calls] == [None, ("key", "secret"), None, None, None]


def test_a_function_that_says_nothing_of_its_arguments_is_given_two_and_three_with_an_import() -> None:
    class Written:
        send = getattr  # in C: it raises with two arguments, and takes a third one for what it would raise about

    transport = ConsumerTransport(Written())
    event, merge, *_ = messages()
    assert transport.send(merge).is_success
    with pytest.raises(AttributeError):
        transport.send(event)


def consumer_mock() -> Any:
    """
    A mock that takes the arguments of a consumer and no others.
    """
    return create_autospec(Consumer, instance=True)


@pytest.mark.parametrize("make", [Mock, MagicMock, consumer_mock], ids=name_of)
def test_a_mock_is_a_consumer(make: Callable[[], Any]) -> None:
    consumer = make()
    with Mixpanel("token", consumer) as mp:
        mp.track("user-1", "Opened")
        mp.import_data("key", "user-1", "Opened", PAST)
    (endpoint, text), (imports, _, keys) = (call.args for call in consumer.send.call_args_list)
    assert (endpoint, imports, keys) == ("events", "imports", ("key", None))
    assert type(text) is str


def test_a_module_with_a_function_send_is_a_consumer() -> None:
    module = types.ModuleType("consumer")
    calls: list[tuple[str, str]] = []
    module.send = lambda endpoint, json_message: calls.append((endpoint, json_message))  # type: ignore[attr-defined]
    ConsumerTransport(module).send(messages()[0])
    assert calls[0][0] == "events"


def test_a_consumer_that_is_false_is_a_consumer() -> None:
    class Listing(list[str]):
        def send(self, endpoint: str, json_message: str) -> None:
            self.append(endpoint)

    consumer = Listing()
    assert not consumer
    mp = Mixpanel("token", consumer)
    mp.track("user-1", "Opened")
    mp.alias("user-1", "device-1")
    assert consumer == ["events", "events"]


def test_every_endpoint_has_a_name() -> None:
    assert set(ENDPOINTS.values()) == set(Endpoint)


# What it does and what comes of it.


def test_what_it_takes_is_delivered() -> None:
    transport = ConsumerTransport(TwoArguments())
    sent = messages()
    assert transport.send(*sent) == Outcome(delivered=sent)
    assert transport.stats() == Stats(accepted=5, delivered=5)
    assert transport.send() == Outcome()


@pytest.mark.parametrize("returned", [None, False, True, 0, "failed"], ids=repr)
def test_what_it_returns_is_not_looked_at(returned: object) -> None:
    class Returning:
        def send(self, endpoint: str, json_message: str) -> object:
            return returned

    Mixpanel("token", Returning()).track("user-1", "Opened")


@pytest.mark.parametrize("error", [MixpanelException("full"), OSError("disk"), KeyboardInterrupt()], ids=repr)
def test_what_it_raises_goes_through_as_it_is(error: BaseException) -> None:
    class Raising:
        def send(self, endpoint: str, json_message: str, api_key: Any = None) -> None:
            raise error

    mp = Mixpanel("token", Raising())
    for call in (
        lambda: mp.track("user-1", "Opened"),
        lambda: mp.people_set("user-1", {"plan": "pro"}),
        lambda: mp.import_data(None, "user-1", "Opened", PAST),
    ):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


def test_what_it_did_not_take_is_not_counted() -> None:
    class Choosy:
        def send(self, endpoint: str, json_message: str) -> None:
            if endpoint == "people":
                raise OSError

    transport = ConsumerTransport(Choosy())
    with pytest.raises(OSError):  # noqa: PT011  # it is bare
        transport.send(*messages())
    assert transport.stats() == Stats(accepted=2, delivered=2)


def test_what_is_no_message_is_refused_before_anything_is_handed_over() -> None:
    consumer = TwoArguments()
    with pytest.raises(InvalidValue, match=r"^messages\[1\] must be a Message"):
        ConsumerTransport(consumer).send(messages()[0], "text")  # type: ignore[arg-type]
    assert consumer.calls == []


# Flush and close.


class Closable(TwoArguments):
    def flush(self) -> None:
        self.calls.append(("flush",))

    def close(self) -> None:
        self.calls.append(("close",))


def test_flush_calls_that_of_the_consumer() -> None:
    consumer = Closable()
    assert Mixpanel("token", consumer).flush() == Outcome()
    assert consumer.calls == [("flush",)]


def test_close_flushes_the_consumer_once_and_leaves_it_open_for_others() -> None:
    consumer = Closable()
    mp = Mixpanel("token", consumer)
    mp.track("user-1", "Opened")
    assert mp.close() == Outcome()
    mp.close()
    assert [call[0] for call in consumer.calls] == ["events", "flush"]
    Mixpanel("another-token", consumer).track("user-1", "Opened")
    assert [call[0] for call in consumer.calls] == ["events", "flush", "events"]


def test_the_end_of_with_flushes_also_when_there_is_an_error() -> None:
    consumer = Closable()
    with pytest.raises(OSError, match="of the caller"), Mixpanel("token", consumer) as mp:  # noqa: PT012
        mp.track("user-1", "Opened")
        raise OSError("of the caller")
    assert [call[0] for call in consumer.calls] == ["events", "flush"]


def test_one_without_flush_and_close_needs_none() -> None:
    mp = Mixpanel("token", TwoArguments())
    assert mp.flush() == mp.close() == Outcome()


def test_an_attribute_that_cannot_be_called_is_no_flush() -> None:
    consumer = TwoArguments()
    consumer.flush = consumer.close = "never"  # type: ignore[attr-defined]
    mp = Mixpanel("token", consumer)
    mp.flush()
    mp.close()


@pytest.mark.parametrize("name", ["flush", "close"])
def test_what_the_flush_of_the_consumer_raises_goes_through(name: str) -> None:
    consumer = TwoArguments()

    def broken() -> None:
        raise OSError("disk")

    consumer.flush = broken  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="disk"):
        getattr(Mixpanel("token", consumer), name)()


CALLS: Final[dict[str, Callable[[Mixpanel], object]]] = {
    "track": lambda mp: mp.track("user-1", "Opened"),
    "people_set": lambda mp: mp.people_set("user-1", {"plan": "pro"}),
    "group_set": lambda mp: mp.group_set("Company", "acme", {"plan": "pro"}),
    "import_data": lambda mp: mp.import_data(None, "user-1", "Opened", PAST),
    "alias": lambda mp: mp.alias("user-1", "device-1"),
    "merge": lambda mp: mp.merge(None, "user-1", "user-2"),
    "send": lambda mp: mp.send(PeopleOp("user-1", Set({"plan": "pro"}))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_after_close_every_call_says_that_it_came_too_late(call: Callable[[Mixpanel], object]) -> None:
    consumer = TwoArguments()
    mp = Mixpanel("token", consumer)
    mp.close()
    with pytest.raises(MixpanelException, match="failed: the transport had been closed"):
        call(mp)
    assert consumer.calls == []


def test_after_close_the_messages_come_back_as_failed() -> None:
    transport = ConsumerTransport(TwoArguments())
    transport.close()
    outcome = transport.send(*messages())
    assert {each.cause for each in outcome.failed} == {Cause.CLOSED}
    assert transport.stats() == Stats(accepted=5, failed=5)


# Who is no consumer.


class AsyncSend:
    async def send(self, endpoint: str, json_message: str) -> None: ...


class AsyncCall:
    async def __call__(self, endpoint: str, json_message: str) -> None: ...


class AsyncSender:
    send = AsyncCall()


class AsyncParts:
    async def send(self, endpoint: str, json_message: str) -> Any:
        yield


class OneArgument:
    def send(self, everything: str) -> None: ...


class FourRequired:
    def send(self, endpoint: str, json_message: str, api_key: str, api_secret: str) -> None: ...


class NamedRequired:
    def send(self, endpoint: str, json_message: str, *, api_key: str) -> None: ...


class NoCallable:
    send = "text"


FORM: Final = "consumer must be an object with send(endpoint, json_message, api_key=None), not "
OF_ANOTHER_FORM: Final = "consumer.send must be callable as send(endpoint, json_message, api_key), not of another form"
COROUTINE: Final = "consumer.send must be a plain function, not a coroutine function, which nobody would wait for"
PLACE: Final = "test_hand_over."


@pytest.mark.parametrize(
    ("consumer", "sentence"),
    [
        pytest.param("text", FORM + "str, which has none", id="a text"),
        pytest.param(5, FORM + "int, which has none", id="a number"),
        pytest.param(print, FORM + "builtin_function_or_method, which has none", id="a function"),
        pytest.param(object(), FORM + "object, which has none", id="without send"),
        pytest.param(NoCallable(), FORM + PLACE + "NoCallable, which has none", id="send is no function"),
        pytest.param(TwoArguments, FORM + "the class TwoArguments itself", id="a class"),
        pytest.param(AsyncSend(), COROUTINE, id="a coroutine function"),
        pytest.param(AsyncMock(), COROUTINE, id="an async mock"),
        pytest.param(OneArgument(), OF_ANOTHER_FORM, id="one argument"),
        pytest.param(FourRequired(), OF_ANOTHER_FORM, id="four required arguments"),
        pytest.param(NamedRequired(), OF_ANOTHER_FORM, id="a required argument with a name"),
    ],
)
def test_what_is_no_consumer_is_refused_at_once(consumer: object, sentence: str) -> None:
    for make in (ConsumerTransport, lambda consumer: Mixpanel("token", consumer)):
        with pytest.raises(InvalidValue) as caught:
            make(consumer)
        assert str(caught.value) == sentence


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("kind", [AsyncSender, AsyncParts], ids=name_of)
def test_what_nobody_would_wait_for_is_refused_in_whatever_form_it_comes(kind: type[Any]) -> None:
    with pytest.raises(InvalidValue, match=r"^consumer\.send must be a plain function"):
        Mixpanel("token", kind()).track("user-1", "Opened")


if sys.version_info >= (3, 14):  # before that, annotations are evaluated where they stand

    def test_names_in_annotations_that_only_type_checkers_know_do_no_harm() -> None:
        space: dict[str, Any] = {}
        exec("class Mine:\n    def send(self, endpoint: Unknown, json_message: str): ...\n", space)
        assert ConsumerTransport(space["Mine"]()).send(*messages()).is_success
