"""Repositories as data: a tree of files, and what is found and written for it. Nothing is built here.

One case is one entry of a file of ``corpus``: ``files``, what the user says (``main``, ``port``, ``seen``: a health path that
answered), and ``expect``, whose keys are those of ``FACTS``. ``@CODE@`` is what init says by that code.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml

from deadweight._errors import CommandError
from deadweight.builders.dockerfile.listener import DockerListener
from deadweight.project.load_suite import load_suite
from deadweight_init.draft import Draft, declared_ports, first_draft, health_hints, port_hints
from deadweight_init.languages.table import NAMES
from deadweight_init.records import Known, OwnDockerfile, Project, Service, wording
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_init.write.suite import suite_text
from tests.support.codes import parts as parts_of
from tests.support.trees import written

CORPUS = Path(__file__).parent / "corpus"
LOGS = yaml.safe_load((CORPUS / "build_logs.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Repo:
    """What was found. ``wanted`` is what the case expects of a fact that is a part of a text."""

    services: tuple[Service, ...]
    draft: Draft | None
    wanted: Any = None

    @property
    def service(self) -> Service:
        return self.services[0]

    @property
    def project(self) -> Project:
        assert self.service.project is not None
        return self.service.project

    @property
    def files(self) -> Mapping[str, str]:
        return self.draft.ladder.files

    @property
    def text(self) -> str:
        return self.files["build/Dockerfile"]

    @property
    def last_stage(self) -> list[str]:
        return self.text[self.text.index("FROM ${BASE}") :].splitlines()

    def keys(self, name: str) -> dict[str, Any]:
        rung = next(rung for rung in self.draft.ladder.rungs if rung.name == name)
        return {key: value.value if isinstance(value, Known) else value for key, value in rung.keys.items()}


def known(**facts: Any) -> dict[str, Any]:
    """Without what is empty."""
    return {name: value for name, value in facts.items() if value and value != "."}


def summary(service: Service) -> dict[str, Any]:
    """What is known of a service. What a file says is told with its place."""
    around, project = service.around, service.project
    return known(
        name=service.name,
        folder=service.folder,
        language=project and project.language,
        project=project and project.folder != service.folder and project.folder,
        dockerfiles=[own_image(file) for file in service.dockerfiles],
        more=[other.name for other in service.more],
        start=list(project.start) if project else [],
        version=project and project.version.value,
        env={name: fact.value for name, fact in around.env.items()},
        env_from=sorted({fact.origin for fact in around.env.values()}),
        needs={fact.value.name: need(fact) for fact in around.needs},
        volumes=[f"{path} {origin}" for path, origin in service.volumes.items()],
        mounts={place: fact.value for place, fact in around.files.items()},
        ports=[f"{hint.value} {hint.origin}" for hint in port_hints(service)],
        health=[f"{hint.value} {hint.origin}" for hint in health_hints(service)],
        tmpfs=first_draft(service, "build").run.get("tmpfs", Known([])).value,
        variable=service.port_variable and f"{service.port_variable.value} {service.port_variable.origin}",
        spare=[{fact.origin: dict(fact.value)} for fact in service.spare],
    )


def reason(message: str) -> str:
    """The code and the fields of what is refused; empty for what is not."""
    code, fields = parts_of(message) if message else ("", {})
    return " ".join((code, *map(str, fields.values())))


def own_image(own: OwnDockerfile) -> dict[str, Any]:
    """A Dockerfile, with how it is built."""
    return known(
        path=own.path, context=own.context, target=own.target, args=list(own.args), build_args=dict(own.build_args),
        base=own.words.base, refused=reason(own.refused),
    )  # fmt: skip


def need(started: Known[Any]) -> dict[str, Any]:
    """What is started beside a service."""
    value = started.value
    return known(**{**vars(value), "name": "", "args": list(value.args)}, origin=started.origin)


def details(repo: Repo) -> dict[str, Any]:
    """What files say of the first service, and how it is run."""
    draft, service = repo.draft, repo.service
    assert draft is not None
    run = {key: known.value for key, known in draft.run.items()}
    return {
        "dockerfiles": [[file.path, file.context, file.target, reason(file.refused)] for file in service.dockerfiles],
        "port": [draft.port.value, draft.port.origin],
        "health": [draft.health.value, draft.health.origin],
        "env": {name: known.value for name, known in service.around.env.items()},
        "needs": run.get("needs", {}),
        "volumes": service.volumes,
        "tmpfs": run.get("tmpfs"),
        "files": run.get("files", {}),
        "spare": [fact.value for fact in service.spare],
        "declared": list(map(list, declared_ports(draft))),
        "args": [word for file in service.dockerfiles for word in file.args],
        "described": service.described and service.described.value,
    }


def listed(name: str) -> Callable[[Repo], Any]:
    return lambda repo: list(getattr(repo.project, name))


FACTS: Mapping[str, Callable[[Repo], Any]] = {
    "dockerfiles": lambda repo: [own_image(file) for file in repo.service.dockerfiles],
    "found": lambda repo: [summary(service) for service in repo.services],
    "told": lambda repo: {key: details(repo)[key] for key in repo.wanted},
    "services": lambda repo: [service.name for service in repo.services],
    **{name: attrgetter(f"project.{name}") for name in ("language", "kind", "folder", "name", "owned")},
    **{name: listed(name) for name in ("start", "programs", "others", "reads")},
    "version": attrgetter("project.version.value"), "version_origin": attrgetter("project.version.origin"),
    "program": attrgetter("project.chosen"), "port": attrgetter("draft.port.value"),
    "problem": lambda repo: reason(repo.project.problem),
    "variable": lambda repo: repo.service.port_variable and repo.service.port_variable.value,
    "ports": lambda repo: [hint.value for hint in port_hints(repo.service)],
    "health": lambda repo: [hint.value for hint in health_hints(repo.service)],
    "rungs": lambda repo: [rung.name for rung in repo.draft.rungs],
    "refused": lambda repo: sorted(rung.name for rung in repo.draft.ladder.rungs if rung.refused),
    "bases": lambda repo: {name: repo.keys(name)["bases"] for name in repo.wanted},
    "keys": lambda repo: {name: {key: repo.keys(name).get(key) for key in keys} for name, keys in repo.wanted.items()},
    "has": lambda repo: [part for part in repo.wanted if part in repo.text],
    "has_not": lambda repo: [part for part in repo.wanted if part not in repo.text],
    "in_turn": lambda repo: sorted(repo.wanted, key=repo.text.index),
    "files": lambda repo: {name: [line for line in lines if line in repo.files[name]] for name, lines in repo.wanted.items()},
    "copies": lambda repo: [line[5:] for line in repo.last_stage if re.match(r"COPY (?!.*--from)", line)],
    "env": lambda repo: dict(re.findall(r"^ENV (?!HOME=)(\w+)=\"?(.*?)\"?$", "\n".join(repo.last_stage), re.MULTILINE)),
    "entrypoint": lambda repo: json.loads(repo.last_stage[-1].removeprefix("ENTRYPOINT ")),
}  # fmt: skip


def cases() -> list[Any]:
    files = (*sorted(CORPUS.glob("languages/*.yaml")), *sorted(CORPUS.glob("[lr]*.yaml")))
    texts = ((file.stem, re.sub(r"@(\w+\.\w+)@", lambda code: wording(code[1]), file.read_text())) for file in files)
    entries = ((stem, yaml.safe_load(text)) for stem, text in texts)
    return [pytest.param(case, id=f"{stem}: {name}") for stem, group in entries for name, case in group.items()]


def test_every_language_of_the_table_has_cases():
    assert sorted(NAMES) == sorted(file.stem for file in CORPUS.glob("languages/*.yaml"))


@pytest.mark.parametrize("case", cases())
def test_what_is_found_is_what_the_case_says(tmp_path, case):
    root = written(tmp_path / case.get("root", "shop"), case["files"])
    services = find_services(read_tree(root), case.get("main"))
    draft = first_draft(services[0], "build", case.get("port"), case.get("seen")) if services else None
    expect = case["expect"]
    assert {key: FACTS[key](Repo(services, draft, wanted)) for key, wanted in expect.items()} == expect
    if draft is not None and draft.rungs:  # and what is written is a suite that says the same
        tree = read_tree(written(root, {**draft.files, "deadweight.yaml": suite_text(draft)}))
        again = find_services(tree, case.get("main"))
        assert [s.more for s in again] == [s.more for s in services], "what is written is not its own"
        variant, run = load_suite(root / "deadweight.yaml").variants[0], details(Repo(services, draft))
        assert (variant.port, set(variant.run.needs)) == (draft.port.value, set(run["needs"]))
        assert run["env"].items() <= dict(variant.run.env).items()


def cause_of(step: str, log: str) -> str:
    """The cause that a build names that fails so."""
    listener = DockerListener(lambda _: None, "Dockerfile", {step: 3})
    for line in (f"#7 [build 3/5] {step}", *(f"#7 0.5{at:02} {line}" for at, line in enumerate(log.splitlines()))):
        listener(line)
    listener(f'#7 ERROR: process "/bin/sh -c {step[4:]}" did not complete successfully: exit code: 1')
    error = CommandError(["docker"], exit_code_of_command=1, reason="failed")
    return listener.failure(error, "today", stand_in=False, full_disk=str).cause


@pytest.mark.parametrize("case", LOGS, ids=[f"{at}-{case['cause']}" for at, case in enumerate(LOGS)])
def test_no_cause_is_named_that_is_not_the_true_one(case):
    """Of logs of builds that failed, with their true cause: what is not known is told as that."""
    assert cause_of(case["step"], case["log"]) in (case["cause"], "unknown")


def test_nine_of_ten_causes_are_named():
    assert len(LOGS) >= 50
    assert sum([cause_of(case["step"], case["log"]) == case["cause"] for case in LOGS]) >= max(45, 0.9 * len(LOGS))


STEPS = {
    "python3": {
        "requirements.txt": "",
        "Procfile": "web: python migrate.py && python main.py\n",
        "migrate.py": "print('migrated', flush=True)\n",
        "main.py": "import os, time\nprint('serves as', os.getpid(), flush=True)\ntime.sleep(20)\n",
    },
    "node": {
        "package.json": '{"scripts": {"start": "node migrate.js && node main.js"}, "dependencies": {"express": "4"}}',
        "migrate.js": "console.log('migrated')\n",
        "main.js": "process.on('SIGTERM', () => process.exit(7)); console.log('serves'); setInterval(() => {}, 1000)\n",
    },
}


@pytest.mark.system
@pytest.mark.parametrize(("program", "says", "ends"), [("python3", "serves as {pid}", -15), ("node", "serves", 7)])
def test_steps_are_taken_in_turn_without_a_shell(tmp_path, program, says, ends):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on PATH")
    (service,) = find_services(read_tree(written(tmp_path / "shop", STEPS[program])))
    words = FACTS["entrypoint"](Repo((service,), first_draft(service, "build")))
    with subprocess.Popen(words, cwd=tmp_path / "shop", stdout=subprocess.PIPE, text=True) as running:
        lines = [running.stdout.readline().rstrip() for _ in range(2)]
        running.terminate()
        assert (lines, running.wait(20)) == (["migrated", says.format(pid=running.pid)], ends)
