"""A report of the demo's shape and weight: fifteen variants, seventy-nine attacks in three postures, 1,729 findings. Made up."""

from dataclasses import replace
from typing import Any

from deadweight.checks.scan.model import Severity
from deadweight.records.evidence import Provenance
from deadweight.report import model
from deadweight.report.attacks import with_splits
from deadweight.report.figures import when
from deadweight.report.history import entry_of
from deadweight_images import findings
from tests.support import report_samples as samples

PAYLOADS = tuple("mount" if number == 24 else f"attack-{number:02}" for number in range(37))
BREACHES = tuple(f"breach-{number:02}" for number in range(1, 43))
ATTACKS = (*PAYLOADS, *BREACHES)
WALLS = ("image", "non-root", "capabilities", "seccomp", "no-network", "read-only", "noexec-tmpfs", "limits")
SHAPES: dict[str, tuple[str, str, str | None, int, int, int, float, bool]] = {
    # ladder, builder, base, size, findings, attacks that get through by default, seconds of the build, shell
    "all-in-one": ("go", "dockerfile", "golang:1.26-bookworm", 1_131_000_000, 1729, 27, 112.0, True),
    "multi-stage-ubuntu": ("go", "dockerfile", "ubuntu:22.04", 98_400_000, 131, 25, 41.0, True),
    "multi-stage-alpine": ("go", "dockerfile", "alpine:3.18", 12_900_000, 38, 22, 38.5, True),
    "multi-stage-busybox": ("go", "dockerfile", "cgr.dev/chainguard/busybox:latest", 14_100_000, 16, 19, 39.2, True),
    "multi-stage-distroless": ("go", "dockerfile", "gcr.io/distroless/static-debian12:nonroot", 9_700_000, 15, 9, 36.0, False),
    "ko": ("go", "ko", "cgr.dev/chainguard/busybox:latest", 13_600_000, 15, 18, 24.0, True),
    "apko": ("go", "apko", None, 23_500_000, 14, 6, 83.0, False),
    "apko-alpine": ("go", "apko", None, 11_800_000, 15, 17, 79.0, True),
    "multi-stage-java": ("java", "dockerfile", "eclipse-temurin:17-jre-jammy", 271_000_000, 402, 24, 96.0, True),
    "jib": ("java", "jib", "eclipse-temurin:17-jre-jammy", 265_000_000, 401, 24, 31.0, True),
    "jib-distroless": ("java", "jib", "gcr.io/distroless/java17-debian12:nonroot", 231_000_000, 55, 11, 29.0, False),
    "insecure-layer-sample": ("samples", "dockerfile", "alpine:3.18", 7_300_000, 12, 0, 3.1, True),
    "insecure-layer-sample-history": ("samples", "dockerfile", "alpine:3.18", 7_300_000, 12, 0, 2.9, True),
    "insecure-layer-sample-fixed": ("samples", "dockerfile", "alpine:3.18", 7_300_000, 12, 0, 2.8, True),
    "insecure-layer-sample-ssh": ("samples", "dockerfile", "alpine:3.18", 7_300_000, 12, 0, 2.8, True),
}  # fmt: skip
CHECKS = {
    "api": "16 of 16 requests answered as expected", "budget": "size 12.9 MB of 1 GB (1 %), start-up 0.21 s of 2 s",
    "hardening": "non-root, read-only, no capabilities: all hold", "layers": "5 layers, nothing hidden",
    "runs": "healthy in 0.21 s",
}  # fmt: skip


def passing() -> model.Report:
    """Everything as expected: two samples fail as they are meant to."""
    variants = {name: _variant(name, index) for index, name in enumerate(SHAPES)}
    payloads = {}
    for name in ATTACKS:
        fields = (f"{name.replace('-', ' ')}, as told in the catalogue", "a foothold", "https://example.com", "T1")
        payloads[name] = model.PayloadRecord(*fields, "breach" if name in BREACHES else "service")
    whole = model.Report(1, "playground", samples.WHEN, "0.0", with_splits(variants), payloads)
    return replace(whole, history=tuple(_earlier(whole, day) for day in range(1, 9)))


def _earlier(whole: model.Report, day: int) -> model.HistoryEntry:
    entry, left, points = entry_of(whole, f"{day:040x}", dirty=day == 3), 8 - day, {}
    for name, point in entry.variants.items():
        size = int((point.size_bytes or 0) * (1.0 + 0.02 * left))
        points[name] = replace(point, size_bytes=size, findings=(point.findings or 0) + left)
    return replace(entry, variants=points, at=f"2031-01-0{day}T04:05:06+00:00")


def before() -> model.Report:
    """The report of a week before ``failing``: another size here, fewer findings there, an attack that was stopped then."""
    whole = passing()
    alpine, ubuntu = (whole.variants[f"multi-stage-{name}"] for name in ("alpine", "ubuntu"))
    scan = replace(ubuntu.vulnerabilities, findings=ubuntu.vulnerabilities.findings[7:], total=124)
    smaller = replace(alpine, image=samples.image(9_900_000, 4_000_000, layers=3, seed="2"))
    then = {"multi-stage-alpine": smaller, "multi-stage-ubuntu": replace(ubuntu, vulnerabilities=scan)}
    variants = {name: then.get(name, record) for name, record in whole.variants.items() if name != "apko-alpine"}
    return replace(whole, generated_at="2031-01-27T04:05:06+00:00", variants=variants)


def failing() -> model.Report:
    """One check failed, one build failed, one thing was not measured."""
    whole = passing()
    variants = whole.variants
    wrong = model.CheckRecord("fail", False, "runs as root, and holds a shell at /bin/sh", _got("a"))
    absent = model.CheckRecord("not_measured", True, "engine: the bridge is gone", _got("a"))
    ubuntu, ko = _checked(variants["multi-stage-ubuntu"], hardening=wrong), variants["ko"]
    assert ubuntu.image is not None
    assert ko.build is not None
    failed = f"its last build failed ({when(samples.WHEN)}, log .deadweight/logs/ko.log)"
    changed = {
        "multi-stage-ubuntu": replace(ubuntu, image=replace(ubuntu.image, user="root")),
        "ko": replace(ko, build=replace(ko.build, failed_at=samples.WHEN), failed=failed),
        "jib": _checked(variants["jib"], api=absent),
    }
    return replace(whole, variants={**variants, **changed})


def stale() -> model.Report:
    """Nothing failed, but eight results are of an earlier image."""
    reason = "stale: measured on an earlier image; `invoke verify --variant x` measures this one"
    old = model.CheckRecord("not_measured", True, reason, why_not="stale")
    whole = passing()
    variants = dict(whole.variants)
    for name in ("apko", "ko", "jib", "multi-stage-alpine"):
        variants[name] = replace(_checked(variants[name], api=old, runs=old), startup_seconds=None)
    return replace(whole, variants=variants)


def _checked(record: model.VariantRecord, **checks: model.CheckRecord) -> model.VariantRecord:
    return replace(record, checks={**record.checks, **checks})


def _got(seed: str) -> Provenance:
    return samples.provenance("sha256:" + seed * 64)


def _variant(name: str, index: int) -> model.VariantRecord:
    ladder, builder, base, size, findings, through, seconds, shell = SHAPES[name]
    seed, checks = "0123456789abcdef"[index], {}
    for check, reason in CHECKS.items():
        checks[check] = model.CheckRecord("pass", True, reason, _got(seed), 1.2, {"figures": {"seconds": 1.2}})
    leaky = name in ("insecure-layer-sample", "insecure-layer-sample-history")
    if leaky:
        checks["layers"] = model.CheckRecord("fail", True, "1 secret: private-key", _got(seed), 0.4)
    cache = ("cold", "warm", "cached")[index % 3]
    on = model.BaseRecord(f"docker.io/library/{base}", "sha256:" + seed * 64, stand_in=True)
    startup = 0.2 + 0.02 * index if ladder == "go" else 1.4
    reference = model.ReferenceRecord("A talk, November 2023", int(size * 0.9), findings - 49 * (findings > 50))
    of = ("image", "build", "startup_seconds", "layers", "attacks", "vulnerabilities")
    fields: dict[str, Any] = {
        "builder": builder, "ladder": ladder, "description": f"{name}, said in a sentence of its own",
        "base": on if base else None, "provenance": dict.fromkeys(of, _got(seed)), "vulnerabilities": _scan(findings, index),
        "image": samples.image(size, int(size * 0.44), layers=1 if builder == "apko" else 4, seed=seed),
        "build": model.BuildRecord(seconds, index % 3 == 2, samples.WHEN, f"{builder} 1", cache=cache),  # type: ignore[arg-type]
        "layers": _layers(size, shell, name, leaky), "reference": reference if index in (0, 1, 2, 6) else None,
    }  # fmt: skip
    if ladder == "samples":
        return samples.variant(size, **fields, startup_seconds=None, checks={"layers": checks["layers"]})
    attacks: dict[str, dict[str, model.AttackRecord]] = {}
    for rank, posture in enumerate(("open", "default", "hardened")):
        attacks[posture] = {name: _attack(place, index, rank, through) for place, name in enumerate(ATTACKS)}
    fields |= {"startup_samples": tuple(startup + 0.01 * n for n in range(-2, 3)), "checks": checks, "attacks": attacks}
    return samples.variant(size, **fields, startup_seconds=startup)


def _attack(place: int, index: int, rank: int, through: int) -> model.AttackRecord:
    if ATTACKS[place] in BREACHES:  # most of them come to the same in all variants, as in real life
        strength, limit = 7 * place % 40 + index % 2 * (place % 5 == 0), (40, 20, 0)[rank]
    elif (place + index) % 11 == 10 and index % 2:
        return model.AttackRecord("not_applicable", reason="mawk has no such feature")
    else:
        strength, limit = (place * 7 + index) % len(PAYLOADS), (through + 6, through, max(0, through - 14))[rank]
    if strength < limit:
        proof = {"proof": f"canary-{index}-{place}", "said": "uid=0(root)"}
        return model.AttackRecord("succeeded", (), 0, "the canary came back", proof)
    walls = (WALLS[place % len(WALLS)], WALLS[(place + 3) % len(WALLS)])[: 1 + place % 2]
    alone = {"alone": dict.fromkeys(WALLS, "blocked"), "single_points": [walls[0]]}
    reason = "no bytes at the listener within 3 s; the service went on answering"
    return model.AttackRecord("blocked", walls, len(walls), reason, {"said": "awk: cannot open", **alone})


def _scan(count: int, index: int) -> model.VulnerabilitiesRecord:
    severities: tuple[Severity, ...] = ("critical", "high", "medium", "low", "unknown")
    findings = tuple(
        model.Finding(
            f"CVE-{2020 + n % 7}-{1000 + n}", "stdlib" if n < 14 else f"lib{n % 90}", severities[(n * 3) % 5],
            "1.21.3" if n < 14 else f"2.{n % 40}-1", f"2.{n % 40}-2" if n % 3 else None,
            "language" if n < 14 else "os", (n % 5 == 0) if index % 2 else None,
            f"a flaw in how the parser of part {n} reads a length field, which an attacker may use",
        )
        for n in range(count)
    )  # fmt: skip
    by = {severity: sum(finding.severity == severity for finding in findings) for severity in severities}
    reached = sum(finding.reachable is True for finding in findings)
    reach = model.Reachability(reason="the service was not watched while it ran; `invoke verify` watches it")
    return model.VulnerabilitiesRecord(
        "scanned", model.Coverage("covered" if index != 6 else "not_covered", "covered"), count, by,
        model.Database("2031-02-01T00:00:00Z"), sum(finding.fixed_version is not None for finding in findings),
        model.KernelHeaders(2578 if index == 0 else 0, {"high": 2000} if index == 0 else {}),
        model.Reachability("measured", reached, count - reached) if index % 2 else reach, findings,
    )  # fmt: skip


def _layers(size: int, shell: bool, name: str, leaky: bool) -> findings.LayersReport:
    big, where = size > 90_000_000, "sha256:" + "d" * 64
    instructions = {"d": "FROM base", "c": "RUN apt-get install awk", "b": "COPY app /app", "a": "USER 65532"}
    parts = ("usr/lib", "usr/share", "usr/bin", "usr/local/go", "etc", "var/lib", "app", "…")
    hidden: tuple[findings.HiddenFile, ...] = tuple(
        findings.HiddenFile(f"var/cache/apt/pkg-{n}.bin", 34_000 * (40 - n), where, "RUN apt", where, "RUN rm -r", "removed", 1, 2)
        for n in range(30 if big else 0)
    )  # fmt: skip
    if name == "insecure-layer-sample":
        mark = findings.SecretMark("private-key", "0" * 32, "a key", "-----BEGIN … (1679 characters)")
        secret = findings.HiddenFile("etc/secret.txt", 1679, where, "COPY", where, "RUN rm", "removed", 1, 2, (mark,))
        hidden = (secret,)
    places = {"e": "config.Env[1]", "f": "history[2].created_by"}
    seen = tuple(findings.SecretFinding("password", mark * 32, place) for mark, place in places.items())
    setuid = findings.PathFigure("usr/bin/su", 70_000, where, mode="4755", uid=0, gid=0)
    heavy = {"/etc/big.db": size // 40, **{f"/usr/lib/lib{n}.so": size // 200 for n in range(25)}}
    pairs = [((0, f"/usr/lib/lib{group}.so"), (1, f"/usr/share/copy{group}.so")) for group in range(3)]
    copies = [(layer, path, group) for group, pair in enumerate(pairs) for layer, path in pair]
    return replace(
        samples.layers(1), size_bytes=size, hidden=hidden, hidden_files=len(hidden), duplicated_bytes=size // 50,
        layers=tuple(samples.layer_figures(size // 4, text, seed) for seed, text in instructions.items()),
        hidden_bytes=sum(file.size_bytes for file in hidden), secrets=seen if leaky and name.endswith("history") else (),
        setuid=(setuid,) if big else (), shells=(findings.PathFigure("bin/sh", 120_000, where),) if shell else (),
        package_managers=(findings.PathFigure("usr/bin/apt", 18_000, where, "os"),) if shell and size > 12_500_000 else (),
        heaviest=tuple(findings.PathFigure(path, weight, where) for path, weight in heavy.items()),
        duplicates=tuple(findings.DuplicateFile(path, layer, size // 100, group, 2) for layer, path, group in copies),
        folders=tuple(findings.FolderFigure(n % 4, part, size * (8 - n) // 36) for n, part in enumerate(parts)),
    )  # fmt: skip
