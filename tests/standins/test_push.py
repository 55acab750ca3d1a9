"""What the configs of stand-ins say."""

from __future__ import annotations

from pathlib import Path

from deadweight_images.archive.pack import Layer
from deadweight_standins import push
from deadweight_standins.workshop import Settings


def test_a_variable_is_there_once_with_its_last_value():
    layer = Layer(Path("x"), "sha256:a", "sha256:b", 1)
    settings = Settings(env=("PATH=/bin", "A=1", "PATH=/opt/java/bin:/bin"))
    config = push._config([layer], settings, "amd64")
    assert isinstance(config["config"], dict)
    assert config["config"]["Env"] == ["PATH=/opt/java/bin:/bin", "A=1"]
