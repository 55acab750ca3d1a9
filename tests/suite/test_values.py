"""Every value that can be written wrongly is refused when the suite is read, with file, line, key and what was expected."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deadweight._errors import ConfigError
from deadweight.builders import table
from deadweight.checks.api import prepare, problems
from deadweight.checks.layers import allow_list
from deadweight.checks.vulnerabilities import acceptances
from deadweight.engine.http import Answer
from deadweight.engine.options import hardened_for
from deadweight.project.load_suite import check_suite, load_suite
from deadweight.suite.model import Suite, Variant
from deadweight.suite.values import Text
from deadweight.tasks.report import thresholds
from tests.support.examples import examples
from tests.support.invoking import invoke

WHOLE = """\
name: demo
sources:
  mirror:
    registries: {docker.io: mirror.example.com/hub}
    apk: {wolfi: [https://mirror.example.com/wolfi]}
    apk_keys: [https://mirror.example.com/wolfi.pub]
    insecure: false
  ca_bundle: ca.pem
  environment: {GOPROXY: https://mirror.example.com/go}
scan: {database_repository: mirror.example.com/trivy-db, timeout_seconds: 60}
report:
  thresholds:
    noise_bytes: 64kB
    noise_percent: 0.5
    ratchet_layers: 1
    grave: [critical]
defaults:
  ladder: go
  base: alpine
  source: .
  port: 8080
  health: {path: /healthz, within_seconds: 20}
variants:
  a:
    builder: dockerfile
    description: a sample
    dockerfile: Dockerfile
    target: last
    bases: {BASE: alpine}
    args: {MODE: fast}
    secrets: {token: "generated:token"}
    ssh: {default: $SSH_AUTH_SOCK}
    runnable: true
    expect: {layers: fail}
    reference: {source: a talk, size_bytes: 1.01GB, vulnerabilities: 3, note: x}
    run:
      memory: 64MB
      cpus: 0.5
      pids: 20
      user: nonroot
      read_only: true
      tmpfs: ["/tmp:16MiB"]
      env: {MODE: x}
      args: [serve]
    checks:
      runs: {stops_within_seconds: 5}
      api:
        - name: first
          request: {method: POST, path: /x, headers: {X-A: b}, json: {k: text, n: 1}, repeat: {k: 3}}
          expect: {status: 201, headers: {X-B: c}, json: {a: 1}, body_contains: x, body_matches: "^x"}
        - name: second
          request: {method: PUT, body: ab, repeat_body: 2}
        - name: third
          request: {method: POST, form: {a: b}}
        - name: fourth
          request: {method: POST, body_file: deadweight.yaml}
      budget:
        size_bytes: {soft: 15MB, hard: 20MB}
        compressed_bytes: {hard: 8MB}
        layers: {soft: 5, hard: 10}
        startup_seconds: {soft: 1, hard: 5}
        smaller_than: b
      layers:
        secrets: allow
        max_hidden_bytes: 1MB
        setuid: false
        users: [nonroot]
        allow: [{fingerprint: abc, reason: a sample, expires: 2027-01-31}]
      attacks:
        gates: [{posture: hardened, blocked: [breach-write-root]}]
      vulnerabilities:
        max: {critical: 0}
        baseline: report.json
        new_only: true
        max_database_age_days: 7
        ignore: [{id: CVE-1, package: p, reason: because, expires: 2027-01-31}]
  b:
    builder: jib
    base: ubuntu:23.10
    main: com.example.Main
    pom: pom.xml
    files: {/etc/x: "alpine#/etc/os-release"}
    env: {A: b}
    tests: false
  packaged:
    builder: apko
    config: x.yaml
    packages: [melange.yaml]
    runner: docker
  foreign:
    builder: a-plug-in
    flavours: {any: thing}
"""


class Foreign(Variant):
    """The keys of a plug-in's builder."""

    flavours: dict[str, Text] = {}  # noqa: RUF012 - as in our records


@pytest.fixture(autouse=True)
def _a_plug_in(monkeypatch):
    """As if one were installed."""
    known = table.record
    monkeypatch.setattr(table, "record", lambda name: Foreign if name == "a-plug-in" else known(name))


def load(folder: Path, text: str) -> Suite:
    """What opening a project does."""
    file = folder / "deadweight.yaml"
    file.write_text(text, encoding="utf-8")
    suite = load_suite(file)
    check_suite(suite)
    return suite


def test_the_sample_is_right(tmp_path):
    assert load(tmp_path, WHOLE).names() == ("a", "b", "packaged", "foreign")


A = "variants.a"
API, BUDGET, LAYERS, SCAN, ATTACKS = (
    f"{A}.checks.{name}" for name in ("api", "budget", "layers", "vulnerabilities", "attacks")
)
SIZE, NUMBER, WHOLE_NUMBER, TEXT = "expected a size", "expected a number", "expected a whole number", "expected text"

WRONG = [
    # keys of another builder, which in the defaults are for those that read them
    ("    target: last", "    main: last", f"{A}.main", "the builder dockerfile has no key main"),
    ("    main: com.example.Main", "    config: ko.yaml", "variants.b.config", "the builder jib has no key config"),
    # sizes
    ("1.01GB", "1.01XB", f"{A}.reference.size_bytes", f"{SIZE} (bytes, or a number with KB, MB, GB, KiB, MiB or GiB)"),
    ("hard: 20MB", "hard: 21XB", f"{BUDGET}.size_bytes.hard", "found the text '21XB'"),
    ("hard: 20MB", "hard: [1]", f"{BUDGET}.size_bytes.hard", f"{SIZE} (bytes, or a number with KB, MB, GB"),
    ("hard: 20MB", "hard: true", f"{BUDGET}.size_bytes.hard", "found true"),
    ("hard: 20MB", "hard: -1", f"{BUDGET}.size_bytes.hard", "found -1"),
    ("hard: 20MB", "hard: .nan", f"{BUDGET}.size_bytes.hard", "found nan"),
    ("hard: 20MB", "hard: 14MB", f"{BUDGET}.size_bytes.hard", "at least the soft one (15,000,000)"),
    ("hard: 8MB", "hard: heavy", f"{BUDGET}.compressed_bytes.hard", SIZE),
    ("max_hidden_bytes: 1MB", "max_hidden_bytes: few", f"{LAYERS}.max_hidden_bytes", SIZE),
    ("noise_bytes: 64kB", "noise_bytes: 64k B", "report.thresholds.noise_bytes", SIZE),
    ("memory: 64MB", "memory: lots", f"{A}.run.memory", SIZE),
    ("memory: 64MB", "memory: 1MB", f"{A}.run.memory", "at least 6MiB"),
    ('"/tmp:16MiB"', "/tmp:big", f"{A}.run.tmpfs[0]", "expected an absolute path, with a size or without"),
    ('"/tmp:16MiB"', "tmp", f"{A}.run.tmpfs[0]", "found the text 'tmp'"),
    ('"/tmp:16MiB"', "/tmp:0", f"{A}.run.tmpfs[0]", "expected an absolute path"),
    # numbers
    ("soft: 5, hard: 10", "soft: ten", f"{BUDGET}.layers.soft", f"{WHOLE_NUMBER}, found the text 'ten'"),
    ("soft: 5, hard: 10", "hard: 2.5", f"{BUDGET}.layers.hard", WHOLE_NUMBER),
    ("soft: 1, hard: 5", "soft: 1s", f"{BUDGET}.startup_seconds.soft", f"{NUMBER}, found the text '1s'"),
    ("soft: 1, hard: 5", "soft: 1, hard: .inf", f"{BUDGET}.startup_seconds.hard", NUMBER),
    ("port: 8080", "port: true", "defaults.port", f"{WHOLE_NUMBER}, found true"),
    ("port: 8080", 'port: "8080"', "defaults.port", f"{WHOLE_NUMBER}, found the text '8080'"),
    ("port: 8080", f"port: {'1' * 55}", "defaults.port", "a number of more than 40 digits"),
    ("cpus: 0.5", 'cpus: "0.5"', f"{A}.run.cpus", f"{NUMBER}, found the text '0.5'"),
    ("status: 201", 'status: "201"', f"{API}[0].expect.status", f"{WHOLE_NUMBER}, found the text '201'"),
    ("port: 8080", "port: 0", "defaults.port", "must be 1 to 65535, not 0"),
    ("port: 8080", "port: 99999999999999999999999999", "defaults.port", "must be 1 to 65535, not 99999999999999999999999999"),
    ("within_seconds: 20", "within_seconds: 20s", "defaults.health.within_seconds", NUMBER),
    ("within_seconds: 20", "within_seconds: .nan", "defaults.health.within_seconds", NUMBER),
    ("stops_within_seconds: 5", "stops_within_seconds: 0", f"{A}.checks.runs.stops_within_seconds", "must be more than 0, not 0"),
    ("timeout_seconds: 60", "timeout_seconds: long", "scan.timeout_seconds", NUMBER),
    ("cpus: 0.5", "cpus: half", f"{A}.run.cpus", NUMBER),
    ("pids: 20", "pids: 1", f"{A}.run.pids", "must be 4 to 4096, not 1"),
    ("status: 201", "status: OK", f"{API}[0].expect.status", WHOLE_NUMBER),
    ("vulnerabilities: 3", "vulnerabilities: -3", f"{A}.reference.vulnerabilities", "must be 0 or more, not -3"),
    ("critical: 0", "critical: few", f"{SCAN}.max.critical", WHOLE_NUMBER),
    ("max_database_age_days: 7", "max_database_age_days: 7d", f"{SCAN}.max_database_age_days", WHOLE_NUMBER),
    ("noise_percent: 0.5", "noise_percent: 0.5%", "report.thresholds.noise_percent", NUMBER),
    # true and false
    ("runnable: true", 'runnable: "no"', f"{A}.runnable", "expected true or false, found the text 'no'"),
    ("runnable: true", "runnable: 0", f"{A}.runnable", "expected true or false, found 0"),
    ("read_only: true", 'read_only: "true"', f"{A}.run.read_only", "expected true or false"),
    ("setuid: false", 'setuid: "off"', f"{LAYERS}.setuid", "expected true or false"),
    ("new_only: true", "new_only: 1", f"{SCAN}.new_only", "expected true or false"),
    ("tests: false", "tests: 'f'", "variants.b.tests", "expected true or false"),
    # dates, patterns, names
    ("builder: dockerfile", "builder: dockrfile", f"{A}.builder", "no builder 'dockrfile' (did you mean 'dockerfile'?)"),
    ("name: third", "name: 'first'", f"{API}[2].name", "duplicate of line "),
    ("name: third", 'name: ""', f"{API}[2].name", "expected text that is not empty"),
    ("json: {a: 1}", "json: null", f"{API}[0].expect.json", "null would check nothing"),
    ("sample, expires: 2027-01-31", "sample, expires: soon", f"{LAYERS}.allow[0].expires", "a date such as 2027-01-31"),
    ("because, expires: 2027-01-31", "because, expires: 2027-02-30", f"{SCAN}.ignore[0].expires", "a date such as"),
    ("because, expires: 2027-01-31", "because, expires: 2027", f"{SCAN}.ignore[0].expires", "found 2027"),
    ("reason: because", "reason: no", f"{SCAN}.ignore[0].reason", "expected text, found false"),
    ("reason: because", "reason: ok", f"{SCAN}.ignore[0].reason", "expected text of at least 3 characters"),
    ('body_matches: "^x"', 'body_matches: "("', f"{API}[0].expect.body_matches", "RE2 syntax (missing ): ()"),
    ('body_matches: "^x"', 'body_matches: "(?=x)"', f"{API}[0].expect.body_matches", "regular expression"),
    ('body_matches: "^x"', 'body_matches: "a{2000}"', f"{API}[0].expect.body_matches", "regular expression"),
    ("layers: fail", "lyers: fail", f"{A}.expect.lyers", "no check 'lyers' (did you mean 'layers'?)"),
    ("layers: fail", "layers: fails", f"{A}.expect.layers", "expected one of pass, fail"),
    ("smaller_than: b", "smaller_than: c", f"{BUDGET}.smaller_than", "no variant 'c'"),
    ("smaller_than: b", "smaller_than: a", f"{BUDGET}.smaller_than", "a variant other than a itself"),
    ("runs: {stops_within_seconds: 5}", "other: {layers: {}}", f"{A}.checks.other.layers", "is a built-in check"),
    ("posture: hardened", "posture: hardend", f"{ATTACKS}.gates[0].posture", "no posture 'hardend'"),
    ("[breach-write-root]", "[breach-write-root, wriet-root]", f"{ATTACKS}.gates[0].blocked[1]", "no attack 'wriet-root'"),
    ("name: demo", "name: My Demo", "name", "invalid name 'My Demo'"),
    ("user: nonroot", "user: two words", f"{A}.run.user", "expected a user, or user:group"),
    ("user: nonroot", "capabilities: [CAP_SETUID]", f"{A}.run.capabilities[0]", "a Linux capability without CAP_"),
    ("user: nonroot", "capabilities: [ALL]", f"{A}.run.capabilities[0]", "a Linux capability without CAP_"),
    ("env: {MODE: x}", 'env: {"A=B": x}', f"{A}.run.env.A=B", "the name of an environment variable"),
    ("env: {A: b}", 'env: {"": b}', "variants.b.env.", "the name of an environment variable"),
    ("args: [serve]", 'args: ["a\\0b"]', f"{A}.run.args[0]", "text without NUL characters"),
    ("args: {MODE: fast}", "args: {MODE: 1}", f"{A}.args.MODE", f"{TEXT}, found 1"),
    ("secrets: {token:", "secrets: {a token:", f"{A}.secrets.a token", "an id of letters"),
    # references and paths
    ("BASE: alpine", "BASE: Alpine Linux", f"{A}.bases.BASE", "'Alpine Linux' is not an image reference"),
    ("base: ubuntu:23.10", 'base: "ubuntu:"', "variants.b.base", "is not an image reference"),
    ('"alpine#/etc', '"al pine#/etc', "variants.b.files./etc/x", "is not an image reference"),
    ("mirror.example.com/trivy-db", "'not there'", "scan.database_repository", "is not an image reference"),
    ("dockerfile: Dockerfile", 'dockerfile: ""', f"{A}.dockerfile", "expected text that is not empty"),
    ("dockerfile: Dockerfile", f"dockerfile: {'x' * 300}", f"{A}.dockerfile", "expected a path"),
    ("dockerfile: Dockerfile", 'dockerfile: "a\\0b"', f"{A}.dockerfile", "expected a path"),
    ("body_file: deadweight.yaml", "body_file: absent", f"{API}[3].request.body_file", "no such file: absent"),
    ("new_only: true", "vex: [absent.json]", f"{SCAN}.vex[0]", "no such file: absent.json"),
    ("gates: [{posture: hardened, blocked: [breach-write-root]}]", "payload_files: [absent.yaml]",
     f"{ATTACKS}.payload_files[0]", "no such file"),
    ("baseline: report.json\n        new_only: true", "new_only: true", f"{SCAN}.new_only", "expected a baseline with it"),
    # health
    ("path: /healthz", "kind: ping", "defaults.health.kind", "expected one of http, tcp, exec, grpc, exit"),
    ("path: /healthz", "status: [2]", "defaults.health.status[0]", "an HTTP status (100 to 599) or a class of them (2xx)"),
    ("path: /healthz", "status: []", "defaults.health.status", "expected"),
    ("args: [serve]", "entrypoint: []", f"{A}.run.entrypoint", "expected"),
    # requests
    ("path: /healthz", "path: healthz", "defaults.health.path", "starts with a slash"),
    ("path: /healthz", "path: /heälthz", "defaults.health.path", "without blanks"),
    ("path: /x", 'path: "http://localhost/x"', f"{API}[0].request.path", "without host and port"),
    ("path: /x", 'path: "/x\\r\\nX: y"', f"{API}[0].request.path", "expected a path on the service"),
    ("method: PUT", "method: put", f"{API}[1].request.method", "expected one of GET, HEAD"),
    ("headers: {X-A: b}", "headers: {X A: b}", f"{API}[0].request.headers.X A", "the name of an HTTP header"),
    ("headers: {X-A: b}", "headers: {X-A: 東京}", f"{API}[0].request.headers.X-A", "the value of an HTTP header"),
    ("headers: {X-A: b}", "headers: {X-A: 1}", f"{API}[0].request.headers.X-A", TEXT),
    ("headers: {X-B: c}", "headers: {'X-B:': c}", f"{API}[0].expect.headers.X-B:", "the name of an HTTP header"),
    ("body: ab", "body: ab, json: {}", f"{API}[1].request.body", "only one body: json or body"),
    ("repeat: {k: 3}", "repeat: {n: 3}", f"{API}[0].request.repeat", "whose value is text (no text at 'n')"),
    ("repeat: {k: 3}", "repeat: {k: often}", f"{API}[0].request.repeat.k", WHOLE_NUMBER),
    ("body: ab, repeat_body: 2", "repeat_body: 2", f"{API}[1].request.repeat_body", "a body or body_file to repeat"),
    ("body: ab, repeat_body: 2", f"body: {'x' * 9999}, repeat_body: 99999", f"{API}[1].request.repeat_body", "256 MiB"),
    # sources, and sections that are no sections
    ("docker.io: mirror.example.com/hub", "docker.io: https://mirror.example.com", "sources.mirror.registries.docker.io",
     "expected HOST or HOST/PREFIX"),
    ("insecure: false", "insecure: maybe", "sources.mirror.insecure", "expected true or false"),
    ("wolfi: [https", "wolfy: [https", "sources.mirror.apk.wolfy", "expected one of wolfi, alpine"),
    ("ca_bundle: ca.pem", "ca_bundle: 1", "sources.ca_bundle", "expected text"),
    ("ca_bundle: ca.pem", "source: nowhere", "sources.source", "expected one of auto"),
    ("{GOPROXY: https://mirror.example.com/go}", "{GOPROXY: 1}", "sources.environment.GOPROXY", "expected text"),
    ("scan: {database_repository: mirror.example.com/trivy-db, timeout_seconds: 60}", "scan: false", "scan", "expected a mapping"),
    ("flavours: {any: thing}", "flavours: 0", "variants.foreign.flavours", "expected a mapping (key: value), found 0"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "key", "said"), WRONG, ids=[f"{row[2]}: {row[1][:40]}" for row in WRONG])
def test_a_wrong_value_is_refused_with_its_place(tmp_path, right, wrong, key, said):
    assert WHOLE.count(right) == 1, "the row does not say which value it is about"
    text = WHOLE.replace(right, wrong)
    line = text[: text.index(wrong)].count("\n") + 1

    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    assert said in str(caught.value)
    assert (caught.value.file, caught.value.key) == (str(tmp_path / "deadweight.yaml"), key)
    assert caught.value.line == line
    assert caught.value.exit_code == 2


@pytest.mark.system
@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("1.01GB", "1.01XB", "variants.a.reference.size_bytes"),
        ("memory: 64MB", "memory: lots", "variants.a.run.memory"),
        ("posture: hardened", "posture: hardend", "variants.a.checks.attacks.gates[0].posture"),
    ],
)
def test_a_task_ends_with_2_before_it_does_anything(tmp_path, right, wrong, key):
    (tmp_path / "deadweight.yaml").write_text(WHOLE.replace(right, wrong), encoding="utf-8")

    done = invoke(tmp_path, "build", code=2)

    assert done.stdout == ""
    assert re.match(rf"error: {re.escape(str(tmp_path))}/deadweight\.yaml:\d+: {re.escape(key)}: ", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".deadweight").exists()


def test_a_check_that_a_plug_in_brings_may_be_expected_to_fail(tmp_path, monkeypatch):
    text = WHOLE.replace("layers: fail", "theirs: fail").replace("attacks:\n", "other: {theirs: {}}\n      attacks:\n")
    with pytest.raises(ConfigError, match="no check 'theirs'") as caught:
        load(tmp_path, text)
    assert caught.value.key == "variants.a.checks.other.theirs"

    installed = tmp_path / "theirs-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[deadweight.checks]\ntheirs = theirs:Check\n")
    (tmp_path / "theirs.py").write_text("class Check:\n    def run(self, subject): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load(tmp_path, text).variants[0].expect == {"theirs": "fail"}


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the scalars are."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))
    else:
        yield path


DOCUMENT = yaml.load(WHOLE, yaml.BaseLoader)  # all text, dates too
SCALARS = list(places(DOCUMENT))
values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
    | st.sampled_from(["-1", "0", "10XB", "1e3", "1:30", "(", "[[", "a{9999999999}", "2027-02-30", "/x y", "http://x/", "a\x00b",
                       "\r\n", "é", "~nobody-here/x", "generated:", "x" * 5000, "../..", "#", "@sha256:0", "nan", "99999999MB"])
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all examples, and none that other tests' folders lie in."""
    return tmp_path_factory.mktemp("suite")


@pytest.mark.system  # seconds
@settings(max_examples=examples(1_500), deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(place=st.sampled_from(SCALARS), value=values)
def test_what_is_read_can_be_used(folder, place, value):
    """Any value at any place is refused when it is read, in our own words, or it is good for all that comes later."""
    document = copy.deepcopy(DOCUMENT)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    suite, wrong = None, None
    try:
        suite = load(folder, yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    except ConfigError as error:
        wrong = error
    if suite is not None:
        use(suite)
    else:
        assert wrong.line is not None
        assert not re.search(r"String should|Input should|Value error|Unable to|a valid ", wrong.problem), wrong.problem


def use(suite: Suite) -> None:
    """All that parses a value of the suite once more, or hands it to something strict, and needs no engine and no network."""
    thresholds(suite)
    for variant in suite.variants:
        hardened_for(variant)
        allow_list(variant)
        assert all(entry.expires is None or isinstance(entry.expires, date) for entry in acceptances(suite, variant))
        for item in variant.checks.api:
            assert prepare(item.request, suite.root).path.isascii()
            problems(item.expect, Answer(200, {}, b"text", 0.0))
