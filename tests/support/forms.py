"""A service in Python with everything that harden's forms have a word for, and what it is to say once a platform runs it."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deadweight.engine import netns
from deadweight.engine.options import Tmpfs, hardened
from deadweight.engine.seccomp import profile
from deadweight.suite.checks import Checks, RunsCheck
from deadweight.suite.model import Health, Need, RunSettings, Variant
from deadweight_attacks.harden.health_command import candidates
from deadweight_attacks.harden.result import Hardened
from deadweight_attacks.harden.write import files
from deadweight_attacks.harden.write.model import Request
from deadweight_attacks.seccomp.model import Call, Seccomp
from tests.support import TESTS
from tests.support.engine_tour import podman, podman_words
from tests.support.small_images import PASSWD, Content, docker_archive, program
from tests.support.trees import shell_script, written

ENV = {"PW": "a$HOME${X}b$$c$(PW)%n", "NUMBER": "1e3", "LINES": "one\n\"two\" 'three'\\", "EMPTY": ""}
ARGS = ("--x=$Y", "a  b", "y", "", "100% \"sure\" 'or' \\ not")
CONF = "tea: 1\n"
REFUSED = frozenset({"mount", "ptrace", "unshare", "keyctl", "bpf", "setns", "swapon"})
LEFT_OUT = ("test", "idlelib", "lib2to3", "ensurepip", "dist-packages", "__pycache__", "tkinter", "pydoc_data")


def python_archive(folder: Path, reference: str) -> Path:
    """An image with this machine's Python, and the service."""
    python = Path("/usr/bin/python3").resolve()
    layer: dict[str, Content] = {"/srv/shop.py": TESTS / "services" / "shop" / "shop.py"}
    layer |= {"/etc/passwd": PASSWD, "/state/": "0", **program(str(python), "/usr/bin/python3")}
    for file in Path("/usr/lib", python.name).rglob("*.*"):
        if file.is_file() and not set(LEFT_OUT) & set(file.parts):
            layer[str(file)] = file.resolve()
    entry = {"Entrypoint": ["/usr/bin/python3", "/srv/shop.py"], "Env": ["PATH=/usr/bin:/bin"], "User": "65532:65532"}
    return docker_archive(folder / "shop.tar", reference, [layer], entry)


LATE = 4


def shop(name: str, image: str, *, outgoing: bool = False, asked: bool = True, names: bool = True) -> Hardened:
    """As a search finds it: nothing but /state may be written, and a seccomp profile that refuses a few calls. ``asked``: whether
    Python, which the image has, may ask under it, and in the database, which takes a while, and which a job must not come before
    (``names``: containers find each other). Where it is not ``outgoing``, its port is one that root alone has elsewhere."""
    port = 8080 if outgoing else 80
    db = Need(image=image, port=8080, env={"ROLE": "db", "LATE": str(LATE)}, args=("as", "db"))
    job = Need(image=image, env={"NEEDS": "db:8080"} if names else {}, args=("job",), health=Health(kind="exit"))
    settings = RunSettings(
        env={**ENV, "PORT": str(port), "NEEDS": "db:8080"}, args=ARGS, ports=(9090,), tmpfs=("/state",),
        files={"/etc/shop.conf": "conf/shop.conf"}, needs={"db": db, "job": job},
    )  # fmt: skip
    variant = Variant(name="tight", builder="ko", port=port, run=settings, health=Health(within_seconds=60))
    options = hardened(settings, port=port).but(
        user="65532:65532", network="bridge" if outgoing else "internal", tmpfs=(Tmpfs("/state", 2**20, uid=65532),)
    )
    asks = next(words for words in candidates(variant.health, port) if words[0] == "python3")
    calls = tuple(Call(name, "recorded", 3) for name in sorted(set(profile.numbers("amd64")) - REFUSED))
    seccomp = Seccomp("amd64", "6.1", "", "runc 1", calls, (1, 2, 10, 16), (), 3, 9, 3, asks=asks if asked else ())
    return Hardened(
        options, {}, 2, (("all", ""),), seccomp=seccomp, asks=asks, variant=variant, suite=name, image=image,
        need_asks={"db": next(words for words in candidates(db.health, 8080) if words[0] == "python3")} if asked else {},
    )  # fmt: skip


SMALL_CALLS = (Call("read", "recorded", 3), Call("socket", "recorded", 3))
SMALL_PROFILE = Seccomp("amd64", "6.1", "", "runc 1", SMALL_CALLS, (2,), (), 3, 9, 3)
PUSHED = "registry.example/shop/tight@sha256:" + "a" * 64


def sample(kind: str = "plain") -> Hardened:
    """``plain`` needs nothing; ``needy`` has every key that a writer knows; ``bare`` is as the engine has it: no digest."""
    settings, own, changes = RunSettings(), dict[str, Any](port=8080), dict[str, Any]()
    if kind == "needy":
        needs = {"db": Need(image="postgres:16", env={"A": "b"}, port=5432)}
        settings = RunSettings(needs=needs, env={"A": "1"}, args=("a",), entrypoint=("b",))
        own = {"port": 80, "checks": Checks(runs=RunsCheck(stops_within_seconds=44)), "health": Health(kind="tcp")}
        changes = {"user": "1000:1000", "read_only": False, "cap_add": ("NET_BIND_SERVICE",)}
        changes["tmpfs"] = (Tmpfs("/state", 2**20),)
    variant = Variant(name="tight", builder="ko", run=settings, **own)
    options = hardened(settings, port=variant.port).but(network="internal", **changes)
    asks = () if kind == "bare" else ("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz")
    return Hardened(
        options, {}, 2, (("all", ""),), seccomp=replace(SMALL_PROFILE, asks=asks if kind == "plain" else ()), asks=asks,
        variant=variant, suite="shop", image="registry.example/tight:1",
    )  # fmt: skip


def laid(folder: Path, result: Hardened, form: str) -> Path:
    """What ``invoke harden --format FORM --to FOLDER`` leaves in a folder of the project, and the project's file."""
    written(folder, {"conf/shop.conf": CONF})
    there = written(folder / "deploy", files(result, form, Request("", f"./{result.suite}.seccomp.json", files="..")))
    if result.seccomp:
        profile.write(there / f"{result.suite}.seccomp.json", result.seccomp.profile())
    return there


def held(pid: int) -> dict[str, Any]:
    """What the kernel says of the first process: its user, capabilities, seccomp mode (2: a filter), whether it may get more."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    status = {name: value.split() for name, _, value in lines}
    bounds = {int(status[name][0], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")}
    return {"uids": set(status["Uid"]), "gids": set(status["Gid"]), "capabilities": bounds,
            "seccomp": status["Seccomp"][0], "no_new_privileges": status["NoNewPrivs"][0]}  # fmt: skip


TIGHT = {"uids": {"65532"}, "gids": {"65532"}, "capabilities": {0}, "seccomp": "2", "no_new_privileges": "1"}
"""What ``held`` is to be in every form."""


def given(pid: int, port: int) -> Any:
    """What the service says of itself, asked inside its network."""
    from urllib.request import urlopen

    def ask() -> Any:
        with urlopen(f"http://127.0.0.1:{port}/given", timeout=10) as answer:
            return json.load(answer)

    for _ in range(300):
        with contextlib.suppress(OSError):
            return netns.within(pid, ask)
        time.sleep(0.2)
    return netns.within(pid, ask)


def problems(answer: Mapping[str, Any], *, needs: bool | None = True) -> list[str]:
    """What of that is not as the suite has it."""
    wanted = {"args": list(ARGS), "file": CONF, "user": "65532:65532", "writable": ["/state/kept"], "needs": needs}
    pairs = [*((name, answer[name], value) for name, value in wanted.items())]
    pairs += [(name, answer["env"].get(name), value) for name, value in ENV.items()]
    return [f"{name}: {got!r}, not {value!r}" for name, got, value in pairs if got != value]


class Podman:
    """This machine's Podman on a store and in a network of its own, in which ``inside`` starts what follows: ``path`` begins with a
    folder in which ``podman`` is that."""

    def __init__(self, folder: Path, inside: Sequence[str]) -> None:
        self.path, self.inside = f"{folder}:{os.environ['PATH']}", tuple(inside)

    def __call__(self, *words: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": self.path}
        done = subprocess.run(["podman", *words], env=env, capture_output=True, text=True, check=False, **more)
        assert not check or done.returncode == 0, f"podman {' '.join(words)}: {done.stderr[-2000:]}"
        return done

    def inspected(self, name: str) -> Any:
        return json.loads(self("container", "inspect", name).stdout)[0]

    @property
    def names(self) -> bool:
        """Whether its containers find each other by name: an older one takes a plug-in for that."""
        made = self("info", "--format", "{{.Host.NetworkBackend}}").stdout.strip()
        return made == "netavark" or any(map(os.path.exists, ("/usr/lib/cni/dnsname", "/usr/libexec/cni/dnsname")))

    def healthy(self, name: str) -> str:
        """What it says of a container's health: it is asked now, for what asks every ten seconds is a timer of systemd's."""
        until = time.monotonic() + 60
        while (done := self("healthcheck", "run", name, check=False)).returncode and time.monotonic() < until:
            time.sleep(0.5)
        state = self.inspected(name)["State"]
        return (state.get("Health") or state.get("Healthcheck") or {}).get("Status") or done.stderr

    def forget(self, name: str) -> None:
        """The containers of a suite, and its networks."""
        self("rm", "--force", "--ignore", "--time", "2", name, f"{name}-db", f"{name}-job", check=False)
        networks = [f"{before}{name}-{kind}" for before in ("", "systemd-") for kind in ("internal", "network")]
        self("network", "rm", "--force", *networks, check=False)


RUNTIME = """#!{python}
import json, resource, os, sys
after = dict(zip(sys.argv, sys.argv[1:]))
file = after["--bundle"] + "/config.json" if "create" in sys.argv else after.get("--process")
if file:
    document = json.load(open(file))
    for limit in document.get("process", document).get("rlimits", []):
        most = resource.getrlimit(getattr(resource, limit["type"]))[1]
        limit["hard"] = limit["hard"] if most < 0 else min(limit["hard"], most)
        limit["soft"] = min(limit["soft"], limit["hard"])
    json.dump(document, open(file, "w"))
os.execv("{runc}", ["{runc}", *sys.argv[1:]])
"""
"""Podman asks for more processes than a machine grants that gives it no right to raise limits: so it gets as many as there are."""


@contextlib.contextmanager
def own_podman(folder: Path) -> Iterator[Podman]:
    words = shlex.join([shutil.which("podman") or "podman", *map(str, podman_words(folder)[1:])])
    (folder / "bin").mkdir()
    script, runtime = folder / "bin" / "podman", folder / "bin" / "runtime"
    runtime.write_text(RUNTIME.format(python=sys.executable, runc=shutil.which("runc") or "/usr/sbin/runc"))
    runtime.chmod(0o755)
    with podman(folder, {}), closed_network() as inside:
        shell_script(script, f'exec {shlex.join(inside)} {words} --runtime {runtime} "$@"')
        yield Podman(folder / "bin", inside)


CLOSED = """
ip link set lo up && echo 1 >/proc/sys/net/ipv4/ip_forward && iptables -P FORWARD DROP || exit
test -e /proc/sys/net/bridge && echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
echo closed && exec cat
"""


@contextlib.contextmanager
def closed_network() -> Iterator[list[str]]:
    """A network namespace whose firewall is as a Docker engine sets it: nothing is forwarded without a rule, and on one bridge
    neither, if this kernel can show it bridged packets. Gives the words that start a program in it."""
    words = ["unshare", "--net", "sh", "-c", CLOSED]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "closed\n"
        yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        holder.stdin.close()
