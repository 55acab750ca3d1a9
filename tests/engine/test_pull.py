"""Getting an image from a registry: of this machine too, and with what the engine said where it does not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from deadweight._errors import DeadweightError
from deadweight.engine.dialect import dialect_of
from deadweight.engine.images import pull
from tests.engine.test_options import DOCKER, PODMAN

HERE, ELSEWHERE = "127.0.0.1:5742/stand-in/busybox@sha256:12", "registry.example.com/busybox:1"


class Api:
    """Remembers how it was asked, and says this of it."""

    base_url = "http+docker://localhost"

    def __init__(self, *said: dict[str, str], status: int = 200) -> None:
        self.said, self.asked, self.status = said, list[str](), status

    @contextlib.contextmanager
    def post(self, url: str, **_: object) -> Iterator[SimpleNamespace]:
        self.asked.append(url)
        lines = [json.dumps(each).encode() for each in self.said]
        yield SimpleNamespace(iter_lines=lambda: lines, ok=self.status < 400, status_code=self.status)

    def pull(self, reference: str, **_: object) -> tuple[dict[str, str], ...]:
        self.asked.append(reference)
        return self.said


def test_podman_is_told_that_a_registry_of_this_machine_speaks_no_tls():
    """It pulled no stand-in, without a word: its shell, its Redis and its Postgres were missing."""
    api = Api({"stream": "Trying"}, {"id": "1"})
    pull(api, HERE, dialect_of(PODMAN, ""))
    (url,) = api.asked
    assert url.startswith("http+docker://localhost/v4.0.0/libpod/images/pull?reference=127.0.0.1%3A5742%2Fstand-in")
    assert url.endswith("&tlsVerify=false")


@pytest.mark.parametrize(("reference", "podman"), [(HERE, False), (ELSEWHERE, True), (ELSEWHERE, False)])
def test_others_are_asked_as_everybody_asks(reference, podman):
    api = Api({"status": "Downloaded"})
    pull(api, reference, dialect_of(PODMAN if podman else DOCKER, ""))
    assert api.asked == [reference]


@pytest.mark.parametrize("podman", [True, False])
def test_what_fails_after_the_first_words_is_told(podman):
    with pytest.raises(DeadweightError, match=r"pull 127.*: connection refused"):
        pull(
            Api({"stream": "Trying"}, {"error": "connection refused"}),
            HERE,
            dialect_of(PODMAN if podman else DOCKER, ""),
        )


@pytest.mark.parametrize(
    ("said", "told"), [([{"message": "no such reference"}], "no such reference"), ([], "HTTP status 500")]
)
def test_what_podman_refuses_at_once_is_told(said, told):
    """It answers so with ``message``, not with ``error``."""
    with pytest.raises(DeadweightError, match=f"pull 127.*: {told}"):
        pull(Api(*said, status=500), HERE, dialect_of(PODMAN, ""))
