"""How the README says that the image is run: ``docker run -e KEY=value -v ./conf:/conf shop --provider local``.

Asked where a service does not come up: what users are told to give it is what it may lack. Placeholders are no values.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from deadweight.records.reference import split
from deadweight_init.draft import Draft, run_of
from deadweight_init.languages.common import sequence
from deadweight_init.needed import PORTS, mounted
from deadweight_init.records import SEEN, Known, Service
from deadweight_init.tree import Tree, joined, line_of

_RUN = re.compile(
    r"^[ \t>]*(?:[$#] ?)?(?:sudo )?(?:docker|podman)(?: container)? run ((?:[^\n\\`]|\\\n|\\.)+)", re.MULTILINE
)
_SERVES = re.compile(
    r"^[ \t>]*(?:\$ ?)?(?:sudo )?([\w./-]+) (serve|server|start|run|web|listen|daemon)(?![\w./-])", re.MULTILINE
)
"""``shop serve …``: one program for many things, which does none where no word says which. Behind a ``#`` it is a heading."""
_README = r"readme(?:\.\w+)?"
_PLACEHOLDER = re.compile(r"[<>{}\[\]$`|;&]|\.\.\.|^(?:your|my|path/to)\b|YOUR|PATH_TO")
_TELLS = re.compile(r"-{0,2}(?:v|h|version|help|list|usage)")
"""Arguments with which a program tells something of itself, and ends."""

_ALONE = frozenset(
    (
        *(
            "-d",
            "--detach",
            "-i",
            "-t",
            "-it",
            "-ti",
            "-dit",
            "-itd",
            "-td",
            "-dt",
            "-di",
            "-id",
            "--rm",
            "--init",
            "--tty",
        ),
        *("--interactive", "-P", "--publish-all", "--privileged", "--read-only", "--no-healthcheck", "--rm=true"),
    )
)
"""Options of ``docker run`` without a value."""


@dataclass(frozen=True)
class Told:
    """One such command: where it is, and what it gives the image."""

    origin: str
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()


def commands(tree: Tree, service: Service) -> Iterator[Told]:
    """The commands of its README, and of the one of the root, that run its image and give it something, or that tell its program
    to serve."""
    names = {
        service.name,
        tree.root.name,
        *(service.project.details.get("called", "").split() if service.project else ()),
    }
    if service.project is not None:
        names |= {service.project.name, service.project.details.get("binary", "")}
    plain = {_plain(each) for each in names if each}
    for path in tree.named(_README):
        if posixpath.dirname(path) not in ("", service.folder, service.project.folder if service.project else "."):
            continue
        text = tree.text(path)
        for found in _RUN.finditer(text):
            told = _told(tree, found[1], f"from {path}:{line_of(text, found.start(1))}", plain)
            if told is not None and (told.env or told.files or told.args):
                yield told
        for found in _SERVES.finditer(text):
            if _plain(posixpath.basename(found[1])) in plain:
                yield Told(f"from {path}:{line_of(text, found.start(1))}", args=(found[2],))


def _told(tree: Tree, command: str, origin: str, names: set[str]) -> Told | None:
    """What a command gives the image; None for one of another image, or that asks a program of something about itself."""
    try:
        options, words = _apart(shlex.split(re.sub(r"\\\n", " ", command), comments=True))
    except ValueError:
        return None
    image = _plain(posixpath.basename(split(words[0])[0])) if words else ""
    is_own = any(name and (name in image or image in name) for name in names)
    args = tuple(words[1:])
    asks = bool(args) and all(_TELLS.fullmatch(each) for each in args)
    if not image or image in PORTS or not is_own or asks or any(name == "--entrypoint" for name, _ in options):
        return None
    given = [value.partition("=") for name, value in options if name in ("-e", "--env")]
    env = {
        name: value
        for name, _, value in given
        if re.fullmatch(r"\w+", name) and value and not _PLACEHOLDER.search(value)
    }
    files = dict(_files(tree, [value for name, value in options if name in ("-v", "--volume")], " ".join(args)))
    return Told(origin, env, files, () if any(_PLACEHOLDER.search(each) for each in args) else args)


def _apart(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The options with their values, and the image with what stands after it."""
    options = []
    while words and words[0].startswith("-"):
        option, sign, value = words[0].partition("=")
        takes = not sign and option not in _ALONE
        options.append((option, (words[1] if len(words) > 1 else "") if takes else value))
        words = words[2 if takes else 1 :]
    return options, words


def _files(tree: Tree, volumes: Sequence[str], args: str) -> Iterator[tuple[str, str]]:
    """What of the repository is mounted: (place in the image, path). Of the whole repository that which the arguments name."""
    for each in volumes:
        source, target = mounted(re.sub(r"\$\(pwd\)|`pwd`", ".", each))
        path = joined(".", source)
        if not source.startswith(".") or not target.startswith("/"):
            continue
        if path != "." and (tree.has(path) or any(tree.below(path, ""))):
            yield target, path
        for found in re.finditer(rf"{re.escape(target.rstrip('/'))}/([\w./-]+)", args) if path == "." else ():
            if tree.has(found[1]):
                yield found[0], found[1]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def with_what_the_readme_gives(draft: Draft, tree: Tree) -> Draft | None:
    """The draft with what the first command of the README gives the image that nobody gives it yet; None where there is none."""
    service = draft.service
    for told in commands(tree, service):
        env = {name: value for name, value in told.env.items() if name not in service.around.env}
        files = {target: path for target, path in told.files.items() if target not in service.around.files}
        given = "args" in draft.run or any(each.args for each in service.dockerfiles)
        args = told.args if not given and _is_for_service(told.args, service) else ()
        if env or files or args:
            return _given(draft, env, files, args, f"{SEEN}: it does not come up without ({told.origin})")
    return None


def _is_for_service(args: Sequence[str], service: Service) -> bool:
    """Whether these are for the service: an interpreter or a shell can be told anything, as to prepare a database once."""
    compiled = service.project is not None and service.project.language in ("go", "rust")
    return compiled or bool(args and args[0].startswith("-"))


def _given(draft: Draft, env: dict[str, str], files: dict[str, str], args: Sequence[str], origin: str) -> Draft:
    service, around = draft.service, draft.service.around
    around = replace(
        around,
        env={**around.env, **{name: Known(value, origin) for name, value in env.items()}},
        files={**around.files, **{target: Known(path, origin) for target, path in files.items()}},
    )
    images = tuple(
        replace(each, args=tuple(args), args_origin=origin) if args and each.words.command else each
        for each in service.dockerfiles
    )
    changed = replace(service, around=around, dockerfiles=images)
    run = {**draft.run, **run_of(changed, draft.port)}
    names = (service.project.details.get("called", "").split() if service.project else []) or [service.name]
    own = list(args[1:] if args and posixpath.basename(args[0]) in names else args)
    if own:
        run["args"] = Known(sequence(own), origin)
    return replace(draft, service=changed, run=run)
