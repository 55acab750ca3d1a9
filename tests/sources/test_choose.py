"""What ``auto`` has to reach is what the suite stands on, wherever that is written."""

from deadweight.project.load_suite import load_suite
from deadweight.sources.choose import _references

SUITE = """\
name: shop
variants:
  today: {builder: dockerfile, dockerfile: Dockerfile, bases: {BASE: "cgr.dev/chainguard/static:latest"}}
  bare: {builder: ko, base: "gcr.io/distroless/static-debian12:nonroot"}
  gone: {builder: dockerfile, dockerfile: missing.Dockerfile}
"""


def test_bases_count_that_only_a_dockerfile_names(tmp_path):
    (tmp_path / "deadweight.yaml").write_text(SUITE)
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE\nFROM golang:1.21.3-bookworm AS build\nFROM ${BASE}\nCOPY --from=build /a /a\nFROM Alpine\n"
    )
    assert set(_references(load_suite(tmp_path / "deadweight.yaml"))) == {
        "golang:1.21.3-bookworm",
        "cgr.dev/chainguard/static:latest",
        "gcr.io/distroless/static-debian12:nonroot",
    }
