"""
A first delivery, without an account: a server on this machine takes what ``mixwire send`` sends, and shows it.

    python examples/first_delivery.py [FILE]
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

SAMPLE = Path(__file__).parent.parent / "tests" / "data" / "events.ndjson"


class Receiver(BaseHTTPRequestHandler):
    """
    Answers as Mixpanel's /import does when all is well, and remembers what came.
    """

    requests: ClassVar[list[tuple[str, int, list[dict[str, object]]]]] = []

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        is_compressed = self.headers.get("Content-Encoding") == "gzip"
        records = json.loads(gzip.decompress(sent) if is_compressed else sent)
        self.requests.append((self.path, len(sent), records))
        answer = {"code": 200, "status": "OK", "num_records_imported": len(records)}
        body = json.dumps(answer if self.path.startswith("/import") else {"status": 1, "error": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> int:
    file = sys.argv[1] if len(sys.argv) > 1 else str(SAMPLE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, "-m", "mixwire", "send", file, "--server", url, "--token", "EXAMPLE"]
        print(f"mixwire send {file} --server {url}")
        code = subprocess.run(command, check=False).returncode
        server.shutdown()
    for path, size, records in Receiver.requests:
        print(f"arrived on {path.partition('?')[0]}: {len(records):,} records in {size:,} bytes")
        print(f"  the first: {json.dumps(records[0], ensure_ascii=False)[:200]}")
    return code


if __name__ == "__main__":
    sys.exit(main())
