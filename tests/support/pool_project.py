"""A project whose variants are built by a pool, and a server that the instructions of its Dockerfiles report to."""

import contextlib
import json
import re
import socketserver
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from deadweight.project.build import VariantOutcome, build
from deadweight.project.workspace import Workspace
from deadweight.records.runs import locked
from deadweight_pool.endpoint import wording
from tests.support.builder_site import Silent
from tests.support.buildkit_world import Daemon
from tests.support.http_servers import running
from tests.support.processes import wait_for
from tests.support.trees import written


def noted(code: str, **patterns: str) -> str:
    """The pattern of what the pool's log says by this code, with a pattern for each field."""
    text = re.escape(wording(code, **{name: f"<{name}>" for name in patterns}))
    return re.sub(r"<(\w+)>", lambda name: patterns[name[1]], text)


@dataclass
class Reports:
    """What instructions reported: (what, variant, the address that it came from), in order: ``begin``, ``end``, and ``gone`` when
    the program is no more. ``slow`` has the seconds that those of an address have to wait."""

    address: str = ""
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)

    def add(self, *line: str) -> None:
        self.lines.append((line[0], line[1], line[2]))

    def count(self, what: str) -> Counter[str]:
        """How often each variant said it."""
        return Counter(name for event, name, _ in self.lines if event == what)

    def on(self, what: str) -> dict[str, set[str]]:
        """The variants that said it, by the address of the endpoint."""
        variants: dict[str, set[str]] = defaultdict(set)
        for event, name, where in self.lines:
            if event == what:
                variants[where].add(name)
        return variants

    def wait(self, enough: Any) -> None:
        """Wait until ``enough(self)``."""
        wait_for(lambda: enough(self), 90)


@contextmanager
def listening(host: str) -> Iterator[Reports]:
    """A server at an address that all endpoints reach."""
    reports = Reports()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            what, _, name = self.rfile.readline().decode().strip().partition(" ")
            where = self.client_address[0]
            reports.add(what, name, where)
            with contextlib.suppress(OSError):
                time.sleep(reports.slow.get(where, 0.0) if what == "begin" else 0.0)
                self.wfile.write(b"ok\n")
                self.rfile.read(1)
            if what == "begin":
                reports.add("gone", name, where)

    server = socketserver.ThreadingTCPServer((host, 0), Handler)
    server.daemon_threads = True
    with running(server):
        reports.address = f"{host}:{server.server_address[1]}"
        yield reports


def endpoint(daemon: Daemon, **more: Any) -> dict[str, Any]:
    """A daemon as a suite names it."""
    tls = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    files = {key: str(daemon.certificates / name) for key, name in tls.items()}
    return {"address": daemon.address, **files, "places": 2, **more}


@dataclass
class PoolProject:
    """A suite of variants that each run one instruction for ``seconds``."""

    root: Path
    worker: Path
    reports: Reports

    def write(self, variants: Mapping[str, float], pool: Mapping[str, Any], failing: Iterable[str] = ()) -> Self:
        suite: dict[str, Any] = {"name": "pooled", "pool": dict(pool), "variants": {}}
        for name, seconds in variants.items():
            folder = self.root / name
            words = ["/worker", self.reports.address, name, str(seconds), *(["fail"] if name in failing else [])]
            text = f'FROM scratch\nCOPY worker /worker\nRUN {json.dumps(words)}\nCMD ["/worker"]\n'
            written(folder, {"Dockerfile": text, "name": name})
            (folder / "worker").unlink(missing_ok=True)
            (folder / "worker").hardlink_to(self.worker)
            suite["variants"][name] = {
                "builder": "dockerfile", "dockerfile": f"{name}/Dockerfile", "source": name, "runnable": False,
            }  # fmt: skip
        written(self.root, {"deadweight.yaml": yaml.safe_dump(suite, sort_keys=False)})
        return self

    def build(self) -> dict[str, VariantOutcome]:
        """As ``invoke build`` does it, in this process."""
        lines: list[str] = []
        with Workspace.open(lines.append, self.root / "deadweight.yaml") as workspace, locked(workspace.state, print):
            try:
                made = build(workspace, workspace.suite.variants, Silent(), jobs=1)
            finally:
                self.lines = lines
        return {outcome.variant: outcome for outcome in made}

    @property
    def log(self) -> str:
        """Every decision of the pool so far."""
        return (self.root / ".deadweight/logs/pool.log").read_text()
