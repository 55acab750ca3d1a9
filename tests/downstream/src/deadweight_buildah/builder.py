"""Build a Containerfile with buildah: no engine and no daemon."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deadweight.plugins import (
    Base,
    BuiltImage,
    CommandError,
    Inputs,
    Job,
    Needs,
    Site,
    Step,
    Variant,
    base_values,
    built_image,
    find_tool,
    ignore_rules,
    image_name,
    is_built,
    keep_archive,
    kept_archive,
    need_file,
    need_source,
    pinned,
    program_environment,
    read_image,
    run,
    scratch,
    system_program,
)


class BuildahVariant(Variant):
    """The keys of a variant: ``bases`` and ``args`` are build arguments, and those in ``bases`` are image references."""

    containerfile: str = "Containerfile"
    bases: dict[str, str] = {}
    args: dict[str, str] = {}

    def images(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name, reference in self.bases.items():
            yield ("bases", name), reference


class BuildahBuilder:
    """Builds the Containerfile with the ``source`` folder as its context."""

    name = "buildah"
    record = BuildahVariant
    programs = (system_program("buildah", apt=("buildah",), dnf=("buildah",), least="1.23"),)

    def needs(self, variant: BuildahVariant, root: Path) -> Needs:
        need_source(variant, root)
        need_file(variant, "containerfile", root, variant.containerfile)
        return Needs(
            tools=("buildah",),
            bases=tuple(variant.bases.values()),
            named={reference: f"bases.{name}" for name, reference in variant.bases.items()},
        )

    def steps(self, variant: BuildahVariant, site: Site) -> tuple[Step, ...]:
        bases = {name: site.base(reference) for name, reference in variant.bases.items()}
        source = site.root / variant.source
        inputs = Inputs(
            files=(source, site.root / variant.containerfile),
            ignore=ignore_rules(source, site).all,
            values={
                "buildah": find_tool("buildah").version,
                **{f"argument {name}": value for name, value in variant.args.items()},
                **base_values(bases),
            },
        )
        step = Step(
            key=f"image:{variant.name}",
            variant=variant.name,
            title=f"buildah build {variant.name}",
            inputs=inputs,
            there=lambda: is_built(variant, site),
            work=lambda job: build(variant, site, bases, job),
        )
        return (step,)

    def archive(self, variant: BuildahVariant, built: BuiltImage, site: Site) -> Path:
        return kept_archive(variant, built, site)


def build(variant: BuildahVariant, site: Site, bases: dict[str, Base], job: Job) -> BuiltImage:
    """Build in separate storage, so that the result does not depend on what the user's storage holds."""
    version, name, source = find_tool("buildah").version, image_name(site.suite, variant), site.root / variant.source
    arguments = {**variant.args, **{argument: pinned(base) for argument, base in bases.items()}}
    job.took("cold")  # nothing from an earlier build is reused
    with scratch(variant, site) as work, storage(work, site) as buildah:
        (work / "ignore").write_text("\n".join(ignore_rules(source, site).all) + "\n")
        try:
            buildah(
                *("build", "--isolation", "chroot", "--timestamp", "0", "--tag", name),
                f"--tls-verify={'false' if any(base.stand_in for base in bases.values()) else 'true'}",
                *(f"--build-arg={key}={value}" for key, value in arguments.items()),
                *("--file", site.root / variant.containerfile, "--ignorefile", work / "ignore", source),
                log=job.log,
                on_line=job.say,
            )
        except CommandError as error:
            raise error.reworded(f"{variant.name}: {error.reason}", error.tail, error.hint) from None
        archive = work / "image.tar"
        buildah("push", name, f"docker-archive:{archive}:{name}", log=job.log)
        digest = read_image(archive).config_digest
        keep_archive(variant, site, archive, None)
    last = next(reversed(bases.values()), None)
    return built_image(variant, site, digest=digest, base=last, tool=f"buildah {version}")


@contextmanager
def storage(work: Path, site: Site) -> Iterator[Callable[..., object]]:
    """Yield a function that runs buildah with its storage in ``work``. At the end buildah itself removes the files, because
    they may belong to other users if buildah runs without root.
    """
    policy = work / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    command = (find_tool("buildah").path, "--storage-driver", "vfs", "--root", work / "root", "--runroot", work / "run")
    environment = {**program_environment(site), "TMPDIR": str(work)}

    def buildah(verb: str, *words: str | Path, **how: Any) -> None:
        trust = ("--signature-policy", policy) if verb in ("build", "push") else ()
        run([*command, verb, *trust, *words], env=environment, timeout=1800, **how)

    try:
        yield buildah
    finally:
        buildah("rm", "--all", check=False)
        buildah("rmi", "--all", "--force", check=False)
