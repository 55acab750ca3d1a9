"""What tests of engines share: a machine on which nobody has named one, and none runs but ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.engine import daemon


@pytest.fixture
def unset(monkeypatch, tmp_path) -> Path:
    """No engine named by the environment or by Docker's configuration."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "docker-config"
    config.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    return config


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Iterator[Path]:
    """A cache of its own, so that the engine of our own is another one than that of the session."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    daemon.remove_data()


@pytest.fixture
def alone(monkeypatch, unset):
    """As if nothing listened at the usual places."""
    monkeypatch.setattr(daemon, "endpoints", lambda: iter(()))
