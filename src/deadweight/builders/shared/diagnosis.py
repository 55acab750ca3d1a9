"""Why a build failed, and what helps. One table for each kind of tool: pattern → cause → next step.

A table is asked from its top; the first cause of which a line is found is the one. Lines are a tool's own words, without
digests, progress and time stamps. ``{0}`` is a pattern's first group. Where ``told`` is empty the tool says it well itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from deadweight import _disk
from deadweight.builders.shared.common import OFFLINE_VARIABLE


class Code(Enum):
    """What kind of cause it is."""

    UNKNOWN = "unknown"
    CERTIFICATE = "certificate"
    CLIENT = "client"
    COMPILER = "missing_compiler"
    CREDENTIALS = "credentials"
    DISK_FULL = "disk_full"
    ENGINE = "engine"
    FILE = "missing_file"
    HASHES = "old_hashes"
    HEADER = "missing_header"
    LOCK = "lock"
    MEMORY = "out_of_memory"
    NETWORK = "network"
    NOT_COMPILED = "not_compiled"
    PACKAGE = "missing_package"
    PEERS = "conflict"
    PROGRAM = "missing_program"
    SYNTAX = "syntax"
    TEST = "failed_test"
    VARIABLE = "missing_variable"
    VERSION = "wrong_version"


@dataclass(frozen=True)
class Cause:
    """``told`` is what is wrong, ``step`` what to do next; ``stand_in`` replaces that on a base that is a local stand-in.

    ``reach``: something was not reached, or not trusted, for which the build may lack what this machine has.
    """

    pattern: str
    told: str
    step: str
    stand_in: str = ""
    reach: bool = False
    code: Code = Code.UNKNOWN


@dataclass(frozen=True)
class Found:
    """A cause with what the tool named filled in, and the line that it was told by."""

    told: str
    step: str
    line: str
    reach: bool = False
    code: Code = Code.UNKNOWN

    def outweighs(self, compiler: Sequence[str]) -> bool:
        """Whether this is the cause although a compiler complained: of something that it could not fetch or write."""
        decisive = self.code in _DECISIVE or "://" in self.line or bool(_disk.FULL.search(self.line))
        return bool(self.told) and (not compiler or decisive)


_DECISIVE = frozenset((Code.SYNTAX, Code.TEST, Code.LOCK, Code.HEADER, Code.COMPILER, Code.VERSION))
"""What compilers complain of too, said better."""


LAST_LINES = 100
_LEVEL = re.compile(
    r"^\W*(?:\S+\s+){0,3}?\[?(?:(TRACE|DEBUG|INFO|NOTICE)|WARN(?:ING)?)\b\]?|^npm (?:(notice)|warn)\b", re.ASCII
)
"""The level of a line that is no error, behind at most a time and a name; the group is empty for a warning."""


def found(table: Iterable[Cause], lines: Sequence[str], *, stand_in: bool = False) -> Found | None:
    """The first cause of the table that one of the last lines tells of. What a program said long before it failed, or for
    information, is no cause; what it warns of is one only if no other line tells of any."""
    last = [(_LEVEL.search(line), line) for line in lines[-LAST_LINES:]]
    errors = [line for level, line in last if level is None]
    warnings = [line for level, line in last if level is not None and not any(level.groups())]
    table = tuple(table)
    cause = _first(table, errors, stand_in=stand_in) or _first(table, warnings, stand_in=stand_in)
    if cause is None or cause.code is not Code.PACKAGE:
        return cause
    network = tuple(each for each in table if each.code is Code.NETWORK)  # an index that is not reached has no packages
    return _first(network, [*errors, *warnings], stand_in=stand_in) or cause


def _first(table: Sequence[Cause], lines: Sequence[str], *, stand_in: bool) -> Found | None:
    for cause in table:
        for line in lines:
            match = re.search(cause.pattern, line)
            if match:
                words = [group or "" for group in match.groups()]
                step = cause.stand_in if stand_in and cause.stand_in else cause.step
                return Found(cause.told.format(*words), step.format(*words), line, cause.reach, cause.code)
    return None


UNTRUSTED = (
    r"signed by unknown authority|self[- ]signed certificate|unable to get (?:local )?issuer certificate"
    r"|CERTIFICATE_VERIFY_FAILED|SSL certificate problem|[Cc]ertificate verif(?:y|ication) failed"
    r"|Unable to locally verify the issuer's authority"
    r"|tlsv1 alert unknown ca|invalid peer certificate: UnknownIssuer|server certificate verification failed"
)
PKIX = r"PKIX path building failed|unable to find valid certification path"
NO_JAVA_CERTIFICATE = r"\(((?:bad_)?certificate(?:_\w+)?|unsupported_certificate)\) (.+)"
WRONG_CERTIFICATE = r"(x509: certificate (?:has expired|is valid for|is not valid|relies on)[^\"]*)"
NO_NAME = (
    r"[Nn]ame resolution|Temporary failure resolving|Could not resolve host|bad address '"
    r"|no such host|Name or service not known|UnknownHostException"
    r"|temporary error \(try again later\)|EAI_AGAIN|ENOTFOUND|dns error: failed to lookup"
)
NO_ANSWER = (
    r"[Cc]onnection refused|i/o timeout|[Cc]onnection timed out|TLS handshake timeout|Network is unreachable"
    r"|Failed to connect to |ECONNREFUSED|ETIMEDOUT"
)
NETWORK = (
    "invoke doctor shows proxies and what is in reach; docs/how-to/engine.md explains engines without network access"
)


PRIVATE = (
    r"(?:module )?([\w.-]+\.[\w.-]+/[\w./~-]+)(?:@[\w.+-]+)?: (?:reading|invalid version|unrecognized import path|git ls-remote)"
    r"[^\n]*(?:40[0134]|410|exit status 128|terminal prompts disabled)"
)
GO = (
    Cause(
        r"go\.mod requires go >= ([\d.]+) \(running go ([\d.]+)",
        "the module asks for Go {0}, and this is Go {1}",
        "use a base with that Go (golang:{0}); ko and melange use this machine's Go (invoke doctor shows it)",
        code=Code.VERSION,
    ),
    Cause(
        PRIVATE,
        "the module {0} cannot be fetched: it is private, or it does not exist",
        "if it is private, set GOPRIVATE to its host and give the build credentials: docs/how-to/sources.md",
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"could not read (?:Username|Password) for '([^']+)'",
        "{0} asks for credentials, and the build has none",
        "give them to the build (.netrc, a token, an SSH agent): docs/how-to/sources.md",
        code=Code.CREDENTIALS,
    ),
)
"""Go's own words, in a RUN and on this machine."""


_GRADLES = r"gradle(?:-dn)?\.(?:org|com)"
GRADLE = (
    Cause(
        rf"UnknownHostException: (?:services|downloads)\.{_GRADLES}|org\.gradle\.wrapper\.(?:Download|Install)"
        r"|Downloading from \S+/gradle-\S+\.zip failed|Could not install Gradle distribution from",
        "Gradle's wrapper cannot fetch the Gradle that it is for",
        "let the build reach services.gradle.org (proxies: docs/how-to/engine.md), or set distributionUrl in"
        " gradle/wrapper/gradle-wrapper.properties to a mirror of yours; in an image that has Gradle (gradle:8-jdk21),"
        " gradle takes the wrapper's place",
        code=Code.NETWORK,
    ),
    Cause(
        rf"UnknownHostException: plugins(?:-artifacts)?\.{_GRADLES}|Could not GET 'https://plugins\.{_GRADLES}",
        "Gradle cannot reach its plug-in portal",
        "let the build reach plugins.gradle.org (proxies: docs/how-to/engine.md), or name a repository that has the plug-ins"
        " under pluginManagement in settings.gradle",
        code=Code.NETWORK,
    ),
)
"""What Gradle has from its makers' own hosts, and from no registry of packages."""


NATIVE = (
    *GO,
    Cause(
        r"importpath is not `package main`",
        "the package is not a program (its package is not main)",
        "set main: in the variant to the folder with package main, such as ./cmd/NAME"
        " (go list -f '{{{{.Name}}}} {{{{.Dir}}}}' ./... shows them)",
    ),
    Cause(
        r"(?:no required module provides|cannot find package|is not in std|no Go files in|directory not found).*",
        "",
        "check that main: in the variant is a folder of this module; go list ./... shows its packages",
    ),
    Cause(
        WRONG_CERTIFICATE,
        "a server's certificate is not valid: {0}",
        "check this machine's clock, and the host name",
    ),
    Cause(
        UNTRUSTED,
        "a server's certificate is signed by a CA that this machine does not trust",
        "set your CA: invoke setup --ca-bundle FILE (docs/how-to/sources.md)",
    ),
    Cause(rf"{NO_NAME}|{NO_ANSWER}", "a module proxy, registry or repository does not answer", NETWORK),
    Cause(
        r"(?:could not find package|nothing provides|unable to find|no such package)[^\"]*\"?([\w.+-]+)",
        "",
        "check its name in the source's APK repositories (invoke doctor lists them)",
    ),
)
"""ko, melange and apko: they run on this machine and speak Go's network library."""

_ARTIFACT = r"([\w.-]+:[\w.-]+:(?:[\w.-]+:)*[\w.-]+)"
_OFFLINE_HINT = (
    f"check network and proxies (invoke doctor); {OFFLINE_VARIABLE}=1 builds from Maven's local repository alone"
)

JAVA = (
    *GRADLE,
    Cause(
        r"Cannot run Jib in offline mode",
        "",
        f"the base is not in Jib's cache: build once with network access, without {OFFLINE_VARIABLE}",
    ),
    Cause(
        r"in offline mode",
        "",
        f"it is not in Maven's local repository: build once with network access, without {OFFLINE_VARIABLE}",
    ),
    Cause(
        r"for offline mode",
        "",
        f"it is not in Gradle's cache: build once with network access, without {OFFLINE_VARIABLE}",
    ),
    Cause(
        r"make sure you have packaged your project",
        "",
        "the project must be packaged first: set args: {{jib.containerizingMode: packaged}}",
    ),
    Cause(
        r"Could not transfer artifact .* status(?: code)?: 40[13]",
        "",
        "the Maven repository requires credentials: set <servers> in ~/.m2/settings.xml",
    ),
    Cause(
        r"407 Proxy|status(?: code)?: 407|[Pp]roxy [Aa]uthentication",
        "",
        "the proxy requires a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    ),
    Cause(
        r"[Cc]redentials for .* not sent because the connection was over HTTP",
        "",
        "the registry requires credentials, which Jib sends over TLS only",
    ),
    Cause(
        r"(?:401 Unauthorized|Unauthorized for|credentials for '?([\w.:/-]+)'? are set up)",
        "",
        "the registry requires credentials: log in with `docker login`",
    ),
    Cause(r"does not contain an image for architecture=", "", "choose a base image for this architecture"),
    Cause(
        PKIX,
        "Java does not trust a server's certificate",
        "set your private CA: invoke setup --ca-bundle FILE (docs/how-to/sources.md)",
    ),
    Cause(
        NO_JAVA_CERTIFICATE,
        "Java refuses a server's certificate: {1}",
        "check its dates, host names and issuer with openssl s_client -connect HOST:PORT",
    ),
    Cause(rf"(?:artifact|dependency:?|plugin) {_ARTIFACT}", "", _OFFLINE_HINT),
    Cause(r"Could not (?:resolve|transfer|find)|resolution (?:is not|will not be) reattempted", "", _OFFLINE_HINT),
    Cause(
        r"Main class was not found|main class.*not (?:found|a valid)",
        "",
        "set the main class in the variant: main: com.example.Main",
    ),
    Cause(r"Multiple valid main classes were found: ([\w.$, ]*[\w$])", "", "choose one in the variant: main: {0}"),
    Cause(
        r"release version (\d+) not supported|invalid target release: (\d+)",
        "",
        "the service requires a newer JDK; invoke doctor shows the one in use",
    ),
    Cause(
        r"jib-\w+-plugin:\S+ failed: Unsupported class file major version",
        "",
        "the build file names a version of Jib that is too old for this JDK: use a later version, or remove it",
    ),
    Cause(r"No such file or directory|NoSuchFileException", "", "see the log for the whole output"),
)
"""Maven, Gradle and Jib."""
