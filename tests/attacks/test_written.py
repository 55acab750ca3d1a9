"""What harden writes, for all six platforms: as shells run it, as Kubernetes' and Amazon's own schemas take it, and as independent
validators judge it at their default settings. ``tests/test_wording.py`` compares the texts with those that a person judged.

trivy is among our own tools. kube-score, dclint and checkov are too heavy for every run (checkov alone takes 400 MB and ten seconds
a file): ``validators.py`` asks them, in ``nox -s validators``.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from botocore.session import Session
from botocore.validate import ParamValidator

from deadweight._errors import DeadweightError
from deadweight.engine.options import Tmpfs, Ulimit
from deadweight.suite.checks import Checks, RunsCheck
from deadweight.suite.model import Health, Need
from deadweight.tasks.run import _put, _way
from deadweight_attacks.harden.health_command import OfNeeds
from deadweight_attacks.harden.result import Hardened
from deadweight_attacks.harden.write import COMMENTLESS, FORMATS, ecs, files, notes, render
from deadweight_attacks.harden.write.model import Request, resolve
from tests.support.codes import raises
from tests.support.forms import PUSHED, sample, shop
from tests.support.json_schema import cluster_refusal
from tests.support.trees import shell_script
from tests.support.trivy_config import misconfigured

SMALL = "deadweight/shop-small:dev"
NEEDS = {
    "db": Need(image="postgres:16", port=5432, tmpfs=("/run", "/data:16MiB"), files={"/init": "db/init"}),
    "migrate": Need(image="me/migrate:1", args=("up", ""), health=Health(kind="exit")),
    "other": Need(variant="small", port=80),
}
UNITS = {f"shop{beside}.container" for beside in ("", "-db", "-migrate", "-other")} | {"shop-internal.network"}


def needing(result: Hardened, **needs: Need) -> Hardened:
    run = result.variant.run.model_copy(update={"needs": needs})
    return replace(result, variant=result.variant.model_copy(update={"run": run}), need_images={"other": SMALL})


@pytest.fixture
def result() -> Hardened:
    return needing(shop("shop", "registry.example/shop:1"), **NEEDS)


def cases() -> dict[str, tuple[Hardened, Request]]:
    """What was found, and what is asked for, so that every branch of a writer is taken."""
    inside, plain = needing(shop("shop", "registry.example/shop:1"), **NEEDS), sample()
    outside = needing(shop("shop", "registry.example/shop:1", outgoing=True), **NEEDS)
    assert plain.seccomp is not None
    own = {outside.image: "docker.io/me/shop:1", SMALL: f"docker.io/{SMALL}"}
    tells = Health(kind="exec", command=("up", "$x"))
    patient = Checks(runs=RunsCheck(stops_within_seconds=44.5, if_killed="warn"), other={"zap": {}})
    deaf = needing(shop("db", "registry.example/db:1"), db=NEEDS["db"])
    run = deaf.variant.run.model_copy(update={"ports": ()})
    deaf = replace(
        deaf, variant=deaf.variant.model_copy(update={"port": None, "run": run, "health": tells}), need_asks={},
        options=deaf.options.but(files={"/etc/$tea": "conf/100%"}, entrypoint=("py", "-m", "x y")), own_check=True,
    )  # fmt: skip
    queue = needing(sample("bare"), queue=Need(image="queue:1", health=tells), migrate=NEEDS["migrate"])
    refused = replace(plain, seccomp=replace(plain.seccomp, asks=()), own_check=True, unheld=("memory",))
    limits = (Ulimit("nofile", 1024, 1024), Ulimit("core", 0, 0))
    return {
        "plain": (plain, Request(PUSHED, "./shop.seccomp.json", True, "..")),
        "needy": (sample("needy"), Request()),
        "an internal network": (replace(inside, cut_off={"inhibit": "true"}, need_stand_ins=("db", "other")), Request(files="..")),
        "a way out, by Podman's names, nothing tells": (replace(outside, in_podman=own, need_asks={"db": ()}), Request()),
        "no port, called as what it needs": (replace(deaf, suite="db"), Request("", "x/y.json")),
        "what a cluster cannot reach": (
            replace(queue, variant=queue.variant.model_copy(update={"checks": patient}), need_images={}), Request(),
        ),
        "a check that the profile refuses": (
            replace(refused, suite="s", options=refused.options.but(ulimits=limits)), Request("", "x.json"),
        ),
        "grpc": (replace(plain, seccomp=None, no_seccomp="none can be", asks=("/up",), variant=plain.variant.model_copy(
            update={"health": Health(kind="grpc", service="a")})), Request()),
    }  # fmt: skip


SHOWN = {
    "needy": ("kubernetes", "ecs"), "what a cluster cannot reach": ("kubernetes", "run"), "grpc": ("kubernetes",),
    "a check that the profile refuses": ("compose", "quadlet", "run", "ecs"),
}  # fmt: skip
"""Of which not all forms tell something that others do not."""


def texts() -> Iterator[str]:
    for name, (result, request) in cases().items():
        yield f"######## {name}\n" + "".join(f"{line}\n" for line in result.notes())
        for form in SHOWN.get(name, FORMATS):
            try:
                yield f"#### {form}\n{FORMATS[form](resolve(result, request))}"
            except DeadweightError as refusal:
                yield f"#### {form}\n{refusal.code}: {dict(refusal.fields)}\n"
            if form in COMMENTLESS:
                yield "".join(f"{line}\n" for line in notes(result, form, request))


def test_the_document_says_that_a_profile_was_found():
    """It said ``default`` beside a profile of 63 calls."""
    plain = sample()
    assert plain.document()["posture"]["seccomp"] == "found"
    assert replace(plain, seccomp=None).document()["posture"]["seccomp"] == "default"
    assert plain.document()["notes"] == plain.notes()


# as shells and people take it


UP = 'case "$*" in *exec*) false;; *migrate*) exit $JOB;; *shop-db*|*\\ create*|*shop-other*);; *) echo began;; esac'


@pytest.mark.parametrize("form", ["run", "podman"])
@pytest.mark.parametrize(("up", "job"), [("false", 0), ("true", 1)])
def test_a_shell_that_gives_up_says_so_and_starts_nothing_more(result, form, up, job, tmp_path):
    """By engines that do nothing: of the database they say no for ever, or the job fails for ever."""
    for tool in ("docker", "podman"):
        shell_script(tmp_path / tool, UP.replace("false", up))
    (tmp_path / "sleep").symlink_to("/bin/true")
    untold = replace(result, need_asks={} if job else result.need_asks, options=result.options.but(network="bridge"))
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB": str(job)}
    done = subprocess.run(["sh"], input=render(untold, form), env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    engine = form.replace("run", "docker")
    assert ("migrate failed: tried 10 times" if job else f"{engine} logs shop-db") in done.stderr


LEFT = {"quadlet": UNITS, "podman": {"podman.sh"}, "ecs": {"task-definition.json"}}


@pytest.mark.parametrize(("form", "names"), LEFT.items())
def test_a_folder_gets_what_its_platform_takes(result, tmp_path, form, names):
    """Fargate takes no seccomp profile: it gets none to look for."""
    _put(result, form, tmp_path / "none", Request("", "./shop.seccomp.json", files=".."), str(tmp_path / "deploy"))
    left = {path.name for path in (tmp_path / "deploy").iterdir()}
    assert left == names | (set() if form == "ecs" else {"shop.seccomp.json"})


def test_files_are_found_from_a_folder_that_is_a_link(tmp_path):
    project, elsewhere = tmp_path / "project", tmp_path / "a" / "b"
    project.mkdir()
    elsewhere.mkdir(parents=True)
    (project / "deploy").symlink_to(elsewhere)
    assert (project / "deploy" / _way(str(project / "deploy"), project)).samefile(project)
    assert _way(str(project / "new"), project) == ".."


@pytest.mark.parametrize("folder", ["shop", "../shop", ".", ".."])
def test_compose_takes_no_file_for_the_name_of_a_volume(result, folder):
    """The project's folder may lie below the one in which the text is."""
    services = yaml.safe_load(render(result, "compose", Request(files=folder)))["services"]
    volumes = [volume for service in services.values() for volume in service.get("volumes", ())]
    assert len(volumes) == 2
    assert all(volume.startswith(("./", "../")) for volume in volumes)


@pytest.mark.parametrize(("suite", "need", "name"), [("db", "db", "db-service"), ("s", "service", "s-service-service")])
def test_nothing_that_it_needs_is_called_as_it_is(result, suite, need, name):
    clashing = replace(needing(result, **{need: NEEDS["db"]}), suite=suite, need_asks={})
    assert set(yaml.safe_load(render(clashing, "compose"))["services"]) == {need, name}
    assert set(files(clashing, "quadlet", Request())) >= {f"{name}.container", f"{suite}-{need}.container"}
    assert f"--name {name} " in render(clashing, "run").replace(" \\\n", " ")


@pytest.mark.parametrize(("answers", "tool"), [
    ({"nc": "hangs", "bash": "tells"}, "bash"),
    ({"nc": "says yes of everything", "python3": "tells"}, "python3"),
    ({"nc": "hangs", "bash": "hangs"}, None),
])  # fmt: skip
def test_a_program_that_hangs_or_is_always_content_tells_nothing(answers, tool):
    """One that a profile refuses a system call may never end."""

    def tried(words, *, seconds):
        answer = answers.get(words[0], "is not there")
        if answer == "hangs":
            raise TimeoutError("timed out")
        says_yes = answer == "says yes of everything" or (answer == "tells" and "5432" in " ".join(words))
        return SimpleNamespace(exit_code=0 if says_yes else 1)

    probes = OfNeeds({"db": NEEDS["db"]})
    probes.up("db", SimpleNamespace(exec=tried, image="postgres:16"))
    assert probes.asks["db"][:1] == ((tool,) if tool else ())


# Kubernetes


def documents(result: Hardened, request: Request = Request()) -> list[dict[str, Any]]:  # noqa: B008 - it is frozen
    return list(yaml.safe_load_all(render(result, "kubernetes", request)))


def expanded(value: str) -> str:
    return re.sub(r"\$(\$|\([^)]*\))", lambda match: "$" if match[1] == "$" else "EXPANDED", value)


@pytest.mark.parametrize("name", cases())
def test_a_cluster_takes_it(name):
    """By Kubernetes' own schema, and the rules of the restricted Pod Security Standard one by one. A kubelet makes of the values
    what the suite has: ``$(NAME)`` becomes a variable's value, ``$$`` one dollar sign. Numbers stay text."""
    result, request = cases()[name]
    made = documents(result, request)
    assert [cluster_refusal(document) for document in made] == [""] * len(made)
    pod = made[1]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert [expanded(word) for word in container.get("args", ())] == list(result.options.args)
    assert {entry["name"]: expanded(entry["value"]) for entry in container.get("env", ())} == dict(result.options.env)
    context = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    assert set(context["capabilities"].get("add", ())) <= {"NET_BIND_SERVICE"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not any("hostPort" in port for port in container.get("ports", ()))
    policy = next(document for document in made if document["kind"] == "NetworkPolicy")["spec"]
    assert ("Egress" in policy["policyTypes"]) is not result.outgoing


def test_the_validation_would_notice():
    broken = documents(sample())[1]
    broken["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = "yes"
    assert "readOnlyRootFilesystem" in cluster_refusal(broken)


@pytest.mark.parametrize("name", ["with_underscore", "with.dot", "a" * 64, f"{'a' * 62}_b", "a._-b"])
def test_every_suite_has_a_name_in_kubernetes(name):
    """A label of RFC 1123: the schema takes any text for a name, a cluster does not."""
    for document in documents(replace(sample(), suite=name)):
        label = document["metadata"]["name"]
        assert re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)
        assert document["metadata"]["labels"]["app.kubernetes.io/name"] == label


@pytest.mark.parametrize(("changes", "needs"), [
    ({"user": "0:0"}, "root"), ({"cap_add": ("NET_ADMIN",)}, "NET_ADMIN"), ({"cap_drop": ()}, "default capabilities"),
])  # fmt: skip
def test_what_restricted_does_not_allow_is_refused(changes, needs):
    plain = sample()
    with raises(DeadweightError, "write.pod_security", variant="tight", needs=needs):
        documents(replace(plain, options=plain.options.but(**changes)))


# ECS: Amazon's own model of RegisterTaskDefinition, and Fargate's rules, which no model holds (ECS developer guide)

TASK = Session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
NAME = re.compile("[A-Za-z0-9_-]{1,255}")
ONLY_EC2 = {"sharedMemorySize", "swappiness", "maxSwap", "devices", "privileged", "dockerSecurityOptions", "links"}
SOLD = {
    256: {512, 1024, 2048}, 512: set(range(1024, 4097, 1024)), 1024: set(range(2048, 8193, 1024)),
    2048: set(range(4096, 16385, 1024)), 4096: set(range(8192, 30721, 1024)),
    8192: set(range(16384, 61441, 4096)), 16384: set(range(32768, 122881, 8192)),
}  # fmt: skip
MOUNT_OPTIONS = re.compile(
    "defaults|ro|rw|(no)?(suid|dev|exec|atime|diratime|relatime)|a?sync|strictatime|(mode|uid|gid|nr_inodes|nr_blocks|mpol)=.+"
)


def refusals(task: dict[str, Any]) -> list[str]:
    """What Amazon would refuse of it for Fargate; empty where it takes it."""
    report = ParamValidator().validate(task, TASK)
    names = [task["family"], *(container["name"] for container in task["containerDefinitions"])]
    wrong = {
        "the network": task["networkMode"] != "awsvpc" or task["requiresCompatibilities"] != ["FARGATE"],
        f"the size {task['cpu']} with {task['memory']}": int(task["memory"]) not in SOLD.get(int(task["cpu"]), set()),
        **{f"the name {name!r}": not NAME.fullmatch(name) for name in names},
    }
    texts = [report.generate_report()] if report.has_errors() else []
    texts += [text for text, applies in wrong.items() if applies]
    return texts + [text for one in task["containerDefinitions"] for text in _of_container(one, int(task["memory"]))]


def _of_container(container: dict[str, Any], memory: int) -> list[str]:
    linux, check = container.get("linuxParameters", {}), container.get("healthCheck")
    texts = [f"{key} (EC2 only)" for key in ONLY_EC2 & {*container, *linux}]
    texts += [f"the capability {cap}" for cap in linux.get("capabilities", {}).get("add", []) if cap != "SYS_PTRACE"]
    texts += [f"the limit {limit['name']}" for limit in container.get("ulimits", []) if limit["name"] != "nofile"]
    options = [option for folder in linux.get("tmpfs", []) for option in folder["mountOptions"]]
    texts += [f"the mount option {option}" for option in options if not MOUNT_OPTIONS.fullmatch(option)]
    texts += [f"a folder of {folder['size']} MiB" for folder in linux.get("tmpfs", []) if folder["size"] < 1]
    bounds = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
    bounds |= {"memory": (6, memory), "stopTimeout": (2, 120)}
    values = {"stopTimeout": 30, **(check or {}), **container}
    wrong = (name for name, (least, most) in bounds.items() if not least <= values.get(name, least) <= most)
    texts += [f"{name} {values[name]}" for name in wrong]
    return texts + (["a health check without CMD"] if check and check["command"][0] not in ("CMD", "CMD-SHELL") else [])


def tasks() -> dict[str, Hardened]:
    plain, needy = sample(), sample("needy")
    patient = plain.variant.health.model_copy(update={"within_seconds": 900.0})
    return {
        **{name: result for name, (result, _) in cases().items() if not result.options.cap_add},
        "needy": replace(needy, options=needy.options.but(cap_add=())),
        "dots": replace(plain, suite="shop.of.tea"),
        "patient": replace(plain, variant=plain.variant.model_copy(update={"health": patient})),
        "large": replace(plain, options=plain.options.but(cpus=3.5, memory_bytes=9 * 2**30)),
        "tiny": replace(plain, options=plain.options.but(memory_bytes=16 * 2**20, tmpfs=(Tmpfs("/x", 1000, uid=7),))),
    }


@pytest.mark.parametrize("name", tasks())
def test_amazon_would_take_it(name):
    task = json.loads(render(tasks()[name], "ecs", Request(PUSHED)))
    assert refusals(task) == []
    assert task["containerDefinitions"][0]["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(("change", "problem"), [
    ({"cpus": 1}, "Unknown parameter"), ({"image": 7}, "Invalid type"), ({"privileged": False}, "privileged"),
    ({"linuxParameters": {"maxSwap": 0}}, "maxSwap"),
    ({"healthCheck": {"command": ["true"], "interval": 1, "timeout": 5, "retries": 3, "startPeriod": 1}}, "interval 1"),
    ({"ulimits": [{"name": "core", "softLimit": 0, "hardLimit": 0}]}, "core"),
    ({"memory": 9000}, "memory"), ({"stopTimeout": 121}, "stopTimeout"),
])  # fmt: skip
def test_the_judge_would_notice(change, problem):
    task = json.loads(render(sample(), "ecs", Request(PUSHED)))
    task["containerDefinitions"][0].update(change)
    assert problem in " ".join(refusals(task))
    assert "the size 256 with 4096" in refusals({**task, "cpu": "256", "memory": "4096"})


@pytest.mark.parametrize(
    ("cpus", "mebibytes", "size"),
    [(0.25, 512, (256, 512)), (0.25, 1500, (256, 2048)), (0.2, 4000, (512, 4096)), (1, 40, (1024, 2048)),
     (1.5, 600, (2048, 4096)), (5, 17000, (8192, 20480)), (16, 122880, (16384, 122880))],
)  # fmt: skip
def test_the_smallest_size_that_holds_it_is_bought(cpus, mebibytes, size):
    assert ecs.size(cpus, mebibytes) == size
    assert size[1] in SOLD[size[0]]
    with raises(DeadweightError, "write.fargate_size", cpus=17, mebibytes=512):
        ecs.size(17, 512)


# what validators say: nothing, or what a comment answers


def file_of(folder: Path, form: str, kind: str, *, budget: bool = False) -> Path:
    given = Request("" if kind == "bare" else PUSHED, "./shop.seccomp.json", budget)
    file = folder / f"{form}.yaml"
    file.write_text(render(sample(kind), form, given), encoding="utf-8")
    return file


def comments(file: Path) -> str:
    """The comments in a text."""
    return "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))


KINDS = [("plain", False), ("plain", True), ("needy", False), ("bare", False)]


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_trivy_finds_nothing_that_no_comment_answers(tmp_path, kind, budget):
    file = file_of(tmp_path, "kubernetes", kind, budget=budget)
    rules = misconfigured(file, tmp_path / "cache")
    assert rules == {rule for rule in rules if rule in comments(file)}
    assert kind != "plain" or rules == {"KSV-0125"}
