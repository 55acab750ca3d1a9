"""Two images compared: what differs is named with its cause, and what does not is not."""

import gzip
import struct

import pytest

from deadweight._errors import MissingError, UsageError
from deadweight.checks import runner
from deadweight.engine.http import Answer
from deadweight.project.git import git
from deadweight.project.workspace import Workspace
from deadweight.sources.remote import RemoteSource
from deadweight.sources.settings import load
from deadweight_images.inspect.runtime import Listing, Runtime
from deadweight_workload import Difference, compare, compared, lines
from deadweight_workload.twin.answers import escapes, facts, steady
from deadweight_workload.twin.causes import Looked, missing
from deadweight_workload.twin.check import other_side
from deadweight_workload.twin.compare import content_differences, differing
from deadweight_workload.twin.named import at_revision
from tests.support import twins
from tests.support.codes import raises
from tests.support.small_images import forget_image
from tests.support.twins import LIBRARIES, LOADER, image, subjects

WEBP = f"{LIBRARIES}libwebp.so.7"
MUSL = {LOADER: None, "/lib/ld-musl-x86_64.so.1": b"loader"}
PLANTED = {
    "time zones": ("/time", {"/usr/share/zoneinfo/Europe/Berlin": None}, (), "body $.opens", "time_zones"),
    "CA bundle": ("/authorities", {"/etc/ssl/certs/ca-certificates.crt": None}, (), "status", "ca_certificates"),
    "user database": ("/user", {"/etc/passwd": None}, (), "body $.name", "user_database"),
    "NSS": ("/names", {f"{LIBRARIES}libnss_compat.so.2": None}, (), "status", "name_service"),
    "musl": ("/linked", MUSL, (), "status", "library"),
    "C locale": ("/letters", {}, ("LANG=",), "body $.output", "locale"),
    "image codec": ("/picture", {WEBP: None}, (), "status", "library"),
    "late library": ("/report", {f"{LIBRARIES}libm.so.6": None}, (), "status", "library"),
    "MIME types": ("/plan", {"/etc/mime.types": None}, (), "header content-type", "mime_types"),
    "another user": ("/data", {}, ("UID=1002",), "body $.error", "user"),
    "lost signals": ("/healthz", {}, ("WRAPPED=1",), "ended", "signals"),
    "empty answer": ("/page", {}, ("EMPTY=1",), "body", "empty_body"),
    "error template": ("/nowhere", {"/srv/templates/404.html": None}, (), "body", "file"),
    "no gzip": ("/healthz", {}, ("GZIP=no",), "header content-encoding", "compression"),
    "temporary folder": ("/upload", {"/tmp/": None}, (), "status", "temporary_folder"),
}


def differences(a: list[dict], b: list[dict]) -> list[tuple]:
    runs = [[{("r", name): value for name, value in run.items()} for run in side] for side in (a, b)]
    return [(one.field, one.a, one.b) for one in differing(*runs)[0]]


@pytest.mark.parametrize(("a", "b", "expected"), [
    ([{"status": "200"}] * 2, [{"status": "500"}], [("status", "200", "500")]),
    ([{"status": "200"}] * 2, [{"status": "500"}, {"status": "200"}], []),  # it did not come again
    ([{"x": "id 3f, took 4"}, {"x": "id 9a, took 5"}], [{"x": "id 77, took 6"}], []),
    ([{"x": "id 3f, ok"}, {"x": "id 9a, ok"}], [{"x": "id 77, bad"}], [("x", "id 3f, ok", "id 77, bad")]),
    ([{"x": "a+b/c ok"}, {"x": "abc== ok"}], [{"x": "a ok"}], []),
    ([{"body $.ms": "4"}] * 2, [{"body $.ms": "5"}], [("body $.ms", "4", "5")]),
    ([{}] * 2, [{"header server": "x"}], [("header server", None, "x")]),
    ([{"body": "JSON", "body $.a": "1"}] * 2, [{"body": "empty"}], [("body", "JSON", "empty")]),
    # the keys of a mapping by ids change by themselves
    ([{"body $.all.id1": "1"}, {"body $.all.id2": "1"}], [{"body $.all.id3": "1"}], []),
    ([{"status": "200", "under load": "200"}] * 2, [{"status": "1", "under load": "1"}], [("status", "200", "1")]),
    ([{"under load": "200"}] * 2, [{"under load": "500"}], [("under load", "200", "500")]),
])  # fmt: skip
def test_what_changes_by_itself_is_no_difference(a, b, expected):
    assert expected == differences(a, b)


def test_a_number_that_changes_elsewhere_is_a_duration():
    field = "body $.ms"
    a = [{("x", field): "4", ("y", field): number} for number in ("4", "5")]
    assert differing(a, [{("x", field): "9", ("y", field): "9"}]) == ([], ["x: body $.ms", "y: body $.ms"])


def test_the_very_file_is_named_before_other_places_that_it_was_looked_for_in():
    a, b = (
        Looked(frozenset({"/usr/z/Berlin"})),
        Looked(missed={"GET": frozenset({"/etc/z/Berlin", "/usr/z/Berlin", "/x"})}),
    )
    assert missing(a, b) == {"GET": ("/usr/z/Berlin", "/etc/z/Berlin")}


def test_what_a_suite_accepts():
    one = Difference("GET /", "body $.a.b", "1", "2")
    kinds = ("body", "body $.a", "GET /", "GET / body", "status", "body $.a.bc")
    assert [one.accepted((kind,)) for kind in kinds] == [True] * 4 + [False] * 2


NOW = 1_764_594_813.0  # 2025-12-01T13:13:33Z


@pytest.mark.parametrize(("text", "expected"), [
    ("2025-12-01T13:13:34.123Z", "<now>Z"), ("2025-12-01T14:13:34+01:00", "<now+1h>+01:00"),
    ("Mon, 01 Dec 2025 13:13:33 GMT", "<now> GMT"), ("2025/12/01 13:13:33 error", "<now> error"),
    ("[01/Dec/2025:13:13:33 +0000]", "[<now> +0000]"), ("at 1764594814, 1764594814123", "at <now>, <now>"),
    ("2020-12-01T13:13:33Z", "2020-12-01T13:13:33Z"), ("9999-99-99 99:99:99", "9999-99-99 99:99:99"),
])  # fmt: skip
def test_times_are_told_by_how_far_they_are_from_now(text, expected):
    assert expected == steady(text, NOW)


def test_a_body_is_taken_apart_by_its_kind():
    page = b"<html><link href=/a.css><script>x()</script><p>Hello,\n you</p></html>"
    png = b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 3, 2)
    bodies = [b'{"a": [1, {"b": "x"}], "c": []}', page, png, b"plain", b"\xff\x00", b""]
    seen = [dict(facts(Answer(200, {}, body, 0.1), NOW)) for body in bodies]
    assert [{name: value for name, value in one.items() if name.startswith("body")} for one in seen] == [
        {"body": "JSON", "body $.a[0]": "1", "body $.a[1].b": '"x"', "body $.c": "[]"},
        {"body": "HTML", "body text": "Hello, you", "body assets": "/a.css"},
        {"body": "image", "body image": "PNG 3x2"},
        {"body": "text", "body text": "plain"},
        {"body": "bytes", "body bytes": "2 bytes, ea5dbf9596d1"},
        {"body": "empty"},
    ]
    packed = Answer(
        200, {"content-encoding": "gzip"}, gzip.compress(b"{}"), 0.1, cookies=("a=1; Path=/", "b=2"), pauses=3
    )
    names = facts(packed, NOW)
    assert tuple(names[x] for x in ("stream", "cookie a", "cookie b", "body $")) == (
        "in pieces",
        "1; Path=/",
        "2",
        "{}",
    )


@pytest.mark.parametrize(("kind", "body", "expected"), [
    ("application/json", r'{"a": "\u00e4\ufffd\u00e4"}', r"\u00e4 \ufffd"), ("application/problem+json", "{}", "none"),
    ("text/plain", r"\u00e4", ""),
])  # fmt: skip
def test_characters_that_json_writes_as_escapes(kind, body, expected):
    assert escapes(Answer(200, {"content-type": kind}, body.encode(), 0.1)) == expected


@pytest.fixture(scope="session")
def whole(engine, tmp_path_factory):
    """The image that lacks nothing: its folder and name."""
    folder = tmp_path_factory.mktemp("whole")
    name = image(folder, engine, "twin-whole", {})
    yield folder, name
    forget_image(engine, name)


@pytest.fixture
def pair(engine, tmp_path, whole):
    """The complete image and one with changes, as subjects: ``pair(paths, changes, env)``."""
    made = []

    def build(paths: str, changes=None, env=(), allow: str = ""):
        user = next((f"{one[4:]}:{one[4:]}" for one in env if one.startswith("UID=")), twins.USER)
        variables = tuple(one for one in env if not one.startswith("UID="))
        made.append(image(tmp_path / "b", engine, f"twin-{tmp_path.name.lower()}", changes or {}, variables, user))
        return subjects(tmp_path, engine, whole[0], tmp_path / "b", (whole[1], made[0]), paths, allow)

    yield build
    for name in made:
        forget_image(engine, name)


@pytest.mark.slow
@pytest.mark.parametrize("what", PLANTED)
def test_what_an_image_lacks_is_named_with_its_cause(pair, what):
    path, changes, env, field, code = PLANTED[what]
    a, b = pair(f"/healthz {path}" if path != "/healthz" else path, changes, env)
    result = compare(a, b, ("a", "b"))
    named = {one.field: one.cause and one.cause.code for one in result.differences}
    assert (named.get(field), result.unwatched) == (code, ""), [*lines(result)]
    aside = {"process", "image", "contents", "log", "SIGINT", "SIGHUP", "SIGTERM", "files"}
    assert {one.request.partition(" (probe")[0].removeprefix("GET ") for one in result.differences} <= {
        path,
        "/",
        *aside,
    }


@pytest.mark.slow
def test_what_only_one_image_holds_is_told_and_fails_nothing(pair):
    a, b = pair("/healthz", {WEBP: None, "/opt/tool": b"", "/opt/list": b""}, allow="image")
    result = compare(a, b, ("a", "b"))
    libraries, files = result.differences
    assert (result.alike, libraries.a, libraries.b, files.field) == (True, "1: libwebp.so.7", "none", "files")
    assert result.paths["new"] == ("/opt/list", "/opt/tool")
    (evidence,) = runner.run_checks(b, ("twin",))
    assert (evidence.status, len(evidence.data["differences"])) == ("pass", 2)


def test_listings_differ_by_more_than_what_each_build_changes():
    files = {"/app": "0755 0:0", "/root": "0755 0:0", "/usr": ""}
    one = Listing(files, frozenset({"sh"}), Runtime("Go", "1.27", "/app"), 1000)
    other = Listing({**files, "/usr": "0755 0:0"}, frozenset({"sh"}), Runtime("Go", "1.27", "/app"), 1090)
    assert content_differences(one, other)[0] == []
    other = Listing({**files, "/root": "0700 0:0"}, frozenset({"id"}), Runtime("Go", "1.26", "/app"), 1200)
    found, paths = content_differences(one, other)
    assert [it.field for it in found] == ["runtime", "programs of its own", "program", "files"]
    assert ((found[1].a, found[1].b), paths["changed"]) == (("1: sh", "1: id"), ("/root",))


@pytest.mark.slow
def test_the_check_tells_what_the_suite_does_not_accept(pair):
    a, b = pair("/healthz /time", {"/usr/share/zoneinfo/Europe/Berlin": None}, allow="process, body, contents")
    del a
    (evidence,) = runner.run_checks(b, ("twin",))
    assert (evidence.status, evidence.data["accepted"], evidence.data["differences"]) == ("pass", 3, [])
    assert (evidence.data["of"], evidence.data["operations_compared"]) == ("a", 2)
    assert "/time: body $.id" in evidence.data["masked"]


@pytest.mark.slow
def test_an_image_that_does_not_start_is_a_difference_or_nothing_to_compare_with(pair):
    a, b = pair("/healthz", {"/app": b"#!/nowhere\n"})
    assert [(one.request, one.field) for one in compare(a, b, ("a", "b")).differences] == [("start", "healthy")]
    with raises(MissingError, "twin.not_up", side="b"):
        compare(b, a, ("b", "a"))


@pytest.mark.slow
def test_two_runs_of_one_image_are_alike(pair, whole, engine, tmp_path):
    every = " ".join(dict.fromkeys(path for path, *_ in PLANTED.values()))
    a, _ = subjects(tmp_path, engine, whole[0], whole[0], (whole[1], whole[1]), every)
    assert compare(a, a, ("a", "a")).differences == ()


@pytest.mark.system
def test_a_variant_as_another_revision_has_it(tmp_path):
    """In a work tree that stays for the next time, and goes when another revision is asked for."""
    suite = "name: p\ndefaults: {{port: 80}}\nvariants: {{a: {{builder: ko, base: example.com/b, description: {}}}}}\n"
    git(tmp_path, "init", "-q")
    for word in "xyz":
        (tmp_path / "deadweight.yaml").write_text(suite.format(word))
        git(tmp_path, "add", "deadweight.yaml")
        git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "x")
    workspace = Workspace.open(print, tmp_path / "deadweight.yaml")
    workspace.source = RemoteSource("registry", workspace.state, load(workspace.state))
    for revision, word in (("HEAD~1", "y"), ("HEAD~2", "x"), ("HEAD~2", "x")):
        with at_revision(workspace, revision) as then:
            assert (then.suite.variants[0].description, then.source.name) == (word, "registry")
            assert vars(then.source)["state"] == then.state != workspace.state
    assert len(list((workspace.state.folder / "twin").iterdir())) == 1
    with raises(UsageError, "twin.no_sides"):
        compared(workspace, ("a", "b"), since="HEAD~1", build=pytest.fail)


def test_an_image_takes_the_place_of_a_variant(engine, tmp_path, whole):
    _, b = subjects(tmp_path, engine, whole[0], whole[0], (whole[1], whole[1]), "/healthz")
    other = other_side(b, f"image:{whole[1]}")
    assert (other.engine_image(), other.variant) == (whole[1], b.variant)
    with raises(MissingError, "project.image_missing"):
        other_side(b, "c")


def test_without_requests_nothing_is_measured(engine, tmp_path, whole):
    a, b = subjects(tmp_path, engine, whole[0], whole[0], (whole[1], whole[1]), "")
    with raises(MissingError, "ledger.nothing"):
        compare(a, b, ("a", "b"))
