"""Validate special values in a suite file (sizes, paths, patterns): each error says what was expected.

A message ends a sentence that starts with "expected" (``suite.explain`` adds file, line, key and what was found).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import re
import stat
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)

from deadweight._errors import wording
from deadweight._packages import images

MIN_MEMORY_BYTES = 6 * 2**20
"""The least that an engine takes (moby, ``daemon_unix.go``: ``linuxMinMemory``)."""

MAX_PART_BYTES, MAX_PATH_BYTES = 255, 4095
"""NAME_MAX and PATH_MAX without its final NUL, limits.h(5)."""

_URL = r"[A-Za-z][A-Za-z0-9+.-]*://"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Record(BaseModel):
    """The base class of all records in a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, defer_build=True)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Nobody changes a record: thousands of variants share the defaults, which pydantic would copy for each."""
        return self


def matching(pattern: str, expected: Callable[[], str]) -> AfterValidator:
    """For text that matches the whole pattern; ``expected`` gives the message about any other."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(expected())
        return text

    return AfterValidator(check)


def parse_tmpfs(entry: str) -> tuple[str, int | None]:
    """``/tmp`` or ``/tmp:16MiB`` as path and bytes. Raises ValueError for anything else."""
    path, colon, size = entry.partition(":")
    try:
        size_bytes = parse_bytes(size) if colon else None
    except ValueError:
        size_bytes = 0
    if not path.startswith("/") or _CONTROL.search(path) or size_bytes == 0:
        raise ValueError(wording("suite.tmpfs"))
    return path, size_bytes


def _absolute(text: str) -> str:
    if not re.fullmatch(r"/[^\x00-\x1f]+", text) or ".." in text.split("/") or text.rstrip("/") == "":
        raise ValueError(wording("suite.absolute_path"))
    return text.rstrip("/")


def _memory(value: object) -> int:
    if (size := parse_bytes(value)) < MIN_MEMORY_BYTES:
        raise ValueError(wording("suite.least_memory"))
    return size


def check_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError(wording("suite.text_without_nul"))
    return text


def check_path(text: str) -> str:
    long = len(text.encode()) > MAX_PATH_BYTES
    if not text.strip() or "\x00" in text or long or any(len(p.encode()) > MAX_PART_BYTES for p in text.split("/")):
        raise ValueError(wording("suite.path"))
    return text


def in_project(text: str, info: ValidationInfo) -> str:
    """``info.context`` is the suite's folder; without one there is none, and nothing can be told."""
    if info.context is not None:
        _refuse_outside(str(info.context), text)
    return text


_real = functools.lru_cache(4096)(os.path.realpath)
"""Of folders, each of which holds many of the thousands of paths that a suite may name."""


@functools.lru_cache(4096)
def _refuse_outside(root: str, text: str) -> None:
    """Raises ValueError for a path that leads out of this folder, or to what is neither a file nor a folder."""
    folder, name = os.path.split(os.path.join(root, text))  # noqa: PTH118
    path = os.path.join(_real(folder), name)  # noqa: PTH118
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        path = os.path.realpath(path)
    if not os.path.join(path, "").startswith(os.path.join(_real(root), "")):  # noqa: PTH118
        raise ValueError(wording("suite.path_outside", folder=root, path=path))
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISDIR(mode):  # noqa: PTH116
            raise ValueError(wording("suite.special_file"))


def _pattern(text: str) -> str:
    try:
        compile_pattern(text)
    except ValueError as error:
        raise ValueError(wording("suite.pattern", problem=error)) from None
    return text


def _day(value: Any) -> str:
    try:
        datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(wording("suite.date")) from None
    return str(value)


def plain_url_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError(wording("suite.plain_url_path"))
    return text


def _http_status(value: Any) -> int | str:
    if isinstance(value, str) and re.fullmatch(r"[1-5]xx", value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value
    raise ValueError(wording("suite.http_status"))


STRICT = Field(strict=True)
"""In the annotation of every number and boolean: pydantic would take true for 1, and the text "no" for false."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]
Text = Annotated[str, AfterValidator(check_text)]
AnyPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(check_path)]
"""A path that may lead anywhere: the folder that is built, keys of the user's own."""

RelativePath = Annotated[AnyPath, AfterValidator(in_project)]
"""A file or folder of the project: below the suite's folder, wherever links lead."""

AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Port = Annotated[int, Field(ge=1, le=65535), STRICT]
Seconds = Annotated[float, Field(gt=0, le=3600), STRICT]
Count = Annotated[int, Field(ge=0), STRICT]
Flag = Annotated[bool, STRICT]
_NUMBER_OR_TEXT = WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
Size = Annotated[int, BeforeValidator(lambda value: parse_bytes(value)), _NUMBER_OR_TEXT]
"""Bytes; a file may write ``15MB`` (10^6) and ``15MiB`` (2^20)."""

Memory = Annotated[int, BeforeValidator(_memory), _NUMBER_OR_TEXT]
Day = Annotated[str, BeforeValidator(_day)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Tmpfs = Annotated[str, AfterValidator(lambda text: parse_tmpfs(text) and text)]
_USER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
User = Annotated[str, matching(rf"{_USER_NAME}(:{_USER_NAME})?", lambda: wording("suite.user"))]
Capability = Annotated[str, matching(r"(?!CAP_|ALL$)[A-Z][A-Z_]*[A-Z]", lambda: wording("suite.capability"))]
EnvName = Annotated[str, matching(r"[^=\x00]+", lambda: wording("suite.variable_name"))]
MountId = Annotated[str, matching(r"[A-Za-z0-9_.-]+", lambda: wording("suite.id"))]
UrlPath = Annotated[str, matching(rf"(?!{_URL})[^\x00-\x1f\x7f]+", lambda: wording("suite.url_path"))]
PlainUrlPath = Annotated[str, AfterValidator(plain_url_path)]
Unproven = Literal["health_is_an_error", "error_in_log", "undeclared_port", "closed_port", "no_operation"]
"""Why a service that was seen to run proves little: its health is an error (404), an error is among the first lines that it
wrote, it listens where nothing declares it, no operation answers 2xx."""
HttpStatus = Annotated[
    int | str,
    BeforeValidator(_http_status),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^[1-5]xx$"}]}
    ),
]
HeaderName = Annotated[str, matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", lambda: wording("suite.header_name"))]
HeaderValue = Annotated[str, matching(r"[\t -~\x80-\xff]*", lambda: wording("suite.header_value"))]


# Patterns of a suite, matched in text of a service.
#
# RE2 and not Python's ``re``, which may take time that doubles with each character of the text (``^(a+)+$``), and hears no signal
# meanwhile: RE2 takes time that is linear in the text. So there is no look-around, there are no back-references, and ``\d``,
# ``\w``, ``\s`` and ``\b`` know ASCII alone (https://github.com/google/re2/wiki/Syntax). google-re2 is the binding of the RE2
# project itself, with wheels for every Python that we support. hyperscan, which we have too, has none for some machines.
@functools.cache
def compile_pattern(pattern: str) -> Any:
    """The pattern, in which ``^`` and ``$`` are those of a line. Raises ValueError, saying in one clause what is wrong."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # where a group matched is sought thirty times as slowly as whether anything does
    try:
        return re2.compile(f"(?m){pattern}", options)
    except UnicodeEncodeError:
        raise ValueError(wording("suite.half_character")) from None
    except re2.error as error:
        message = error.args[0]
        text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
        raise ValueError(text.replace("(?m)", "", 1)) from None


def matches_pattern(pattern: str, text: str) -> bool:
    """Whether the pattern matches somewhere in the text."""
    return compile_pattern(pattern).search(text.encode("utf-8", "replace").decode()) is not None


# Sizes as people write them: ``15MB`` is 10^6, ``15MiB`` is 2^20 (IEC 80000-13), a bare number is bytes.
def format_bytes(size: int) -> str:
    return images.format_bytes(size)


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMG]?I?B?)", re.IGNORECASE)


def parse_bytes(value: object) -> int:
    """Bytes of a size such as ``12.5MB``. Raises ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**60:
        return int(value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = _UNITS.get(match.group(2).upper()) if match else None
    if match is None or unit is None:
        raise ValueError(wording("suite.size"))
    return int(float(match.group(1)) * unit)
