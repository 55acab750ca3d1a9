"""The demo's own Dockerfile variants, built by pools of daemons."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from deadweight.project.load_suite import load_suite
from tests.support import ROOT
from tests.support.buildkit_world import NETWORKS
from tests.support.invoking import invoke
from tests.support.relay import copied, port_of, serving


def ladder() -> tuple[str, ...]:
    """The names of all of them."""
    variants = load_suite(ROOT / "deadweight.yaml").variants
    return tuple(each.name for each in variants if each.builder == "dockerfile")


def project(root: Path) -> Path:
    """The demo under another name, with nothing built."""
    root.mkdir()
    for name in ("build", "src/vulnerable-awk-playground", "src/vulnerable-awk-playground-java"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("target"))
    for name in ("ko.yaml", "melange.yaml", "apko.yaml", "apko-alpine.yaml"):
        shutil.copy(ROOT / name, root / name)
    text = (ROOT / "deadweight.yaml").read_text().replace("name: playground\n", "name: pool-ladder\n")
    (root / "deadweight.yaml").write_text(text)
    (root / "tasks.py").write_text("from deadweight.tasks import namespace as ns\n")
    return root


def same_secrets(root: Path, other: Path) -> Path:
    """A project with the generated secrets of another one; gives its root."""
    shutil.copytree(other / ".deadweight/keys", project(root) / ".deadweight/keys")
    return root


def built(root: Path, pool: dict[str, Any], names: Iterable[str], proxy: str = "") -> dict[str, Any]:
    """``invoke build`` of these variants; ``proxy`` leads out of networks that lead nowhere, and no daemon is asked through it."""
    file = root.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(pool))
    words = [word for name in names for word in ("--variant", name)]
    proxies = {"HTTPS_PROXY": proxy, "NO_PROXY": f"{NETWORKS},localhost,127.0.0.1"} if proxy else {}
    env = {"DEADWEIGHT_POOL": str(file), "DEADWEIGHT_SOURCE": "local", **proxies}
    done = invoke(root, "build", *words, "--json", code=0, env=env, timeout=3000)
    found: dict[str, Any] = json.loads(done.stdout)["variants"]
    return found


@contextlib.contextmanager
def way_out(host: str) -> Iterator[str]:
    """A proxy for HTTPS at this address, for networks that reach this machine and nothing else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace")
                name, _, port = head.split()[1].rpartition(":")
                behind, to_behind = await asyncio.open_connection(name, int(port))
                ends.append(to_behind)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await asyncio.gather(copied(reader, to_behind), copied(behind, writer))
        finally:
            for each in ends:
                each.transport.abort()

    with serving(lambda: asyncio.start_server(serve, host, 0)) as (server, _):
        yield f"http://{host}:{port_of(server)}"
