"""Write records as JSON, atomically (temporary file, then rename), and read them back validated."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deadweight import _disk
from deadweight._errors import DeadweightError, wording
from deadweight._packages import images
from deadweight._plugins import without_pydantic_plugins

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def write_atomically(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Put ``content`` at ``path`` whole or not at all. Raises DeadweightError where the disk refuses (full, read-only)."""
    try:
        images.write_atomically(path, content, mode=mode)
    except OSError as error:
        raise refused(path, error) from error


def write_where_told(path: Path, content: str) -> None:
    """Put ``content`` where a user says: at the end of a symbolic link, and into a device or pipe (``/dev/stdout``) as it stands.

    Only a file is replaced, whole or not at all. Raises DeadweightError.
    """
    target = Path(os.path.realpath(path))
    try:
        if path.exists() and not target.is_file():
            with path.open("wb") as there:
                there.write(content.encode())
            return
    except OSError as error:
        raise refused(path, error) from error
    write_atomically(target, content)


def refused(path: Path, error: OSError) -> DeadweightError:
    """What is told of a place that cannot be written to."""
    hint = "remount that disk" if error.errno == errno.EROFS else _disk.hint_of(error, path) or "make it writable"
    return DeadweightError(wording("records.unwritable", path=path, problem=error.strerror), hint=hint)


def save(record: object, path: Path) -> None:
    """Write any frozen record as indented JSON."""
    from pydantic_core import to_json

    write_atomically(path, to_json(record, indent=2, inf_nan_mode="null") + b"\n")


def load(kind: type[T], path: Path) -> T | None:
    """Read a record back; None where the file is missing, damaged or of another shape: whoever asked then does the work again."""
    from pydantic import ValidationError

    try:
        content = path.read_bytes()
        return cast("T", adapter(kind).validate_json(content))
    except (OSError, ValidationError):
        return None


def adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once per kind: making one takes longer than reading a record."""
    if kind not in _adapters:
        from pydantic import TypeAdapter

        with without_pydantic_plugins():
            _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
