"""The demo services as plain processes on loopback: start one, send it a request, end it."""

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; header names are in lower case, and the time measured in the ``body`` is replaced by 0."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Running:
    """A service that listens. ``process`` is the service itself or, in a namespace of its own, the program that holds it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def send(self, request: Mapping[str, Any]) -> Answer:
        headers, body = dict(request.get("headers", {})), _body(request)
        if "json" in request:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(request["method"], request["path"], body=body, headers=headers)
            answer = connection.getresponse()
            text = re.sub(r'"duration_ms":\d+', '"duration_ms":0', answer.read().decode())
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
        finally:
            connection.close()

    def awk(self, script: str, **fields: Any) -> Answer:
        return self.send({"method": "POST", "path": "/api/v1/awk", "json": {"script": script, **fields}})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def running(argv: Sequence[str], log: Path, **env: str) -> Iterator[Running]:
    """Start a service on a free port of loopback; it is ended with everything it started, whatever happens."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, env=environment(env), start_new_session=True)
    try:
        yield Running(process, _port(process, log), log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Ours, with a free port and the locale that the Java service asks for, unless told otherwise."""
    return {**os.environ, "LISTEN_ADDR": "127.0.0.1:0", "LC_ALL": "C.UTF-8", **env}


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and '"listening"' in line:
                return int(json.loads(line)["address"].rpartition(":")[2])
        time.sleep(0.02)
    raise AssertionError(f"the service did not start, exit code {process.poll()}: {log.read_text()}")


def _body(request: Mapping[str, Any]) -> bytes | None:
    if "json" in request:
        fields = dict(request["json"])
        if "repeat_input" in request:
            fields["input"] *= request["repeat_input"]
        return json.dumps(fields).encode()
    if "base64" in request:
        return base64.b64decode(request["base64"])
    if "body" in request:
        text: str = request.get("before", "") + request["body"] * request.get("repeat", 1) + request.get("after", "")
        return text.encode()
    return None
