"""Small real images for tests, written as docker-save archives with the standard library."""

import contextlib
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deadweight.engine.client import Engine
from deadweight.records.paths import user_cache
from tests.support import ROOT, image_samples as samples

PASSWD = b"root:x:0:0::/root:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
Content = bytes | Path | str
"""A file's bytes, a file or program of this machine to copy, or (text) the target of a symbolic link."""


def reference(name: str) -> str:
    """An image name that only this test run uses: several may run on one engine, and each removes its images at its end."""
    return f"deadweight-tests/{name}:{os.getpid()}"


def docker_archive(out: Path, reference: str, layers: list[dict[str, Content]], config: dict[str, Any]) -> Path:
    """Write an image; ``layers`` map absolute paths in the image to contents. Files get mode 0755 where they are copied.

    ``/tmp/`` with no content is a folder that everybody may write to; with a user's number, one that only that user may.
    """
    made = samples.build(*map(_layer, layers), config=config, created="1970-01-01T00:00:00Z")
    return samples.docker_save(out, made, tag=reference)


def service_archive(
    folder: Path, name: str, source: str, files: Mapping[str, Content], *env: str, at: str = "/service/app",
    user: str = "",
) -> Path:  # fmt: skip
    """An image ``reference(name)`` of a Go program of ours, with these files; users are root and nobody."""
    folder.mkdir(exist_ok=True)
    program: dict[str, Content] = {at: go_program(ROOT / source, folder / "app"), "/etc/passwd": PASSWD}
    config = {
        "Entrypoint": [at], "Env": [*env, "PATH=/usr/bin:/bin"], "ExposedPorts": {"8080/tcp": {}}, "User": user,
    }  # fmt: skip
    layer = {path: content for path, content in {**program, **files}.items() if content is not None}
    return docker_archive(folder / "image.tar", reference(name), [layer], config)


def program(name: str, at: str | None = None) -> dict[str, Content]:
    """A program of this machine with the shared libraries it needs, ready to be part of a layer."""
    path = shutil.which(name)
    assert path, f"{name} is not on this machine"
    real = Path(path).resolve()
    files: dict[str, Content] = {at or f"/usr/bin/{name}": real}
    listed = subprocess.run(["ldd", str(real)], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(?:=> )?(/\S+) \(0x", listed):
        files[library] = Path(library).resolve()
    return files


def placed(folder: Path, files: dict[str, Content]) -> Path:
    """Put such files below a folder, for a Dockerfile's ``COPY . /``; gives the folder."""
    for name, content in files.items():
        place = folder / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            place.symlink_to(content)
        elif isinstance(content, Path):
            shutil.copy2(content, place)
        else:
            place.write_bytes(content)
    return folder


KEPT = user_cache() / "tests" / "programs"
"""What was compiled for tests, by earlier runs too: a link takes half a second of a processor, and thirty are asked for."""


def go_program(source: Path, out: Path, architecture: str = "") -> Path:
    """Compile a Go module of the standard library only, statically, for this machine or another ``architecture``; or copy what was
    compiled of the same files before."""
    kept = KEPT / _identity(source, architecture or platform.machine())
    if not kept.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as work:
            made = Path(work) / "program"
            words = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made), "."]
            env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOARCH": architecture}
            subprocess.run(words, cwd=source, check=True, env=env)
            made.replace(kept)
    shutil.copy2(kept, out)
    return out


def _identity(source: Path, architecture: str) -> str:
    """A name for what Go makes of these files here."""
    go = Path(shutil.which("go") or "go").resolve()
    digest = hashlib.sha256(f"{go} {go.stat().st_mtime_ns} {architecture}".encode())
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(f"\n{file.relative_to(source)} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return f"{source.name}-{digest.hexdigest()[:16]}"


def _layer(files: dict[str, Content]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in sorted(files.items()):
            member, data = tarfile.TarInfo(path.strip("/")), b""
            if path.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755 if content else 0o1777
                member.uid = int(content) if isinstance(content, str) else 0
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                data = content.read_bytes() if isinstance(content, Path) else content
                member.mode = 0o755 if isinstance(content, Path) else 0o600 if path == "/etc/shadow" else 0o644
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@contextlib.contextmanager
def in_engine(engine: Engine, archive: Path, name: str) -> Iterator[str]:
    """The name of an archive's image, which is in the engine meanwhile."""
    engine.images.load(archive)
    yield name
    forget_image(engine, name)


def forget_image(engine: Engine, name: str) -> None:
    """Remove a test image, and its name by digest too where no other test run has the same image."""
    image = engine.images.need(name)
    engine.images.remove(name, force=True)
    left = engine.images.get(image.id)
    kept = re.compile(re.escape(name.rpartition(":")[0]) + ":[0-9a-f]{12}")
    if left is not None and len(left.tags) == 1 and kept.fullmatch(left.tags[0]):
        engine.images.remove(left.tags[0], force=True)


def forget_images(engine: Engine, *beginnings: str) -> None:
    """Remove the images whose names begin so."""
    for image in engine.api.images():
        for tag in image.get("RepoTags") or ():
            if tag.startswith(beginnings):
                engine.images.remove(tag, force=True)
