"""Whose a folder in memory is: by the options alone, and in containers that write to it."""

from __future__ import annotations

import pytest

from deadweight.engine.client import Engine
from deadweight.engine.container_options import number_of, with_tmpfs_owners
from deadweight.engine.options import RunOptions, Tmpfs
from tests.support.small_images import docker_archive, forget_image, program, reference

DATA, TMP = Tmpfs("/data"), Tmpfs("/tmp")
PASSWD = b"root:x:0:0::/:/bin/sh\nbroken\nweb:x:1234:5::/:/bin/sh\nword:x:many:5::/:/bin/sh\n"


def looked_up(name: str) -> int | None:
    return number_of(name, PASSWD)


@pytest.mark.parametrize(
    ("user", "image_user", "uid"),
    [("65532:65532", "", 65532), (None, "1000", 1000), (None, "web:other", 1234), (None, "unknown", None),
     (None, "word", None), (None, "", None), ("0", "web", None), ("root", "web", None)],
)  # fmt: skip
def test_a_folder_in_memory_belongs_to_the_user_that_the_container_runs_as(user, image_user, uid):
    got = with_tmpfs_owners(RunOptions(user=user, tmpfs=(DATA, TMP)), image_user, looked_up)
    assert [(each.path, each.uid) for each in got.tmpfs] == [("/data", uid), ("/tmp", None)]
    assert got.tmpfs[0].options().endswith("mode=1777" if uid is None else f"mode=1777,uid={uid}")


def test_nobody_is_looked_up_for_the_folders_that_are_everybodys():
    def asked(name: str) -> int | None:
        raise AssertionError(name)

    options = RunOptions(tmpfs=(TMP, Tmpfs("/dev/shm/")))
    assert with_tmpfs_owners(options, "web", asked) is options


def test_a_service_writes_to_a_folder_that_the_image_gave_to_its_user_alone(engine: Engine, tmp_path):
    """As a Dockerfile's ``RUN chown web /data`` leaves it, once by the user's name and once by its number."""
    name = reference("owned")
    archive = docker_archive(
        tmp_path / "image.tar",
        name,
        [{**program("touch"), "/etc/passwd": PASSWD, "/data/": "1234"}],
        {"Entrypoint": ["/usr/bin/touch", "/data/x"], "User": "web"},
    )
    engine.load(archive, name)
    try:
        for user in (None, "1234"):
            options = RunOptions(user=user, read_only=True, tmpfs=(DATA,), network="none")
            with engine.start(name, options) as container:
                assert (container.wait_ended(20).exit_code, container.logs()) == (0, [])
    finally:
        forget_image(engine, name)
