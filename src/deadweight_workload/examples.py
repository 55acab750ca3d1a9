"""Make requests for the operations of an OpenAPI document, with schemathesis (the extra ``requests``).

It runs in a process of its own: a document is the service's, and may take any time and memory. In: the document as JSON. Out: a
line of JSON for each request: its operation, its kind and the fields of ``HttpRequest``.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MOST_OPERATIONS = 200
MOST_BYTES, CPU_SECONDS, MOST_SECONDS = 4 * 2**30, 60, 240.0
"""The kernel ends it after so much processor time: a busy machine makes the same requests."""
MOST_CASES = 60
"""Of one operation, so many are looked at; there are most often less."""
MOST_BODY = 2**20
BOUNDARY = "deadweight-boundary"
OWN_HEADERS = ("user-agent", "accept", "accept-encoding", "connection", "content-length", "x-schemathesis-testcaseid")


def installed() -> bool:
    return find_spec("schemathesis") is not None


def examples(document: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of each operation one valid, one boundary and one malformed request: the operation (with the document's own path), the kind
    and the fields (none for a body that is no text). None where schemathesis cannot read it. Raises CommandError where it hangs."""
    from deadweight import _run

    local = _local(document)
    if not str(local.get("openapi")).startswith("3.") and "swagger" not in local:
        local["openapi"] = "3.0.3"
    command, sent = [sys.executable, "-P", "-m", __name__], json.dumps(local, default=str).encode()
    with TemporaryDirectory() as folder:  # hypothesis writes into the folder where it runs
        made = _run.run(command, cwd=Path(folder), stdin=sent, timeout=MOST_SECONDS, check=False)
    for line in made.output.splitlines():
        with contextlib.suppress(ValueError):  # it was ended in the midst of one
            operation, kind, fields = json.loads(line)
            yield operation, kind, fields


def _local(value: Any) -> Any:
    """The document without what leads out of it (files, other hosts) and without its base path."""
    if isinstance(value, list):
        return [_local(part) for part in value]
    if not isinstance(value, dict):
        return value
    out = {"servers", "basePath", "host", "schemes", "externalValue"}
    local = (it for it in value.items() if it[0] not in out or not isinstance(it[1], str | list))
    return {key: _local(part) for key, part in local if key != "$ref" or str(part).startswith("#")}


def _made(document: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    import schemathesis

    settings = {"codec": "ascii", "allow-x00": False, "with-security-parameters": False}
    config = schemathesis.Config.from_dict({"generation": settings})
    schema = schemathesis.openapi.from_dict(document, config=config)
    results: Iterator[Any] = schema.get_all_operations()
    for result in islice(results, MOST_OPERATIONS):
        with contextlib.suppress(Exception):  # of one that it cannot read
            operation = result.ok()
            label = f"{operation.method.upper()} {operation.path}"
            yield from [(label, kind, _fields(case)) for kind, case in _chosen(schema, operation)]


def _chosen(schema: Any, operation: Any) -> Iterator[tuple[str, Any]]:
    from schemathesis import GenerationMode

    def cases(mode: GenerationMode) -> Iterable[Any]:
        settings = schema.config.generation_for(operation=operation)
        return islice(
            schema.iter_coverage_cases(operation, generation_modes=[mode], generation_config=settings), MOST_CASES
        )

    valid, *others = cases(GenerationMode.POSITIVE)
    yield "valid", valid
    if others:
        yield "boundary", next((case for case in others if "aximum" in _why(case)), others[0])
    wrong = (case for case in cases(GenerationMode.NEGATIVE) if case.method == valid.method)
    if malformed := next((case for case in wrong if "Content-Type" not in _why(case)), None):
        yield "malformed", malformed


def _why(case: Any) -> str:
    return getattr(getattr(getattr(case.meta, "phase", None), "data", None), "description", None) or ""


def _fields(case: Any) -> dict[str, Any]:
    """As ``HttpRequest`` has them; empty for a body that is no text."""
    import requests

    sent = requests.Request(**case.as_transport_kwargs(base_url="http://service")).prepare()
    body = sent.body if isinstance(sent.body, bytes) else (sent.body or "").encode()
    headers = {name: str(value) for name, value in sent.headers.items() if name.lower() not in OWN_HEADERS}
    kind = headers.get("Content-Type", "")
    if "boundary=" in kind:  # made anew each time
        made = kind.partition("boundary=")[2]
        body, headers["Content-Type"] = body.replace(made.encode(), BOUNDARY.encode()), kind.replace(made, BOUNDARY)
    fields = {"method": str(sent.method), "path": sent.path_url, "headers": headers}
    try:
        return {} if len(body) > MOST_BODY else {**fields, "body": body.decode()} if body else fields
    except UnicodeDecodeError:
        return {}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    for made in _made(json.load(sys.stdin)):
        print(json.dumps(made), flush=True)  # noqa: T201
