"""Folders with files."""

import io
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def written(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write these files below a folder, which is made; gives the folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zipped(files: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive, or a jar, of these files."""
    with zipfile.ZipFile(packed := io.BytesIO(), "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def shell_script(path: Path, script: str) -> Path:
    """A shell script that can be run; gives its path. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def first_on_path(patch: pytest.MonkeyPatch, folder: Path, scripts: Mapping[str, str]) -> None:
    """These shell scripts, in a folder that now comes first on PATH."""
    for name, script in scripts.items():
        shell_script(folder / name, script)
    patch.setenv("PATH", str(folder), prepend=":")


def git(folder: Path, *words: str) -> str:
    """What git prints in a folder; its commits are nobody's."""
    nobody = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *nobody, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def plug_in(site: Path, name: str, group: str, points: Mapping[str, str], **modules: str) -> Path:
    """A distribution as pip leaves it in a folder, with these entry points and modules; gives the folder."""
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    registered = "".join(f"{key} = {value}\n" for key, value in points.items())
    return written(
        site,
        {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{info}/entry_points.txt": f"[deadweight.{group}]\n{registered}",
            **{f"{module}.py": code for module, code in modules.items()},
        },
    )
