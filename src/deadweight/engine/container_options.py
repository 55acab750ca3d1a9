"""Complete a container's run options: project files and seccomp profiles as mounts, owners of its tmpfs folders."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from deadweight._errors import DeadweightError, UsageError, wording
from deadweight.engine.container import Host, read_file
from deadweight.engine.options import Mount, RunOptions, Tmpfs, is_root


# Files of a project that its containers get: those under ``run.files``, and a seccomp profile of the suite's own.
def mounted(root: str, options: RunOptions) -> RunOptions:
    """The same options with the project's files as mounts. Raises UsageError for one that is not there."""
    if not options.files:
        return options
    absent = next((path for path in options.files.values() if not (Path(root) / path).exists()), None)
    if absent is not None:
        raise UsageError(wording("engine.no_such_mount", path=absent, root=root))
    mounts = (Mount(Path(root) / path, target) for target, path in options.files.items())
    return options.but(mounts=(*options.mounts, *mounts), files={})


def profile(root: str, seccomp: str) -> Path:
    """The file of a seccomp profile. Raises UsageError where there is none."""
    file = Path(root) / seccomp
    if not file.is_file():
        raise UsageError(wording("engine.no_such_profile", path=seccomp, root=root))
    return file


# Seccomp profiles where a Podman of another user reads them: it is told a file's name, and a caller's folders are his alone.
class Handed:
    """Copies that everybody may read, in one folder; ``close`` removes it."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def copy(self, file: Path) -> Path:
        """Of the profile as it is now: the next one with this name is another file."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="deadweight-profiles-"))
            self._folder.chmod(0o755)
        content = file.read_bytes()
        copy = self._folder / f"{hashlib.sha256(content).hexdigest()[:16]}.json"
        if not copy.exists():
            copy.write_bytes(content)
            copy.chmod(0o644)
        return copy

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


# Whose a folder in memory is: the container's user's, so that a service can write where the suite says that it does.
#
# runc 1.1.5, which Debian 12 has, mounts it as root's, with the mode of the folder that the image has there, whatever ``mode=``
# says. A folder that the image gave to its user alone is then writable by root alone.
PASSWD_BYTES = 2**20


class Owners:
    """A user's number is read out of an image once."""

    def __init__(self, engine: Host) -> None:
        self._engine = engine
        self._numbers: dict[tuple[str, str], int | None] = {}

    def given(self, image: str, options: RunOptions) -> RunOptions:
        """The same options with the owner of each folder in memory. Podman's runtimes keep the mode that is asked for, and Podman
        knows no owner."""
        if not options.tmpfs or self._engine.dialect.keeps_tmpfs_modes:
            return options
        known = self._engine.images.get(image)
        if known is None:
            return options
        return with_tmpfs_owners(options, known.user, lambda name: self._number_of(name, known.id))

    def _number_of(self, name: str, image_id: str) -> int | None:
        if (image_id, name) not in self._numbers:
            with self._engine.create(image_id, RunOptions(entrypoint=("none",), network="none")) as container:
                try:
                    passwd = read_file(self._engine.api, container.id, "/etc/passwd", PASSWD_BYTES)
                except DeadweightError:  # it has none
                    passwd = b""
            self._numbers[image_id, name] = number_of(name, passwd)
        return self._numbers[image_id, name]


FOR_ALL = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - names of folders in images
"""Folders that every image lets everybody write to (FHS 3.0; sticky, mode 1777)."""

Look = Callable[[str], "int | None"]
"""Gives a user's number by name, as the image's /etc/passwd has it."""


def with_tmpfs_owners(options: RunOptions, image_user: str, look: Look) -> RunOptions:
    """The same options, with ``uid`` set where a folder in memory stands for one of the image's. Nothing changes for root."""
    user = image_user if options.user is None else options.user
    if is_root(user) or all(_for_all(folder) for folder in options.tmpfs):
        return options
    name = user.split(":", 1)[0].strip()
    uid = int(name) if name.isdecimal() else look(name)
    given = (
        folder if _for_all(folder) or folder.uid is not None else dataclasses.replace(folder, uid=uid)
        for folder in options.tmpfs
    )
    return options.but(tmpfs=tuple(given))


def _for_all(folder: Tmpfs) -> bool:
    return folder.path.rstrip("/") in FOR_ALL


def number_of(name: str, passwd: bytes) -> int | None:
    """A user's number by a file in the form of passwd(5); None where it has no such user."""
    for line in passwd.decode(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[0] == name and fields[2].isdecimal():
            return int(fields[2])
    return None
