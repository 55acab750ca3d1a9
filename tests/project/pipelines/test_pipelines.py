"""Pipelines as printed: their checkers take them, and their steps do what they say, each machine with a state of its own."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from deadweight._errors import UsageError, wording
from deadweight.project.pipelines import Pipeline, parse_shards, render
from deadweight.toolchain.find import find
from tests.support.codes import raises
from tests.support.forge_server import TOKEN, ForgeServer, environment as job_environment
from tests.support.invoking import TASKS
from tests.support.json_schema import cluster_refusal
from tests.support.trees import git, shell_script, written
from tests.support.trivy_config import misconfigured

pytestmark = pytest.mark.system

SUITE = """\
name: pipelines
defaults: {runnable: false, checks: {layers: {}}}
variants:
  one: {builder: dockerfile, source: one, dockerfile: one/Dockerfile}
  two: {builder: dockerfile, source: two, dockerfile: two/Dockerfile}
  three: {builder: dockerfile, source: three, dockerfile: three/Dockerfile}
"""
BIN = Path(sys.executable).parent
QUICK = {"PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""The first step of each job installs what is there already: on GitHub's machines for real, elsewhere it is only noted."""


@pytest.mark.parametrize("scan", [False, True])
def test_actionlint_takes_the_workflow(tmp_path, scan):
    written(tmp_path, {".git/HEAD": "", ".github/workflows/images.yml": render(Pipeline("github", 5, scan=scan))})
    command = [find("actionlint").path, "-no-color", "-shellcheck=", "-pyflakes="]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci")])
def test_the_forges_schemas_take_it(tmp_path, provider, schema):
    file = tmp_path / "pipeline.yml"
    file.write_text(render(Pipeline(provider, 5, scan=True)))
    command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_kubernetes_takes_the_jobs():
    documents = list(yaml.safe_load_all(render(Pipeline("kubernetes", 5, scan=True))))
    for document in documents:
        assert cluster_refusal(document) == ""
    assert documents[1]["spec"]["completions"] == 5
    assert documents[2]["spec"]["suspend"] is True, "it would join reports that are not there yet"


@pytest.mark.slow
def test_trivy_finds_nothing_in_the_jobs_that_no_comment_answers(tmp_path):
    file = tmp_path / "jobs.yaml"
    file.write_text(render(Pipeline("kubernetes", 5, image=f"registry.example.com/team/ci@sha256:{'a' * 64}")))
    comments = "".join(line for line in file.read_text().splitlines() if line.startswith("#"))
    assert [rule for rule in sorted(misconfigured(file, tmp_path / "cache")) if rule not in comments] == []


def test_permissions_are_small_and_actions_pinned():
    text = render(Pipeline("github", 3))
    document = yaml.safe_load(text)
    assert document["permissions"] == {}
    wanted = {name: job["permissions"] for name, job in document["jobs"].items()}
    verdict = {"contents": "read", "pull-requests": "write"}
    assert wanted == {"base": {}, "shard": {"contents": "read"}, "verdict": verdict}
    assert "pull_request_target" not in document[True]
    uses = {line.split("uses:")[1].strip() for line in text.splitlines() if "uses:" in line}
    assert len(uses) == 7
    assert all(re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in uses)
    steps = [(name, step) for name, job in document["jobs"].items() for step in job["steps"]]
    with_token = {(name, step["name"]) for name, step in steps if "token" in json.dumps(step).lower()}
    assert with_token == {("verdict", "Verdict")}, "no step that runs a service has it"


@pytest.mark.parametrize("text", ["0", "-1", "201", "many", "1.5", ""])
def test_a_wrong_number_of_shards_is_refused(text):
    with raises(UsageError, "project.shards", text=text):
        parse_shards(text)


@pytest.mark.parametrize("value", ['a"; curl x', "a\nb", "$(x)", "${{ secrets.X }}", "`x`"])
def test_a_value_that_would_be_code_is_refused(value):
    with raises(UsageError, "project.pipeline_value", flag="--install", value=value):
        render(Pipeline("github", 3, install=value))
    with raises(UsageError, "project.pipeline_value", flag="--image", value=value):
        render(Pipeline("kubernetes", 3, image=value))


@pytest.fixture
def origin(tmp_path) -> Path:
    """A repository with a main branch, and one that adds 3 MB to a variant."""
    root = tmp_path / "origin"
    for name in ("one", "two", "three"):
        written(root / name, {"Dockerfile": f"FROM scratch\nCOPY data /{name}\n", "data": name})
    ignored = ".deadweight\nbase-report\nshards\ndownloaded\nmerged\n.cache\n"
    written(root, {"deadweight.yaml": SUITE, "tasks.py": TASKS, ".gitignore": ignored})
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    git(root, "switch", "-qc", "feature")
    (root / "two" / "data").write_bytes(os.urandom(3_000_000))
    git(root, "commit", "-qam", "more data")
    git(root, "switch", "-q", "main")
    return root


@dataclass
class Machines:
    """Fresh machines, one for each job: a clone of its own, and nothing shared but what the pipeline itself hands on."""

    origin: Path
    folder: Path
    programs: Path
    count: int = 0
    output: list[str] = field(default_factory=list)

    def fresh(self, branch: str) -> Path:
        self.count += 1
        made = self.folder / f"machine-{self.count}"
        git(self.folder, "clone", "-q", str(self.origin), str(made))
        git(made, "checkout", "-q", f"origin/{branch}")
        return made

    def script(self, text: str, folder: Path, environment: Mapping[str, str]) -> int:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "GITHUB_", "GITLAB_"))}
        env = {**keep, **QUICK, "PATH": f"{self.programs}:{BIN}:{os.environ['PATH']}", **environment}
        command = ["bash", "-e", "-c", text]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
        self.output.append(f"$ {text}\n{done.stdout}{done.stderr}")
        return done.returncode


def copied(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copytree(source, target, dirs_exist_ok=True)


class GitHub:
    """Runs a workflow's jobs in their order; knows the few actions and expressions that ours uses."""

    def __init__(self, machines: Machines, document: Any, event: str, branch: str, server: str) -> None:
        self.machines, self.jobs, self.event, self.branch = machines, document["jobs"], event, branch
        self.server, self.run_id = server, 1 if branch == "main" else 2
        self.cache, self.artifacts = machines.folder / "cache", machines.folder / f"artifacts-{branch}"
        self.values = dict.fromkeys(("github.base_ref || github.ref_name", "github.ref_name"), "main")
        self.values |= {"github.base_ref": "main" if event == "pull_request" else "", "github.run_id": str(self.run_id)}
        self.values |= {"github.token": TOKEN, "runner.os": "Linux"}

    def run(self) -> dict[str, int]:
        base, shards = self.job("base", {}), self.jobs["shard"]["strategy"]["matrix"]["shard"]
        codes = {f"shard-{shard}": self.job("shard", {"matrix.shard": str(shard)}) for shard in shards}
        return {"base": base, **codes, "verdict": self.job("verdict", {})}

    def job(self, name: str, matrix: Mapping[str, str]) -> int:
        folder, values = self.machines.fresh(self.branch), {**self.values, **matrix}
        control = self.machines.folder / f"control-{self.machines.count}"
        environment = job_environment("github", self.server, control, run=self.run_id)
        del environment["GITHUB_TOKEN"]  # only a step that asks for it has it
        if self.event != "pull_request":
            (control / "event.json").write_text("{}")
        environment |= {"GITHUB_ENV": str(control / "env"), **self.filled(self.jobs[name].get("env", {}), values)}
        code = 0
        for step in self.jobs[name]["steps"]:
            if not self.wanted(step.get("if"), failed=code != 0):
                continue
            if "uses" in step:
                self.action(step["uses"].split("@")[0], self.filled(step.get("with", {}), values), folder)
                continue
            own = self.filled(step.get("env", {}), values)
            code = self.machines.script(self.fill(step["run"], values), folder, {**environment, **own}) or code
            if (control / "env").exists():
                environment |= dict(line.split("=", 1) for line in (control / "env").read_text().splitlines())
        return code

    def wanted(self, condition: str | None, *, failed: bool) -> bool:
        if condition and "cancelled" in condition:
            return True
        return not failed and condition in (None, f"${{{{ github.event_name == '{self.event}' }}}}")

    def filled(self, given: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
        return {key: self.fill(str(value), values) for key, value in given.items()}

    def fill(self, text: str, values: Mapping[str, str]) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: values[match[1]], text)

    def action(self, name: str, given: Mapping[str, str], folder: Path) -> None:
        if name == "actions/upload-artifact":
            shutil.copytree(folder / given["path"], self.artifacts / given["name"])
        elif name == "actions/download-artifact":  # one, or all
            shutil.copytree(self.artifacts / given.get("name", ""), folder / given["path"], dirs_exist_ok=True)
        elif name == "actions/cache/save":
            shutil.copytree(folder / given["path"], self.cache / given["key"])
        elif name == "actions/cache/restore":
            for place in self.cache.glob(f"{given['restore-keys'].strip()}*"):
                copied(place, folder / given["path"])
        else:
            assert name in ("actions/checkout", "actions/setup-python", "actions/cache")


class GitLab:
    """Runs a pipeline's jobs; artifacts go to the jobs that need them, and a cache of one key from run to run."""

    def __init__(self, machines: Machines, document: Any, branch: str, server: str) -> None:
        self.machines, self.document, self.branch, self.server = machines, document, branch, server

    def run(self) -> dict[str, int]:
        shards = self.document["shard"]["parallel"]
        envs = ({"CI_NODE_INDEX": str(number), "CI_NODE_TOTAL": str(shards)} for number in range(1, shards + 1))
        codes = {f"shard-{more['CI_NODE_INDEX']}": self.job("shard", more) for more in envs}
        return {**codes, "verdict": self.job("verdict", {})}

    def job(self, name: str, more: Mapping[str, str]) -> int:
        folder, job = self.machines.fresh(self.branch), self.document[name]
        kept = self.machines.folder / "gitlab-base-report"
        artifacts = self.machines.folder / f"gitlab-artifacts-{self.branch}"
        copied(kept, folder / "base-report")
        if "needs" in job:
            copied(artifacts, folder)
        main = self.branch == "main"
        environment = job_environment("gitlab", self.server, folder, run=1 if main else 2)
        environment |= {"CI_PROJECT_DIR": str(folder), "CI_MERGE_REQUEST_DIFF_BASE_SHA": "origin/main"}
        environment = {name: value for name, value in environment.items() if not main or "MERGE_REQUEST" not in name}
        environment |= {**job.get("variables", {}), **more}
        code = self.machines.script("\n".join(job["script"]), folder, environment)
        for path in job["artifacts"]["paths"]:
            copied(folder / path, artifacts / path)
        if name == "verdict":
            copied(folder / "base-report", kept)
        return code


@pytest.fixture
def server() -> Iterator[ForgeServer]:
    with contextlib.closing(ForgeServer()) as made:
        yield made


@pytest.fixture
def machines(origin, tmp_path) -> Machines:
    pip = shell_script(tmp_path / "bin" / "pip", f'echo "$*" >>{tmp_path / "installed"}')
    return Machines(origin, tmp_path, pip.parent)


STOPS = wording("report.stop", regressions="|", where="", rest="").partition("|")[0]


def stopped(server: ForgeServer) -> None:
    """One comment, that stops, and names the line that did it."""
    (comment,) = server.comments.values()
    assert STOPS in comment
    assert "two/Dockerfile:2: COPY data /two" in comment
    assert "- **regression** one" not in comment


@pytest.mark.slow
def test_the_workflow_does_what_it_says(machines, server):
    document = yaml.safe_load(render(Pipeline("github", 2, install="deadweight")))
    (machines.programs / "pip").unlink()
    codes = GitHub(machines, document, "push", "main", server.url).run()
    assert set(codes.values()) == {0}, "\n".join(machines.output)
    assert (len(list((machines.folder / "cache").iterdir())), server.comments) == (1, {})
    codes = GitHub(machines, document, "pull_request", "feature", server.url).run()
    assert codes == {"base": 0, "shard-1": 0, "shard-2": 0, "verdict": 1}, "\n".join(machines.output)
    stopped(server)


@pytest.mark.slow
def test_the_gitlab_pipeline_does_what_it_says(machines, server):
    document = yaml.safe_load(render(Pipeline("gitlab", 2, install="deadweight")))
    assert set(GitLab(machines, document, "main", server.url).run().values()) == {0}, "\n".join(machines.output)
    codes = GitLab(machines, document, "feature", server.url).run()
    assert codes == {"shard-1": 0, "shard-2": 0, "verdict": 1}, "\n".join(machines.output)
    stopped(server)
    installed = (machines.folder / "installed").read_text().splitlines()
    assert len(installed) == machines.count
    assert all(words.endswith("install deadweight") for words in installed)


@pytest.mark.slow
def test_the_jobs_do_what_they_say(machines):
    _, job, verdict = yaml.safe_load_all(render(Pipeline("kubernetes", 2)))
    volume = machines.folder / "volume"
    volume.mkdir()

    def pod(document: Any, branch: str, environment: Mapping[str, str]) -> int:
        container = document["spec"]["template"]["spec"]["containers"][0]
        given = {variable["name"]: variable["value"] for variable in container.get("env", [])}
        for folder in ("HOME", "DEADWEIGHT_CACHE_DIR"):  # of the pod: with them this machine would start another engine
            given.pop(folder, None)
        text = container["args"][0].replace("/shards", str(volume))
        return machines.script(text, machines.fresh(branch), {**given, **environment})

    for branch, code in (("main", 0), ("feature", 1)):
        codes = [pod(job, branch, {"JOB_COMPLETION_INDEX": str(index)}) for index in range(2)]
        assert codes == [0, 0], "\n".join(machines.output)
        assert pod(verdict, branch, {}) == code, "\n".join(machines.output)
        shutil.copytree(volume / "merged", volume / "base", dirs_exist_ok=True)
    assert STOPS in machines.output[-1]
