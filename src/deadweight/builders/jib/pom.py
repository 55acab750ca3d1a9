"""What the jib builder reads in a project's pom.xml files: whether and where they name the Jib plugin, and their modules.

Maven gives a project the plugins of its parents too. Those that lie in the suite's folders are read here; a parent that only a
repository has is not. What a profile brings does not count: which profiles are active is for Maven to know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deadweight.builders.jib.pom_file import Bound, Pom, read_pom
from deadweight.builders.jib.variant import JibVariant

CONTAINERIZE = "jib.containerize"
"""Jib's own property: which module of a project with several becomes the image."""

MAX_POMS = 1000
_LIFECYCLE = (
    *("validate", "initialize", "generate-sources", "process-sources", "generate-resources", "process-resources"),
    *("compile", "process-classes", "generate-test-sources", "process-test-sources", "generate-test-resources"),
    *("process-test-resources", "test-compile", "process-test-classes", "test", "prepare-package", "package"),
)
"""Maven's phases in their order, up to the last one that a build here calls."""
_WEB = ("war", "gwt-app")
_HERE = re.compile(r"^\$\{(?:project\.)?basedir\}/")


@dataclass(frozen=True)
class Poms:
    """``called`` is the file that Maven is called with, ``image`` the module's that becomes the image; then their parents."""

    called: tuple[Pom, ...]
    image: tuple[Pom, ...]

    @property
    def name_jib(self) -> bool:
        """Whether Jib's configuration is the project's."""
        return any(pom.jib is not None for pom in self.image)

    @property
    def share_jib(self) -> bool:
        """Whether every module has the plugin, so that Maven knows it by its short name in each of them."""
        return any(pom.jib is not None for pom in self.called)

    @property
    def jib_version(self) -> str | None:
        """The plugin's version, where it is written as a number."""
        return next((pom.jib for pom in self.image if pom.jib and "${" not in pom.jib), None)

    def need_package(self, mode: str) -> bool:
        """Whether Jib takes what only Maven's phase ``package`` makes. ``mode`` is the containerizingMode that the suite names."""
        mode = mode or next((pom.mode for pom in self.image if pom.mode), "")
        return self.image[0].packaging in _WEB or mode == "packaged"

    def publishing(self, phase: str) -> tuple[Path, Bound] | None:
        """What a build up to this phase would run beside ours: a goal of Jib's that pushes an image, or loads it."""
        run = _LIFECYCLE[: _LIFECYCLE.index(phase) + 1]
        found = ((pom.file, bound) for pom in self.image for bound in pom.bound)
        return next((each for each in found if each[1].goal in ("build", "dockerBuild") and each[1].phase in run), None)

    def outside(self, source: Path) -> tuple[Path, ...]:
        """The files that are not below that folder."""
        files = dict.fromkeys(pom.file for pom in (*self.called, *self.image))
        return tuple(file for file in files if not file.is_relative_to(source))


def read_poms(variant: JibVariant, root: Path) -> Poms:
    """The poms of a variant; ``root`` is the suite's folder. Raises ConfigError as ``read_pom`` does."""
    called = read_pom(_file(root / variant.source / (variant.pom or "pom.xml")))
    image = _module(called, variant.args.get(CONTAINERIZE, ""))
    return Poms(_with_parents(called, root), _with_parents(image, root))


def modules_outside(variant: JibVariant, root: Path) -> tuple[Path, ...]:
    """The folders of a variant's modules that lie beside its source, as ``<module>../lib</module>`` says; within ``root``."""
    source = root / variant.source
    homes = (pom.file.parent for pom in _modules(read_poms(variant, root).called[0]))
    return tuple(home for home in homes if home.is_relative_to(root) and not home.is_relative_to(source))


def output_folders(variant: JibVariant, root: Path) -> tuple[Path, ...]:
    """Where the builds of a variant's modules write, within ``root``. A path with a property counts as none."""
    found = []
    for pom in _modules(read_poms(variant, root).called[0]):
        said = next((each.directory for each in _with_parents(pom, root) if each.directory), "")
        name = _HERE.sub("", said)
        home = pom.file.parent
        place = Path(os.path.normpath(home / ("target" if not name or "${" in name else name)))
        if place.is_relative_to(root) and not home.is_relative_to(place):
            found.append(place)
    return tuple(found)


def _with_parents(pom: Pom, root: Path) -> tuple[Pom, ...]:
    found = [pom]
    while (above := _parent(found[-1], root)) is not None and len(found) < MAX_POMS:
        found.append(above)
    return tuple(found)


def _parent(pom: Pom, root: Path) -> Pom | None:
    """The parent where Maven takes it from disk: what lies there must have the parent's name."""
    if not pom.parent_path:
        return None
    file = _file(pom.file.parent / pom.parent_path)
    if not file.is_file() or not file.is_relative_to(root):
        return None
    found = read_pom(file)
    return found if found.name == pom.parent and found.name != pom.name else None


def _module(top: Pom, given: str) -> Pom:
    """The module that Jib's property names: ``:ARTIFACT``, ``GROUP:ARTIFACT`` or a folder. Where there is none, Maven says so."""
    group, mark, _ = given.partition(":")
    for pom in _modules(top) if given else ():
        named = (pom.name == given if group else pom.name.endswith(given)) if mark else False
        if named or pom.file == _file(top.file.parent / given):
            return pom
    return top


def _modules(top: Pom) -> Iterator[Pom]:
    seen, left = {top.file}, [top]
    while left and len(seen) < MAX_POMS:
        pom = left.pop()
        yield pom
        for name in pom.modules:
            file = _file(pom.file.parent / name)
            if file.is_file() and file not in seen:
                seen.add(file)
                left.append(read_pom(file))


def _file(place: Path) -> Path:
    return Path(os.path.normpath(place / "pom.xml" if place.is_dir() else place))
