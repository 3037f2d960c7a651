"""
One line of the log for each cause and minute.
"""

from __future__ import annotations

import logging

import pytest

from mixwire.transports.reports import Reporter


class Now:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_each_cause_is_told_once_a_minute_and_then_how_often_it_came_up(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()
    reporter = Reporter(now)
    for _ in range(1_501):
        reporter.tell("the cause", "a detail")
    reporter.tell("another")
    now.seconds = 59.9
    reporter.tell("the cause")
    now.seconds = 60.0
    reporter.tell("the cause", "a detail")
    reporter.tell("the cause", "a detail")
    now.seconds = 120.0
    reporter.tell("the cause")
    assert [record.getMessage() for record in caplog.records] == [
        "the cause: a detail",
        "another",
        "the cause: a detail (1,501 times more since it was last told)",
        "the cause (once more since it was last told)",
    ]
    assert {(record.name, record.levelname) for record in caplog.records} == {("mixwire", "WARNING")}


def test_what_groups_lines_by_their_template_sees_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()
    reporter = Reporter(now)
    for detail in ("a detail", "100 %", "%s", ""):
        reporter.tell("90% of %s is full", detail)
        now.seconds += 60.0
    assert {record.msg for record in caplog.records} == {"90%% of %%s is full%s%s"}
    assert [record.getMessage() for record in caplog.records] == [
        "90% of %s is full: a detail",
        "90% of %s is full: 100 %",
        "90% of %s is full: %s",
        "90% of %s is full",
    ]


def test_row_64_a_handler_that_raises_or_tells_again_stops_nothing() -> None:
    reporter = Reporter()
    count = 0

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal count
            count += 1
            reporter.tell("the cause")
            raise ValueError

    handler = Handler()
    logging.getLogger("mixwire").addHandler(handler)
    try:
        reporter.tell("the cause")
    finally:
        logging.getLogger("mixwire").removeHandler(handler)
    assert count == 1
