"""Two images compared: what differs is named with its cause, and what does not is not."""

import pytest

from deadweight._errors import MissingError
from deadweight.checks import runner
from deadweight_workload import compare, lines
from tests.support import twins
from tests.support.codes import raises
from tests.support.small_images import forget_image
from tests.support.twins import LOADER, image, subjects

MUSL = {LOADER: None, "/lib/ld-musl-x86_64.so.1": b"loader"}
PLANTED = {
    "time zones": ("/time", {"/usr/share/zoneinfo/Europe/Berlin": None}, (), "body $.opens", "time_zones"),
    "CA bundle": ("/authorities", {"/etc/ssl/certs/ca-certificates.crt": None}, (), "status", "ca_certificates"),
    "user database": ("/user", {"/etc/passwd": None}, (), "body $.name", "user_database"),
    "NSS": ("/names", {"/etc/nsswitch.conf": None, "/usr/lib/libnss_dns.so.2": None}, (), "status", "name_service"),
    "musl": ("/domains", MUSL, (), "body $.search", "libc"),
    "C locale": ("/sorted", {}, ("LANG=",), "body $.sorted[1]", "locale"),
    "image codec": ("/picture", {"/usr/lib/codecs/webp.so": None}, (), "status", "library"),
    "late library": ("/report", {"/opt/lib/libreport.so.3": None}, (), "status", "library"),
    "MIME types": ("/plan", {"/etc/mime.types": None}, (), "header content-type", "mime_types"),
    "another user": ("/data", {}, ("UID=1002",), "body $.error", "user"),
    "lost signals": ("/healthz", {}, ("WRAPPED=1",), "ended", "signals"),
    "empty answer": ("/page", {}, ("EMPTY=1",), "body", "empty_body"),
    "error template": ("/nowhere", {"/srv/templates/404.html": None}, (), "body", "file"),
    "no gzip": ("/healthz", {}, ("GZIP=no",), "header content-encoding", "compression"),
    "temporary folder": ("/upload", {"/tmp/": None}, (), "status", "temporary_folder"),
}


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
    assert {one.request for one in result.differences} <= {path, "process", "log", "SIGTERM", "files"}


@pytest.mark.slow
def test_the_check_tells_what_the_suite_does_not_accept(pair):
    a, b = pair("/healthz /time", {"/usr/share/zoneinfo/Europe/Berlin": None}, allow="process, body")
    del a
    (evidence,) = runner.run_checks(b, ("twin",))
    assert (evidence.status, evidence.data["accepted"], evidence.data["differences"]) == ("pass", 2, [])
    assert (evidence.data["operations_compared"], evidence.data["never_asked"]) == (2, [])
    assert "/time: body $.id" in evidence.data["masked"]


@pytest.mark.slow
def test_two_runs_of_one_image_are_alike(pair, whole, engine, tmp_path):
    every = " ".join(dict.fromkeys(path for path, *_ in PLANTED.values()))
    a, _ = subjects(tmp_path, engine, whole[0], whole[0], (whole[1], whole[1]), every)
    assert compare(a, a, ("a", "a")).differences == ()


def test_without_requests_nothing_is_measured(engine, tmp_path, whole):
    a, b = subjects(tmp_path, engine, whole[0], whole[0], (whole[1], whole[1]), "")
    with raises(MissingError, "ledger.nothing"):
        compare(a, b, ("a", "b"))
