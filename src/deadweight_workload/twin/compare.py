"""Compare what was seen of two images: what differs between runs of the first one alone is noise, and masked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from deadweight._packages import images
from deadweight_workload.model import Ledger, wording
from deadweight_workload.twin.answers import Facts

if TYPE_CHECKING:
    from deadweight_images import Listing

ENDED = ("service", "ended")
"""The field that tells at which request a service ended: nothing was asked of it after that."""

LOADED = "under load"
"""The field of an answer that came while others were asked for: it is told only where nothing else of that request differs."""


CONTENTS = "contents"
"""What is told of the images' files and programs, and fails nothing."""


@dataclass(frozen=True)
class Cause:
    """A likely cause: a code of ``messages.toml`` (topic ``cause``) with its fields."""

    code: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """``request`` is the name of a request, or ``start``, ``service``, ``process``, ``image``, ``contents``, ``ports``, ``log``,
    ``files`` or a signal; ``a`` and ``b`` are None where there is no such field. ``status``, ``header server`` and so on are
    fields."""

    request: str
    field: str
    a: str | None
    b: str | None
    cause: Cause | None = None

    def accepted(self, allow: Iterable[str]) -> bool:
        """Whether it is of one of these kinds: a field or the beginning of one (``body``), with or without its request."""
        names = (self.field, self.request, f"{self.request} {self.field}")
        return any(name == kind or name.startswith((f"{kind} ", f"{kind}.")) for kind in allow for name in names)


@dataclass(frozen=True)
class Comparison:
    """Two images compared. ``masked`` are fields that differ between runs of A alone, ``accepted`` how many differences the suite
    allows, ``unwatched`` why the files that both look for could not be watched. ``paths`` are what only one image holds (``gone``,
    ``new``), or with another mode or owner (``changed``)."""

    a: str
    b: str
    differences: tuple[Difference, ...]
    masked: tuple[str, ...]
    ledger: Ledger
    requests: int = 0
    accepted: int = 0
    unwatched: str = ""
    notes: tuple[str, ...] = ()
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def alike(self) -> bool:
        """Whether they behave alike: of what they are made, they may differ."""
        return all(one.request == CONTENTS for one in self.differences)

    def document(self) -> dict[str, Any]:
        """For evidence and ``--json``."""
        counts = {"operations_compared": self.ledger.learned, "operations_known": self.ledger.known}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        del plain["ledger"]
        return {**plain, **counts, "never_asked": list(self.ledger.unasked)}


def differing(a: Sequence[Facts], b: Sequence[Facts]) -> tuple[list[Difference], list[str]]:
    """What is alike in all runs of A and another in all runs of B; and the names of the fields that were masked."""
    differences, masked, loose = list[Difference](), dict[str, None](), _loose(a)
    over = _not_asked(a, b)
    restless = {key[1] for key in a[0] if len({run.get(key) for run in a}) > 1}
    for key in dict.fromkeys(key for run in (*a, *b) for key in run):
        ours, theirs = ([run.get(key) for run in runs] for runs in (a, b))
        if key[0] in over or any((key[0], part) in loose for part in _above(key[1])):
            continue
        timing = key[1] in restless and all(_NUMBER.fullmatch(value or "") for value in (*ours, *theirs))
        if timing or len(set(ours)) > 1:
            masked[f"{key[0]}: {key[1]}"] = None
        if not timing and all(_differs(ours, value) for value in theirs):
            differences.append(Difference(*key, ours[0], theirs[0]))
    known = {(one.request, one.field) for one in differences}
    alone = {request for request, name in known if name != LOADED}
    inner = (any((one.request, part) in known for part in _above(one.field)[1:]) for one in differences)
    told = [one for one, within in zip(differences, inner, strict=True) if not within]
    loud = [one for one in told if one.field != LOADED or one.request not in alone]
    return loud, [*masked, *(f"{request}: {name}" for request, name in sorted(loose))]


def _not_asked(a: Sequence[Facts], b: Sequence[Facts]) -> set[str]:
    """The requests that came after the end of a service, where one ended."""
    asked: list[set[str]] = [{request for request, _ in run} for run in (*a, *b)]
    if not any(ENDED in run for run in (*a, *b)):
        return set()
    return set[str]().union(*asked) - asked[0].intersection(*asked) - {ENDED[0], "log", "files"}


def _loose(runs: Sequence[Facts]) -> set[tuple[str, str]]:
    """The parts of bodies whose very keys differ between runs of A; of numbered ones, or of ids, what they are in."""
    unsteady = {
        key for run in runs for key in run if key[1].startswith("body $") and not all(key in one for one in runs)
    }
    return {(request, _above(name)[bool(re.search(r"\d[^.]*$", name))]) for request, name in unsteady}


def _above(name: str) -> list[str]:
    """A field and those that it is in: ``body $.a[0]``, ``body $.a``, ``body $``, ``body``."""
    parts, path = [name], name
    while path.startswith("body "):
        path = path[: max(map(path.rfind, ".[ "))]
        parts.append(path)
    return parts


def _differs(ours: Sequence[str | None], theirs: str | None) -> bool:
    """Whether a value is none that A could have given: A's fixed parts are not in it."""
    if len(set(ours)) == 1 or theirs is None or None in ours:
        return len(set(ours)) == 1 and theirs != ours[0]
    words = [_WORDS.findall(value or "") for value in ours]
    other = _WORDS.findall(theirs)
    if {len(row) for row in words} == {len(other)}:
        return any(len(set(column)) == 1 and column[0] != word for *column, word in zip(*words, other, strict=True))
    same = [column[0] for column in zip_longest(*words) if len(set(column)) == 1]
    fixed, left = [word for word in same if word and word.isalpha() and len(word) > 2], iter(other)
    return not all(word in left for word in fixed)


_WORDS = re.compile(r"\w+|\W")
_NUMBER = re.compile(r"-?[\d.]+(e-?\d+)?")
"""A number in a field that changes by itself in another request is a duration or a counter, even where it came out alike."""


# Files and programs of the images: they may differ without any answer that does.

SHOWN_PLACES, LIKE = 5, 1.1
"""Programs of sizes that are alike but for a tenth are one program, built twice."""
EPOCH = "1970-01-01"
_LIBRARY = re.compile(r"\.so(\.[\d.]+)?$")


def content_differences(a: Listing, b: Listing) -> tuple[list[Difference], dict[str, tuple[str, ...]]]:
    """The differences, and the paths: ``gone``, ``new``, and those with another mode or owner (``changed``)."""
    both = a.files.keys() & b.files.keys()
    paths = {"gone": a.files.keys() - both, "new": b.files.keys() - both}
    paths["changed"] = {path for path in both if a.files[path] and b.files[path] and a.files[path] != b.files[path]}
    ours, theirs = ({PurePosixPath(path).name for path in side.files if _LIBRARY.search(path)} for side in (a, b))
    broken = [{path for path, held in side.files.items() if held.startswith("broken")} for side in (a, b)]
    pairs = {
        "runtime": [f"{one.runtime.name} {one.runtime.version}".strip() for one in (a, b)],
        "programs of its own": [_names(a.programs - b.programs), _names(b.programs - a.programs)],
        "libraries of its own": [_names(ours - theirs), _names(theirs - ours)],
        "broken links of its own": [_names(broken[0] - broken[1]), _names(broken[1] - broken[0])],
    }
    sizes, programs = sorted((a.size_bytes, b.size_bytes)), [_program(a), _program(b)]
    if programs[0] != programs[1] and ((a.debug_info, a.mode) != (b.debug_info, b.mode) or sizes[1] > sizes[0] * LIKE):
        pairs["program"] = programs
    epochs = [EPOCH if one.created.startswith(EPOCH) else wording("twin.build_time") for one in (a, b)]
    pairs |= {
        "layers": [str(a.layers), str(b.layers)],
        "author": [one.author or "none" for one in (a, b)],
        "created": epochs,
    }
    if changed := sorted(set[str]().union(*paths.values())):
        folders = Counter("/".join(path.split("/")[: min(3, path.count("/"))]) or "/" for path in changed)
        places = [f"{folder} {count}" for folder, count in folders.most_common(SHOWN_PLACES)]
        counts = {kind: len(those) for kind, those in paths.items()}
        shown = ", ".join([*places, "…"][: len(folders)])
        pairs["files"] = [str(len(a.files)), wording("twin.files", count=len(b.files), places=shown, **counts)]
    told = [Difference(CONTENTS, name, one, other) for name, (one, other) in pairs.items() if one != other]
    return told, {kind: tuple(sorted(those)) for kind, those in paths.items()}


def _program(one: Listing) -> str:
    size = images.format_bytes(one.size_bytes)
    return f"{one.runtime.path or 'none'}, {size}, {one.mode:04o}{', with debug information' if one.debug_info else ''}"


def _names(names: Collection[str]) -> str:
    return f"{len(names)}: {', '.join(sorted(names))}" if names else "none"
