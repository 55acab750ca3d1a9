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
    "multi-stage-alpine": (12_900_000, 6_100_000, 15_300_000, 4),
    "ko": (11_200_000, 5_300_000, None, None),
    "apko": (14_700_000, 6_900_000, 20_800_000, 0),
}


def provenance(digest: str, tool: str = "sample") -> Provenance:
    return Provenance(image_digest=digest, tool=tool, tool_version="0", at=WHEN)


def image(size: int, compressed: int, *, layers: int = 2, seed: str = "a") -> model.ImageRecord:
    share = size // layers
    records = tuple(
        model.LayerRecord(
            size - share * (layers - 1) if index == 0 else share, f"sha256:{(seed + str(index)) * 4:0<64}"[:71],
            compressed_bytes=compressed // layers, instruction=f"COPY part-{index} /",
        )
        for index in range(layers)
    )  # fmt: skip
    return model.ImageRecord(f"sha256:{seed * 64}"[:71], None, size, compressed, "stored", records, "65532", ("/app",))


def variant(size: int = 10_000_000, **changes: object) -> model.VariantRecord:
    """One plain variant with every figure measured."""
    digest = "sha256:" + "a" * 64
    plain = model.VariantRecord(
        builder="dockerfile",
        ladder="go",
        base=model.BaseRecord("docker.io/library/alpine:latest", "sha256:" + "b" * 64, stand_in=True),
        image=image(size, size // 2),
        build=model.BuildRecord(1.5, False, WHEN, "sample 0"),
        startup_seconds=0.21,
        checks={"runs": model.CheckRecord("pass", True, "healthy in 0.21 s", provenance(digest), 1.0)},
        vulnerabilities=model.VulnerabilitiesRecord(),
        attacks={},
        layers=None,
        go_version="go1.21.3",
        provenance={"image": provenance(digest), "build": provenance(digest)},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def report(variants: dict[str, model.VariantRecord] | None = None, **changes: object) -> model.Report:
    """A small report of wave one: no scan, no attacks, no layer reading."""
    if variants is None:
        variants = {name: _rung(name, *figures) for name, figures in SIZES.items()}
        variants["jib"] = replace(
            variant(180_000_000), builder="jib", ladder="java", go_version=None, reference=None,
            base=model.BaseRecord("docker.io/library/eclipse-temurin:17-jre", None, stand_in=False),
        )  # fmt: skip
    return replace(model.Report(1, "sample-suite", WHEN, "0.0", with_splits(variants)), **changes)  # type: ignore[arg-type]


def _rung(name: str, size: int, compressed: int, known: int | None, cves: int | None) -> model.VariantRecord:
    reference = model.ReferenceRecord("A talk, November 2023", known, cves)
    builder = name if name in {"ko", "apko"} else "dockerfile"
    base = model.BaseRecord(f"docker.io/library/{name}-base:1", "sha256:" + "c" * 64, stand_in=True)
    record = replace(
        variant(size), builder=builder, base=None if name == "apko" else base, image=image(size, compressed),
        reference=reference,
    )  # fmt: skip
    if name != "all-in-one":
        return record
    assert record.image is not None
    told = "1.13 GB is above the hard limit of 1 GB"
    failed = model.CheckRecord("fail", False, told, provenance("sha256:" + "a" * 64))
    checks = {**record.checks, "budget": failed}
    return replace(record, image=replace(record.image, user=""), checks=checks, notes=("a note <b>",))


def full_report() -> model.Report:
    """Every section filled, with markup-like text in every free-text field, and one variant that was never built."""
    whole = report()
    named = enumerate(whole.variants.items())
    variants = {name: replace(record, **_sections(index)) for index, (name, record) in named}
    variants["never-built"] = model.VariantRecord(
        "dockerfile", "go", None, None, None, None, {}, model.VulnerabilitiesRecord(), {}, None, notes=("not built",)
    )
    awk = "https://gtfobins.github.io/gtfobins/awk/"
    payloads = {
        "system": ("system() starts a program", "a command", awk, "T1059"),
        "reverse-shell": ("Reverse shell over /inet/tcp", "a shell", None, "T1095"),
        "write-tmp": ("Write to /tmp and run it <script>alert(1)</script>", "a foothold", None, "T1105"),
        "mount": ("Mount a device", "the host", None, "T1611"),
    }
    records = {name: model.PayloadRecord(*fields) for name, fields in payloads.items()}
    return replace(whole, variants=with_splits(variants), payloads=records)


def _sections(index: int) -> dict[str, Any]:
    walls = ("no network", "image")[: index % 3]
    attacks = {
        posture: {
            "system": model.AttackRecord("succeeded", (), 0, "canary came back", {"canary": "<b>c0ffee</b>"}),
            "reverse-shell": model.AttackRecord("blocked", walls, index, "no bytes at the listener"),
            "write-tmp": model.AttackRecord(
                "blocked" if posture == "hardened" else "succeeded", ("noexec tmpfs",), 1 + index % 2
            ),
            "mount": model.AttackRecord(("not_applicable", "crashed", "not_measured")[index % 3]),
        }
        for posture in ("open", "default", "hardened")
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
    folders = (
        (0, "usr/lib", 28_000_000),
        (0, "usr/share", 9_000_000),
        (0, "", 40_000),
        (0, "…", 12_000),
        (1, "app", 9_000_000),
    )
    return findings.LayersReport(
        config_digest="sha256:" + "a" * 64,
        manifest_digest=None,
        scanned="deep",
        rule_set="sample-1",
        user="",
        size_bytes=49_000_000,
        compressed_bytes=24_000_000,
        files=1200,
        hidden_files=2 if index == 0 else 0,
        hidden_bytes=34_001_679 if index == 0 else 0,
        overwritten_bytes=2000,
        duplicated_bytes=1000,
        layers=(layer_figures(40_000_000, "FROM base"), layer_figures(9_000_000, "COPY app /app")),
        hidden=hidden if index == 0 else (),
        secrets=(seen, allowed) if index == 0 else (),
        setuid=(findings.PathFigure("usr/bin/su", 70_000, where, mode="4755", uid=0, gid=0),) if index < 2 else (),
        shells=(findings.PathFigure("bin/sh", 120_000, where),) if index < 3 else (),
        package_managers=(findings.PathFigure("usr/bin/apt", 18_000, where, "os"),) if index < 2 else (),
        packages=(package("libc6", "2.36", 13_000_000), package("busybox", "1.36", 900_000)),
        heaviest=(findings.PathFigure("usr/lib/libc.so.6", 1_900_000, where),),
        folders=tuple(findings.FolderFigure(*folder) for folder in folders),
        skipped=(),
    )


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


def cells(report: model.Report, part: str = "text") -> dict[str, dict[str, Any]]:
    """The comparison: by variant and column."""
    return {
        row.variant: {column.key: getattr(cell, part) for column, cell in zip(ladder.columns, row.cells, strict=True)}
        for ladder in ladders(report)
        for row in ladder.rows
    }


def column(report: model.Report, key: str, part: str = "text") -> dict[str, Any]:
    return {variant: row[key] for variant, row in cells(report, part).items()}


def everywhere(report: model.Report) -> list[str]:
    """The report in all its forms, as plain text."""
    out = io.StringIO()
    print_comparison(report, Console(file=out, width=300))
    page = re.sub(r"<script.*?</script>|<[^>]*>", "", render_html(report), flags=re.S)
    return [out.getvalue(), page, render_markdown(report).replace("\\", "")]
