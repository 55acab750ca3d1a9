"""The public API for plug-ins, a package that uses nothing else, and what a broken plug-in looks like to a user."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from deadweight import plugins
from deadweight._errors import ConfigError, wording
from deadweight._plugins import AUTHORS
from deadweight.checks import table
from deadweight.project.load_suite import load_suite
from deadweight.project.workspace import Workspace
from tests.support import ROOT, invoking
from tests.support.codes import raises
from tests.support.small_project import put_built
from tests.support.trees import plug_in, written
from tests.test_docs import FENCE

DOWNSTREAM = ROOT / "tests" / "downstream"
PAGE = ROOT / "docs" / "how-to" / "plugins.md"


# --- the public API ---


@pytest.mark.system
@pytest.mark.parametrize(
    ("file", "arguments"), {"tests/data/public_api.txt": ["--list"], "docs/reference/api.md": []}.items()
)
def test_the_public_api_is_what_was_agreed(file, arguments):
    """Meant to change? ``python docs/api.py --list > tests/data/public_api.txt``, the page likewise, and a line in CHANGELOG.md."""
    command = [sys.executable, "docs/api.py", *arguments]
    assert (ROOT / file).read_text() == subprocess.check_output(command, cwd=ROOT, text=True, timeout=60)


def test_every_public_name_is_on_the_page_and_says_what_it_is():
    groups = runpy.run_path(str(ROOT / "docs" / "api.py"))["GROUPS"]
    assert sorted(name for names in groups.values() for name in names) == sorted(plugins.__all__)
    assert [name for name in plugins.__all__ if not (getattr(plugins, name).__doc__ or "").strip()] == []


# --- the package of others ---


def test_the_package_imports_nothing_else_of_ours():
    text = "".join(file.read_text() for file in (DOWNSTREAM / "src").rglob("*.py"))
    assert set(re.findall(r"^\s*(?:from|import) (deadweight\S*)", text, re.MULTILINE)) == {"deadweight.plugins"}


@pytest.mark.parametrize(("file", "most"), [("builder.py", 150), ("labels.py", 60)])
def test_it_is_short(file, most):
    assert len((DOWNSTREAM / "src" / "deadweight_buildah" / file).read_text().splitlines()) < most


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package, installed by pip as its users would, into a folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("installed")
    copy = shutil.copytree(DOWNSTREAM, tmp_path_factory.mktemp("source") / "downstream")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, copy]
    subprocess.run(command, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def example(installed, tmp_path_factory) -> Path:
    folder = shutil.copytree(DOWNSTREAM / "example", tmp_path_factory.mktemp("example") / "pages")
    suite = folder / "deadweight.yaml"
    suite.write_text(suite.read_text().replace("name: pages", f"name: pages-{os.getpid()}"))
    return folder


def task(folder: Path, plugins: Path, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A task as its user runs it, with these packages installed."""
    path = f"{plugins}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return invoking.invoke(folder, *words, code=code, env={"PYTHONPATH": path}, timeout=300)


@pytest.fixture(scope="module")
def invoke(example, installed) -> Callable[..., subprocess.CompletedProcess[str]]:
    return partial(task, example, installed)


@pytest.fixture(scope="module")
def walked(invoke, engine) -> Iterator[list[tuple[list[str], str]]]:
    """The page's commands, run one after another; what each was to show, and what it showed."""
    (text,) = (text for info, text in FENCE.findall(PAGE.read_text()) if info == "console")
    (first, _), *rest = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    assert first == "pip install -e ../plug-in"  # ``installed`` has done it
    done = [(invoke(*command.removeprefix("invoke ").split()), shown) for command, shown in rest]
    yield [(shown.splitlines(), run.stdout + run.stderr) for run, shown in done]
    invoke("clean", "--project")


@pytest.mark.slow
def test_the_page_s_commands_show_what_it_says(walked):
    for lines, shown in walked:
        for line in lines:
            assert re.search(f"^{'.+'.join(map(re.escape, line.split('…')))}$", shown, re.MULTILINE), (line, shown)


def test_it_builds_and_is_verified_for_real(walked, example):
    evidence = {file.stem: json.loads(file.read_text()) for file in (example / ".deadweight/evidence/pages").iterdir()}
    assert evidence.keys() == {"runs", "api", "layers", "labels"}
    assert {record["status"] for record in evidence.values()} == {"pass"}
    assert evidence["labels"]["data"]["labels"]["org.opencontainers.image.title"] == "pages"
    built = json.loads((example / ".deadweight/images/pages/built.json").read_text())
    assert (built["tool"].split()[0], built["base"]["reference"]) == ("buildah", "alpine:3.18")


def test_it_is_up_to_date_until_an_input_changes(walked, invoke, example):
    assert built(invoke) == "cached"
    page = example / "site" / "index.html"
    before = page.read_text()
    page.write_text(f"{before}<p>more")
    assert "index.html changed" in invoke("build", "--plan").stdout
    page.write_text(before)
    assert "index.html" not in invoke("build", "--plan").stdout


def built(invoke) -> str:
    return json.loads(invoke("build", "--json").stdout)["variants"]["pages"]["result"]


@pytest.mark.slow
def test_every_task_works_with_it(walked, invoke, example):
    assert "buildah" in invoke("variants").stdout
    assert re.search(r"^buildah +present", invoke("doctor").stdout, re.MULTILINE)
    assert "busybox" in invoke("layers", "--variant", "pages").stdout
    scanned = invoke("scan", code=None)
    assert scanned.returncode in (0, 3)  # 3 without a vulnerability database
    assert "pages" in scanned.stdout
    invoke("report")
    report = json.loads((example / ".deadweight/report/report.json").read_text())["variants"]["pages"]
    assert (report["builder"], report["checks"]["labels"]["status"]) == ("buildah", "pass")
    assert "pages" in invoke("completion", "--words", "invoke build --variant ").stdout.split()
    invoke("clean")
    assert built(invoke) == "cached"


# --- the page that tells how to write one ---


def test_the_page_shows_the_package_as_it_is():
    """Each block that names a file is that file; all that the package consists of is shown."""
    shown = {info.split()[1]: text for info, text in FENCE.findall(PAGE.read_text()) if len(info.split()) == 2}
    assert shown == {name: (DOWNSTREAM / name).read_text() for name in shown}
    code = {str(file.relative_to(DOWNSTREAM)) for file in (DOWNSTREAM / "src").rglob("[a-z]*.py")}
    assert code | {"pyproject.toml", "example/deadweight.yaml", "example/Containerfile"} == set(shown)


# --- plug-ins that are wrong ---

SUITE = "name: x\nvariants:\n  v:\n    builder: ko\n    base: alpine\n    checks:\n      other:\n        theirs: {}\n"
SUITE += "defaults: {port: 8080}\n"
IMPORTS = "from deadweight.plugins import Evidence, Provenance, Record, evidence\n"
WHOSE = "check 'theirs' (theirs:Check, from theirs 1.0)"
NOT_LOADED = wording("plugins.not_loaded", plugin=WHOSE, problem="RuntimeError: no licence")
NO_RUN = wording("plugins.lacks_methods", plugin=WHOSE, kind="check", methods="run")
NO_EVIDENCE = wording("plugins.returned", call="run()", expected="Evidence", found="NoneType")


@pytest.fixture
def broken(tmp_path) -> Iterator[Callable[..., tuple[Path, Path]]]:
    """Makes a project that names the check ``theirs``, and an installed package that registers it."""

    def make(code: str, package: str = "theirs", options: str = "{}") -> tuple[Path, Path]:
        folder, site = tmp_path / "project", tmp_path / "site"
        plug_in(site, package, "checks", {"theirs": f"{package}:Check"}, **{package: IMPORTS + code})
        written(folder, {"deadweight.yaml": SUITE.replace("{}", options), "tasks.py": invoking.TASKS})
        return folder, site

    table.check.cache_clear()
    sys.modules.pop("theirs", None)  # another test file's
    yield make
    table.check.cache_clear()
    sys.modules.pop("theirs", None)


def one_error(shown: str) -> str:
    assert (shown.count("error: "), shown.count("hint: ")) == (1, 1), shown
    return shown


@pytest.mark.system
@pytest.mark.parametrize(("code", "words"), [
    pytest.param("raise RuntimeError('no licence')", NOT_LOADED, id="raises on import"),
    pytest.param("Check = 3", NO_RUN, id="not a check"),
    pytest.param("class Check:\n    run, record = print, 3", f"{WHOSE}: ", id="wrong record"),
])  # fmt: skip
def test_a_check_that_cannot_be_loaded_is_one_error_at_its_line(broken, code, words):
    folder, site = broken(code)
    shown = one_error(task(folder, site, "verify", code=2).stderr)
    assert shown.startswith(f"error: {folder}/deadweight.yaml:8: variants.v.checks.other.theirs: {words}")
    assert shown.endswith(f"\n  hint: {AUTHORS}\n")


@pytest.mark.system
def test_a_check_that_two_packages_register_is_one_error(broken):
    broken("class Check: run = print")
    folder, site = broken("class Check: run = print", "others")
    shown = one_error(task(folder, site, "verify", code=2).stderr)
    both = "others:Check, from others 1.0, theirs:Check, from theirs 1.0"
    assert wording("plugins.registered_twice", kind="check", name="theirs", owners=both) in shown


RECORD = "class Keys(Record):\n    most: int\n\nclass Check:\n    run, record = print, Keys\n"


@pytest.mark.parametrize(("options", "key", "code", "fields"), [
    ("{}", "theirs", "suite.key_missing", {"name": "most"}),
    ("{most: much}", "theirs.most", "suite.whole_number", {"found": "much"}),
    ("{mots: 1}", "theirs.mots", "suite.misspelt_key", {"near": "most"}),
])  # fmt: skip
def test_what_a_suite_says_of_a_check_is_judged_by_its_record(broken, monkeypatch, options, key, code, fields):
    folder, site = broken(RECORD, options=options)
    monkeypatch.syspath_prepend(site)
    with raises(ConfigError, code, line=8, key=f"variants.v.checks.other.{key}", **fields):
        Workspace.open(print, folder / "deadweight.yaml")
    (folder / "deadweight.yaml").write_text(SUITE.replace("{}", "{most: 1}"))
    assert Workspace.open(print, folder / "deadweight.yaml").suite.variants


@pytest.mark.parametrize(("run", "words"), [
    pytest.param("return None", NO_EVIDENCE, id="no evidence"),
    pytest.param("return 1 / 0", "ZeroDivisionError: division by zero", id="raises"),
    pytest.param("return evidence(subject, self.name, 'pass', '', data={'x': {1}})", "", id="not JSON"),
    pytest.param("return evidence(subject, self.name, 'good', '')", "", id="no such status"),
])  # fmt: skip
def test_a_check_that_misbehaves_fails_and_says_so(broken, tmp_path, run, words, playground_archive):
    folder, site = broken(f"class Check:\n    name = 'theirs'\n    def run(self, subject):\n        {run}\n")
    put_built(load_suite(folder / "deadweight.yaml"), "v", playground_archive, "r")
    shown = task(folder, site, "verify", "--check", "theirs", code=1)
    assert f"v: theirs: FAIL: {wording('plugins.failed', plugin=WHOSE, variant='v', problem=words)}" in shown.stderr
