"""The layers check: every gate of a suite held and broken, allow lists with their end, and what it leaves as evidence."""

import datetime
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight._errors import joined, wording
from deadweight.checks import runner
from deadweight.checks.layers import CHECK
from deadweight.records.built_image import Base
from deadweight.records.store import write_atomically
from deadweight.toolchain.crane import push
from deadweight_images.inspect.analyse import analyse
from tests.support import image_samples as samples
from tests.support.codes import details, parts
from tests.support.image_samples import honest_layer as layer
from tests.support.secret_samples import github_token
from tests.support.small_project import put_built, subject_of, write_suite

TOKEN = "ghp_" + "".join(random.Random(7).choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=36))
CONFIG = f"github_token = {TOKEN}\n".encode()
PLAIN = layer({"etc/hostname": b"box\n"})
SUITE = "name: demo\nvariants: {{v: {{builder: ko, base: example.com/base, checks: {{layers: {asked}}}}}}}\n"
PROGRAMS = layer(dict.fromkeys(("bin/sh", "sbin/apk", "bin/su"), b"\x7fELF"), sh=0o755, apk=0o755, su=0o4755)
# One image, and what breaks each gate of it: (layers, user).
IMAGES: dict[str, tuple[tuple[bytes, ...], str]] = {
    "clean": ((PLAIN,), "65532:65532"),
    "deleted secret": ((PLAIN, layer({"etc/app.conf": CONFIG}), layer({"etc/.wh.app.conf": b""})), "65532"),
    "visible secret": ((PLAIN, layer({"etc/app.conf": CONFIG})), "65532"),
    "hidden bytes": ((layer({"big": b"x" * 3000}), layer({".wh.big": b""})), "65532"),
    "setuid": ((layer({"usr/bin/su": b"\x7fELF"}, su=0o4755),), "65532"),
    "shell": ((layer({"bin/sh": b"\x7fELF"}, sh=0o755),), "65532"),
    "package manager": ((layer({"sbin/apk": b"\x7fELF"}, apk=0o755),), "65532"),
    "root": ((PLAIN,), ""),
    "opaque root": ((PROGRAMS, layer({".wh..wh..opq": b"", "etc/hostname": b"box\n"})), "65532"),
    "three at once": ((layer({"etc/app.conf": CONFIG}), layer({"usr/bin/su": b"\x7fELF"}, su=0o4755)), "root"),
}


def made(folder: Path, name: str) -> Path:
    layers, user = IMAGES[name]
    return samples.saved(folder, *layers, config={"User": user}, name="image.tar")


def subject(folder: Path, archive: Path, asked: str, base: Base | None = None):
    suite = write_suite(folder, SUITE.format(asked=asked))
    return subject_of(suite, "v", replace(put_built(suite, "v", archive, "demo/v:1"), base=base), archive, None)


def look(folder: Path, name: str, asked: str):
    return CHECK.run(subject(folder, made(folder, name), asked))


def broken_gates(evidence) -> dict[str, dict]:
    """What the gates that did not hold say, by their name."""
    return {gate["name"]: dict(gate["reason"].fields) for gate in evidence.data["gates"] if not gate["held"]}


def one(path: str) -> dict:
    return {"count": 1, "first": path, "why": ""}


GATES = [
    ("{}", "secrets", "deleted secret", {"kind": "secrets", "count": 1}),
    ("{secrets: none}", "secrets", "visible secret", {"kind": "secrets", "count": 1}),
    ("{max_hidden_bytes: 2999}", "max_hidden_bytes", "hidden bytes", {"hidden": "3000 bytes", "allowed": "2999 bytes"}),
    ("{max_hidden_bytes: 1kB}", "max_hidden_bytes", "hidden bytes", {"hidden": "3 kB", "allowed": "1 kB"}),
    ("{setuid: false}", "setuid", "setuid", one("/usr/bin/su")),
    ("{shell: false}", "shell", "shell", one("/bin/sh")),
    ("{package_manager: false}", "package_manager", "package manager", one("/sbin/apk")),
    ("{users: ['65532', nonroot]}", "users", "root", {"user": "root"}),
]


@pytest.mark.parametrize(("asked", "gate", "broken_by", "fields"), GATES)
def test_a_gate_fails_for_what_breaks_it_and_for_nothing_else(tmp_path, asked, gate, broken_by, fields):
    broken = look(tmp_path, broken_by, asked)
    assert (broken.status, broken_gates(broken)) == ("fail", {gate: fields})
    held = look(tmp_path, "clean", asked)
    assert (held.status, len(held.data["layers"]), len(held.data["hidden"])) == ("pass", 1, 0)
    assert [row["held"] for row in held.data["gates"] if row["name"] == gate] == [True]


@pytest.mark.parametrize("name", ["hidden bytes", "setuid", "shell", "package manager", "root"])
def test_what_no_gate_asks_for_breaks_nothing(tmp_path, name):
    evidence = look(tmp_path, name, "{}")
    assert (evidence.status, [gate["name"] for gate in evidence.data["gates"]]) == ("pass", ["secrets"])


PATHS = {"shell": "/bin/sh", "package_manager": "/sbin/apk", "setuid": "/bin/su"}


@pytest.mark.parametrize(("asked", "path"), PATHS.items())
def test_what_only_the_specification_hides_breaks_the_gates(tmp_path, asked, path):
    """Engines on overlayfs ignore an opaque mark in the image's root: ``docker run`` starts /bin/sh of such an image."""
    evidence = look(tmp_path, "opaque root", f"{{{asked}: false}}")
    (fields,) = broken_gates(evidence).values()
    assert (evidence.status, fields["count"], fields["first"]) == ("fail", 1, path)
    assert fields["why"], "why it is there, although the specification hides it"
    (note,) = evidence.data["notes"]
    assert parts(note) == ("layer.opaque_root", {"layers": "2", "files": 3})


def test_secrets_that_are_allowed_are_told_and_fail_nothing(tmp_path):
    evidence = look(tmp_path, "deleted secret", "{secrets: allow}")
    assert (evidence.status, evidence.data["gates"]) == ("pass", [])
    assert evidence.data["hidden"][0]["secrets"][0]["rule"] == "github-pat"


def test_the_limit_itself_is_allowed_and_a_user_counts_without_its_group(tmp_path):
    assert look(tmp_path, "hidden bytes", "{max_hidden_bytes: 3000}").status == "pass"
    assert look(tmp_path, "clean", "{users: ['65532']}").status == "pass"
    assert broken_gates(look(tmp_path, "clean", "{users: [nobody]}")) == {"users": {"user": "65532"}}


def test_all_broken_gates_are_named(tmp_path):
    evidence = look(tmp_path, "three at once", "{setuid: false, users: [nobody]}")
    secrets = {"kind": "secrets", "count": 1}
    assert broken_gates(evidence) == {"secrets": secrets, "setuid": one("/usr/bin/su"), "users": {"user": "root"}}
    assert all(gate in evidence.reason for gate in broken_gates(evidence))


def allowed(folder: Path, archive: Path, expires: str, fingerprint: str | None = None, secrets: str = "none"):
    """The check with an allow list of one entry: the image's own secret, if no other is named."""
    report = analyse(archive)
    marks = [
        *(mark.fingerprint for file in report.hidden for mark in file.secrets),
        *(secret.fingerprint for secret in report.secrets),
    ]
    entry = f"{{fingerprint: {fingerprint or marks[0]}, reason: a sample, expires: {expires}}}"
    return subject(folder, archive, f"{{secrets: {secrets}, allow: [{entry}]}}")


@pytest.mark.parametrize("name", ["deleted secret", "visible secret"])
def test_an_allowed_secret_counts_again_after_its_day(tmp_path, name):
    archive, today = made(tmp_path, name), datetime.datetime.now(datetime.UTC).date()
    lasting = CHECK.run(allowed(tmp_path, archive, str(today + datetime.timedelta(2))))
    gates = [(gate["name"], gate["held"]) for gate in lasting.data["gates"]]
    assert (lasting.status, gates) == ("pass", [("secrets", True)])
    gone = today - datetime.timedelta(2)
    ended = CHECK.run(allowed(tmp_path, archive, str(gone)))
    broken = broken_gates(ended)
    assert (ended.status, broken["secrets"]) == ("fail", {"kind": "secrets", "count": 1})
    assert (broken["allow"]["date"], str(gone) in ended.reason) == (gone, True)


def test_an_entry_that_matches_nothing_is_a_warning(tmp_path):
    evidence = CHECK.run(allowed(tmp_path, made(tmp_path, "clean"), "2099-01-31", "sha256:" + "0" * 64))
    (reason,) = [gate["reason"] for gate in evidence.data["gates"] if gate["name"] == "allow"]
    assert (evidence.status, reason.code) == ("warn", "checks.allowance_unused")
    assert reason.fields["fingerprint"] == "sha256:00000"


def test_an_expired_entry_warns_where_secrets_may_be_there(tmp_path):
    evidence = CHECK.run(allowed(tmp_path, made(tmp_path, "deleted secret"), "2020-01-31", secrets="allow"))
    assert (evidence.status, broken_gates(evidence)["allow"]["date"]) == ("warn", datetime.date(2020, 1, 31))


def test_the_evidence_is_the_layer_readers_document_without_the_secret(tmp_path):
    evidence = look(tmp_path, "deleted secret", "{}")
    assert {**analyse(tmp_path / "image.tar").json(), "gates": evidence.data["gates"]} == evidence.data
    (hidden,) = evidence.data["hidden"]
    assert (hidden["added_by"], hidden["hidden_by"]) == ("step 1", "step 2")
    assert TOKEN not in json.dumps(evidence.data)


def test_a_damaged_archive_fails_and_says_why(tmp_path):
    archive = made(tmp_path, "clean")
    asked = subject(tmp_path, archive, "{}")
    archive.write_bytes(archive.read_bytes()[:700])
    evidence = runner.run_check(CHECK, asked)
    assert (evidence.status, str(archive) in evidence.reason) == ("fail", True)


def test_it_is_asked_for_where_the_suite_has_it(tmp_path):
    for asked in ("{}", "null"):
        (variant,) = write_suite(tmp_path, SUITE.format(asked=asked)).variants
        assert CHECK.applies(variant) is (asked == "{}")


def test_more_than_are_listed_are_counted_right(tmp_path, monkeypatch):
    """Neither the number of hidden files nor what the allow list matches is told by lists that were cut."""
    monkeypatch.setattr("deadweight_images.inspect.assemble.MAX_HIDDEN", 2)
    lower = layer({f"f{number}": github_token(random.Random(number)) for number in range(5)})
    archive = samples.saved(tmp_path, lower, layer({f".wh.f{number}": b"" for number in range(5)}), name="many.tar")
    evidence = CHECK.run(allowed(tmp_path, archive, "2099-01-01", "ab" * 16, secrets="allow"))
    assert (evidence.status, evidence.data["gates"]) == ("pass", [])
    layers = wording("checks.layers", layers=2, hidden=wording("checks.hidden", size="200 B", files=5))
    assert evidence.reason == joined(layers, wording("checks.allowed_secrets", count=2))


def test_what_could_not_be_looked_at_fails_unless_the_suite_gives_a_reason(tmp_path):
    """A zip that is encrypted, say: "no secrets" is then true of the rest only."""
    archive = samples.saved(tmp_path, layer({"a.zip": samples.encrypted_zip(bytes(range(99)))}), name="image.tar")
    evidence = CHECK.run(subject(tmp_path, archive, "{}"))
    assert (evidence.status, broken_gates(evidence)) == ("fail", {"unread": {"kind": "unscanned places", "count": 1}})
    evidence = CHECK.run(subject(tmp_path, archive, "{unread: {mine: allow, reason: test archives}}"))
    assert (evidence.status, len(evidence.data["skipped"])) == ("pass", 1)
    number, hidden = details(evidence.reason).fields["layers"], wording("checks.nothing_hidden")
    layers = wording("checks.layers", layers=number, hidden=hidden)
    assert evidence.reason == joined(layers, wording("checks.not_looked_at", count=1))


DIGEST = "sha256:" + "ab" * 32


def of_base(folder: Path, archive: Path, asked: str, config: dict | None):
    """The check of an image whose base is known by this config (None: its registry cannot be reached)."""
    target = subject(folder, archive, asked, Base("base", f"127.0.0.1:1/base@{DIGEST}", DIGEST, stand_in=False))
    if config is not None:
        write_atomically(target.state.cache / "bases" / f"{'ab' * 32}.json", json.dumps(config))
    return CHECK.run(target)


BASE_LAYER, OWN_LAYER = layer({"etc/app.conf": CONFIG}), layer({"srv/own.conf": CONFIG})
BASE_CONFIG = {"rootfs": {"diff_ids": [samples.sha256(BASE_LAYER)]}, "history": [{"created_by": "FROM scratch"}]}


@pytest.mark.parametrize(("layers", "asked", "base", "code", "fields"), [
    ((BASE_LAYER,), "{secrets: {base: allow}}", BASE_CONFIG, "", {}),
    ((BASE_LAYER,), "{secrets: {mine: allow}}", BASE_CONFIG, "checks.findings_of_base", {"count": 1, "others": 0}),
    ((BASE_LAYER,), "{secrets: none}", BASE_CONFIG, "checks.findings", {"count": 1}),
    (
        (BASE_LAYER, OWN_LAYER), "{secrets: {mine: none, base: allow}}", BASE_CONFIG,
        "checks.findings_of_mine", {"count": 1, "others": 1},
    ),
    ((BASE_LAYER, OWN_LAYER), "{secrets: none}", BASE_CONFIG, "checks.findings", {"count": 2}),
    ((BASE_LAYER,), "{secrets: {base: allow}}", None, "checks.findings_of_mine", {"count": 1, "others": 0}),
])  # fmt: skip
def test_secrets_of_the_base_are_judged_apart(tmp_path, layers, asked, base, code, fields):
    evidence = of_base(tmp_path, samples.saved(tmp_path, *layers, name="image.tar"), asked, base)
    assert evidence.status == ("fail" if code else "pass")
    broken = [parts(gate["reason"]) for gate in evidence.data["gates"] if not gate["held"]]
    assert broken == ([(code, {"kind": "secrets", **fields})] if code else [])


def test_a_secret_in_the_bases_history_is_the_bases(tmp_path):
    history = [{"created_by": f"ENV TOKEN={TOKEN}", "empty_layer": True}, {"created_by": "COPY"}]
    archive = samples.saved(tmp_path, PLAIN, history=history, name="image.tar")
    assert of_base(tmp_path, archive, "{secrets: {base: allow}}", BASE_CONFIG).status == "pass"
    assert of_base(tmp_path, archive, "{secrets: {base: allow}}", {**BASE_CONFIG, "history": []}).status == "fail"


DPKG = {"var/lib/dpkg/status": b"Package: tls\nStatus: install ok installed\nVersion: 1\n"}
LISTED = {**DPKG, "var/lib/dpkg/info/tls:amd64.list": b"/.\n/usr/lib/tls.conf\n/lib/moved.conf\n/etc/tls.conf\n"}

WHEEL_INFO = "packages/net_tools-1.0.dist-info"
WHEELS = b"../bin/run,sha256=x,1\nnet/__init__.py,sha256=x,1\nnet/urls.py,sha256=x,1\nsix.py,sha256=x,1\n"
WHEEL = {f"{WHEEL_INFO}/RECORD": WHEELS + b"__pycache__/six.cpython-312.pyc,,\nnet_tools-1.0.dist-info/RECORD,,\n"}
NODE = {f"app/node_modules/{name}/package.json": b"{}" for name in ("send", "@a/b", ".pnpm/q@1/node_modules/q")}


@pytest.mark.parametrize(("layers", "owner"), [
    ([{**LISTED, "usr/lib/tls.conf": CONFIG}], "deb tls"),
    ([{**LISTED, "usr/lib/moved.conf": CONFIG}], "deb tls"),
    ([{"usr/lib/tls.conf": CONFIG, "lib/apk/db/installed": b"P:tls\nV:1\nF:usr/lib\nR:tls.conf\n\n"}], "apk tls"),
    ([{**LISTED, "etc/tls.conf": CONFIG}], "mine"),
    ([{**LISTED, "usr/lib/other.conf": CONFIG}], "mine"),
    ([{**LISTED, "usr/lib/tls.conf": b"fine"}, {"usr/lib/tls.conf": CONFIG}], "mine"),
    ([{**LISTED, "usr/lib/tls.conf": CONFIG}, {"usr/lib/.wh.tls.conf": b""}], "deb tls"),
    ([{**WHEEL, "packages/net/urls.py": CONFIG}], "pypi net_tools"),
    ([{**WHEEL, "packages/net/__pycache__/urls.cpython-312.pyc": CONFIG}], "pypi net_tools"),
    ([{**WHEEL, "packages/six.py": CONFIG}], "pypi net_tools"),
    ([{**WHEEL, f"{WHEEL_INFO}/METADATA": CONFIG}], "pypi net_tools"),
    ([{**WHEEL, "packages/config.py": CONFIG}], "mine"),
    ([{**WHEEL, "packages/__pycache__/config.cpython-312.pyc": CONFIG}], "mine"),
    ([{**WHEEL, "packages/bin/run": CONFIG}], "mine"),
    ([{**WHEEL, "srv/net/urls.py": CONFIG}], "mine"),
    ([{**WHEEL, f"{WHEEL_INFO}/direct_url.json": b"{}", "packages/net/urls.py": CONFIG}], "mine"),
    ([WHEEL, {"packages/net/urls.py": CONFIG}], "mine"),
    ([{**NODE, "app/node_modules/send/index.js": CONFIG}], "npm send"),
    ([{**NODE, "app/node_modules/@a/b/lib/c.js": CONFIG}], "npm @a/b"),
    ([{**NODE, "app/node_modules/.pnpm/q@1/node_modules/q/c.js": CONFIG}], "npm q"),
    ([{**NODE, "app/node_modules/other/index.js": CONFIG}], "mine"),
    ([{**NODE, "app/node_modules/.cache/send/package.json": CONFIG}], "mine"),
    ([{**NODE, "app/server.js": CONFIG}], "mine"),
    ([{"my_node_modules/send/package.json": b"{}", "my_node_modules/send/index.js": CONFIG}], "mine"),
])  # fmt: skip
def test_a_secret_in_a_file_that_its_package_brought_is_the_packages(tmp_path, layers, owner):
    archive = samples.saved(tmp_path, *map(layer, layers), name="image.tar")
    evidence = CHECK.run(subject(tmp_path, archive, "{secrets: {base: allow}}"))
    owners = [secret["owner"] for secret in evidence.data["secrets"]]
    owners += [file["owner"] for file in evidence.data["hidden"] if file["secrets"]]
    assert (owners, evidence.status) == ([owner], "fail" if owner == "mine" else "pass")


@pytest.mark.tools
def test_the_bases_layers_are_asked_of_its_registry(tmp_path, local_registry):
    digest = push(samples.saved(tmp_path, BASE_LAYER, name="base.tar"), f"{local_registry}/base:1")
    archive = samples.saved(tmp_path, BASE_LAYER, PLAIN, name="image.tar")
    known = Base("base", f"{local_registry}/base@{digest}", digest, stand_in=True)
    asked = subject(tmp_path, archive, "{secrets: {base: allow}}", known)
    assert CHECK.run(asked).status == "pass"
    assert (asked.state.cache / "bases" / f"{digest.partition(':')[2]}.json").is_file()
