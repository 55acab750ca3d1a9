"""A running variant, as a project's own tests see it."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer
    from deadweight.suite.model import Variant


class RunningService:
    """A variant in its hardened container, healthy. ``base_url`` has no slash at its end."""

    def __init__(self, container: Container, variant: Variant) -> None:
        self.container, self.variant = container, variant
        self.base_url = container.base_url

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One HTTP request; ``json`` is sent as a JSON body. Raises OSError or http.client.HTTPException."""
        sent = dict(headers or {})
        if json is not None:
            body = dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.container.http().request(method, path, headers=sent, body=body)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def logs(self) -> list[str]:
        """What it has printed so far."""
        return self.container.logs()
