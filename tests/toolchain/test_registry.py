"""Reading from registries: the real program, and stand-ins for what it does not do by itself: tokens, redirects, faults."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from deadweight._errors import ArchiveError, UsageError
from deadweight.sources.remote import layout_folder, pulled_layout
from deadweight.toolchain import catalogue
from deadweight.toolchain.crane import push
from deadweight.toolchain.find import find
from deadweight.toolchain.registry import RegistryError, Remote, descriptor, proxies
from deadweight_images.archive.archive import open_archive
from tests.support import image_samples as samples
from tests.support.caches import fresh_cache
from tests.support.certificates import on_loopback
from tests.support.codes import raises
from tests.support.docker_registry import PASSWORD, USER, registry
from tests.support.http_servers import Answering, Server, running, served
from tests.support.small_images import forget_images
from tests.support.trees import shell_script, written

PLATFORMS = {"linux/amd64/v3": "3", "linux/amd64": "1", "linux/arm64/v8": "8"}
IMAGES = {
    name: samples.build(samples.honest_layer({"a": text.encode()}), architecture=name.split("/")[1])
    for name, text in PLATFORMS.items()
}
MEMBERS = {name: samples.oci_members(made, platform=name) for name, made in IMAGES.items()}
INDEX = samples.index(samples.entries(*MEMBERS.values()))
AMD = IMAGES["linux/amd64"]
AMD_MANIFEST = samples.entries(MEMBERS["linux/amd64"])[0]["digest"]
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Writes Docker's configuration; at first there is none."""
    for name in ("HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "docker"))

    def configure(**content):
        written(tmp_path, {"docker/config.json": json.dumps(content)})

    return configure


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with a registry's data: an image of several platforms as ``many:1`` and ``:latest``, one of one platform."""
    folder = tmp_path_factory.mktemp("stored")
    top = samples.index([samples.descriptor(INDEX, samples.OCI_INDEX)])
    blobs = {name: data for members in MEMBERS.values() for name, data in members.items()}
    written(folder / "many", {**blobs, **samples.blobs(INDEX), "index.json": top})
    with registry(find("docker-registry").path, folder / "registry") as address:
        for tag in ("1", "latest"):
            push(folder / "many", f"{address}/team/many:{tag}")
        push(samples.layout(folder / "one", AMD), f"{address}/team/one:1")
    return folder / "registry" / "data"


@pytest.fixture
def started(stored, tmp_path, docker):
    """Starts a registry with that data."""
    made = []

    def start(**how):
        shutil.copytree(stored, tmp_path / "registry" / "data")
        made.append(registry(find("docker-registry").path, tmp_path / "registry", **how))
        return made[0].__enter__()

    yield start
    for one in made:
        one.__exit__(None, None, None)


@pytest.mark.tools
def test_a_registry_tells_what_it_has(started):
    address = started()
    many, one = Remote(f"{address}/team/many:1"), Remote(f"{address}/team/one:1")
    assert (many.manifest(), many.platforms(), one.platforms()) == (INDEX, tuple(PLATFORMS), ())
    assert many.digest("linux/amd64") == one.digest("linux/s390x") == AMD_MANIFEST  # of one platform nothing is asked
    assert many.config("linux/arm64")["rootfs"]["diff_ids"] == [samples.sha256(IMAGES["linux/arm64/v8"].layers[0])]
    assert sorted(many.tags()) == ["1", "latest"]
    assert Remote(f"{address}/team/many@{AMD_MANIFEST}").manifest() == one.manifest() == many.manifest(AMD_MANIFEST)
    assert descriptor(INDEX) == samples.descriptor(INDEX, samples.OCI_INDEX)
    layer = AMD.stored[0]
    with one.blob(samples.sha256(layer)) as whole, one.rest(samples.sha256(layer), 100) as rest:
        assert (whole.read(), rest.read()) == (layer, layer[100:])
    with raises(RegistryError, "registry.no_platform", host=address):
        many.digest("linux/s390x")
    with raises(RegistryError, "registry.no_image", image=f"{address}/team/one:2") as caught:
        Remote(f"{address}/team/one:2").digest("linux/amd64")
    assert caught.value.absent
    with pytest.raises(OSError, match="team/one"), one.rest("sha256:" + "0" * 64, 1):
        pass


@pytest.mark.tools
def test_an_image_is_pulled_as_a_layout(started, tmp_path, monkeypatch):
    address = started()
    many = Remote(f"{address}/team/many:1")
    with many.pulled() as whole, many.pulled("linux/arm64") as part:
        for name in PLATFORMS:
            with open_archive(whole, platform=name) as opened:
                assert opened.image.config_digest == samples.sha256(IMAGES[name].config)
        with open_archive(part, platform="linux/arm64") as opened:
            assert opened.image.config_digest == samples.sha256(IMAGES["linux/arm64/v8"].config)
        assert len(list(part.glob("blobs/sha256/*"))) == 3
    assert not whole.exists()
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    kept = [pulled_layout(Remote(f"{address}/team/many@{AMD_MANIFEST}"), AMD_MANIFEST) for _ in range(2)]
    with open_archive(kept[1]) as opened:
        assert (opened.image.manifest_digest, kept[0]) == (AMD_MANIFEST, layout_folder(AMD_MANIFEST))


@pytest.mark.tools
@pytest.mark.parametrize("how", ["none", "wrong", "config", "helper", "podman"])
def test_a_registry_that_asks_for_a_password(started, docker, tmp_path, monkeypatch, how):
    address = started(locked=True)
    login = {"auth": base64.b64encode(f"{USER}:{'wrong' if how == 'wrong' else PASSWORD}".encode()).decode()}
    if how in ("wrong", "config"):
        docker(auths={f"https://{address}": login})
    elif how == "podman":
        written(tmp_path, {"docker/containers/auth.json": json.dumps({"auths": {address: login}})})
    elif how == "helper":
        answer = json.dumps({"ServerURL": address, "Username": USER, "Secret": PASSWORD})
        shell_script(tmp_path / "bin" / "docker-credential-test", f"cat >/dev/null\necho '{answer}'")
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
        docker(credHelpers={address: "test"})
    remote = Remote(f"{address}/team/one:1")
    if how in ("none", "wrong"):
        with raises(RegistryError, "registry.denied", host=address):
            remote.manifest()
    else:
        assert remote.digest("linux/amd64") == AMD_MANIFEST


@pytest.mark.tools
def test_a_certificate_of_a_private_ca(started, tmp_path):
    on_loopback(tmp_path)
    reference = f"{started(tls=tmp_path)}/team/one:1"
    with raises(RegistryError, "registry.untrusted"):
        Remote(reference, insecure=True).manifest()
    assert Remote(reference, env={"SSL_CERT_FILE": f"{tmp_path}/ca.pem"}).digest("linux/amd64") == AMD_MANIFEST


@pytest.mark.slow
@pytest.mark.engine
def test_a_machine_without_our_tools_brings_in_and_builds_a_repository_and_compiles_nothing(
    engine, endpoint, playground_archive, local_registry, scanner, tmp_path
):
    """Its Dockerfile has a public base, which a mirror has. For ``init`` there is no Go, but what it runs in containers."""
    project = written(tmp_path / f"registryonly{os.getpid()}", {"Dockerfile": "FROM demo/base:1\nLABEL a=b\n"})
    push(playground_archive, f"{local_registry}/all/docker.io/demo/base:1")
    compiled = [f"tools/{entry.folder_name}" for entry in catalogue.PROGRAMS.values() if entry.kind == "go"]
    mirror = {"DEADWEIGHT_SOURCE": "mirror", "DEADWEIGHT_MIRROR": f"http://{local_registry}/all"}
    tools = f"{scanner.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        for *commands, path, made in (
            (("init", "--yes"), tools, {"go"}),
            (("setup", "--yes"), ("build",), f"{find('go').path.parent}:{tools}", {"go", "attacks"}),
        ):
            cache = fresh_cache(tmp_path / commands[0][0], programs="attacks" not in made)
            shutil.rmtree(project / ".deadweight", ignore_errors=True)
            for words in commands:
                environment = {"DEADWEIGHT_CACHE_DIR": str(cache), "PATH": path, **mirror, **endpoint.cli_env}
                done = subprocess.run(
                    [sys.executable, "-m", "deadweight", *words], cwd=project, env={**os.environ, **environment},
                    capture_output=True, text=True, check=False, timeout=240,
                )  # fmt: skip
                assert done.returncode == 0, done.stdout + done.stderr
            assert [place for place in (*made, *compiled) if (cache / place).exists()] == []
    finally:
        forget_images(engine, f"deadweight/{project.name}/")


class Registry(Server):
    """Has one image; ``token`` is what it wants to see, ``faults`` the statuses of its first answers, ``elsewhere`` who has its
    blobs. ``asked`` notes the path and the Authorization of each request."""

    def __init__(self, **how):
        super().__init__(("127.0.0.1", 0), Handler)
        self.token, self.faults, self.elsewhere, self.other, self.slow = "", [], "", None, 0.0
        vars(self).update(how)
        self.asked = []

    @property
    def reference(self):
        return f"127.0.0.1:{self.server_port}/team/app:1"


class Handler(Answering):
    server: Registry

    def do_GET(self):
        own, path = self.server, urlsplit(self.path)
        own.asked.append((path.path, self.headers.get("Authorization")))
        if path.path == "/token":
            own.asked[-1] = (
                *own.asked[-1],
                parse_qs(path.query or self.rfile.read(int(self.headers["Content-Length"])).decode()),
            )
            self.answer(200, json.dumps({"token": own.token}).encode())
        elif own.faults:
            self.answer(own.faults.pop(0))
        elif own.token and self.headers.get("Authorization") != f"Bearer {own.token}":
            realm = f'realm="http://127.0.0.1:{own.server_port}/token",service="it"'
            self.answer(401, b"", {"WWW-Authenticate": f"Bearer {realm}"})
        elif "/blobs/" in self.path and own.elsewhere:
            self.answer(307, b"", {"Location": f"{own.elsewhere}{self.path}"})
        else:
            content = samples.blobs(AMD.config, AMD.stored[0]).get(
                f"blobs/{path.path.rpartition('/')[2].replace(':', '/')}"
            )
            content = own.other or content or MEMBERS["linux/amd64"][f"blobs/{AMD_MANIFEST.replace(':', '/')}"]
            self.answer(200, b"", {"Content-Length": str(len(content))})
            for byte in [content] if not own.slow else (content[at : at + 1] for at in range(len(content))):
                self.wfile.write(byte)
                time.sleep(own.slow)

    do_POST = do_GET


@pytest.mark.parametrize(("entry", "sent"), [
    ({}, None), ({"auth": BASIC.removeprefix("Basic ")}, BASIC), ({"identitytoken": "again"}, None),
], ids=["nobody", "a password", "an identity token"])  # fmt: skip
def test_a_token_server_gives_the_token(docker, entry, sent):
    with running(own := Registry(token="t-1")):
        docker(auths={f"127.0.0.1:{own.server_port}": entry})
        assert Remote(own.reference).digest("linux/amd64") == AMD_MANIFEST
    manifest, scope = "/v2/team/app/manifests/1", {"service": ["it"], "scope": ["repository:team/app:pull"]}
    if "identitytoken" in entry:
        scope |= {"grant_type": ["refresh_token"], "refresh_token": ["again"], "client_id": ["deadweight"]}
    assert own.asked == [(manifest, None), ("/token", sent, scope), (manifest, "Bearer t-1")]


def test_no_host_that_is_redirected_to_gets_credentials(docker):
    with (
        running(far := Registry()),
        running(own := Registry(token="t-1", elsewhere=f"http://127.0.0.1:{far.server_port}")),
    ):
        docker(
            auths={
                f"127.0.0.1:{port}": {"auth": BASIC.removeprefix("Basic ")}
                for port in (own.server_port, far.server_port)
            }
        )
        remote = Remote(own.reference)
        assert remote.config("linux/amd64")["os"] == "linux"
        assert {sent for _, sent in far.asked} == {None}
        far.token = "t-2"  # it asks for credentials itself
        with raises(RegistryError, "registry.denied"):
            remote.config("linux/amd64")
    assert [path for path, *_ in far.asked if path == "/token"] == []
    assert {sent for _, sent in far.asked} == {None}


def test_a_token_server_that_redirects_or_is_not_private_gets_no_identity_token(docker, tmp_path):
    on_loopback(tmp_path)

    class Away(Handler):
        def do_GET(self):
            realm = f'Bearer realm="http://127.0.0.1:{own.server_port}/token"'
            self.answer(401, b"", {"WWW-Authenticate": realm})

    with (
        running(own := Registry(token="t-1")),
        served(Away, certificate=(tmp_path / "server.pem", tmp_path / "server.key")) as tls,
    ):
        docker(auths={f"127.0.0.1:{tls.server_port}": {"identitytoken": "again"}})
        with raises(RegistryError, "registry.other_answer"):
            Remote(f"127.0.0.1:{tls.server_port}/a:1", env={"SSL_CERT_FILE": f"{tmp_path}/ca.pem"}).manifest()
    assert own.asked == []


@pytest.mark.parametrize(("how", "kind", "code"), [
    ({"faults": [503, 502]}, None, ""),
    ({"faults": [503] * 3}, RegistryError, "registry.other_answer"),
    ({"faults": [429]}, RegistryError, "registry.other_answer"),
    ({"other": b"<html>log in</html>"}, RegistryError, "registry.other_document"),
    ({"other": b" " * (5 << 20)}, RegistryError, "registry.other_answer"),
    ({"other": b"{}"}, ArchiveError, "document.not_an_object"),
    ({"slow": 0.01}, RegistryError, "registry.late_answer"),
], ids=["busy", "down", "too many", "a page", "large", "no image", "slow"])  # fmt: skip
def test_a_registry_with_other_answers(docker, how, kind, code):
    with running(own := Registry(**how)):
        remote = Remote(own.reference, seconds=0.5)
        if kind is None:
            remote.config("linux/amd64")
        else:
            with raises(kind, code):
                remote.config("linux/amd64")


def test_content_with_another_digest_is_refused(docker):
    with running(own := Registry(other=b"{}")):
        remote = Remote(own.reference)
        for ask in (remote.manifest, remote.content):
            with raises(ArchiveError, "archive.digest"):
                ask(AMD_MANIFEST)
        with raises(ArchiveError, "document.digest"):
            remote.content("sha256:../../x")


def test_who_does_not_answer(docker, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        with raises(RegistryError, "registry.late_answer", seconds=0.2):
            Remote(f"127.0.0.1:{port}/a:1", seconds=0.2).manifest()
    with raises(RegistryError, "registry.no_answer", host=f"127.0.0.1:{port}"):
        Remote(f"127.0.0.1:{port}/a:1").manifest()
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **how: real("127.0.0.1", *more, **how))
    with running(own := Registry()):
        far = f"registry.example.com:{own.server_port}/team/app:1"
        with raises(RegistryError, "registry.plain_http"):
            Remote(far).manifest()
        assert Remote(far, insecure=True).digest("linux/amd64") == AMD_MANIFEST


def test_docker_hub_has_another_name_on_the_network(docker, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host) or ())
    with raises(RegistryError, "registry.no_answer", host="docker.io"):
        Remote("docker.io/alpine").manifest()
    assert asked == ["registry-1.docker.io"]


@pytest.mark.filterwarnings("ignore:docker-credential-absent:UserWarning")
@pytest.mark.parametrize("config", [
    {"auths": {"127.0.0.1": {"auth": "no colon"}}}, {"credsStore": "absent"}, {"auths": [1]},
])  # fmt: skip
def test_a_configuration_that_cannot_be_read_is_told(docker, config):
    with running(own := Registry(token="t-1")):
        docker(**config)
        with raises(RegistryError, "registry.no_login"):
            Remote(own.reference).manifest()


@pytest.mark.parametrize("reference", ["user:secret@r.example.com/a:1", "r.example.com/A:1", ""])
def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(UsageError):
        Remote(reference)


@pytest.mark.parametrize(("host", "expected"), [
    ("r.example.com", {"http": "http://p:1", "https": "http://p:2"}),
    ("in.corp.example", {}), ("10.1.2.3:5000", {}), ("11.1.2.3", {"http": "http://p:1", "https": "http://p:2"}),
    ("127.0.0.1:5000", {}), ("[::1]:5000", {}),
])  # fmt: skip
def test_proxies_are_those_of_the_given_variables(host, expected):
    variables = {"HTTP_PROXY": "http://p:1", "https_proxy": "http://p:2", "no_proxy": "*.corp.example, 10.0.0.0/8"}
    assert expected == proxies(f"https://{host}/v2/", variables)
