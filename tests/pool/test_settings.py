"""Which pool is meant, and what is said of one that is written wrongly."""

import json

import pytest

from deadweight._errors import ConfigError, UsageError
from deadweight.sources import settings as source_settings
from deadweight_pool import dockerfile, settings
from tests.support.codes import raises
from tests.support.small_project import write_suite
from tests.support.trees import written

SUITE = """\
name: pooled
pool:
  endpoints:
    east: {address: "tcp://10.0.0.2:1234", ca: ca.pem, cert: cert.pem, key: key.pem, places: 4, platforms: [linux/arm64]}
    near: {address: "unix:///run/buildkit/buildkitd.sock"}
variants:
  one: {builder: dockerfile, dockerfile: Dockerfile}
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    monkeypatch.setattr(settings, "user_file", lambda: tmp_path / "config" / "pool.yaml")
    written(tmp_path, dict.fromkeys(("ca.pem", "cert.pem", "key.pem"), "x"))
    return lambda text=SUITE: write_suite(tmp_path, text)


def test_endpoints_of_a_suite(suite, tmp_path):
    east, near = settings.endpoints(settings.chosen(suite()))
    assert east.words == (
        "--addr", "tcp://10.0.0.2:1234", "--tlscacert", str(tmp_path / "ca.pem"),
        "--tlscert", str(tmp_path / "cert.pem"), "--tlskey", str(tmp_path / "key.pem"),
    )  # fmt: skip
    assert (east.wanted, east.places) == (("linux/arm64",), 4)
    assert (near.words, near.wanted, near.places) == (("--addr", "unix:///run/buildkit/buildkitd.sock"), (), 2)


def test_the_users_own_pool_stands_over_the_suites(suite, tmp_path, monkeypatch):
    loaded = suite()

    def addresses() -> list[str]:
        return [endpoint.address for endpoint in settings.endpoints(settings.chosen(loaded))]

    written(tmp_path, {"config/pool.yaml": "endpoints: {mine: {address: 'kube-pod://buildkit-0?namespace=ci'}}\n"})
    assert addresses() == ["kube-pod://buildkit-0?namespace=ci"]
    written(tmp_path, {"named.yaml": "endpoints: {other: {address: 'docker-container://builder'}}\n"})
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "named.yaml"))
    assert addresses() == ["docker-container://builder"]
    monkeypatch.setenv(settings.VARIABLE, "none")
    assert settings.chosen(loaded) is None
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "gone.yaml"))
    with raises(UsageError, "pool.no_file", file=str(tmp_path / "gone.yaml")):
        settings.chosen(loaded)


def test_the_users_file_lies_beside_that_of_sources():
    assert settings.user_file().parent == source_settings.user_file().parent


def test_a_certificate_that_is_not_there(suite, tmp_path):
    (tmp_path / "cert.pem").unlink()
    with raises(ConfigError, "pool.no_certificate", path=tmp_path / "cert.pem", key="pool.endpoints.east.cert"):
        settings.endpoints(settings.chosen(suite()))
    with raises(ConfigError, "pool.no_certificate", path=tmp_path / "cert.pem", key="pool.engines.east.certificates"):
        settings.engines(settings.chosen(suite(ENGINE.format("host: 'tcp://h:1', certificates: ."))))


ENDPOINT = "name: s\npool:\n  endpoints:\n    east: {{{}}}\nvariants:\n  v: {{builder: ko}}\n"
ENGINE = ENDPOINT.replace("endpoints", "engines")
PLACES = {"low": 1, "high": 256, "found": 0}


WRONG = [
    (ENDPOINT, "address: 'http://10.0.0.2'", "endpoints.east.address", "buildkit_address", {"found": "http://10.0.0.2"}),
    (ENDPOINT, "address: 'tcp://10.0.0.2:1', ca: ca.pem", "endpoints.east", "certificates_together", {}),
    (ENDPOINT, "address: 'unix:///x', ca: a, cert: b, key: c", "endpoints.east", "certificates_of_tcp", {}),
    (ENDPOINT, "places: 2", "endpoints.east", "address_or_builder", {}),
    (ENDPOINT, "address: 'tcp://h:1', places: 0", "endpoints.east.places", "number_between", PLACES),
    (ENDPOINT, "address: 'tcp://h:1', platforms: [amd64]", "endpoints.east.platforms[0]", "platform", {"found": "amd64"}),
    (ENDPOINT, "addres: 'tcp://h:1'", "endpoints.east.addres", "misspelt_key", {"near": "address"}),
    (ENGINE, "host: 'http://x'", "engines.east.host", "engine_host", {"found": "http://x"}),
    (ENGINE, "host: 'ssh://me@big', certificates: c", "engines.east", "certificates_of_tcp", {}),
    (ENGINE, "host: 'ssh://me@big', places: 0", "engines.east.places", "number_between", PLACES),
    (ENGINE, "hosts: 'ssh://me@big'", "engines.east.hosts", "misspelt_key", {"near": "host"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wrong", "key", "code", "fields"), WRONG)
def test_what_is_written_wrongly(suite, text, wrong, key, code, fields):
    with raises(ConfigError, f"suite.{code}", **fields, line=4, key=f"pool.{key}"):
        suite(text.format(wrong))


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key", "session_token", "token"])
def test_credentials_of_a_cache_are_refused(suite, key):
    cache = f"  cache: {{import: ['type=s3,{key}=HUSH,region=r,bucket=b'], export: 'type=s3,region=r,bucket=b'}}\n"
    with raises(ConfigError, "suite.secret_in_cache", name=key, line=3, key="pool.cache.import[0]") as caught:
        suite(SUITE.replace("pool:\n", f"pool:\n{cache}"))
    assert "HUSH" not in str(caught.value)


def test_a_pool_without_endpoints(suite):
    with raises(ConfigError, "suite.empty_pool"):
        suite(SUITE.replace("endpoints:\n", "endpoints: {}\n").replace("    east", "#").replace("    near", "#"))


def test_builders_of_buildx(suite, tmp_path, monkeypatch):
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    nodes = [
        {"Name": "farm0", "Endpoint": "ssh://me@big", "Platforms": [{"os": "linux", "architecture": "arm64"}]},
        {"Name": "farm1", "Endpoint": "default", "Platforms": None},
    ]
    remote = {"Name": "r0", "Endpoint": "tcp://h:1", "DriverOpts": {"cacert": "/ca", "cert": "/c", "key": "/k"}}
    builders = {
        "farm": {"Driver": "docker-container", "Nodes": nodes},
        "far": {"Driver": "remote", "Nodes": [remote]},
        "pods": {"Driver": "kubernetes", "Nodes": [{"Name": "p0"}]},
    }
    files = {name: json.dumps({"Name": name, **builder}) for name, builder in builders.items()}
    written(tmp_path / "buildx" / "instances", files)
    text = SUITE.replace('address: "unix:///run/buildkit/buildkitd.sock"', "builder: NAME")

    def endpoints(name: str):
        return settings.endpoints(settings.chosen(suite(text.replace("NAME", name))))[1:]

    first, second = endpoints("farm")
    assert (first.name, first.address) == ("near.farm0", "docker-container://buildx_buildkit_farm0")
    assert (first.env, first.wanted) == ({"DOCKER_HOST": "ssh://me@big"}, ("linux/arm64",))
    assert (second.name, second.env, second.wanted) == ("near.farm1", {"DOCKER_CONTEXT": "default"}, ())
    (far,) = endpoints("far")
    assert far.words == ("--addr", "tcp://h:1", "--tlscacert", "/ca", "--tlscert", "/c", "--tlskey", "/k")
    place = "pool.endpoints.near.builder"
    with raises(ConfigError, "buildx.no_builder", builder="gone", known="far, farm, pods", key=place):
        endpoints("gone")
    with raises(ConfigError, "buildx.driver", driver="kubernetes"):
        endpoints("pods")


def test_words_of_docker_build_as_those_of_buildctl():
    """A proxy's password is in none of them."""
    words = ["--file", "/w/Dockerfile", "--no-cache", "--target", "t", "--build-arg", "A=b=c", "--build-arg", "HTTP_PROXY",
             "--secret", "id=x,src=/y", "--ssh", "default=/s", "/context"]  # fmt: skip
    assert list(dockerfile.translated(words, {"HTTP_PROXY": "http://p:3128"})) == [
        "--local", "dockerfile=/w", "--opt", "filename=Dockerfile", "--no-cache", "--opt", "target=t", "--opt", "build-arg:A=b=c",
        "--opt", "build-arg:HTTP_PROXY=http://p:3128", "--secret", "id=x,src=/y", "--ssh", "default=/s",
        "--local", "context=/context",
    ]  # fmt: skip
    with_password = list(dockerfile.translated(words, {"HTTP_PROXY": "http://me:secret@p:3128"}))
    assert not [word for word in with_password if "HTTP_PROXY" in word or "secret@" in word]


def test_attestations_are_refused(suite, tmp_path):
    from deadweight.project.build import plan
    from deadweight.project.workspace import Workspace

    text = SUITE.replace("dockerfile: Dockerfile}", "dockerfile: Dockerfile, attest: {provenance: min}}")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    workspace = Workspace(suite(text), lambda _line: None)
    with raises(ConfigError, "dockerfile.pool_attests_nothing") as caught:
        plan(workspace, workspace.suite.variants)
    assert "variants.one.attest" in str(caught.value)
