"""Made-up records for the report's tests. Nothing here was measured; the figures only have the right shape."""

import io
import re
from dataclasses import replace
from typing import Any

from rich.console import Console

from deadweight.records.evidence import Provenance
from deadweight.report import model
from deadweight.report.attacks import with_splits
from deadweight.report.console import print_comparison
from deadweight.report.html import render_html
from deadweight.report.markdown import render_markdown
from deadweight.report.table import ladders
from deadweight_images import findings

WHEN = "2031-02-03T04:05:06+00:00"
SIZES = {
    "all-in-one": (1_131_000_000, 402_000_000, 1_010_000_000, 326),
    "multi-stage-ubuntu": (98_400_000, 39_100_000, 101_000_000, 13),
    "multi-stage-alpine": (12_900_000, 6_100_000, 15_300_000, 4), "ko": (11_200_000, 5_300_000, None, None),
    "apko": (14_700_000, 6_900_000, 20_800_000, 0),
}  # fmt: skip


def provenance(digest: str, tool: str = "sample") -> Provenance:
    return Provenance(image_digest=digest, tool=tool, tool_version="0", at=WHEN)


def image(size: int, compressed: int, *, layers: int = 2, seed: str = "a") -> model.ImageRecord:
    records = tuple(
        model.LayerRecord(part, f"sha256:{(seed + str(index)) * 4:0<64}"[:71], None, compressed // layers, f"COPY part-{index} /")
        for index, part in enumerate([size - size // layers * (layers - 1), *[size // layers] * (layers - 1)])
    )  # fmt: skip
    return model.ImageRecord(f"sha256:{seed * 64}"[:71], None, size, compressed, "stored", records, "65532", ("/app",))


def variant(size: int = 10_000_000, **changes: object) -> model.VariantRecord:
    """One plain variant with every figure measured."""
    got = provenance("sha256:" + "a" * 64)
    base = model.BaseRecord("docker.io/library/alpine:latest", "sha256:" + "b" * 64, stand_in=True)
    plain = model.VariantRecord(
        "dockerfile", "go", base, image(size, size // 2), model.BuildRecord(1.5, False, WHEN, "sample 0"), 0.21,
        {"runs": model.CheckRecord("pass", True, "healthy in 0.21 s", got, 1.0)}, model.VulnerabilitiesRecord(), {}, None,
        go_version="go1.21.3", provenance={"image": got, "build": got},
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def report(variants: dict[str, model.VariantRecord] | None = None, **changes: object) -> model.Report:
    """A small report of wave one: no scan, no attacks, no layer reading."""
    if variants is None:
        variants = {name: _rung(name, *figures) for name, figures in SIZES.items()}
        base = model.BaseRecord("docker.io/library/eclipse-temurin:17-jre", None, stand_in=False)
        variants["jib"] = variant(180_000_000, builder="jib", ladder="java", go_version=None, base=base)
    return replace(model.Report(1, "sample-suite", WHEN, "0.0", with_splits(variants)), **changes)  # type: ignore[arg-type]


def _rung(name: str, size: int, compressed: int, known: int | None, cves: int | None) -> model.VariantRecord:
    reference = model.ReferenceRecord("A talk, November 2023", known, cves)
    base = model.BaseRecord(f"docker.io/library/{name}-base:1", "sha256:" + "c" * 64, stand_in=True)
    own = {"builder": name, "base": None if name == "apko" else base} if name in {"ko", "apko"} else {"base": base}
    record = variant(size, image=image(size, compressed), reference=reference, **own)
    if name != "all-in-one":
        return record
    reason = "1.13 GB is above the hard limit of 1 GB"
    failed = model.CheckRecord("fail", False, reason, provenance("sha256:" + "a" * 64))
    as_root = replace(image(size, compressed), user="")
    return replace(record, image=as_root, checks={**record.checks, "budget": failed}, notes=("a note <b>",))


def full_report() -> model.Report:
    """Every section filled, with markup-like text in every free-text field, and one variant that was never built."""
    whole = report()
    named = enumerate(whole.variants.items())
    variants = {name: replace(record, **_sections(index)) for index, (name, record) in named}
    made: dict[str, Any] = dict.fromkeys(("base", "image", "build", "startup_seconds", "go_version"))
    variants["never-built"] = variant(**made, checks={}, provenance={}, notes=("not built",))
    payloads = {
        "system": ("system() starts a program", "a command", "https://gtfobins.github.io/gtfobins/awk/", "T1059"),
        "reverse-shell": ("Reverse shell over /inet/tcp", "a shell", None, "T1095"),
        "write-tmp": ("Write to /tmp and run it <script>alert(1)</script>", "a foothold", None, "T1105"),
        "mount": ("Mount a device", "the host", None, "T1611"),
    }
    records = {name: model.PayloadRecord(*fields) for name, fields in payloads.items()}
    return replace(whole, variants=with_splits(variants), payloads=records)


def _sections(index: int) -> dict[str, Any]:
    walls, attacks = ("no network", "image")[: index % 3], {}
    for posture in ("open", "default", "hardened"):
        hard = posture == "hardened"
        attacks[posture] = {
            "system": model.AttackRecord("succeeded", (), 0, "canary came back", {"canary": "<b>c0ffee</b>"}),
            "reverse-shell": model.AttackRecord("blocked", walls, index, "no bytes at the listener"),
            "write-tmp": model.AttackRecord("blocked" if hard else "succeeded", ("noexec tmpfs",), 1 + index % 2),
            "mount": model.AttackRecord(("not_applicable", "crashed", "not_measured")[index % 3]),
        }
    return {"attacks": attacks, "layers": layers(index), "vulnerabilities": scan(index)}


def layer_figures(size: int, instruction: str, seed: str = "d") -> findings.LayerFigures:
    digest = "sha256:" + seed * 64
    return findings.LayerFigures(digest, digest, size, size + 1024, size // 2, "stored", instruction, None, 12, 0, True)


def package(name: str, version: str, size: int) -> findings.Package:
    return findings.Package("deb", name, version, size, 3, "measured")


def layers(index: int = 0) -> findings.LayersReport:
    where = "sha256:" + "d" * 64
    mark = findings.SecretMark("private-key", "0123456789abcdef" * 2, "a key", "-----BEGIN … (1679 characters)")
    allowed = findings.SecretFinding("generic-key", "f" * 32, "config.Env[0]", allowed="a test value <b>")
    seen = findings.SecretFinding("private-key", "e" * 32, "file", "etc/other.key", where, "COPY other.key /etc/")
    hidden = (
        findings.HiddenFile("etc/secret.txt", 1679, where, "COPY secret.txt /etc/", where, "RUN rm /etc/secret.txt <x>",
                            "removed", 1, 2, (mark,)),
        findings.HiddenFile("var/cache/apt/pkgcache.bin", 34_000_000, where, "RUN apt-get update", where, None, "replaced", 0, 1),
    )  # fmt: skip
    weights = {"usr/lib": 28_000_000, "usr/share": 9_000_000, "": 40_000, "…": 12_000}
    leaky, apt = index == 0, index < 2
    suid = findings.PathFigure("usr/bin/su", 70_000, where, mode="4755", uid=0, gid=0)
    return findings.LayersReport(
        config_digest="sha256:" + "a" * 64, manifest_digest=None, scanned="deep", rule_set="sample-1", user="", files=1200,
        size_bytes=49_000_000, compressed_bytes=24_000_000, hidden_files=2 * leaky, hidden_bytes=34_001_679 * leaky,
        overwritten_bytes=2000, duplicated_bytes=1000, hidden=hidden * leaky, secrets=(seen, allowed) * leaky,
        layers=(layer_figures(40_000_000, "FROM base"), layer_figures(9_000_000, "COPY app /app")), setuid=(suid,) * apt,
        shells=(findings.PathFigure("bin/sh", 120_000, where),) * (index < 3), skipped=(),
        package_managers=(findings.PathFigure("usr/bin/apt", 18_000, where, "os"),) * apt,
        packages=(package("libc6", "2.36", 13_000_000), package("busybox", "1.36", 900_000)),
        heaviest=(findings.PathFigure("usr/lib/libc.so.6", 1_900_000, where),),
        folders=(*[findings.FolderFigure(0, *pair) for pair in weights.items()], findings.FolderFigure(1, "app", 9_000_000)),
    )  # fmt: skip


def scan(index: int = 0) -> model.VulnerabilitiesRecord:
    if index == 3:
        coverage = model.Coverage("not_covered", "not_covered")
        return model.VulnerabilitiesRecord("not_covered", coverage, reason="the OS is unknown")
    if index == 4:
        return model.VulnerabilitiesRecord(reason="no database; `invoke setup` gets one")
    findings = (
        model.Finding("CVE-2031-0001", "libc6", "high", "2.36", "2.36-1", "os", False, "overflow in <b>x</b>"),
        model.Finding("CVE-2031-0002", "stdlib", "critical", "1.21.3", "1.21.4", "language", True, "net/http"),
        model.Finding("CVE-2031-0003", "stdlib", "low", "1.21.3", None, "language", None, None),
    )
    return model.VulnerabilitiesRecord(
        "scanned", model.Coverage("covered", "covered"), 3, {"critical": 1, "high": 1, "low": 1},
        model.Database("2031-02-01T00:00:00Z"), 2, model.KernelHeaders(2578, {"high": 2000, "medium": 578}),
        model.Reachability("measured", 2, 1), findings,
    )  # fmt: skip


def scanned(*findings: model.Finding, date: str) -> model.VulnerabilitiesRecord:
    """A scan with the database of that day, which knew these."""
    coverage, database = model.Coverage("covered", "covered"), model.Database(date)
    return model.VulnerabilitiesRecord("scanned", coverage, len(findings), {}, database, findings=findings)


def cells(report: model.Report, part: str = "text") -> dict[str, dict[str, Any]]:
    """The comparison: by variant and column."""
    return {
        row.variant: {column.key: getattr(cell, part) for column, cell in zip(ladder.columns, row.cells, strict=True)}
        for ladder in ladders(report)
        for row in ladder.rows
    }


def column(report: model.Report, key: str, part: str = "text") -> dict[str, Any]:
    return {variant: row[key] for variant, row in cells(report, part).items()}


def printed(report: model.Report, **console: Any) -> str:
    """What the terminal shows of it."""
    stream = io.StringIO()
    print_comparison(report, Console(file=stream, **console))
    return stream.getvalue()


def everywhere(report: model.Report) -> list[str]:
    """The report in all its forms, as plain text in lines of any length."""
    page = re.sub(r"<script.*?</script>|<[^>]*>", "", render_html(report), flags=re.S)
    return [printed(report, width=1000), page, render_markdown(report).replace("\\", "")]
