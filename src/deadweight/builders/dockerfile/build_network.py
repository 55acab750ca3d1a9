"""Pass this machine's network settings to the RUN lines of a Dockerfile that does not ask for them.

Package registry addresses, Go module settings and a private CA are passed as build secrets, so no layer, history entry or build
argument holds them. If the engine supports secrets as variables (``env=``), every RUN gets its own. Older engines support only
files, which a RUN must read first, and that would show in its text. So only stages outside the final image do that; if
the image itself needs one, the user is told what to write (``lacked``).

Each RUN gets only what its own programs understand. Credentials go only where the suite names them (``secrets: netrc``, ``ssh``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deadweight._errors import wording
from deadweight.builders.shared.diagnosis import filled_pattern, named_patterns
from deadweight.sources.adapt_dockerfile import Added, Run
from deadweight.sources.settings import NETWORK

FOLDER = "/run/secrets"
CA, JAVA, MAVEN = "ca_bundle", "java_trust_store", "maven_settings"
NETRC, NPMRC, KNOWN_HOSTS = CREDENTIALS = ("netrc", "npmrc", "known_hosts")
"""Secrets that count only where the suite names them."""
ENVIRONMENT = "deadweight_environment"  # the id of the file of variables, for engines that give files alone
PLACE = "DEADWEIGHT_PLACE_"
"""What the client's environment calls the values that are the place of another secret."""

_PATTERNS = named_patterns(NETWORK["patterns"])
_TOOLS = [(row["variables"], re.compile(filled_pattern(row["read_by"], _PATTERNS))) for row in NETWORK["program"]]
_SECRETS = NETWORK["secrets"]
_PLACES: Mapping[str, Mapping[str, str]] = {name: secret["variables"] for name, secret in _SECRETS.items()}
"""Variables that name the file of a secret, or how it is read."""
_HOME = {name: secret["home"] for name, secret in _SECRETS.items() if "home" in secret}
_ASKED_BY = {name: re.compile(filled_pattern(secret["read_by"], _PATTERNS)) for name, secret in _SECRETS.items()}
_SSH = re.compile(_PATTERNS["ssh"])


@dataclass(frozen=True)
class Reach:
    """``variables`` by name, ``files`` by id (of ``_PLACES``), as the client offers them. ``direct``: the engine knows ``env=``.

    ``in_image`` are the stages, from 0, whose instructions make the image's own layers. ``lacked`` collects what was not given.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    ssh: bool = False
    direct: bool = True
    in_image: frozenset[int] = frozenset()
    lacked: list[tuple[int, tuple[str, ...]]] = field(default_factory=list, compare=False)

    def added(self, run: Run) -> Added:
        """What a RUN's line gets."""
        names = [name for name in self.variables if _understood(name, run.command) and f"id={name}" not in run.command]
        files = [name for name in self.files if _ASKED_BY[name].search(run.command) and f"id={name}" not in run.command]
        ssh = ("--mount=type=ssh",) if self.ssh and _SSH.search(run.command) and "type=ssh" not in run.command else ()
        if not names and not files:
            return Added(ssh)
        mounted = tuple(f"--mount=type=secret,id={name},mode=0444" for name in files)
        if self.direct:
            given = [(name, name) for name in names]
            given += [(_id(name, variable), variable) for name in files for variable in _PLACES[name]]
            return Added((*ssh, *mounted, *(f"--mount=type=secret,id={id_},env={name}" for id_, name in given)))
        if run.plain and run.stage not in self.in_image:
            file = f"--mount=type=secret,id={ENVIRONMENT},mode=0444"
            return Added((*ssh, *mounted, file), f". {FOLDER}/{ENVIRONMENT}; ")
        self.lacked.append((run.line, (*names, *files)))
        return Added(ssh)

    def secrets(self, work: Path) -> list[str]:
        """What the client has to offer beside the variables and the files themselves, as arguments."""
        if self.direct:
            return [part for id_ in self.environment() for part in ("--secret", f"id={id_},env={id_}")]
        values = dict(self.variables)
        for name in self.files:
            values |= _PLACES[name]
        if not values:
            return []
        file = work / "environment"
        file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
        return ["--secret", f"id={ENVIRONMENT},src={file}"]

    def environment(self) -> dict[str, str]:
        """What the client's own environment has to hold for that."""
        if not self.direct:
            return {}
        return {_id(name, variable): value for name in self.files for variable, value in _PLACES[name].items()}

    def advice(self, line: int | None) -> str:
        """Which of these the instruction at ``line`` needed and did not get, and what to write there; else empty."""
        names = next((names for at, names in self.lacked if at == line), ())
        if not names:
            return ""
        mounts = " ".join(
            f"--mount=type=secret,id={name}{f',target={_HOME[name]}' if name in _HOME else ''}" for name in names
        )
        exports = "".join(f"{_export(name)}; " for name in names if name not in _HOME)
        lacked = " and ".join(names)
        return wording("dockerfile.secrets_lacked", names=lacked, mounts=mounts, exports=exports)


def _understood(name: str, command: str) -> bool:
    """Whether a program of the command reads this variable; one of nobody's that is known, which the user named, is everybody's."""
    tools = [pattern for variables, pattern in _TOOLS if name in variables]
    return any(pattern.search(command) for pattern in tools) if tools else True


def _id(name: str, variable: str) -> str:
    """The id under which the client offers a variable's value: one for all that hold the same place."""
    value = _PLACES[name][variable]
    return f"{PLACE}{name}" if list(_PLACES[name].values()).index(value) == 0 else f"{PLACE}{variable}"


def _export(name: str) -> str:
    if name in _PLACES:
        shown = list(_PLACES[name].items())[: 4 if name == CA else 1]
        return "export " + " ".join(f"{variable}={_quoted(value)}" for variable, value in shown)
    return f'export {name}="$(cat {FOLDER}/{name})"'


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value
