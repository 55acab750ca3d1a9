"""Build an image with apko, without Dockerfile or engine; melange packages the service first.

apko.yaml and melange.yaml name no repository and no keyring; the source gives them. Its repositories are used only during
the build (``-b``), so no path of a mirror or laptop ends up in the image's ``/etc/apk/repositories``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from deadweight._errors import wording
from deadweight.builders.apko import melange
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import archive, common
from deadweight.builders.shared.tool_output import Listener, run_tool
from deadweight.builders.variants import ApkoVariant
from deadweight.records.built_image import Base
from deadweight.sources.adapt import included
from deadweight.suite.explain import did_you_mean
from deadweight.suite.yaml_nodes import Document, Key, read
from deadweight.toolchain.find import find


class ApkoBuilder:
    """``config`` is the apko.yaml, ``packages`` the melange files to build first, ``runner`` melange's sandbox."""

    name = "apko"
    record = ApkoVariant

    def needs(self, variant: ApkoVariant, root: Path) -> Needs:
        """Raises ConfigError for missing or wrong files."""
        if variant.config is None:
            raise WrongKey(variant, "config", wording("apko.no_config"), root)
        check_apko_config(common.need_file(variant, "config", root, variant.config))
        for number, package in enumerate(variant.packages):
            document = read(common.need_file(variant, ("packages", number), root, package))
            if not isinstance(document.value, dict) or "package" not in document.value:
                raise document.error((), wording("apko.not_melange"))
            described = document.value["package"]
            targets = described.get("target-architecture") if isinstance(described, dict) else None
            check_architectures(document, ("package", "target-architecture"), targets)
        if variant.packages:
            common.need_source(variant, root)
        docker = bool(variant.packages) and variant.runner == "docker"
        sandbox = ("melange",) if docker else ("melange", "bwrap")
        return Needs(tools=("apko", *(sandbox if variant.packages else ())), engine=docker, apk=True)

    def steps(self, variant: ApkoVariant, site: Site) -> tuple[Step, ...]:
        assert variant.config is not None
        config = site.root / variant.config
        apk = melange.apk_of(site, variant.config)
        before = tuple(melange.step(variant, package, site) for package in variant.packages)
        values = {"apko": find("apko").version, "architecture": common.architecture().apk, **apk.values()}
        inputs = Inputs((config, *included(config, site.root), *apk.indexes), (), values)
        after = tuple(step.key for step in before)
        return (*before, archive.image_step(variant, site, "apko", inputs, partial(self._build, variant, site), after))

    def archive(self, variant: ApkoVariant, built: BuiltImage, site: Site) -> Path:
        return archive.made_by_the_build(variant, built, site)

    def _build(self, variant: ApkoVariant, site: Site, job: Job) -> BuiltImage:
        name = common.image_name(site.suite, variant)
        job.took("cold")  # apko puts packages together, which it may have downloaded before
        apko = find("apko")
        assert variant.config is not None
        apk = melange.apk_of(site, variant.config)
        apk.link()
        with archive.scratch(variant, site) as work:
            for folder in ("sbom", "tmp"):
                (work / folder).mkdir()
            environment = {
                **common.program_environment(site),
                **apk.credentials,
                "TMPDIR": str(work / "tmp"),
                "SOURCE_DATE_EPOCH": common.EPOCH,
            }
            run_tool(
                [apko.path, *_words(variant, site, apk, name, work)],
                f"{variant.name}: {variant.config}",
                Listener(job.say, _announce, melange.clean),
                cwd=site.root,
                environment=environment,
                log=job.log,
            )
            archive.renamed(work / "apko.tar", work / "image.tar", name)
            digest = archive.config_digest(work / "image.tar")
            sboms = archive.keep(variant, site, work / "image.tar", work / "sbom")
        tools = [f"apko {apko.version}", *([f"melange {find('melange').version}"] if variant.packages else [])]
        # an apko image stands on packages, not on an image: there is no digest, but it may be a stand-in all the same
        base = Base(f"{apk.flavour} packages", ", ".join(apk.repositories), None, apk.stand_in)
        return archive.result(variant, site, digest=digest, base=base, tool=", ".join(tools), sbom=sboms)


def _words(variant: ApkoVariant, site: Site, apk: melange.Apk, name: str, work: Path) -> list[str]:
    """apko takes only ``-r`` for what it writes into the image, and wants one at least: the packages built here, if any."""
    assert variant.config is not None
    root, state = site.root, site.state
    own = [str(melange.repository(state, variant, config).relative_to(root)) for config in variant.packages]
    keys = [*apk.keyring, *([str(melange.public_key(state).relative_to(root))] if own else [])]
    return [
        *("build", melange.usable(site, variant.config), name, str(work / "apko.tar")),
        *("--arch", common.architecture().apk, "--vcs=false"),
        *(word for repository in own or apk.repositories for word in ("-r", repository)),
        *(word for repository in apk.repositories if own for word in ("-b", repository)),
        *(word for key in keys for word in ("-k", key)),
        *("--cache-dir", str(state.cache / "apk"), "--sbom-path", str(work / "sbom")),
    ]


def _announce(line: str) -> str | None:
    text = melange.clean(line)
    return text[:120] if text.startswith(("installing ", "layer digest")) else None


# Check an apko.yaml for what apko itself accepts without a word.
# apko refuses unknown keys and wrong types with file and line; those are left to it. It takes any text for ``run-as``, and an
# unknown name then stops the container from starting ("no matching entries in passwd file").
_APK_NAMES = {**common.APK_NAMES, "arm64/v8": "aarch64"}
"""OCI's names of the architectures that we build for, as apk calls them."""


def check_apko_config(file: Path) -> None:
    """Raises ConfigError with file, line and key: not YAML, no packages, an unknown ``run-as``, not for this machine."""
    document = read(file)
    top = document.value
    if not isinstance(top, dict):
        raise document.error((), wording("apko.not_a_mapping"))
    check_architectures(document, ("archs",), top.get("archs"))
    if "include" in top:
        return  # accounts and packages may be in the other file; apko reads it
    contents = top.get("contents")
    if not isinstance(contents, dict) or not contents.get("packages"):
        raise document.error(("contents",), wording("apko.no_packages"))
    _check_run_as(document, top.get("accounts") or {})


def check_architectures(document: Document, key: Key, given: Any) -> None:
    """What is built is for this machine, whatever a file says: one that is for others only would give another image than it says.

    Raises ConfigError. apko's ``archs`` and melange's ``target-architecture`` take OCI's names too, and ``all``.
    """
    if not given:
        return
    arch = common.architecture().apk
    named = [str(name) for name in (given if isinstance(given, list) else [given])]
    if not {"all", "host", arch} & {_APK_NAMES.get(name.lower(), name.lower()) for name in named}:
        raise document.error(key, wording("apko.other_architecture", named=", ".join(named), arch=arch))


def _check_run_as(document: Document, accounts: Any) -> None:
    if not isinstance(accounts, dict) or accounts.get("run-as") is None:
        return
    user, _, group = str(accounts["run-as"]).partition(":")
    for word, kind, name_key, id_key in ((user, "users", "username", "uid"), (group, "groups", "groupname", "gid")):
        known = [entry for entry in accounts.get(kind) or [] if isinstance(entry, dict)]
        names = [str(entry.get(name_key)) for entry in known]
        if not word or word.isdigit() or word == "root" or word in names:
            continue
        words = {"kind": kind[:-1], "name": word, "section": kind, "guess": did_you_mean(word, names), "id_key": id_key}
        raise document.error(("accounts", "run-as"), wording("apko.unknown_account", **words))
