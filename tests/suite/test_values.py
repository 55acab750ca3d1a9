"""Every value that can be written wrongly is refused when the suite is read, with file, line, key and what was expected."""

import copy
import functools
import operator
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from deadweight._errors import ConfigError
from deadweight.builders import table
from deadweight.checks.layers import allow_list
from deadweight.checks.vulnerabilities import acceptances
from deadweight.engine.http import Answer
from deadweight.engine.options import hardened_for
from deadweight.project.load_suite import check_suite, load_suite
from deadweight.suite.model import Suite, Variant
from deadweight.suite.values import Text
from deadweight_workload.api import prepare, problems
from tests.support.codes import raises
from tests.support.examples import examples
from tests.support.trees import plug_in

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


A = "variants.a"
API, BUDGET, LAYERS, SCAN, ATTACKS = (
    f"{A}.checks.{name}" for name in ("api", "budget", "layers", "vulnerabilities", "attacks")
)

WRONG: list[Any] = [
    # what the file itself is made of
    ("name: demo\n", "", None, "key_missing", {"name": "name"}),
    ("  port: 8080", "  port: ]", None, "not_yaml"),
    ("  port: 8080", "  <<: {a: b}", "defaults", "merge_key"),
    ("port: 8080", "port: !!python/object:os.system {}", "defaults.port",
     "yaml_tag", {"tag": "tag:yaml.org,2002:python/object:os.system"}),
    ("variants:\n", "variants: 3\nrest:\n", "variants", "mapping", {"found": 3}),
    ("  b:\n", "  a: # again\n", A, "duplicate", {"line": 24}),
    ("  b:\n", "  Two words:\n", "variants.Two words", "invalid_name", {"name": "Two words"}),
    ("  packaged:\n    builder: apko", "  packaged: # by nobody", "variants.packaged", "key_missing", {"name": "builder"}),
    ("    dockerfile: D", "    dockerfil: D", f"{A}.dockerfil", "misspelt_key", {"near": "dockerfile"}),
    ("layers: {soft: 5, hard: 10}", "layers: [1, 2]", f"{BUDGET}.layers", "mapping", {"found": [1, 2]}),
    # keys of another builder, which in the defaults are for those that read them
    ("    target: last", "    main: last", f"{A}.main", "key_of_another_builder", {"builder": "dockerfile", "key": "main"}),
    ("    main: com.example.Main", "    config: ko.yaml", "variants.b.config",
     "key_of_another_builder", {"builder": "jib", "key": "config"}),
    # sizes
    ("1.01GB", "1.01XB", f"{A}.reference.size_bytes", "size"),
    ("hard: 20MB", "hard: 21XB", f"{BUDGET}.size_bytes.hard", "size", {"found": "21XB"}),
    ("hard: 20MB", "hard: 14MB", f"{BUDGET}.size_bytes.hard", "hard_below_soft", {"soft": 15_000_000}),
    ("max_hidden_bytes: 1MB", "max_hidden_bytes: few", f"{LAYERS}.max_hidden_bytes", "size"),
    ("noise_bytes: 64kB", "noise_bytes: 64k B", "report.thresholds.noise_bytes", "size"),
    ("memory: 64MB", "memory: lots", f"{A}.run.memory", "size"),
    ("memory: 64MB", "memory: 1MB", f"{A}.run.memory", "least_memory"),
    ('"/tmp:16MiB"', "/tmp:big", f"{A}.run.tmpfs[0]", "tmpfs", {"found": "/tmp:big"}),
    ('"/tmp:16MiB"', "tmp", f"{A}.run.tmpfs[0]", "tmpfs", {"found": "tmp"}),
    ('"/tmp:16MiB"', "/tmp:0", f"{A}.run.tmpfs[0]", "tmpfs"),
    # numbers
    ("soft: 5, hard: 10", "soft: ten", f"{BUDGET}.layers.soft", "whole_number", {"found": "ten"}),
    ("soft: 5, hard: 10", "hard: 2.5", f"{BUDGET}.layers.hard", "whole_number"),
    ("soft: 1, hard: 5", "soft: 1s", f"{BUDGET}.startup_seconds.soft", "number", {"found": "1s"}),
    ("soft: 1, hard: 5", "soft: 1, hard: .inf", f"{BUDGET}.startup_seconds.hard", "number"),
    ("port: 8080", "port: true", "defaults.port", "whole_number", {"found": True}),
    ("port: 8080", 'port: "8080"', "defaults.port", "whole_number", {"found": "8080"}),
    ("port: 8080", f"port: {'1' * 55}", "defaults.port", "too_many_digits", {"most": 40}),
    ("port: 8080", 'port: !!int ""', "defaults.port", "no_value", {"value": ""}),
    ("cpus: 0.5", 'cpus: "0.5"', f"{A}.run.cpus", "number", {"found": "0.5"}),
    ("status: 201", 'status: "201"', f"{API}[0].expect.status", "whole_number", {"found": "201"}),
    ("port: 8080", "port: 0", "defaults.port", "number_between", {"low": 1, "high": 65535, "found": 0}),
    ("port: 8080", "port: 99999999999999999999999999", "defaults.port",
     "number_between", {"low": 1, "high": 65535, "found": 99999999999999999999999999}),
    ("within_seconds: 20", "within_seconds: 20s", "defaults.health.within_seconds", "number"),
    ("within_seconds: 20", "within_seconds: .nan", "defaults.health.within_seconds", "number"),
    ("stops_within_seconds: 5", "stops_within_seconds: 0", f"{A}.checks.runs.stops_within_seconds",
     "number_above_up_to", {"low": 0, "high": 3600, "found": 0}),
    ("timeout_seconds: 60", "timeout_seconds: long", "scan.timeout_seconds", "number"),
    ("pids: 20", "pids: 1", f"{A}.run.pids", "number_between", {"low": 4, "high": 4096, "found": 1}),
    ("vulnerabilities: 3", "vulnerabilities: -3", f"{A}.reference.vulnerabilities", "number_from", {"low": 0, "found": -3}),
    ("critical: 0", "critical: few", f"{SCAN}.max.critical", "whole_number"),
    ("critical: 0", "critical: -1", f"{SCAN}.max.critical", "number_from", {"low": 0, "found": -1}),
    ("critical: 0", "fatal: 0", f"{SCAN}.max.fatal", "one_of", {"choices": "critical, high, medium, low, unknown"}),
    ("max_database_age_days: 7", "max_database_age_days: 7d", f"{SCAN}.max_database_age_days", "whole_number"),
    ("noise_percent: 0.5", "noise_percent: 0.5%", "report.thresholds.noise_percent", "number"),
    ("noise_percent: 0.5", "noise_percent: -1", "report.thresholds.noise_percent", "number_from", {"low": 0, "found": -1}),
    ("ratchet_layers: 1", "ratchet_bytes: 5XB", "report.thresholds.ratchet_bytes", "size", {"found": "5XB"}),
    ("grave: [critical]", "grave: [dire]", "report.thresholds.grave[0]",
     "one_of", {"choices": "critical, high, medium, low, unknown"}),
    # true and false
    ("runnable: true", 'runnable: "no"', f"{A}.runnable", "true_or_false", {"found": "no"}),
    ("runnable: true", "runnable: 0", f"{A}.runnable", "true_or_false", {"found": 0}),
    ("read_only: true", 'read_only: "true"', f"{A}.run.read_only", "true_or_false"),
    ("setuid: false", 'setuid: "off"', f"{LAYERS}.setuid", "true_or_false"),
    ("new_only: true", "new_only: 1", f"{SCAN}.new_only", "true_or_false"),
    ("tests: false", "tests: 'f'", "variants.b.tests", "true_or_false"),
    # dates, patterns, names
    ("builder: dockerfile", "builder: dockrfile", f"{A}.builder",
     "misspelt", {"kind": "builder", "name": "dockrfile", "near": "dockerfile"}),
    ("name: third", "name: 'first'", f"{API}[2].name", "duplicate", {"line": 48}),
    ("name: third", 'name: ""', f"{API}[2].name", "text_of_length", {"least": 1}),
    ("json: {a: 1}", "json: null", f"{API}[0].expect.json", "json_null"),
    ("sample, expires: 2027-01-31", "sample, expires: soon", f"{LAYERS}.allow[0].expires", "date"),
    ("because, expires: 2027-01-31", "because, expires: 2027-02-30", f"{SCAN}.ignore[0].expires", "date"),
    ("because, expires: 2027-01-31", "because, expires: 2027", f"{SCAN}.ignore[0].expires", "date", {"found": 2027}),
    ("reason: because", "reason: no", f"{SCAN}.ignore[0].reason", "text", {"found": False}),
    ("reason: because", "reason: ok", f"{SCAN}.ignore[0].reason", "text_of_length", {"least": 3}),
    ("package: p, reason: because", "package: p", f"{SCAN}.ignore[0]", "key_missing", {"name": "reason"}),
    ("secrets: allow", "secrets: maybe", f"{LAYERS}.secrets.mine", "one_of", {"choices": "none, allow"}),
    ("secrets: allow", "secrets: {mine: maybe}", f"{LAYERS}.secrets.mine", "one_of", {"choices": "none, allow"}),
    ("secrets: allow", "unread: {base: maybe}", f"{LAYERS}.unread.base", "one_of", {"choices": "none, allow"}),
    ("secrets: allow", "unread: allow", f"{LAYERS}.unread", "allow_reason"),
    ("secrets: allow", "unread: {base: allow}", f"{LAYERS}.unread", "allow_reason"),
    ("secrets: allow", "unread: {mine: allow, reason: x}", f"{LAYERS}.unread", "allow_reason"),
    ('body_matches: "^x"', 'body_matches: "("', f"{API}[0].expect.body_matches", "pattern"),
    ('body_matches: "^x"', 'body_matches: "(?=x)"', f"{API}[0].expect.body_matches", "pattern"),
    ('body_matches: "^x"', 'body_matches: "a{2000}"', f"{API}[0].expect.body_matches", "pattern"),
    ("layers: fail", "lyers: fail", f"{A}.expect.lyers", "misspelt", {"kind": "check", "name": "lyers", "near": "layers"}),
    ("layers: fail", "layers: fails", f"{A}.expect.layers", "one_of", {"choices": "pass, fail", "found": "fails"}),
    ("smaller_than: b", "smaller_than: c", f"{BUDGET}.smaller_than", "unknown", {"kind": "variant", "name": "c"}),
    ("smaller_than: b", "smaller_than: packagd", f"{BUDGET}.smaller_than", "misspelt", {"kind": "variant", "near": "packaged"}),
    ("smaller_than: b", "smaller_than: a", f"{BUDGET}.smaller_than", "itself", {"variant": "a"}),
    ("runs: {stops_within_seconds: 5}", "other: {layers: {}}", f"{A}.checks.other.layers", "built_in_check", {"name": "layers"}),
    ("name: demo", "name: My Demo", "name", "invalid_name", {"name": "My Demo"}),
    ("user: nonroot", "user: two words", f"{A}.run.user", "user"),
    ("user: nonroot", "capabilities: [CAP_SETUID]", f"{A}.run.capabilities[0]", "capability"),
    ("user: nonroot", "capabilities: [ALL]", f"{A}.run.capabilities[0]", "capability"),
    ("env: {MODE: x}", 'env: {"A=B": x}', f"{A}.run.env.A=B", "variable_name"),
    ("env: {A: b}", 'env: {"": b}', "variants.b.env.", "variable_name"),
    ("args: [serve]", 'args: ["a\\0b"]', f"{A}.run.args[0]", "text_without_nul"),
    ("args: {MODE: fast}", "args: {MODE: 1}", f"{A}.args.MODE", "text", {"found": 1}),
    ("secrets: {token:", "secrets: {a token:", f"{A}.secrets.a token", "id"),
    # references and paths
    ("BASE: alpine", "BASE: Alpine Linux", f"{A}.bases.BASE", "records.not_a_reference", {"text": "Alpine Linux"}),
    ("base: ubuntu:23.10", 'base: "ubuntu:"', "variants.b.base", "records.not_a_reference", {"text": "ubuntu:"}),
    ('"alpine#/etc', '"al pine#/etc', "variants.b.files./etc/x", "records.not_a_reference"),
    ("mirror.example.com/trivy-db", "'not there'", "scan.database_repository", "records.not_a_reference"),
    ("dockerfile: Dockerfile", 'dockerfile: ""', f"{A}.dockerfile", "text_of_length", {"least": 1}),
    ("dockerfile: Dockerfile", f"dockerfile: {'x' * 300}", f"{A}.dockerfile", "path"),
    ("dockerfile: Dockerfile", 'dockerfile: "a\\0b"', f"{A}.dockerfile", "path"),
    ("body_file: deadweight.yaml", "body_file: absent", f"{API}[3].request.body_file", "project.no_such_file", {"name": "absent"}),
    ("new_only: true", "vex: [absent.json]", f"{SCAN}.vex[0]", "project.no_such_file", {"name": "absent.json"}),
    ("gates: [{posture: hardened, blocked: [breach-write-root]}]", "payload_files: [absent.yaml]",
     f"{ATTACKS}.payload_files[0]", "project.no_such_file", {"name": "absent.yaml"}),
    ("baseline: report.json\n        new_only: true", "new_only: true", f"{SCAN}.new_only", "new_only_baseline"),
    # health
    ("path: /healthz", "kind: ping", "defaults.health.kind", "one_of", {"choices": "http, tcp, exec, grpc, exit"}),
    ("path: /healthz", "status: [2]", "defaults.health.status[0]", "http_status"),
    ("path: /healthz", "status: []", "defaults.health.status", "list_of_length", {"least": 1}),
    ("args: [serve]", "entrypoint: []", f"{A}.run.entrypoint", "list_of_length", {"least": 1}),
    # requests
    ("path: /healthz", "path: healthz", "defaults.health.path", "plain_url_path"),
    ("path: /healthz", "path: /heälthz", "defaults.health.path", "plain_url_path"),
    ("path: /x", 'path: "http://localhost/x"', f"{API}[0].request.path", "url_path"),
    ("path: /x", 'path: "/x\\r\\nX: y"', f"{API}[0].request.path", "url_path"),
    ("method: PUT", "method: put", f"{API}[1].request.method",
     "one_of", {"choices": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}),
    ("headers: {X-A: b}", "headers: {X A: b}", f"{API}[0].request.headers.X A", "header_name"),
    ("headers: {X-A: b}", "headers: {X-A: 東京}", f"{API}[0].request.headers.X-A", "header_value"),
    ("headers: {X-A: b}", "headers: {X-A: 1}", f"{API}[0].request.headers.X-A", "text"),
    ("headers: {X-B: c}", "headers: {'X-B:': c}", f"{API}[0].expect.headers.X-B:", "header_name"),
    ("body: ab", "body: ab, json: {}", f"{API}[1].request.body", "one_body", {"first": "json", "second": "body"}),
    ("repeat: {k: 3}", "repeat: {n: 3}", f"{API}[0].request.repeat", "repeat_needs_text", {"key": "n"}),
    ("repeat: {k: 3}", "repeat: {k: often}", f"{API}[0].request.repeat.k", "whole_number"),
    ("body: ab, repeat_body: 2", "repeat_body: 2", f"{API}[1].request.repeat_body", "repeat_needs_body"),
    ("body: ab, repeat_body: 2", f"body: {'x' * 9999}, repeat_body: 99999", f"{API}[1].request.repeat_body",
     "body_too_large", {"mebibytes": 256}),
    # sources, and sections that are no sections
    ("docker.io: mirror.example.com/hub", "docker.io: https://mirror.example.com", "sources.mirror.registries.docker.io",
     "sources.host"),
    ("insecure: false", "insecure: maybe", "sources.mirror.insecure", "true_or_false"),
    ("wolfi: [https", "wolfy: [https", "sources.mirror.apk.wolfy", "one_of", {"choices": "wolfi, alpine"}),
    ("ca_bundle: ca.pem", "ca_bundle: 1", "sources.ca_bundle", "text"),
    ("ca_bundle: ca.pem", "source: nowhere", "sources.source", "one_of", {"choices": "auto, registry, mirror, local"}),
    ("{GOPROXY: https://mirror.example.com/go}", "{GOPROXY: 1}", "sources.environment.GOPROXY", "text"),
    ("scan: {database_repository: mirror.example.com/trivy-db, timeout_seconds: 60}", "scan: false", "scan", "mapping"),
    ("posture: hardened", "posture: hardend", f"{ATTACKS}.gates[0].posture", "posture.unknown", {"name": "hardend"}),
    ("[breach-write-root]", "[breach-write-root, wriet-root]", f"{ATTACKS}.gates[0].blocked[1]",
     "gate.no_attack", {"name": "wriet-root"}),
    ("flavours: {any: thing}", "flavours: 0", "variants.foreign.flavours", "mapping", {"found": 0}),
]  # fmt: skip


@pytest.mark.parametrize("row", WRONG, ids=[f"{row[2]}: {row[1][:40]}" for row in WRONG])
def test_a_wrong_value_is_refused_with_its_place(tmp_path, row):
    right, wrong, key, code, *fields = row
    assert WHOLE.count(right) == 1, "the row does not say which value it is about"
    text = WHOLE.replace(right, wrong)
    with raises(ConfigError, code if "." in code else f"suite.{code}", **dict(*fields)) as caught:
        load(tmp_path, text)
    line, error = text[: text.index(wrong)].count("\n") + 1, caught.value
    assert (error.file, error.line, error.key, error.exit_code) == (str(tmp_path / "deadweight.yaml"), line, key, 2)


def test_a_check_that_a_plug_in_brings_may_be_expected_to_fail(tmp_path, monkeypatch):
    text = WHOLE.replace("layers: fail", "theirs: fail").replace("attacks:\n", "other: {theirs: {}}\n      attacks:\n")
    with raises(ConfigError, "suite.unknown", kind="check", name="theirs", key="variants.a.checks.other.theirs"):
        load(tmp_path, text)

    code = "class Check:\n    def run(self, subject): ...\n"
    monkeypatch.syspath_prepend(plug_in(tmp_path, "theirs", "checks", {"theirs": "theirs:Check"}, theirs=code))
    assert load(tmp_path, text).variants[0].expect == {"theirs": "fail"}


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the scalars are."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))
    else:
        yield path


DOCUMENT = yaml.load(WHOLE, yaml.BaseLoader)  # all text, dates too
values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
    | st.sampled_from(["-1", "0", "10XB", "1e3", "1:30", "(", "[[", "a{9999999999}", "2027-02-30", "/x y", "http://x/", "a\x00b",
                       "\r\n", "é", "~nobody-here/x", "generated:", "x" * 5000, "../..", "#", "@sha256:0", "nan", "99999999MB"])
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=examples(1_500), deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(place=st.sampled_from(list(places(DOCUMENT))), value=values)
def test_what_is_read_can_be_used(tmp_path, place, value):
    """Any value at any place is refused when it is read, in our own words, or it is good for all that comes later."""
    document = copy.deepcopy(DOCUMENT)
    functools.reduce(operator.getitem, place[:-1], document)[place[-1]] = value
    try:
        suite = load(tmp_path, yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    except ConfigError as error:
        wrong = error
    else:
        use(suite)
        return
    assert wrong.line is not None
    assert not re.search(r"String should|Input should|Value error|Unable to|a valid ", wrong.problem), wrong.problem


def use(suite: Suite) -> None:
    """All that parses a value of the suite once more, or hands it to something strict, and needs no engine and no network."""
    for variant in suite.variants:
        hardened_for(variant)
        allow_list(variant)
        assert all(entry.expires is None or isinstance(entry.expires, date) for entry in acceptances(suite, variant))
        for item in variant.checks.api:
            assert prepare(item.request, suite.root).path.isascii()
            problems(item.expect, Answer(200, {}, b"text", 0.0))
