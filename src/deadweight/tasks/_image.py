"""The image that ``layers`` looks at: a variant of the suite, a file, standard input, or one in the engine or a registry."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deadweight._packages import images
from deadweight.tasks._show import say

if TYPE_CHECKING:
    from deadweight.sources.access import Access
    from deadweight.toolchain.crane import Remote
    from deadweight_images.findings import LayersReport, Scanned
    from deadweight_images.secrets.allow import AllowEntry

ENGINE, REGISTRY, STDIN = "docker:", "oci://", "-"
NO_ARCHIVE = "a file or folder; docker:REFERENCE is an image in the engine, oci://REFERENCE one in a registry"
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")  # more likely a file that is not there than a repository


def named(archive: str | None) -> str | None:
    """Which image is meant: what is no file here and has a registry's host in front is a reference in that registry."""
    from deadweight.records.reference import names_registry

    if archive is None or archive == STDIN or archive.startswith((ENGINE, REGISTRY)) or os.path.lexists(archive):
        return archive
    return REGISTRY + archive if names_registry(archive) and not archive.endswith(_ARCHIVES) else archive


class LookedAt:
    """What is looked at: an archive ``file``, or else what ``stream`` opens to be read once. Quicker than either is the engine's
    own folder, where we may read it: ``store`` is that, the image's id there, and whether it is containerd's. ``save`` writes an
    archive of what is no file.

    ``stand_in`` is known of the suite's variants only.
    """

    def __init__(
        self,
        title: str,
        cache: Path,
        *,
        file: Path | None = None,
        allow: tuple[AllowEntry, ...] = (),
        stream: Callable[[], AbstractContextManager[IO[bytes]]] | None = None,
        store: tuple[Path, str, bool] | None = None,
        save: Callable[[Path], Path] | None = None,
        remote: Remote | None = None,
        pull: Callable[[], AbstractContextManager[Path]] | None = None,
        list_platforms: Callable[[], tuple[str, ...]] | None = None,
        stand_in: bool | None = None,
        unread_allowed: bool = False,
    ) -> None:
        self.title, self.stand_in, self.unread_allowed = title, stand_in, unread_allowed
        self._file, self._stream, self._store, self._save, self._remote = file, stream, store, save, remote
        self._cache, self._allow, self._pull, self._list = cache, allow, pull, list_platforms

    def analyse(self, scan: str, platform: str | None, name: str | None) -> LayersReport:
        from typing import cast

        mode = cast("Scanned", scan)
        if self._store is not None:
            found = self._in_store(*self._store, mode, platform)
            if found is not None:
                return found
        if self._remote is not None:
            return images.analyse_registry(
                self._remote, self.title, scan=mode, allow=self._allow, platform=platform, cache_dir=self._cache
            )
        asked: dict[str, Any] = {"scan": mode, "allow": self._allow, "platform": platform, "name": name}
        if self._stream is not None:
            with self._stream() as source:
                return images.analyse_stream(source, what=self.title, cache_dir=self._cache, **asked)
        assert self._file is not None
        return images.analyse(self._file, cache_dir=self._cache, **asked)

    def platforms(self) -> tuple[str, ...]:
        """The platforms of an image in a registry, one empty name for an image of one platform. Raises UsageError."""
        from deadweight._errors import UsageError

        if self._list is None:
            raise UsageError(
                "--platform all works only for images in a registry",
                hint="choose one, for example --platform linux/arm64",
            )
        return self._list() or ("",)

    def _in_store(
        self, root: Path, image: str, by_content: bool, scan: Scanned, platform: str | None
    ) -> LayersReport | None:
        asked: dict[str, Any] = {"scan": scan, "allow": self._allow, "cache_dir": self._cache, "platform": platform}
        if by_content:
            return images.analyse_content_store(images.content_folders(root), image, **asked)
        return images.analyse_engine_store(root, image, **asked)

    @contextlib.contextmanager
    def file(self) -> Iterator[Path]:
        """An archive to read again; one that has to be written first is gone afterwards."""
        import tempfile

        if self._file is not None:
            yield self._file
            return
        if self._pull is not None:
            with self._pull() as layout:
                yield layout
            return
        assert self._save is not None
        with tempfile.TemporaryDirectory(prefix="deadweight-save-") as folder:
            yield self._save(Path(folder, "image.tar"))


@contextlib.contextmanager
def looked_at(variant: str | None, archive: str | None, platform: str | None) -> Iterator[LookedAt]:
    """What ``--variant`` or ``--archive`` means. Raises UsageError where it means nothing, MissingError where it is not there."""
    from deadweight._errors import UsageError
    from deadweight.records.paths import user_cache

    if archive is not None and archive.strip() in ("", ENGINE, REGISTRY):
        raise UsageError(
            f"--archive {archive!r}: no image is given", hint="use docker:REFERENCE, oci://REFERENCE, or a file"
        )
    cache = user_cache() / "layers"
    if variant is not None:
        with _in_suite(variant) as found:
            yield found
    elif archive is not None and archive.startswith(ENGINE):
        with _in_engine(archive.removeprefix(ENGINE), cache) as found:
            yield found
    elif archive is not None and archive.startswith(REGISTRY):
        yield _in_registry(archive.removeprefix(REGISTRY), platform, cache)
    elif archive == STDIN:
        yield LookedAt("standard input", cache, stream=lambda: contextlib.nullcontext(sys.stdin.buffer))
    else:
        file = Path(str(archive))
        _refuse_absent(file)
        yield LookedAt(str(archive), cache, file=file)


@contextlib.contextmanager
def _in_suite(variant: str) -> Iterator[LookedAt]:
    from deadweight.checks.layers import allow_list
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.suite.select import select_one

    with Workspace.open(say) as workspace, locked(workspace.state, say):
        chosen = select_one(workspace.suite, variant)
        asked = chosen.checks.layers
        yield LookedAt(
            chosen.name,
            workspace.state.cache / "image",
            file=workspace.archive(chosen),
            allow=allow_list(chosen),
            stand_in=workspace.stand_in(chosen.name),
            unread_allowed=asked is not None and "allow" in (asked.unread.mine, asked.unread.base),
        )


def _in_registry(reference: str, platform: str | None, cache: Path) -> LookedAt:
    from deadweight.toolchain.crane import Remote, platforms, pulled

    way = _access(reference)
    env, insecure = way.environment, way.insecure
    return LookedAt(
        reference,
        cache,
        remote=Remote(reference, insecure=insecure, env=env),
        list_platforms=lambda: platforms(reference, insecure=insecure, env=env),
        pull=lambda: pulled(reference, platform=_one_platform(reference, platform, way), insecure=insecure, env=env),
    )


def _refuse_absent(file: Path) -> None:
    """A wrong argument, exit 2: 1 would say that a secret was found. What else is wrong with a file whoever opens it tells."""
    from deadweight._errors import UsageError

    try:
        file.lstat()
    except FileNotFoundError:
        raise UsageError(f"--archive: {file}: no such file", hint=NO_ARCHIVE) from None
    except OSError:
        return


@contextlib.contextmanager
def _in_engine(reference: str, cache: Path) -> Iterator[LookedAt]:
    from deadweight.engine.client import Engine
    from deadweight.engine.daemon import find_or_start

    with Engine.connect(find_or_start(say)) as engine:
        image, images = engine.images.need(reference), engine.images
        by_content = engine.info.containerd_store
        yield LookedAt(
            reference,
            cache,
            stream=lambda: images.stream(reference),
            store=(Path(engine.info.root_dir), image.id, by_content),
            save=lambda path: images.save(reference, path),
        )


def _access(reference: str) -> Access:
    """How the registry is reached: as the project here says it, if there is one, else as the user's own settings do."""
    from deadweight._errors import ConfigError
    from deadweight.project.suite_file import load_suite
    from deadweight.records.paths import State
    from deadweight.sources.access import access
    from deadweight.sources.settings import load
    from deadweight.suite.load import find_suite_file

    try:
        file = find_suite_file()
    except ConfigError:
        return access(reference, load(State(Path.cwd())))
    suite = load_suite(file)
    return access(reference, load(State(suite.root), suite))


def _one_platform(reference: str, platform: str | None, way: Access) -> str | None:
    """Which platform of an image in a registry to fetch: a multi-platform one is many times as big as what is looked at."""
    from deadweight._errors import UsageError
    from deadweight.toolchain.crane import platforms

    there = platforms(reference, insecure=way.insecure, env=way.environment)
    if platform is None and len(there) < 2:
        return None
    wanted = platform or images.machine_platform()
    fitting = [each for each in there if images.fits(each, wanted)]
    if there and not fitting:
        raise UsageError(f"{reference}: holds no image for {wanted}", hint=f"it holds {', '.join(there)}: --platform")
    return wanted if wanted in fitting or not fitting else fitting[0]
