"""List all variants derived from a repository's own Dockerfile, in any language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deadweight_init.derive import dockerfile, minimal
from deadweight_init.derive.bases import is_bare, libc, others
from deadweight_init.derive.runtime import RuntimeFiles
from deadweight_init.languages.common import flow
from deadweight_init.records import Ladder, OwnDockerfile, Rung

MINIMAL = "minimal"


def ladder(
    own: OwnDockerfile, place: str, keys: Mapping[str, str], found: RuntimeFiles | str, config: Mapping[str, Any]
) -> Ladder:
    """The own Dockerfile on other bases, and its run-time files on nothing. ``keys`` are those of the own rung; ``found`` are the
    run-time files, or why they are not known; ``config`` is that of the built image, empty if it is not known."""
    parsed = dockerfile.parse(own)
    if parsed is None:
        return Ladder(())
    rungs, files = list[Rung](), dict[str, str]()
    if not is_bare(parsed.base):
        rung = _minimal(parsed, place, keys, found)
        rungs.append(rung)
        if isinstance(found, RuntimeFiles):
            files[rung.files[0]] = minimal.text(parsed, found, config)
    rungs += _on_others(parsed, f"{place}/Dockerfile", keys)
    if any(f"{place}/Dockerfile" in each.files for each in rungs):
        files[f"{place}/Dockerfile"] = dockerfile.on_another_base(parsed, config)
    if own.ignored:
        files |= {f"{name}.dockerignore": own.ignored for name in tuple(files)}
    return Ladder(tuple(rungs), files)


def _minimal(parsed: dockerfile.Parsed, place: str, keys: Mapping[str, str], found: RuntimeFiles | str) -> Rung:
    files = _files(parsed, f"{place}/minimal.Dockerfile")
    file = files[0]
    made = {**{key: value for key, value in keys.items() if key != "target"}, "dockerfile": file}
    what = f"{parsed.own.path}: what it runs, without the rest of {parsed.base}"
    if isinstance(found, str):
        return Rung(MINIMAL, "dockerfile", what, made, files, found)
    return Rung(MINIMAL, "dockerfile", what, made, files, changes=minimal.changes(parsed, found))


def _on_others(parsed: dockerfile.Parsed, file: str, keys: Mapping[str, str]) -> Iterator[Rung]:
    own, argument = parsed.own, dockerfile.argument(parsed.own)
    found = others(parsed.base, parsed.chain)
    for name in sorted(found, key=lambda each: (libc(found[each]) != libc(parsed.base), tuple(found).index(each))):
        made = {**keys, "dockerfile": file, "bases": flow({argument: found[name]})}
        change = dockerfile.base_change(parsed, found[name])
        yield Rung(name, "dockerfile", f"{own.path} on {found[name]}", made, _files(parsed, file), changes=(change,))


def _files(parsed: dockerfile.Parsed, file: str) -> tuple[str, ...]:
    """A Dockerfile, with the ignore file that the own one has for itself."""
    return (file, f"{file}.dockerignore") if parsed.own.ignored else (file,)
