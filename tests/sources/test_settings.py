"""Where the source's settings come from, which of them wins, and what is refused."""

import socket
from unittest.mock import Mock

import pytest

from deadweight._errors import ConfigError, UsageError
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.sources import network, settings
from deadweight.sources.remote import changes, choose
from tests.support.codes import raises
from tests.support.small_project import write_suite
from tests.support.trees import written

SUITE = 'name: x\nvariants:\n  a: {builder: ko, base: "cgr.dev/chainguard/busybox:latest"}\n'


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in (settings.SOURCE_VARIABLE, settings.MIRROR_VARIABLE, settings.CA_VARIABLE, *settings.PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def project(tmp_path):
    return lambda sources="": (write_suite(tmp_path, SUITE + sources), State(tmp_path))


def users(content: str) -> None:
    """Write the user's own file."""
    written(settings.user_file().parent, {settings.user_file().name: content})


def test_the_suites_own_section_is_read(project, tmp_path):
    mirror = "{registries: {docker.io: m/x}, apk_keys: [keys/a.pub]}"
    suite, state = project(f"sources:\n  mirror: {mirror}\n  ca_bundle: ca.pem\n")

    config = settings.load(state, suite)

    assert config.mirror.registries == {"docker.io": "m/x"}
    assert config.mirror.apk_keys == (str(tmp_path / "keys/a.pub"),)
    assert config.private_ca == tmp_path / "ca.pem"


def test_environment_wins_over_setup_over_the_user_over_the_suite(project, monkeypatch):
    suite, state = project("sources: {mirror: suite.example.com, environment: {GOPROXY: suite, A: suite}}\n")
    assert settings.load(state, suite).mirror == settings.mirror_at("suite.example.com")

    users("mirror: user.example.com\nenvironment: {GOPROXY: user}\n")
    assert settings.load(state, suite).mirror == settings.mirror_at("user.example.com")
    assert settings.load(state, suite).environment == {"GOPROXY": "user", "A": "suite"}

    settings.record(state, **changes(suite, state, "mirror", mirror="setup.example.com"))
    assert settings.load(state, suite).mirror == settings.mirror_at("setup.example.com")

    monkeypatch.setenv("DEADWEIGHT_MIRROR", "http://environment.example.com/p")
    there = settings.Mirror(registries={"*": "environment.example.com/p"}, insecure=True)
    assert (settings.load(state, suite).mirror, choose(suite, state, print).name) == (there, "mirror")


def test_proxies_of_the_environment_reach_builds(project, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    suite, state = project("sources: {environment: {GOPROXY: https://go.example.com}}\n")

    variables = choose(suite, state, print, {"source": "local"}).environment().variables

    assert variables["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert variables["GOPROXY"] == "https://go.example.com"
    assert variables["COREPACK_INTEGRITY_KEYS"] == "0"  # what stands in for npm's registry gives no signatures
    monkeypatch.setenv("COREPACK_INTEGRITY_KEYS", '{"npm": []}')
    variables = choose(suite, state, print, {"source": "local"}).environment().variables
    assert variables["COREPACK_INTEGRITY_KEYS"] == '{"npm": []}'


@pytest.mark.parametrize(("whose", "content", "line", "key"), [
    ("suite", "sources: {mirrors: x}", 4, "sources.mirrors"),
    ("suite", "sources: {mirror: {registry: x}}", 4, "sources.mirror.registry"),
    ("suite", "sources: {mirror: {registries: [x]}}", 4, "sources.mirror.registries"),
    ("suite", "sources: {mirror: {apk: {wolfi: 3}}}", 4, "sources.mirror.apk.wolfi"),
    ("suite", 'sources: {ca_bundle: "a\\0b"}', 4, "sources.ca_bundle"),
    ("suite", 'sources: {ca_bundle: ""}', 4, "sources.ca_bundle"),
    ("suite", 'sources: {environment: {"A=B": x}}', 4, "sources.environment.A=B"),
    ("suite", 'sources: {environment: {A: "x\\0"}}', 4, "sources.environment.A"),
    ("suite", 'sources: {mirror: "a\\0b"}', 4, "sources.mirror"),
    ("suite", 'sources: {mirror: {apk: {wolfi: "a\\0b"}}}', 4, "sources.mirror.apk.wolfi[0]"),
    ("user", "[" * 3000, 1, None), ("user", "mirror: m.example.com\n\tx: 1\n", 2, None),
    ("user", "environment:\n  A: 1\n", 2, "environment.A"), ("user", "x: 2020-99-99\n", 1, "x"),
    ("user", "mirror: a.example.com\nmirror: b.example.com\n", 2, "mirror"),
    ("user", "- mirror\n", 1, None), ("user", None, None, None),
])  # fmt: skip
def test_wrong_settings_name_file_line_and_key(project, whose, content, line, key):
    suite, state = project(f"{content}\n" if whose == "suite" else "")
    if content is None:
        settings.user_file().mkdir(parents=True)
    elif whose == "user":
        users(content)
    with pytest.raises(ConfigError) as error:
        choose(suite, state, print)
    file = suite.file if whose == "suite" else settings.user_file()
    assert (error.value.file, error.value.line, error.value.key) == (str(file), line, key)


@pytest.mark.parametrize("content", ["", "# mirror: mirror.example.com\n", "environment:\n"])
def test_a_file_of_the_users_own_may_say_nothing(project, content):
    suite, state = project()
    users(content)

    assert settings.load(state, suite) == settings.Settings()


def test_what_cannot_be_used_is_refused_and_not_recorded(project):
    suite, state = project()
    with raises(UsageError, "suite.unknown", kind="source", name="cloud") as caught:
        changes(suite, state, "cloud")
    assert "auto, registry, mirror, local" in (caught.value.hint or "")
    with raises(ConfigError, "sources.no_mirror"):
        changes(suite, state, "mirror")
    assert not state.settings.exists()


@pytest.mark.parametrize("text", ["", "ftp://x", "https://", "a b"])
def test_what_is_no_mirror_is_refused(text):
    with raises(UsageError, "sources.not_a_mirror", text=text):
        settings.mirror_at(text)


@pytest.mark.parametrize(("content", "code"), [(None, "bundle_unreadable"), ("hello", "no_certificate")])
def test_a_wrong_ca_bundle_is_refused(project, tmp_path, content, code):
    suite, state = project("sources: {ca_bundle: ca.pem}\n")
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)

    with raises(ConfigError, f"sources.{code}", file=str(tmp_path / "ca.pem")):
        choose(suite, state, print, {"source": "registry"}).environment()


def test_choosing_a_source_changes_nothing_on_disk_also_with_a_private_ca(project, tmp_path, monkeypatch):
    ask_all = Mock(side_effect=lambda urls, **_: dict.fromkeys(urls, network.Answer(200)))
    monkeypatch.setattr(network, "ask_all", ask_all)
    suite, state = project("sources: {ca_bundle: ca.pem}\n")
    with raises(ConfigError, "sources.bundle_unreadable"):
        choose(suite, state, print)
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")

    source = choose(suite, state, print)
    assert (source.name, source.base("cgr.dev/chainguard/busybox:latest").digest) == ("registry", None)
    assert source.apk().repositories == ("https://packages.wolfi.dev/os",)
    assert [asked.kwargs["ca"] for asked in ask_all.call_args_list] == [tmp_path / "ca.pem"]
    assert not state.folder.exists()


def test_plain_http_is_for_the_hosts_of_an_insecure_mirror_alone():
    mirror = settings.Mirror(registries={"docker.io": "mirror.example:5000/hub"}, insecure=True)
    given = settings.Settings(mirror=mirror)
    assert settings.registry_access("mirror.example:5000/hub/app:1", given).insecure
    assert not settings.registry_access("other.example/app:1", given).insecure
    assert not settings.registry_access("mirror.example:5000/hub/app:1", settings.Settings()).insecure


def test_a_host_that_does_not_answer_is_told_in_words_alone():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        answer = network.ask(f"http://127.0.0.1:{nobody.getsockname()[1]}/v2/", ca=None, variables={}, timeout=3)
    assert answer.problem == "Connection refused"


def test_an_image_beside_those_of_the_suite_is_asked_for_too(tmp_path, monkeypatch):
    """A suite whose images are built on nothing asks no registry, and one that nobody reaches was taken for the attacks' shell.

    Nor is the source decided: a base that is added later has to be asked for.
    """
    text = "name: x\nvariants:\n  a: {builder: dockerfile, dockerfile: Dockerfile}\n"
    written(tmp_path, {"Dockerfile": "FROM scratch\nCOPY app /app\n"})
    suite, state, lines = write_suite(tmp_path, text), State(tmp_path), list[str]()
    monkeypatch.setattr(network, "ask_all", lambda urls, **_: dict.fromkeys(urls, network.Answer(None, "no such name")))
    monkeypatch.setattr("deadweight.sources.remote._local_is_possible", lambda: True)

    source = choose(suite, state, lines.append)
    source.prepare((), apk=False, say=lines.append)
    assert (source.name, load(settings.Settings, state.settings), lines) == ("registry", None, [])
    assert choose(suite, state, lines.append, also=("busybox:1.36.1-musl",)).name == "local"
    assert "docker.io: no such name" in lines[-1]


# What ``auto`` has to reach is what the suite stands on, wherever that is written.
SUITE_WITHOUT_BASES = """\
name: shop
variants:
  today: {builder: dockerfile, dockerfile: Dockerfile, bases: {BASE: "cgr.dev/chainguard/static:latest"}}
  bare: {builder: ko, base: "gcr.io/distroless/static-debian12:nonroot"}
  gone: {builder: dockerfile, dockerfile: missing.Dockerfile}
"""


def test_bases_count_that_only_a_dockerfile_names(tmp_path):
    dockerfile = "ARG BASE\nFROM golang:1.21.3-bookworm AS build\nFROM ${BASE}\nCOPY --from=build /a /a\nFROM Alpine\n"
    written(tmp_path, {"Dockerfile": dockerfile})
    suite = write_suite(tmp_path, SUITE_WITHOUT_BASES)
    named = {reference for variant in suite.variants for reference in variant.references(suite.root)}
    bases = {"cgr.dev/chainguard/static:latest", "gcr.io/distroless/static-debian12:nonroot"}
    assert named == {"golang:1.21.3-bookworm", *bases}
