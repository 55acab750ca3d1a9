"""``invoke layers`` as people call it: archives, a variant, the engine and a registry; exit codes, text, JSON and files."""

import gzip
import json
import os
import random
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import zstandard

from deadweight._errors import wording
from deadweight.toolchain.crane import push
from deadweight.toolchain.find import find
from deadweight.toolchain.registry import Remote
from deadweight_images.errors import wording as of_images
from tests.checks.test_layers import CONFIG, PLAIN as CLEAN, TOKEN
from tests.support import image_samples as samples
from tests.support.caches import fresh_cache
from tests.support.certificates import on_loopback
from tests.support.docker_registry import registry
from tests.support.image_samples import honest_layer as layer
from tests.support.invoking import argv, invoke, with_tasks
from tests.support.json_schema import checked
from tests.support.small_images import reference
from tests.support.small_project import put_built, write_suite
from tests.support.trees import written

pytestmark = pytest.mark.system

ROOT = layer({"etc/hostname": b"box\n", "bin/sh": b"\x7fELF", "usr/bin/su": b"\x7fELF"}, sh=0o755, su=0o4755)
ADDS, REMOVES = layer({"etc/app.conf": CONFIG}), layer({"etc/.wh.app.conf": b""})
HISTORY = [{"created_by": text} for text in ("FROM scratch", "COPY app.conf /etc/", "RUN rm /etc/app.conf")]
NO_NAMES = ("", "docker:", "oci://", " docker: ")
SUITE = """\
name: demo
variants:
  v: {builder: ko, base: example.com/base, checks: {layers: {allow: [ALLOW]}}}
defaults: {port: 8080}
"""


@pytest.fixture
def project(tmp_path) -> Path:
    return with_tasks(tmp_path)


@pytest.fixture
def leaky(project) -> Path:
    return samples.saved(project, ROOT, ADDS, REMOVES, history=HISTORY, name="leaky.tar")


@pytest.fixture
def clean(project) -> Path:
    return samples.saved(project, CLEAN, config={"User": "65532"}, name="clean.tar")


def layers(project: Path, *words: str | Path, stdin: bytes = b"", code: int | None = None, **environment: str):
    cache = project / "cache"
    if not cache.exists():
        fresh_cache(cache)
    env = {"DEADWEIGHT_CACHE_DIR": str(cache), **environment}
    return invoke(project, "layers", *words, env=env, stdin=stdin, code=code)


def leak_in(what):
    return of_images("secrets.one", secrets=1, what=what)


def fingerprints(document: dict) -> list[str]:
    hidden = [mark["fingerprint"] for file in document["hidden"] for mark in file["secrets"]]
    return hidden + [secret["fingerprint"] for secret in document["secrets"]]


def test_a_deleted_secret_is_shown_with_both_instructions_and_extracted_into_a_new_folder(project, leaky):
    done = layers(project, "--archive", leaky, "--extract", "found", code=1)
    leak = leak_in(leaky)
    extracted, _, error = done.stderr.partition("\n")
    assert error.startswith(f"error: {leak}\n  hint: {leak.hint}")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.startswith(f"hidden: /etc/app.conf ({len(CONFIG)} B, removed)") for line in lines)
    assert any(line.endswith(" 2: COPY app.conf /etc/") for line in lines)
    assert any(line.endswith(" 3: RUN rm /etc/app.conf") for line in lines)
    (secret,) = [line for line in lines if line.startswith("SECRET")]
    assert secret.startswith("SECRET github-pat: ")
    assert TOKEN not in done.stdout + done.stderr
    assert "set-uid files: /usr/bin/su" in lines
    assert "shells: /bin/sh" in lines
    assert "package managers: none" in lines
    assert lines[1].endswith(" root")
    (written,) = [path for path in (project / "found").rglob("*") if path.is_file()]
    assert (written.read_bytes(), written.stat().st_mode & 0o777) == (CONFIG, 0o600)
    assert extracted == f"extracted: {written.relative_to(project)}"
    assert "found" in layers(project, "--archive", leaky, "--extract", "found", code=2).stderr


def test_a_clean_image_is_exit_code_0(project, clean):
    done = layers(project, "--archive", clean)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"\d+", done.stdout.splitlines()[1]) == ["4", "1", "1", "0", "0", "0", "0", "65532"]
    assert "SECRET" not in done.stdout
    assert "hidden: " not in done.stdout


def test_a_visible_secret_and_one_in_the_config_are_shown_where_they_are(project):
    archive = samples.saved(project, CLEAN, ADDS, history=HISTORY[:2], config={"Env": [f"TOKEN={TOKEN}"]})
    done = layers(project, "--archive", archive, code=1)
    assert of_images("secrets.several", secrets=2, what=archive) in done.stderr
    assert "SECRET github-pat in /etc/app.conf" in done.stdout
    assert done.stdout.count(" COPY app.conf /etc/") == 2, "in the table, and as what added it"
    assert "in config.Env[0]" in done.stdout
    assert TOKEN not in done.stdout


def test_many_files_are_cut_and_counted_to_the_end(project):
    """Hidden ones, and those that were not looked at."""
    encrypted = samples.encrypted_zip(random.Random(1).randbytes(99))
    names = [f"{number:02}.zip" for number in range(25)]
    hidden = samples.saved(project, layer(dict.fromkeys(names, b"x")), layer({f".wh.{name}": b"" for name in names}))
    done = layers(project, "--archive", hidden, code=0)
    assert done.stdout.count("\nhidden: ") == 20
    assert re.search(r"^… \w+ 5 ", done.stdout, re.MULTILINE)
    done = layers(project, "--archive", samples.saved(project, layer(dict.fromkeys(names, encrypted)), name="e.tar"))
    assert done.stdout.count("\nnot scanned: /") == 20
    assert re.search(r": … \w+ 5 ", done.stdout)


def test_json_is_one_document_on_stdout(project, leaky, clean):
    for archive, code in ((leaky, 1), (clean, 0)):
        done = layers(project, "--archive", archive, "--json", code=code)
        document = json.loads(done.stdout)
        assert {"layers", "hidden", "secrets", "setuid", "shells", "package_managers"} <= document.keys()
        assert len(fingerprints(document)) == code
        assert TOKEN not in done.stdout
        instructions = [(file["added_by"], file["hidden_by"]) for file in document["hidden"]]
        assert instructions == [(HISTORY[1]["created_by"], HISTORY[2]["created_by"])] * code


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_output_that_cannot_be_written_as_it_is(project, leaky, words):
    """An encoding without our signs, a full disk, no stdout at all, a reader that goes: an exit code and no traceback."""
    archive = samples.saved(project, layer({"ü": CONFIG}), name="ü.tar")
    ascii_only = layers(project, "--archive", archive, *words, PYTHONIOENCODING="ascii")
    assert (ascii_only.returncode, "Traceback" in ascii_only.stderr) == (1, False)
    if words:
        assert [secret["path"] for secret in json.loads(ascii_only.stdout)["secrets"]] == ["/ü"]
    call = " ".join(argv("layers", "--archive", leaky.name, *words))
    for where, text, code in ((">/dev/full", "No space left", 1), (">&-", leak_in(leaky.name), 1), ("| true", "", 141)):
        bash = ["bash", "-o", "pipefail", "-c", f"{call} {where}"]
        done = subprocess.run(bash, cwd=project, capture_output=True, text=True, timeout=60)
        assert (done.returncode, text in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
        assert "Exception ignored" not in done.stderr


def test_without_a_scan_no_secret_is_looked_for(project, leaky):
    done = layers(project, "--archive", leaky, "--scan", "no")
    assert (done.returncode, "SECRET" in done.stdout) == (0, False)
    assert "hidden: /etc/app.conf" in done.stdout


def test_findings_are_written_as_sarif_and_junit_also_where_a_link_leads_and_into_a_pipe(project, leaky):
    (project / "link.sarif").symlink_to("kept.sarif")
    os.mkfifo(project / "pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((project / "pipe").read_text()), daemon=True)
    reader.start()
    done = layers(project, "--archive", leaky, "--sarif", "link.sarif", "--junit", "pipe", code=1)
    reader.join(10)
    assert (project / "link.sarif").is_symlink()
    (result,) = checked((project / "kept.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "github-pat"
    assert got[0].startswith("<?xml")
    assert len(ElementTree.fromstring(got[0]).findall(".//failure")) == 1
    assert (project / "pipe").is_fifo()
    assert "wrote link.sarif" in done.stderr
    assert TOKEN not in (project / "kept.sarif").read_text() + got[0]


def test_the_id_of_a_finding_in_sarif_is_its_own_and_stays(project):
    """Two files with one secret are two findings; an instruction more in front leaves both ids as they are."""
    files = layer({"a.conf": CONFIG, "b.conf": CONFIG})
    ids = []
    for number, stack in enumerate(((files,), (ROOT, files), (files, layer({".wh.a.conf": b""})))):
        layers(project, "--archive", samples.saved(project, *stack, name=f"{number}.tar"), "--sarif", "out.sarif")
        results = checked((project / "out.sarif").read_text())["runs"][0]["results"]
        ids.append({result["partialFingerprints"]["deadweight/v1"] for result in results})
        assert len({result["properties"]["fingerprint"] for result in results}) == 1  # what goes on the allow list
    assert len(ids[0]) == len(ids[2]) == 2
    assert ids[0] == ids[1]
    assert len(ids[0] & ids[2]) == 1  # that b.conf holds it is still the same, that a.conf hides it is not


def test_each_finding_has_its_own_id_and_name_wherever_it_lies(project):
    """One token in two layers of one path, packed, in three instructions: numbered, at fixed places, without lines that mislead."""
    packed = gzip.compress(b"first\n" + CONFIG)
    files = [layer({"a.gz": packed, "b": b"1"}), layer({"a.gz": packed, "b": b"2"}), layer({".wh.a.gz": b""})]
    shown = []
    for extra in (0, 1):
        history = [{"created_by": f"ENV N={n}", "empty_layer": True} for n in range(extra)]
        history += [{"created_by": f"ARG GITHUB_TOKEN={TOKEN}", "empty_layer": True}] * 2
        history += [{"created_by": f"RUN token={TOKEN} make {n}"} for n in range(3)]
        archive = samples.saved(project, *files, history=history)
        done = layers(project, "--archive", archive, "--sarif", "out.sarif", "--junit", "out.xml")
        results = checked((project / "out.sarif").read_text())["runs"][0]["results"]
        shown.append({result["partialFingerprints"]["primaryLocationLineHash"] for result in results})
        assert len(shown[-1]) == len(results) == 7
        places = [result["locations"][0]["physicalLocation"] for result in results]
        assert {place["artifactLocation"]["uri"] for place in places} == {"a.gz", "history"}
        assert not any("region" in place for place in places if place["artifactLocation"]["uri"] == "a.gz")
        assert len({case.get("name") for case in ElementTree.parse(project / "out.xml").findall(".//testcase")}) == 7
    assert (shown[0], done.stdout.count("SECRET github-pat in gzip@0: ")) == (shown[1], 2)
    visible = layers(project, "--archive", samples.saved(project, files[0], name="y.tar"))
    assert "SECRET github-pat in /a.gz, gzip@0: " in visible.stdout


@pytest.mark.parametrize("place", ["folder", "registry"])
def test_one_of_several_platforms(project, local_registry, place):
    """Of a clean one for amd64 and a leaky one for arm64."""
    both = samples.build(CLEAN), samples.build(CLEAN, ADDS, architecture="arm64")
    parts = zip(both, ("linux/amd64", "linux/arm64"), strict=True)
    members = samples.several(*(samples.oci_members(image, platform=platform) for image, platform in parts))
    archive: str | Path = written(project / "layout", members)
    if place == "registry":
        push(archive, f"{local_registry}/both:1")
        assert Remote(f"{local_registry}/both:1").platforms() == ("linux/amd64", "linux/arm64")
        archive = f"oci://{local_registry}/both:1"
    for platform, code in (("linux/amd64", 0), ("linux/arm64", 1), ("linux/arm64/v8", 1)):  # v8 is the same platform
        layers(project, "--archive", archive, "--platform", platform, code=code)
    other = layers(project, "--archive", archive, "--platform", "linux/s390x", code=2)
    assert all(platform in other.stderr for platform in ("linux/s390x", "linux/amd64, linux/arm64"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_an_archive_comes_from_standard_input_or_is_compressed_as_a_whole(project, leaky, pack):
    packed = project / "packed.tar"
    packed.write_bytes(pack(leaky.read_bytes()))
    expected = json.loads(layers(project, "--archive", leaky, "--json").stdout)
    for archive in ("-", packed, packed):  # the second time from what is kept
        done = layers(project, "--archive", archive, "--json", stdin=packed.read_bytes(), code=1)
        assert json.loads(done.stdout)["hidden"] == expected["hidden"]
        assert leak_in("standard input" if archive == "-" else packed) in done.stderr
    refused = layers(project, "--archive", "-", "--extract", "found", stdin=b"", code=2)
    assert wording("tasks.extract_stdin") in refused.stderr
    if pack is not bytes:
        assert "packed.tar" in layers(project, "--archive", packed, "--extract", "found", code=1).stderr


def test_one_of_several_images_of_an_archive(project):
    one, two = samples.build(CLEAN), samples.build(ADDS)
    items = [{"Config": f"{n}.json", "RepoTags": [f"app:{n}"], "Layers": [f"{n}.tar"]} for n in range(2)]
    members = {"0.json": one.config, "1.json": two.config, "0.tar": CLEAN, "1.tar": ADDS}
    (project / "x.tar").write_bytes(samples.tar_of({**members, "manifest.json": json.dumps(items).encode()}))
    assert "app:0, app:1" in layers(project, "--archive", "x.tar", code=2).stderr
    for code in range(2):
        layers(project, "--archive", "x.tar", "--name", f"app:{code}", code=code)


def test_a_variant_goes_by_its_own_allow_list(project, leaky):
    put_built(write_suite(project, SUITE.replace("ALLOW", "")), "v", leaky, "demo/v:1")
    done = layers(project, "--variant", "v", "--json", code=1)
    assert leak_in("v") in done.stderr
    (mark,) = fingerprints(json.loads(done.stdout))
    entry = f"{{fingerprint: {mark}, reason: a sample of ours, expires: %s}}"
    write_suite(project, SUITE.replace("ALLOW", entry % "2099-01-31"))
    assert "(allowed: a sample of ours)" in layers(project, "--variant", "v", code=0).stdout
    write_suite(project, SUITE.replace("ALLOW", entry % "2020-01-31"))
    assert layers(project, "--variant", "v").returncode == 1


@pytest.mark.parametrize(("words", "code", "message"), [
    ("", 2, wording("tasks.variant_or_archive")),
    ("--variant v --archive x.tar", 2, wording("tasks.variant_or_archive")),
    ("--archive leaky.tar --scan all", 2, wording("tasks.choice", flag="--scan", choices="deep, plain, hidden, no", value="all")),
    ("--archive nowhere.tar", 2, wording("tasks.no_archive", file="nowhere.tar")),
    (f"--archive {'n' * 300}", 1, "File name too long"),
    ("--archive circle", 1, of_images("archive.unreadable", what="circle", error="")),
    ("--archive tasks.py", 1, "tasks.py"),
    ("--archive 'oci://not a reference'", 2, wording("records.not_in_registry", text="not a reference")),
    ("--archive leaky.tar --sarif ./leaky.tar", 2, wording("tasks.image_itself", target="./leaky.tar")),
    ("--archive leaky.tar --junit to-leaky", 2, wording("tasks.image_itself", target="to-leaky")),
    ("--archive layout --sarif layout/index.json", 2, wording("tasks.image_itself", target="layout/index.json")),
    ("--archive leaky.tar --sarif x --junit ./x", 2, wording("tasks.named_twice", target="./x")),
    ("--archive leaky.tar --sarif -", 2, wording("tasks.not_a_file", target="-")),
    ("--archive leaky.tar --junit .", 2, wording("tasks.not_a_file", target=".")),
    ("--variant w", 2, "w"),
    # told before the image is read
    (f"--archive nowhere.tar --extract {'n' * 300}", 1, "File name too long"),
    ("--archive nowhere.tar --extract tasks.py", 2, of_images("folder.not_a_folder", what="tasks.py")),
    ("--archive nowhere.tar --extract circle", 2, of_images("folder.not_a_folder", what="circle")),
    ("--archive nowhere.tar --extract tasks.py/below", 1, "Not a directory"),
    ("--archive nowhere.tar --extract layout", 2, of_images("folder.not_empty", what="layout")),
    *((f"--archive={archive!r}", 2, wording("tasks.no_image", archive=archive)) for archive in NO_NAMES),
])  # fmt: skip
def test_wrong_calls_are_one_error(project, leaky, words, code, message):
    write_suite(project, SUITE.replace("ALLOW", ""))
    (project / "circle").symlink_to("circle")
    (project / "to-leaky").symlink_to("leaky.tar")
    written(project / "layout", samples.oci_members(samples.build(CLEAN)))
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    done = layers(project, *shlex.split(words), code=code)
    assert {path: path.read_bytes() for path in before} == before
    assert message in done.stderr
    assert (done.stderr.count("error: "), done.stdout) == (1, "")


@pytest.fixture(params=[pytest.param("docker:", marks=pytest.mark.slow), "oci://"])
def held(request, project, leaky) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """An image that the engine or a registry has; one that it has not, and what is said of that; and where the engine is."""
    if request.param == "oci://":
        host = request.getfixturevalue("local_registry")
        push(leaky, f"{host}/leaky:1")
        message = wording("registry.no_image", image=f"{host}/nothing:1", host=host)
        yield f"oci://{host}/leaky:1", f"oci://{host}/nothing:1", message, {}
        return
    name, engine = reference("leaky"), request.getfixturevalue("engine")
    engine.images.load(samples.saved(project, ROOT, ADDS, REMOVES, history=HISTORY, name="tagged.tar", tag=name))
    yield f"docker:{name}", f"docker:{name}-not", f"{name}-not", dict(request.getfixturevalue("endpoint").cli_env)
    engine.images.remove(name, force=True)


def test_an_image_of_the_engine_or_a_registry_is_looked_through_and_names_the_same(project, leaky, held):
    image, absent, message, env = held
    expected = json.loads(layers(project, "--archive", leaky, "--json").stdout)
    done = layers(project, "--archive", image, "--json", "--extract", "found", code=1, **env)
    assert json.loads(done.stdout)["hidden"] == expected["hidden"]
    assert leak_in(image.removeprefix("docker:").removeprefix("oci://")) in done.stderr
    assert [path.read_bytes() for path in (project / "found").rglob("*") if path.is_file()] == [CONFIG]
    assert "linux/s390x" in layers(project, "--archive", image, "--platform", "linux/s390x", code=2, **env).stderr
    gone = layers(project, "--archive", absent, **env)
    assert (gone.returncode != 0, message in gone.stderr) == (True, True)


@pytest.mark.slow
def test_a_registry_behind_a_private_ca_is_reached_as_the_sources_say(project):
    """Its certificate is one that no system trusts."""
    on_loopback(project)
    with registry(find("docker-registry").path, project / "registry", tls=project) as address:
        words = [find("crane").path, "push", samples.saved(project, ADDS), f"{address}/app:1"]
        subprocess.run(words, env={**os.environ, "SSL_CERT_FILE": str(project / "ca.pem")}, check=True)
        image = f"oci://{address}/app:1"
        assert leak_in(f"{address}/app:1") not in layers(project, "--archive", image).stderr
        for environment in ({"DEADWEIGHT_CA_BUNDLE": "ca.pem"}, {}):
            if not environment:
                write_suite(project, SUITE.replace("ALLOW", "") + "sources: {ca_bundle: ca.pem}\n")
            assert leak_in(f"{address}/app:1") in layers(project, "--archive", image, **environment).stderr
        wrong = layers(project, "--archive", image, DEADWEIGHT_CA_BUNDLE="nowhere.pem")
        assert (wrong.returncode, "nowhere.pem: " in wrong.stderr) == (2, True)
