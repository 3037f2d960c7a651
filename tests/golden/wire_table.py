"""
The golden table of the wire: operation, endpoint, and the exact JSON text of the message, all for the token ``TOKEN``.

Read it with ``runpy.run_path(...)["ROWS"]``: encoding an operation gives the text, and a server reads it back.
"""

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

from attrs import frozen

from mixwire.core import (
    VERSION,
    Add,
    Alias,
    Append,
    Charge,
    ClearCharges,
    Delete,
    Endpoint,
    GroupOp,
    Identify,
    Merge,
    PeopleOp,
    RawGroupOp,
    RawPeopleOp,
    Remove,
    Set,
    SetOnce,
    Track,
    Union,
    Unset,
    UpdateOptions,
)


class Plan(Enum):
    PRO = "pro"


@frozen
class Item:
    sku: str
    price: Decimal


@dataclass
class Place:
    city: str
    zip: int | None = None


SECONDS = 1767225600
MILLISECONDS = 1767225600123
ANON = "0b2d3c4e-5f60-4a1b-8c2d-3e4f5a6b7c8d"
PLUS_TWO = timezone(timedelta(hours=2))

LIB = f'"mp_lib":"mixwire","$lib_version":"{VERSION}"'
STAMP = f'"time":{SECONDS},"$insert_id":"a1"'
SIGNUP = '{"event":"Signup","properties":{"distinct_id":"user-1",'
PEOPLE = '{"$token":"TOKEN","$distinct_id":"user-1",'
GROUP = '{"$token":"TOKEN","$group_key":"Company","$group_id":"acme",'
FULL = UpdateOptions(ip="203.0.113.9", ignore_time=True, ignore_alias=True, latitude=52.5, longitude=-13)


def signup(properties, time=SECONDS):
    return Track("Signup", distinct_id="user-1", properties=properties, time=time, insert_id="a1")


def people(*changes, **beside):
    return PeopleOp("user-1", *changes, **beside)


def group(*changes, **beside):
    return GroupOp("Company", "acme", *changes, **beside)


EVENTS = {
    "no properties": (signup({}), f'{SIGNUP}{STAMP},{LIB},"token":"TOKEN"}}}}'),
    "milliseconds": (
        signup({}, MILLISECONDS),
        f'{SIGNUP}"time":1767225600123,"$insert_id":"a1",{LIB},"token":"TOKEN"}}}}',
    ),
    "datetime as time": (
        signup({}, datetime(2026, 1, 1, 2, tzinfo=PLUS_TWO)),
        f'{SIGNUP}"time":1767225600000,"$insert_id":"a1",{LIB},"token":"TOKEN"}}}}',
    ),
    "plain values": (
        signup(
            {"s": "x", "empty": "", "i": -7, "big": 2**64 - 1, "f": 0.1, "e": 1.5e-7, "z": -0.0, "t": True, "n": None}
        ),
        (
            f"{SIGNUP}{STAMP},{LIB},"
            '"s":"x","empty":"","i":-7,"big":18446744073709551615,"f":0.1,"e":1.5e-7,"z":-0.0,"t":true,"n":null,"token":"TOKEN"}}'
        ),
    ),
    "containers": (
        signup(
            {
                "list": [1, "a", [None]],
                "tuple": (1, 2),
                "none": [],
                "set": {"b", "a"},
                "frozenset": frozenset({3, 1}),
                "dict": {"a": {"b": {}}},
                "ordered": OrderedDict(z=1, a=2),
                "default": defaultdict(int, a=1),
                "counter": Counter("aab"),
            }
        ),
        (
            f'{SIGNUP}{STAMP},{LIB},"list":[1,"a",[null]],"tuple":[1,2],"none":[],"set":["a","b"],"frozenset":[1,3],'
            '"dict":{"a":{"b":{}}},"ordered":{"z":1,"a":2},"default":{"a":1},"counter":{"a":2,"b":1},"token":"TOKEN"}}'
        ),
    ),
    "mapped values": (
        signup(
            {
                "utc": datetime(2026, 1, 1, 12, 30, tzinfo=UTC),
                "aware": datetime(2026, 1, 1, 1, tzinfo=PLUS_TWO),
                "naive": datetime(2026, 1, 1, 12, 30, 0, 5),  # noqa: DTZ001
                "date": date(2026, 1, 1),
                "whole": Decimal("20.00"),
                "decimal": Decimal("19.99"),
                "uuid": UUID(ANON.upper()),
                "enum": Plan.PRO,
                "attrs": Item("a", Decimal("0.5")),
                "dataclass": Place("Oslo"),
            }
        ),
        (
            f'{SIGNUP}{STAMP},{LIB},"utc":"2026-01-01T12:30:00","aware":"2025-12-31T23:00:00",'
            f'"naive":"2026-01-01T12:30:00.000005","date":"2026-01-01","whole":20,"decimal":19.99,"uuid":"{ANON}",'
            '"enum":"pro","attrs":{"sku":"a","price":0.5},"dataclass":{"city":"Oslo","zip":null},"token":"TOKEN"}}'
        ),
    ),
    "nobody": (
        Track("Signup", distinct_id="", time=SECONDS, insert_id="a1"),
        f'{{"event":"Signup","properties":{{"distinct_id":"",{STAMP},{LIB},"token":"TOKEN"}}}}',
    ),
    "only user and device": (
        Track("Signup", properties={"$user_id": "u", "$device_id": "d"}, time=SECONDS, insert_id="a1"),
        f'{{"event":"Signup","properties":{{{STAMP},{LIB},"$user_id":"u","$device_id":"d","token":"TOKEN"}}}}',
    ),
    "its own library": (
        signup({"mp_lib": "web", "$lib_version": "2"}),
        f'{SIGNUP}{STAMP},"mp_lib":"web","$lib_version":"2","token":"TOKEN"}}}}',
    ),
    "its own library without a version": (
        signup({"mp_lib": "web"}),
        f'{SIGNUP}{STAMP},"mp_lib":"web","token":"TOKEN"}}}}',
    ),
    "text to escape": (
        Track(
            'a"b\\c',
            distinct_id="é\n\x01",
            properties={'k"\\': "\t\r\b\f\x1f\x7f/\u2028 ☃ \U0001f600"},
            time=SECONDS,
            insert_id="a1",
        ),
        (
            rf'{{"event":"a\"b\\c","properties":{{"distinct_id":"é\n\u0001",{STAMP},{LIB},"k\"\\":"\t\r\b\f\u001f'
            '\x7f/\u2028 ☃ \U0001f600","token":"TOKEN"}}'
        ),
    ),
    "alias": (
        Alias(alias="user-1", distinct_id="device-1"),
        '{"event":"$create_alias","properties":{"distinct_id":"device-1","alias":"user-1","token":"TOKEN"}}',
    ),
    "identify": (
        Identify(identified_id="user-1", anon_id=ANON),
        f'{{"event":"$identify","properties":{{"$identified_id":"user-1","$anon_id":"{ANON}","token":"TOKEN"}}}}',
    ),
}
IMPORTS = {
    "merge": (
        Merge("user-1", "user-2"),
        '{"event":"$merge","properties":{"$distinct_ids":["user-1","user-2"],"token":"TOKEN"}}',
    ),
}
UPDATES = {
    "set": (people(Set({"a": 1, "when": date(2026, 1, 1)})), PEOPLE + '"$set":{"a":1,"when":"2026-01-01"}}'),
    "set once": (people(SetOnce({"a": "é"})), PEOPLE + '"$set_once":{"a":"é"}}'),
    "add": (people(Add({"n": -1, "f": Decimal("0.5")})), PEOPLE + '"$add":{"n":-1,"f":0.5}}'),
    "append": (people(Append({"l": {"a": [1]}})), PEOPLE + '"$append":{"l":{"a":[1]}}}'),
    "union": (people(Union({"l": [1, "a"], "one": "b"})), PEOPLE + '"$union":{"l":[1,"a"],"one":["b"]}}'),
    "remove": (people(Remove({"l": "a"})), PEOPLE + '"$remove":{"l":"a"}}'),
    "unset": (people(Unset("a", "b")), PEOPLE + '"$unset":["a","b"]}'),
    "delete": (people(Delete()), PEOPLE + '"$delete":""}'),
    "several": (
        people(Set({"a": 1}), SetOnce({"b": 2}), Unset("c")),
        PEOPLE + '"$set":{"a":1},"$set_once":{"b":2},"$unset":["c"]}',
    ),
    "time in whole seconds": (people(Delete(), time=MILLISECONDS), PEOPLE + f'"$time":{SECONDS},"$delete":""}}'),
    "all options": (
        people(Set({"a": 1}), time=SECONDS, options=FULL),
        PEOPLE + f'"$time":{SECONDS},"$ip":"203.0.113.9","$ignore_time":true,"$ignore_alias":true,'
        '"$latitude":52.5,"$longitude":-13,"$set":{"a":1}}',
    ),
    "charge": (Charge("user-1", 9.99), PEOPLE + '"$append":{"$transactions":{"$amount":9.99}}}'),
    "charge with time": (
        Charge("user-1", 10, {"sku": "a"}, time=MILLISECONDS),
        PEOPLE + f'"$time":{SECONDS},"$append":{{"$transactions":{{"sku":"a","$time":"2026-01-01T00:00:00",'
        '"$amount":10}}}',
    ),
    "refund": (Charge("user-1", Decimal("-9.50")), PEOPLE + '"$append":{"$transactions":{"$amount":-9.5}}}'),
    "charge with options": (
        Charge("user-1", 1, options=UpdateOptions(ip="0")),
        PEOPLE + '"$ip":"0","$append":{"$transactions":{"$amount":1}}}',
    ),
    "clear charges": (
        ClearCharges("user-1", time=SECONDS, options=UpdateOptions(ignore_time=True)),
        PEOPLE + f'"$time":{SECONDS},"$ignore_time":true,"$unset":["$transactions"]}}',
    ),
    "raw": (
        RawPeopleOp("user-1", {"$ip": "0", "$newer": {"a": [1]}}),
        PEOPLE + '"$ip":"0","$newer":{"a":[1]}}',
    ),
}
GROUPS = {
    "group set": (group(Set({"$name": "Acme"})), GROUP + '"$set":{"$name":"Acme"}}'),
    "group set once": (group(SetOnce({"a": 1})), GROUP + '"$set_once":{"a":1}}'),
    "group union": (group(Union({"l": "a"})), GROUP + '"$union":{"l":["a"]}}'),
    "group remove": (group(Remove({"l": 1})), GROUP + '"$remove":{"l":1}}'),
    "group unset": (group(Unset("a")), GROUP + '"$unset":["a"]}'),
    "group delete": (group(Delete()), GROUP + '"$delete":""}'),
    "group with all options": (
        group(Set({"a": 1}), Unset("b"), time=MILLISECONDS, options=UpdateOptions(ip="0", ignore_time=True)),
        GROUP + f'"$time":{SECONDS},"$ip":"0","$ignore_time":true,"$set":{{"a":1}},"$unset":["b"]}}',
    ),
    "raw group": (RawGroupOp("Company", "acme", {"$newer": None}), GROUP + '"$newer":null}'),
}

ROWS = {
    name: (operation, endpoint, body)
    for endpoint, rows in (
        (Endpoint.TRACK, EVENTS),
        (Endpoint.IMPORT, IMPORTS),
        (Endpoint.ENGAGE, UPDATES),
        (Endpoint.GROUPS, GROUPS),
    )
    for name, (operation, body) in rows.items()
}
