"""What is derived from a Dockerfile, instruction by instruction, and what is listed as changed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight.sources.adapt_dockerfile import instructions
from deadweight_init.derive import dockerfile
from deadweight_init.derive.runtime import Folder, RuntimeFiles, loader_needs
from deadweight_init.languages.common import HEADER, one_dockerfile
from deadweight_init.prove.observe import Health
from deadweight_init.prove.recording import doubts_of, routes_in_code
from deadweight_init.records import Code, wording
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_init.write.suite import suite_text
from tests.init.test_files import drifted
from tests.init.test_found import drafted
from tests.support.trees import written

OWN = r"""# syntax=docker/dockerfile:1
# escape=\
ARG VERSION=7 BASE=unused
FROM debian:12 AS build
RUN --mount=type=cache,target=/root/.cache \
    make all \
# a comment within
    && make install
FROM  --platform=$TARGETPLATFORM \
      debian:12 AS Final
ARG VERSION
LABEL org.example.version="v${VERSION}" org.example.team=shop
ENV SHOP_VERSION=$VERSION
RUN <<EOF
FROM here it is a shell's
EOF
COPY --from=build --chown=1:1 /out/ /srv/
WORKDIR /srv
USER 1234:5678
VOLUME /data
EXPOSE 8080/tcp 53/udp
HEALTHCHECK --interval=5s --start-interval=1s --retries=2 CMD wget -q localhost:8080/up
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/srv/shop"]
CMD ["--port", "8080"]
"""
CONFIG = {
    "Env": ["PATH=/usr/bin:/bin", "SHOP_VERSION=7", 'GREETING=it costs $5 "here"\\'],
    "Labels": {"org.example.version": "v7", "org.example.team": "shop", "of.the.base": "yes"},
    "WorkingDir": "/srv",
    "User": "1234:5678",
    "Volumes": {"/data": {}},
    "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
    "Healthcheck": {"Test": ["CMD-SHELL", "wget -q x/up"], "Interval": 5 * 10**9, "Retries": 2},
    "StopSignal": "SIGQUIT",
    "Shell": ["/bin/ash", "-ec"],
    "Entrypoint": ["/srv/shop"],
    "Cmd": ["--port", "8080"],
}
FILES = RuntimeFiles(
    ("srv", "usr/lib/it's here.so"), (Folder("home", 0o711, 5, 6),), {"var/lib/dpkg/status": ("libc6",)},
    ("sh", "apt-get"), ("var/cache",),
)  # fmt: skip


def draft_of(root, text: str, **files: str):
    return drafted(root / "shop", {"Dockerfile": text, **files})


def commands(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions with the bodies of their heredocs."""
    return [(" ".join(command.text.split()), command.body) for command in instructions(text)]


def test_on_another_base_one_word_of_the_dockerfile_is_another_one(tmp_path):
    draft = draft_of(tmp_path, OWN)
    made = draft.ladder.files["build/Dockerfile"]
    assert made.startswith(f"# syntax=docker/dockerfile:1\n# escape=\\\n{HEADER}\n")
    before, after = commands(OWN), commands(made)
    assert after.pop(0) == ("ARG RUN_BASE=debian:12", "")  # BASE is an argument of its own
    different = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    line = "FROM --platform=$TARGETPLATFORM {} AS Final"
    assert different == [((line.format("debian:12"), ""), (line.format("${RUN_BASE}"), ""))]
    (slim,) = [rung for rung in draft.rungs if rung.name == "slim"]
    assert slim.keys == {"dockerfile": "build/Dockerfile", "bases": {"RUN_BASE": "debian:12-slim"}}
    changes = [(change.code, change.what, change.line) for change in slim.changes]
    assert changes == [(Code.BASE, "debian:12 -> debian:12-slim", 9)]


def test_what_the_own_image_is_built_with_is_the_derived_ones_too(tmp_path):
    compose = "services:\n  web: {build: {context: ., target: final, args: {TOKEN: x}}, command: [--quiet]}\n"
    text = OWN.replace('CMD ["--port", "8080"]\n', 'ARG TOKEN\nFROM debian:12 AS tests\nCMD ["pytest"]\n')
    draft = draft_of(tmp_path, text, **{"compose.yaml": compose, "Dockerfile.dockerignore": "*\n!out\n"})
    draft = replace(draft, runtime=FILES, config={**CONFIG, "Healthcheck": {"StartInterval": 2 * 10**9}})
    today, rest = draft.rungs[0], draft.rungs[1:]
    assert [rung.name for rung in rest] == ["minimal", "slim"]
    assert today.keys["run"].value == {"args": ["--quiet"]}
    for rung in rest:
        assert {key: rung.keys[key] for key in ("args", "run")} == {key: today.keys[key] for key in ("args", "run")}
        assert draft.files[f"{rung.keys['dockerfile']}.dockerignore"] == "*\n!out\n"
    assert [rung.keys.get("target") for rung in draft.rungs] == ["final", None, "final"]
    for line in ("FROM final AS run-time-files\n", "HEALTHCHECK --start-interval=2000ms CMD"):
        assert line in draft.files["build/minimal.Dockerfile"]
    assert "FROM debian:12 AS tests" in draft.files["build/Dockerfile"]


@pytest.mark.parametrize(("config", "lines", "added"), [
    ({"User": "65532", "WorkingDir": "/home/nonroot"}, "", ["USER 65532", "WORKDIR /home/nonroot"]),
    ({"User": "65532", "WorkingDir": "/srv"}, "WORKDIR /srv\n", ["USER 65532"]),
    ({"User": "7", "WorkingDir": "/home/nonroot"}, "USER 7\n", ["WORKDIR /home/nonroot"]),
    ({"User": "0", "WorkingDir": "/"}, "", []),
    ({}, "", []),
])  # fmt: skip
def test_what_the_image_has_from_its_base_is_said_on_another_one(tmp_path, config, lines, added):
    own = f'FROM gcr.io/distroless/static:nonroot\n{lines}COPY x /x\nCMD ["/x"]\n'
    draft = replace(draft_of(tmp_path, own, x=""), config=config)
    made = draft.ladder.files["build/Dockerfile"]
    head = ["ARG BASE=gcr.io/distroless/static:nonroot", "FROM ${BASE}", *added]
    assert commands(made) == [*((line, "") for line in head), *commands(own)[1:]]
    assert f"# {wording('derived.base', file='Dockerfile', line=1, argument='BASE')}\n" in made
    assert drifted(written(tmp_path / "shop", {**draft.files, "deadweight.yaml": suite_text(draft)})) == []
    assert "drift.older" in dict(drifted(written(tmp_path / "shop", {"Dockerfile": own.replace("x /x", "x /y")})))


@pytest.mark.parametrize(("own", "other", "changed"), [
    ({"User": "65532"}, {"User": "0", "WorkingDir": "/"}, [(Code.USER, "65532 -> root")]),
    ({"User": "65532:65532"}, {"User": "65532", "WorkingDir": ""}, []),
    ({"User": ""}, {"User": "root:root"}, []),
    ({}, {"User": "nonroot", "WorkingDir": "/x"}, [(Code.USER, "root -> nonroot"), (Code.WORKDIR, "/ -> /x")]),
    ({"Env": ["PATH=/x", "TZ=UTC"]}, {"Env": ["HOME=/", "TZ=UTC"]}, []),
    ({"Env": ["LC_ALL=en_US.UTF-8", "LANG=C"]}, {"Env": ["LANG=C.UTF-8"]},
     [(Code.LOCALE, "LANG=C -> LANG=C.UTF-8"), (Code.LOCALE, "LC_ALL=en_US.UTF-8 -> LC_ALL=")]),
])  # fmt: skip
def test_another_user_or_working_folder_is_a_change(tmp_path, own, other, changed):
    changes = tuple(dockerfile.changed_settings(own, other))
    assert [(change.code, change.what) for change in changes] == changed
    draft = draft_of(tmp_path, 'FROM scratch\nCOPY x /x\nCMD ["/x"]\n', x="")
    text = suite_text(replace(draft, set_otherwise={"chainguard": changes}))
    assert all(f"#   {change}\n" in text for change in changes)


def test_the_run_time_files_come_after_the_own_stages_with_the_own_settings(tmp_path):
    own = find_services(read_tree(written(tmp_path / "shop", {"Dockerfile": OWN.replace(" AS Final", "")})))[0].own
    parsed = dockerfile.parse(own)
    text = dockerfile.minimal_text(parsed, FILES, CONFIG)
    before, after = commands(own.text), commands(text)
    assert [one for one, other in zip(before, after, strict=False) if one != other] == [before[3]]
    assert after[3] == ("FROM --platform=$TARGETPLATFORM debian:12 AS own-image", "")
    first, user, copies, *added = [text for text, _ in after[len(before) :]]
    assert (first, user) == ("FROM own-image AS run-time-files", "USER 0")
    assert "'usr/lib/it'\"'\"'s here.so'" in copies
    assert "chown 5:6 /run-time-files/home && chmod 711 /run-time-files/home" in copies
    assert added == [
        "FROM scratch",
        "COPY --from=run-time-files /run-time-files/ /",
        "ARG VERSION",
        'ENV PATH="/usr/bin:/bin"',
        'ENV SHOP_VERSION="$VERSION"',
        'ENV GREETING="it costs \\$5 \\"here\\"\\\\"',
        'LABEL "org.example.version"="v${VERSION}"',
        'LABEL "org.example.team"="shop"',
        'LABEL "of.the.base"="yes"',
        "WORKDIR /srv",
        "USER 1234:5678",
        "EXPOSE 53/udp 8080/tcp",
        'VOLUME ["/data"]',
        "STOPSIGNAL SIGQUIT",
        'SHELL ["/bin/ash", "-ec"]',
        "HEALTHCHECK --interval=5000ms --start-interval=1s --retries=2 CMD wget -q x/up",
        'ENTRYPOINT ["/srv/shop"]',
        'CMD ["--port", "8080"]',
    ]
    without = dockerfile.minimal_text(parsed, replace(FILES, checks_health=False), CONFIG)
    assert "HEALTHCHECK" not in without.partition("FROM scratch")[2]
    assert [(change.code, change.line) for change in dockerfile.minimal_changes(parsed, replace(FILES, checks_health=False))] == [
        (Code.BASE, 9), (Code.PROGRAMS, 0), (Code.FILES, 0), (Code.HEALTHCHECK, 22),
    ]  # fmt: skip


def test_only_packages_that_are_kept_are_told_to_scanners(tmp_path):
    libc = "Package: libc6\nStatus: install ok\nDescription: a\n b\n\n"
    (tmp_path / "status").write_text(f"{libc}Package: libc6-dev\nVersion: 2\n\nPackage: perl\nVersion: 3\n")
    steps = list(dockerfile._databases({"var/lib/dpkg/status": ("libc6", "perl")}))
    script = steps[1].replace("/var/lib/dpkg/status >", f"{tmp_path}/status >").partition(" > ")[0]
    assert subprocess.check_output(["sh", "-c", script], text=True) == f"{libc}Package: perl\nVersion: 3\n\n"


DOTNET, DYNAMIC = "mcr.microsoft.com/dotnet/aspnet", "cgr.dev/chainguard/glibc-dynamic"
STATIC, CHAINGUARD = "gcr.io/distroless/static-debian12:latest", "cgr.dev/chainguard/static:latest"


@pytest.mark.parametrize(("base", "brings", "others"), [
    ("ruby:3.3", True, {"slim": "ruby:3.3-slim"}),
    ("ruby:3.3", False, {"slim": "ruby:3.3-slim", "alpine": "ruby:3.3-alpine"}),
    ("ruby:3.3-slim-bookworm", False, {"slim": "ruby:3.3-slim", "alpine": "ruby:3.3-alpine"}),
    ("php:8.3-fpm", False, {"alpine": "php:8.3-fpm-alpine"}),
    ("php:8-alpine", True, {}),
    ("ruby", True, {"slim": "ruby:slim"}),
    (f"{DOTNET}:8.0", True, {"noble-chiseled": f"{DOTNET}:8.0-noble-chiseled"}),
    (f"{DOTNET}:6.0", True, {}),
    ("eclipse-temurin:21-jdk", True, {"jre": "eclipse-temurin:21-jre"}),
    ("alpine:3.20", True, {}),
    ("ubuntu:22.04", True, {}),
    ("debian:bookworm", True, {"slim": "debian:bookworm-slim"}),
    ("example.com/team/base:1", True, {}),
    ("scratch", True, {"distroless": STATIC, "chainguard": CHAINGUARD}),
    ("gcr.io/distroless/static-debian12:nonroot", True, {"chainguard": CHAINGUARD}),
    ("gcr.io/distroless/cc", True, {"chainguard": f"{DYNAMIC}:latest", "debian": "debian:12-slim"}),
    ("cgr.dev/chainguard/static", True, {"distroless": "gcr.io/distroless/static-debian12:nonroot"}),
])  # fmt: skip
def test_the_other_bases_have_the_same_runtime_and_the_same_c_library(tmp_path, base, brings, others):
    """Another C library only where nothing comes from another stage, which compiled it for the own one."""
    copies = "COPY --from=build /x ." if brings else "COPY x ."
    own = f'FROM {base} AS build\nADD x /x\n\nFROM {base}\nWORKDIR /app\n{copies}\nCMD ["./x"]\n'
    bases = {rung.name: rung.keys["bases"] for rung in draft_of(tmp_path, own, x="").rungs[1:]}
    assert bases == {name: {"BASE": reference} for name, reference in others.items()}


@pytest.mark.parametrize(("base", "line", "there"), [
    ("ruby:3.3", "RUN apt-get update", {"slim"}),
    ("golang:1.22", "RUN apk add git", {"alpine"}),
    ("scratch", "CMD ./x", set()),
    ("eclipse-temurin:21-jre", 'ENTRYPOINT ["java", "-jar", "/x.jar"]', {"jre-alpine", "distroless"}),
    ("eclipse-temurin:21-jre", 'CMD ["java", "-jar", "/x.jar"]', {"jre-alpine"}),
    ("eclipse-temurin:21-jre", "ENTRYPOINT java -jar /x.jar", {"jre-alpine"}),
])  # fmt: skip
def test_another_base_can_do_what_the_stage_asks_of_it(tmp_path, base, line, there):
    assert {rung.name for rung in draft_of(tmp_path, f"FROM {base}\n{line}\nCOPY . .\n").rungs[1:]} == there


def test_stages_that_the_image_stands_on_are_put_on_the_other_base(tmp_path):
    own = 'ARG V=3.3\nFROM ruby:${V} AS base\nRUN gem install x\nFROM base AS deps\nFROM base\nCOPY . .\nCMD ["ruby", "x.rb"]\n'
    draft = draft_of(tmp_path, own)
    assert "ARG BASE=ruby:3.3\nARG V=3.3\nFROM ${BASE} AS base\n" in draft.ladder.files["build/Dockerfile"]
    assert {rung.name for rung in draft.rungs} == {"today", "slim", "alpine"}


@pytest.mark.parametrize("program", ["/shop /shop", "/shop* /"])
def test_ko_and_apko_name_what_they_do_not_do(tmp_path, program):
    own = (
        "FROM golang:1.22 AS build\nARG VERSION\nENV GOFLAGS -mod=mod\nCOPY go.mod ./\nRUN go mod download\nCOPY . .\n"
        'RUN CGO_ENABLED=0 make words\nRUN CGO_ENABLED=1 go build -trimpath -ldflags "-X main.version=$VERSION" -o /shop .\n'
        f"FROM alpine:3.20\nLABEL a=b\nCOPY --from=build {program}\n"
        'COPY words words\nHEALTHCHECK CMD true\nENTRYPOINT ["/shop"]\n'
    )
    main = 'package main\n\nimport _ "net/http"\n\nfunc main() {}\n'
    draft = draft_of(tmp_path, own, **{"go.mod": "module x.org/shop\n\ngo 1.22\n", "main.go": main, "words/a": ""})
    rungs = {rung.name: rung for rung in draft.ladder.rungs}
    assert list(rungs) == ["today", "minimal", "ko", "apko"]
    lost = [
        (Code.FLAGS, 3),
        (Code.STEP, 7),
        (Code.FLAGS, 8),
        (Code.BASE, 9),
        (Code.SETTING, 10),
        (Code.HEALTHCHECK, 13),
    ]
    assert [(change.code, change.line) for change in rungs["ko"].changes if change.code is not Code.FILES] == lost
    assert f'#   {Code.FLAGS.value}: CGO_ENABLED=1 -ldflags "-X main.version=$VERSION" (Dockerfile:8)' in suite_text(
        draft
    )
    for name, base in (("ko", "cgr.dev/chainguard/static:latest"), ("apko", "scratch")):
        assert f"alpine:3.20 -> {base}{wording('change.bare')}" in [change.what for change in rungs[name].changes]
    assert dockerfile.lost_instructions(dockerfile.parse(draft.service.own), rungs["ko"], {}) == rungs["ko"].changes
    assert Code.FILES not in {change.code for name in ("ko", "apko") for change in rungs[name].changes}


def test_nothing_is_derived_without_a_build_and_no_run_time_files_without_a_trial(tmp_path):
    draft = draft_of(tmp_path, 'FROM ruby:3.3\nCOPY . .\nCMD ["ruby", "x.rb"]\n')
    assert {rung.name for rung in replace(draft, own_fails=True).ladder.rungs} == {"today"}
    assert draft.derived_from is not None
    assert next(rung.refused for rung in draft.ladder.rungs if rung.name == dockerfile.MINIMAL)
    bare = draft_of(tmp_path / "b", 'FROM scratch\nCOPY x /x\nCMD ["/x"]\n', x="")
    assert dockerfile.MINIMAL not in {rung.name for rung in bare.ladder.rungs}


def test_what_a_program_asks_of_the_loader_is_read():
    needs = loader_needs(Path(sys.executable).read_bytes())
    assert (needs.interpreter.startswith("/lib"), "libc.so.6" in needs.needed) == (True, True)
    assert [loader_needs(content) for content in (b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(10))] == [None, None]


@pytest.mark.parametrize(("line", "is_error"), [
    ("db err: unable to open database file", True),
    ('{"level":"error","msg":"no redis"}', True),
    ("2026/11/29 [emerg] 1#1: bind() failed", True),
    ("Traceback (most recent call last):", True),
    ('[error] 8#8: *2 open() "/html/no-such-path-of-this-service" failed (2: No such file or directory)', False),
    ('[error] 8#8: *3 open() "/html/healthz" failed (2: No such file or directory)', False),
    ('[error] 8#8: *3 open() "/html/healthz/db" failed (2: No such file or directory)', True),
    ("INFO  Mapped {[/error]} onto error handler", False),
    ('level=info msg="0 errors"', False),
    ("listening on 8080", False),
    ("compiled without errors", False),
])  # fmt: skip
def test_an_error_among_the_first_lines_is_a_doubt(line, is_error):
    doubts = doubts_of(Health("exit", 80), ["starting", line], (), (), 0)
    assert [doubt.code for doubt in doubts] == (["error_in_log"] if is_error else [])


@pytest.mark.parametrize(("health", "declared", "closed", "works", "codes"), [
    (Health("http", 80, "/", 404), (80,), (), 1, ["health_is_an_error"]),
    (Health("http", 80, "/", 204), (80,), (), 1, []),
    (Health("http", 81, "/", 200), (80,), (80,), 1, ["undeclared_port"]),
    (Health("http", 80, "/", 200), (90, 80), (90,), 1, ["closed_port"]),
    (Health("http", 80, "/", 200), (90, 80), (), 0, ["no_operation"]),
    (Health("tcp", 80), (80,), (), 0, []),
    (Health("tcp", 81, "/", 500), (80,), (80,), 0, ["undeclared_port", "health_is_an_error", "no_operation"]),
])  # fmt: skip
def test_what_proves_little_is_told(health, declared, closed, works, codes):
    assert [doubt.code for doubt in doubts_of(health, [], declared, closed, works)] == codes


def test_routes_are_read_in_any_language(tmp_path):
    files = {
        "a.go": 'mux.HandleFunc("GET /a/{id}", x)\nr.POST("/b", y)\nhttp.Handle("/c/", z)\n',
        "b.py": '@app.get("/d")\nasync def d(): ...\n', "c.js": "router.delete('/e/:id', e)\napp.get(`/f`, f)\n",
        "D.java": '@GetMapping("/g")\n@PostMapping(value = "/h")\n', "e.rb": "get '/i' do\n",
        "f.pl": "get '/j' => sub { };\n", "g.cpp": 'CROW_ROUTE(app, "/k")([]{});\n', "test_h.py": '@app.get("/tests")\n',
    }  # fmt: skip
    routes = routes_in_code(read_tree(written(tmp_path, files)), ".")
    assert {(*route, plain) for route, plain in routes.items()} == {
        ("GET", "/a/{id}", False), ("POST", "/b", False), ("GET", "/c/", True), ("GET", "/d", True), ("DELETE", "/e/:id", False),
        ("GET", "/f", True), ("GET", "/g", True), ("POST", "/h", False), ("GET", "/i", True), ("GET", "/j", True),
        ("GET", "/k", True),
    }  # fmt: skip


def test_what_is_generated_lists_its_bases_too():
    bases = {"debian": ("b:2", "r:2-slim"), "alpine": ("b:2", "r:2-alpine"), "distroless": ("b:1", "d")}
    rungs = one_dockerfile(bases, "x", "place", ".", ()).rungs
    changes = [[(change.code, change.what) for change in rung.changes] for rung in rungs]
    third = "r:2-slim -> d" + wording("change.built_on", base="b:1")
    assert changes == [[], [(Code.BASE, "r:2-slim -> r:2-alpine")], [(Code.BASE, third)]]
