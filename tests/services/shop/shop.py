"""A small service in Python that says what it was given, and whether it can write, and reach what it needs.

GET /healthz and /given, on PORT (8080) and on 9090, after LATE seconds. It keeps nothing but what it writes to /state. With the
argument ``job`` it is none: it ends, badly where it does not reach what it needs.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def reached(place: str) -> bool:
    """Whether something listens at host:port."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True


def written(path: str) -> bool:
    try:
        Path(path).write_text("kept", encoding="utf-8")
    except OSError:
        return False
    return True


def given() -> dict:
    conf = Path("/etc/shop.conf")
    return {
        "env": dict(os.environ),
        "args": sys.argv[1:],
        "file": conf.read_text(encoding="utf-8") if conf.is_file() else None,
        "user": f"{os.getuid()}:{os.getgid()}",
        "writable": [path for path in ("/state/kept", "/kept", "/tmp/kept") if written(path)],
        "needs": reached(os.environ["NEEDS"]) if "NEEDS" in os.environ else None,
    }


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({} if self.path == "/healthz" else given()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if sys.argv[1:] == ["job"]:
    sys.exit("too early" if "NEEDS" in os.environ and not reached(os.environ["NEEDS"]) else 0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
time.sleep(float(os.environ.get("LATE", "0")))
threading.Thread(target=ThreadingHTTPServer(("", 9090), Shop).serve_forever, daemon=True).start()
ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Shop).serve_forever()
