from __future__ import annotations

import json
import random
from zlib import crc32

import pytest

from mixwire.core.errors import InvalidValue
from mixwire.core.frames import (
    MAX_LINE_BYTES,
    Footing,
    Header,
    Line,
    Mark,
    MarkKind,
    Note,
    first_line,
    frame,
    header_line,
    mark_line,
    read_header,
    read_mark,
    read_message,
    scan,
)
from mixwire.core.messages import Endpoint, Message

NOW = 1_767_225_600_000
EVENT = Message(Endpoint.TRACK, '{"event":"A","properties":{"text":"é"}}'.encode(), ("u1",), time=NOW)
UPDATE = Message(Endpoint.ENGAGE, b'{"$add":{"n":1}}', ("u1", "u2"), repeatable=False)
GROUP = Message(Endpoint.GROUPS, b'{"$set":{"n":1}}', (("Company", "acme"),))
ALIAS = Message(Endpoint.IMPORT, b'{"event":"$merge","properties":{}}', (), barrier=True)
ALL = (EVENT, UPDATE, GROUP, ALIAS)
HEADER = Header(writer="1a2b3c4d", created=NOW, project="0123456789abcdef")
FILE = header_line(HEADER) + b"".join(map(frame, ALL))


def messages(window: bytes, **arguments: object) -> list[Message]:
    found = scan(window, **arguments)  # type: ignore[arg-type]
    read = [read_message(line.content) for line in found.lines]
    return [each[0] for each in read if each is not None]


def envelope(content: bytes) -> bytes:
    checked = b'"size":%d,%b' % (len(content), content)
    return b'{"crc":"%08x",%b\n' % (crc32(checked), checked)


@pytest.mark.parametrize("message", ALL, ids=repr)
@pytest.mark.parametrize("note", [None, Note(), Note('400 "bad"', "properties.time", "ANSWER_LOST")], ids=str)
def test_a_message_comes_back_as_it_was(message: Message, note: Note | None) -> None:
    line = frame(message, note)
    (read,) = scan(line).lines
    assert (read.start, read.end) == (0, len(line))
    found = read_message(read.content)
    assert found == (message, note)
    assert found[0].body == message.body


def test_a_line_is_the_documented_json() -> None:
    line = frame(EVENT, Note("400", "time"))
    rest = line.split(b",", 2)[2]
    assert json.loads(line) == {
        "crc": f"{crc32(line[18:-1]):08x}",
        "size": len(rest) - 1,
        "endpoint": "track",
        "keys": ["u1"],
        "repeatable": True,
        "barrier": False,
        "time": NOW,
        "reason": "400",
        "field": "time",
        "cause": "",
        "body": EVENT.to_wire(),
    }
    assert line.count(b"\n") == 1


def test_a_body_with_a_line_break_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"^message\.body must be one line of JSON, not several$"):
        frame(Message(Endpoint.TRACK, b'{\n"event":1}', ()))


def test_a_line_that_could_not_be_read_back_is_refused() -> None:
    with pytest.raises(InvalidValue, match="message must be at most 2,099,998 bytes as a line, not"):
        frame(Message(Endpoint.TRACK, b'{"a":"%b"}' % (b"x" * MAX_LINE_BYTES), ()))


def test_the_first_body_member_is_the_real_one() -> None:
    key = 'u","body":{"forged":1},"x":"'
    message = Message(Endpoint.TRACK, b'{"a":{"x":1,"body":{"forged":2}}}', (key, (key, key)))
    (line,) = scan(frame(message, Note(',"body":{}'))).lines
    assert read_message(line.content) == (message, Note(',"body":{}'))


@pytest.mark.parametrize(
    "content",
    [
        b'"endpoint":"track","keys":[],"repeatable":true,"barrier":false,"time":null,"body":{}',
        b'"endpoint":"track","keys":[],"repeatable":true,"barrier":false,"time":null}',
        b'"endpoint":"track","keys":[],"repeatable":true,"barrier":false,"time":null,"body":[]}',
        b'"endpoint":"disk","keys":[],"repeatable":true,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":["track"],"keys":[],"repeatable":true,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":"track","keys":{},"repeatable":true,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":"track","keys":[1],"repeatable":true,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":"track","keys":[["a"]],"repeatable":true,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":"track","keys":[["a",1]],"repeatable":true,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":"track","keys":[],"repeatable":1,"barrier":false,"time":null,"body":{}}',
        b'"endpoint":"track","keys":[],"repeatable":true,"barrier":null,"time":null,"body":{}}',
        b'"endpoint":"track","keys":[],"repeatable":true,"barrier":false,"time":true,"body":{}}',
        b'"endpoint":"track","keys":[],"repeatable":true,"barrier":false,"time":null,"reason":1,"body":{}}',
        b"",
    ],
)
def test_row_92_a_line_that_says_no_message_gives_none(content: bytes) -> None:
    assert read_message(content) is None


# Damage.


def test_row_36_cut_anywhere_there_are_the_messages_that_end_before_the_cut() -> None:
    ends = [line.end for line in scan(FILE).lines]
    for cut in range(len(FILE) + 1):
        for is_last in (False, True):
            found = scan(FILE[:cut], is_last=is_last)
            assert [line.end for line in found.lines] == [end for end in ends if end <= cut]
            assert (found.damaged, found.footing) == (0, Footing.FIRM)
            whole = max((end for end in ends if end <= cut), default=0)
            assert found.next == (cut if is_last else whole)
            assert found.damage == ([(whole, cut)] if is_last and cut > whole else [])


def test_row_36_a_file_in_pieces_gives_the_same_messages() -> None:
    for step in (1, 7, 100):
        found: list[Line] = []
        at, have = 0, 0
        while have < len(FILE):
            have = min(have + step, len(FILE))
            part = scan(FILE[at:have], base=at)
            found += part.lines
            at = part.next
        assert found == scan(FILE).lines


def test_row_37_one_flipped_bit_loses_at_most_one_message_and_forges_none() -> None:
    whole = scan(FILE)
    for at in range(len(FILE)):
        for bit in range(8):
            damaged = bytearray(FILE)
            damaged[at] ^= 1 << bit
            found = scan(bytes(damaged), is_last=True)
            hit = next(line for line in whole.lines if line.start <= at < line.end)
            expected = whole.lines if at == hit.end - 1 else [line for line in whole.lines if line is not hit]
            assert found.lines == expected
            assert found.damaged == (at != hit.end - 1)


def test_row_37_a_damaged_newline_at_the_end_of_what_is_there_costs_nothing() -> None:
    damaged = frame(EVENT)[:-1] + b"?"
    assert messages(damaged) == [EVENT]
    assert messages(damaged + frame(UPDATE)) == [EVENT, UPDATE]


@pytest.mark.parametrize("size", [b"4294967295", b"9999999", b"0", b"-1", b"0000009"])
@pytest.mark.parametrize("is_last", [False, True])
def test_row_38_a_wrong_size_is_damage_at_once(size: bytes, is_last: bool) -> None:
    broken = b'{"crc":"00000000","size":%b,"endpoint":"track"' % size
    found = scan(broken, is_last=is_last)
    assert (found.lines, found.damaged, found.next, found.footing) == ([], 1, len(broken), Footing.LOST)
    found = scan(broken + b"\n" + frame(EVENT), is_last=is_last)
    assert (len(found.lines), found.damaged) == (1, 1)


@pytest.mark.parametrize("tail", [bytes(5000), b"\xff" * 5000, random.Random(1).randbytes(5000).replace(b"\n", b"")])
def test_row_38_a_tail_of_zeros_or_garbage_is_damage_and_goes_on_until_a_newline(tail: bytes) -> None:
    found = scan(FILE + tail)
    assert found.lines == scan(FILE).lines
    assert (found.damage, found.damaged) == ([(len(FILE), len(FILE) + len(tail))], 1)
    assert found.footing is Footing.LOST
    later = scan(tail + b"\n" + frame(EVENT), base=found.next, footing=found.footing)
    assert later.lines[0].start == found.next + len(tail) + 1
    assert later.damaged == 0


def test_row_38_random_bytes_give_nothing() -> None:
    chance = random.Random(2)
    for _ in range(300):
        junk = chance.randbytes(chance.randrange(2000))
        found = scan(junk, is_last=True)
        assert found.lines == []
        assert found.next == len(junk)
        assert found.damage[-1:] == ([(found.damage[-1][0], len(junk))] if junk else [])


def hidden(message: Message) -> Message:
    """
    A message whose payload holds the line of another, as an object and as a string.
    """
    line = frame(message)
    return Message(Endpoint.TRACK, b'{"a":[0,%b],"b":%b}' % (line[:-1], json.dumps(line.decode()).encode()), ("u2",))


def test_row_39_a_line_in_a_payload_is_never_taken_for_a_message() -> None:
    outer = hidden(UPDATE)
    content = frame(EVENT) + frame(outer) + frame(GROUP)
    assert messages(content) == [EVENT, outer, GROUP]
    start, end = len(frame(EVENT)), len(frame(EVENT)) + len(frame(outer))
    for at in range(start, end):
        for value in (b"\n", b"\0", b"{"):
            if content[at : at + 1] != value:
                assert messages(content[:at] + value + content[at + 1 :]) == [
                    EVENT,
                    *([outer] * (at == end - 1)),
                    GROUP,
                ]


def test_row_39_what_starts_after_a_false_newline_has_to_end_with_a_true_one() -> None:
    inner = frame(UPDATE)[:-1]
    broken = b'{"crc":"00000000","size":99,"a":[0,\n%b]}\n' % inner
    assert messages(broken + frame(GROUP)) == [GROUP]
    assert scan(broken + frame(GROUP)).damaged == 2


def test_a_line_after_a_false_newline_may_be_awaited() -> None:
    line = frame(EVENT)
    assert scan(line[:30], footing=Footing.REGAINED).next == 0
    assert messages(line, footing=Footing.REGAINED) == [EVENT]
    assert messages(line[:-1] + b"?", footing=Footing.REGAINED) == []


# Headers.


def test_a_header_comes_back_as_it_was() -> None:
    assert first_line(FILE) == HEADER
    assert first_line(header_line(Header(writer="w", created=1))) == Header(writer="w", created=1, project=None)
    assert json.loads(header_line(HEADER))["format"] == "mixwire-spool"


def test_row_53_another_version_is_known_as_such() -> None:
    assert first_line(header_line(Header(version=2))) == Header(version=2)
    assert first_line(b'{"format":"mixwire-spool","version":3,"new":[]}\nwhatever') == Header(version=3)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        bytes(100),
        b"[1]\n",
        b'{"format":"mixwire-spool","version":1}\n',
        b'{"format":"mixwire-spool","version":"2"}\n',
        b'{"format":"another","version":2}\n',
        header_line(HEADER).replace(b'"version":1', b'"version":3'),
        envelope(b'"format":"mixwire-spool","version":1,"writer":1,"created":1,"project":null}'),
        envelope(b'"format":"mixwire-spool","version":1,"writer":"w","created":"1","project":null}'),
        envelope(b'"format":"mixwire-spool","version":1,"writer":"w","created":1,"project":1}'),
        envelope(b'"format":"mixwire-spool","version":true}'),
        envelope(b'"format":"another","version":1}'),
        frame(EVENT),
        b"x\n" + FILE,
    ],
)
def test_a_damaged_header_is_none(line: bytes) -> None:
    assert first_line(line) is None


def test_a_line_that_is_no_header_gives_none() -> None:
    assert read_header(b"broken") is None
    assert read_mark(b"broken") is None


# Marks.


@pytest.mark.parametrize("kind", ["settled", "intended", "retracted"])
def test_a_mark_comes_back_as_it_was(kind: MarkKind) -> None:
    mark = Mark(kind, ((0, 100), (200, 300)))
    (line,) = scan(mark_line(mark)).lines
    assert read_mark(line.content) == mark


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'"settled":[[0,5],[5],[7,6],[-1,3],["1",2],[1,2.5],3,[8,9]]}', Mark("settled", ((0, 5), (8, 9)))),
        (b'"settled":5}', None),
        (b'"other":[[0,5]]}', None),
    ],
)
def test_ranges_that_make_no_sense_are_left_out(content: bytes, expected: Mark | None) -> None:
    assert read_mark(content) == expected
