"""What the little internet of ``public_world`` serves: the local stand-ins under public names, APK packages, Maven's files.

Packages are signed with a key of the public name. Maven Central is this user's own local repository.
"""

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deadweight.builders.jib.projects import JIB, JIB_VERSION
from deadweight.records.reference import parse
from deadweight.sources.remote import KEYS, REPOSITORIES
from deadweight.toolchain.find import find
from deadweight_standins.machine import this_machine
from deadweight_standins.source import LocalSource
from tests.support.caches import linked
from tests.support.public_world import PLAIN, World


def serve_images(world: World, source: LocalSource, references: Sequence[str], mirrored_below: str) -> None:
    """Each stand-in under its public name, and once more below a prefix; within one registry no blob is copied."""
    for reference in references:
        base, public = source.base(reference), parse(reference)
        held = base.resolved.split("/", 1)[1].split("@")[0]
        for name in (public.repository, f"{mirrored_below}/{public.host}/{public.repository}"):
            words = ("copy", "--insecure", f"{PLAIN}/{held}@{base.digest}", f"{PLAIN}/{name}:{public.tag or 'latest'}")
            done = world.run(find("crane").path, *words)
            assert done.returncode == 0, done.stderr


def serve_packages(world: World, source: LocalSource) -> None:
    """The stand-in packages as Wolfi's and Alpine's."""
    for flavour in ("wolfi", "alpine"):
        _publish(world, source.folder / "apk" / flavour, REPOSITORIES[flavour][0], KEYS[flavour][0])
    (world.folder / "apk" / "releases.json").write_text(json.dumps(_releases()))


def serve_maven(world: World, project: Path) -> None:
    """This user's local Maven repository as Maven Central, warmed with what this project's builds need."""
    # Java's home is the account's, whatever HOME says
    repository = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".m2" / "repository"
    goals = ("package", "dependency:copy-dependencies", f"{JIB}:{JIB_VERSION}:buildTar")
    image = ("-Djib.from.image=scratch", f"-Djib.outputPaths.tar={project}/target/warmed.tar")
    words = ("-B", "-q", "-Dmaven.test.skip=true", "-DincludeScope=runtime", *goals, *image)
    mvn = find("mvn").path
    # other projects leave some of the same plugins there: only a build without a network tells that it has all
    if subprocess.run([mvn, "-o", *words], cwd=project, capture_output=True, timeout=300).returncode:
        subprocess.run([mvn, *words], cwd=project, check=True, timeout=300)
    (world.folder / "apk" / "maven2").symlink_to(repository)


def hard_linked(source: Path, target: Path) -> None:
    """A copy that takes no room; what the target has already stays, and what is being uploaded to a registry is left out."""
    left_out = shutil.ignore_patterns("_uploads")
    shutil.copytree(source, target, copy_function=linked, dirs_exist_ok=True, ignore=left_out)


def _publish(world: World, source: Path, repository: str, key: str) -> None:
    """Serve packages at a public URL, their index signed with a key of the public name."""
    root = world.folder / "apk"
    folder = root / repository.split("/", 3)[3] / this_machine().apk
    folder.mkdir(parents=True)
    for package in (source / this_machine().apk).glob("*.apk"):
        shutil.copy(package, folder)
    public = root / key.split("/", 3)[3]
    public.parent.mkdir(parents=True, exist_ok=True)
    private = world.folder / public.name.removesuffix(".pub")
    melange = find("melange").path
    assert world.run(melange, "keygen", private.name).returncode == 0
    shutil.copy(world.folder / public.name, public)
    names = sorted(path.name for path in folder.glob("*.apk"))
    words: tuple[str | Path, ...] = ("index", "--arch", this_machine().apk, "--signing-key", private, *names)
    done = world.run(melange, *words, cwd=folder)
    assert done.returncode == 0, done.stderr


def _releases() -> dict[str, object]:
    """What apko asks alpinelinux.org for when it meets one of Alpine's own repositories."""
    branch = REPOSITORIES["alpine"][0].split("/")[-2]
    keys = {this_machine().apk: [{"url": KEYS["alpine"][0]}]}
    repositories = {"arches": list(keys), "keys": keys, "repos": [{"name": "main"}]}
    known = {"rel_branch": branch, "git_branch": branch, **repositories}
    return {"architectures": list(keys), "latest_stable": branch, "release_branches": [known]}
