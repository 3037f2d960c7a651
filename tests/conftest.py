"""
A server on loopback that answers as Mixpanel does when all is well, and keeps what arrived.
"""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import threading
from functools import cache
from typing import Any, Final

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

INSTALL: Final = {
    "strace": "apt-get install strace",
    "unshare": "apt-get install util-linux, and permission to make user namespaces",
    "ip": "apt-get install iproute2",
    "chromium": "apt-get install chromium",
    "chromedriver": "apt-get install chromium-driver",
    "ipv6": "the address ::1 on the loopback interface",
}


@cache
def is_there(program: str) -> bool:
    if program == "ipv6":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            return False
        return True
    if program == "unshare":
        # To be there is not enough: a container may forbid it.
        return (
            shutil.which(program) is not None
            and not subprocess.run(["unshare", "-rnm", "true"], check=False).returncode
        )
    return shutil.which(program) is not None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program): skipped where a program of the operating system is missing")
    config.addinivalue_line("markers", "soak: long; run with `pytest -m soak`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("needs"):
            (program,) = marker.args
            if not is_there(program):
                item.add_marker(pytest.mark.skip(reason=f"{program} is missing: {INSTALL[program]}"))
    if not config.option.markexpr:
        # Longer than the default suite may take.
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]


class Arrivals:
    """
    What arrived at the server: requests as they came, and their records.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._records: list[tuple[str, list[dict[str, Any]]]] = []
        self._lock = threading.Lock()
        self.rejected_insert_ids: set[str] = set()

    def records(self, path: str) -> list[dict[str, Any]]:
        return [record for each, records in self._records if each == path for record in records]

    def batches(self) -> list[tuple[str, int]]:
        return [(path, len(records)) for path, records in self._records]

    def answer(self, request: Request) -> Response:
        body = request.get_data()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        records = json.loads(body)
        with self._lock:
            self.requests.append(request)
            self._records.append((request.path, records))
        if request.path != "/import":
            return _json({"error": None, "status": 1})
        failed = [
            {
                "index": index,
                "insert_id": record["properties"]["$insert_id"],
                "field": "properties.time",
                "message": "bad",
            }
            for index, record in enumerate(records)
            if record["properties"].get("$insert_id") in self.rejected_insert_ids
        ]
        imported = len(records) - len(failed)
        if failed:
            error = "some data points in the request failed validation"
            answer = {"code": 400, "error": error, "failed_records": failed, "num_records_imported": imported}
            return _json(answer, 400)
        return _json({"code": 200, "num_records_imported": imported, "status": "OK"})


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


@pytest.fixture
def arrivals(httpserver: HTTPServer) -> Arrivals:
    kept = Arrivals(httpserver.url_for("").rstrip("/"))
    for path in ("/track", "/import", "/engage", "/groups"):
        httpserver.expect_request(path, method="POST").respond_with_handler(kept.answer)
    return kept
