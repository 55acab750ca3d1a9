"""Why a build failed, and what helps. One table for each kind of tool: pattern → cause → next step.

A table is asked from its top; the first cause of which a line is found is the one. Lines are a tool's own words, without
digests, progress and time stamps. ``{0}`` is a pattern's first group. Where ``told`` is empty the tool says it well itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deadweight import _disk
from deadweight.builders.shared.common import OFFLINE_VARIABLE


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


@dataclass(frozen=True)
class Found:
    """A cause with what the tool named filled in, and the line that it was told by."""

    told: str
    step: str
    line: str
    reach: bool = False

    def outweighs(self, compiler: Sequence[str]) -> bool:
        """Whether this is the cause although a compiler complained: of something that it could not fetch or write."""
        return bool(self.told) and (not compiler or "://" in self.line or bool(_disk.FULL.search(self.line)))


def found(table: Iterable[Cause], lines: Sequence[str], *, stand_in: bool = False) -> Found | None:
    """The first cause of the table that one of these lines tells of."""
    for cause in table:
        for line in lines:
            match = re.search(cause.pattern, line)
            if match:
                words = [group or "" for group in match.groups()]
                step = cause.stand_in if stand_in and cause.stand_in else cause.step
                return Found(cause.told.format(*words), step.format(*words), line, cause.reach)
    return None


_SCRIPT = r"^(?:[\w/.-]*\bsh: )?(?:\d+: |line \d+: )*"
_UNTRUSTED = (
    r"signed by unknown authority|self[- ]signed certificate|unable to get (?:local )?issuer certificate"
    r"|CERTIFICATE_VERIFY_FAILED|SSL certificate problem|[Cc]ertificate verif(?:y|ication) failed"
    r"|Unable to locally verify the issuer's authority"
    r"|tlsv1 alert unknown ca|invalid peer certificate: UnknownIssuer|server certificate verification failed"
)
_PKIX = r"PKIX path building failed|unable to find valid certification path"
_NO_JAVA_CERTIFICATE = r"\(((?:bad_)?certificate(?:_\w+)?|unsupported_certificate)\) (.+)"
_NO_BUNDLE = (
    r"error setting certificate (?:verify locations|file|path)|suitable TLS CA certificate bundle"
    r"|unable to load CA certificates"
)
_ANSWERED = r"[Cc]ould not transfer artifact .*status(?: code)?: (\d{3})"
_WRONG_CERTIFICATE = r"(x509: certificate (?:has expired|is valid for|is not valid|relies on)[^\"]*)"
_NO_NAME = (
    r"[Nn]ame resolution|Could not resolve host|bad address '|no such host|Name or service not known|UnknownHostException"
    r"|temporary error \(try again later\)|EAI_AGAIN|ENOTFOUND|dns error: failed to lookup"
)
_NO_ANSWER = (
    r"[Cc]onnection refused|i/o timeout|[Cc]onnection timed out|TLS handshake timeout|Network is unreachable"
    r"|Failed to connect to |ECONNREFUSED|ETIMEDOUT"
)
_NETWORK = (
    "invoke doctor shows proxies and what is in reach; docs/how-to/engine.md explains engines without network access"
)
_MOUNT_CA = (
    "set your CA (invoke setup --ca-bundle FILE) and mount it where it is needed: RUN --mount=type=secret,id=ca_bundle"
    " SSL_CERT_FILE=/run/secrets/ca_bundle … (docs/how-to/sources.md)"
)

CLIENT = (
    Cause(
        r"client version ([\d.]+) is too old\. Minimum supported API version is ([\d.]+)",
        "the Docker client is too old for this engine: it speaks API {0}, the engine wants {1} or later",
        "install a newer docker client, or invoke setup --bench, which gets a buildx that speaks it; or let the engine accept"
        ' the old one: "min-api-version": "{0}" in its daemon.json; DOCKER_API_VERSION must not be set',
    ),
    Cause(
        r"client version ([\d.]+) is too new\. Maximum supported API version is ([\d.]+)",
        "the Docker client is too new for this engine: it speaks API {0}, the engine up to {1}",
        "DOCKER_API_VERSION={1} makes the client speak it; or update the engine",
    ),
    Cause(
        r"buildkit not supported by daemon",
        "this Docker client and this engine cannot build with BuildKit together",
        "BuildKit needs Docker Engine 18.09 or later: update the engine; if DOCKER_API_VERSION is set, unset it",
    ),
    Cause(
        r"BuildKit is enabled but the buildx component is missing",
        "this Docker client builds with buildx only, which is missing",
        "install it with invoke setup",
    ),
    Cause(
        r"Cannot connect to the Docker daemon|error during connect",
        "the container engine does not answer",
        "invoke doctor shows which engine is used; invoke setup starts one",
    ),
    Cause(
        r"dockerfile parse error|failed to create LLB definition|unknown flag|requires the BuildKit",
        "",
        "the engine's BuildKit does not understand this Dockerfile: check its spelling, or use a newer engine",
    ),
)
"""What stands in the way before anything is built."""

_ENGINE_FULL = Cause(
    r"(?i)no space left on device|disk quota exceeded",
    "the engine's disk is full",
    "docker system df shows what fills it; docker builder prune frees its build cache, docker image prune images without a name",
)
_ENGINE_DAMAGED = Cause(
    r"stat (/\S+/overlay2/\w+): no such file or directory",
    "the engine's data is incomplete: {0} is missing",
    "docker builder prune --all clears the build cache that refers to it (add -H HOST if invoke doctor shows a host); "
    "then build again",
)
_ENGINE = (_ENGINE_FULL, _ENGINE_DAMAGED)
PULL = (
    *_ENGINE,
    Cause(
        rf"{_UNTRUSTED}|x509: ",
        "the engine does not trust the registry's certificate",
        "the engine pulls by itself and must trust a private CA too: copy it to /etc/docker/certs.d/REGISTRY/ca.crt on the"
        " engine's machine (docs/how-to/sources.md)",
    ),
    Cause(
        r"toomanyrequests|429 Too Many",
        "the registry's pull limit is reached",
        "docker login raises the limit; or use a mirror",
    ),
    Cause(
        r"pull access denied|manifest unknown|manifest for \S+ not found|failed to resolve source metadata|: not found"
        r"|unauthorized|insufficient_scope|no match for platform",
        "",
        "the base image does not exist, or you may not pull it: check bases: in the variant",
    ),
    Cause(rf"{_NO_NAME}|{_NO_ANSWER}", "", "the registry cannot be reached: see invoke doctor"),
)
"""Where a base or another image is fetched."""

COPY = (
    *_ENGINE,
    Cause(
        r'(?:"([^"]+)": |"([^"]+)" |lstat (?:/\S+?/(?:merged|fs|diff))?(/?\S+): )(?:not found|no such file or directory)',
        "{0}{1}{2} is not in the build context",
        "paths in a Dockerfile are relative to the variant's source: folder; check that the file exists and "
        "that .dockerignore does not exclude it",
    ),
    Cause(
        r"no source files were specified|not a directory",
        "",
        "paths in a Dockerfile are relative to the variant's source: folder",
    ),
)
COPY_FROM = (
    *_ENGINE,
    Cause(
        r'(?:"([^"]+)": |"([^"]+)" |lstat (?:/\S+?/(?:merged|fs|diff))?(/?\S+): )(?:not found|no such file or directory)',
        "{0}{1}{2} is not in the stage or image that COPY --from names",
        "an earlier instruction has to write it there: compare this path with that of the instruction (go build -o PATH, WORKDIR)",
        stand_in="an earlier instruction has to write it there (go build -o PATH, WORKDIR); or the public image has it, and its"
        " local stand-in lacks it: invoke setup --source registry builds from the public one",
    ),
)
"""Where one stage, or another image, is copied from."""

_PRIVATE = (
    r"(?:module )?([\w.-]+\.[\w.-]+/[\w./~-]+)(?:@[\w.+-]+)?: (?:reading|invalid version|unrecognized import path|git ls-remote)"
    r"[^\n]*(?:40[134]|410|exit status 128|terminal prompts disabled)"
)
GO = (
    Cause(
        r"go\.mod requires go >= ([\d.]+) \(running go ([\d.]+)",
        "the module asks for Go {0}, and this is Go {1}",
        "use a base with that Go (golang:{0}); ko and melange use this machine's Go (invoke doctor shows it)",
    ),
    Cause(
        _PRIVATE,
        "the module {0} cannot be fetched: it is private, or it does not exist",
        "if it is private, set GOPRIVATE to its host and give the build credentials: docs/how-to/sources.md",
    ),
    Cause(
        r"could not read (?:Username|Password) for '([^']+)'",
        "{0} asks for credentials, and the build has none",
        "give them to the build (.netrc, a token, an SSH agent): docs/how-to/sources.md",
    ),
)
"""Go's own words, in a RUN and on this machine."""

RUN = (
    *GO,
    *_ENGINE,
    Cause(
        _PKIX,
        "Java does not trust a server's certificate",
        "Java reads a trust store of its own: mount the one made of ca_bundle: RUN --mount=type=secret,id=java_trust_store …"
        " (docs/how-to/sources.md)",
        reach=True,
    ),
    Cause(
        _NO_JAVA_CERTIFICATE,
        "Java refuses a server's certificate: {1}",
        "check its dates, host names and issuer with openssl s_client -connect HOST:PORT",
    ),
    Cause(
        _WRONG_CERTIFICATE,
        "a server's certificate is not valid: {0}",
        "check the clock of the engine's machine, and the host name",
    ),
    Cause(
        _NO_BUNDLE,
        "the image has no CA certificates at this step, so no server can be trusted",
        "install them in an earlier instruction: apt-get install ca-certificates, apk add ca-certificates",
    ),
    Cause(
        _UNTRUSTED,
        "a server's certificate is signed by a CA that this build step does not trust",
        _MOUNT_CA,
        reach=True,
    ),
    Cause(
        _SCRIPT + r"(apk|apt-get|apt|dnf|yum|microdnf|zypper|pacman): (?:command )?not found",
        "the base image has no {0}",
        "use a base of the distribution that has {0}, or copy the files from a stage that has them (COPY --from)",
        stand_in="the base is a local stand-in without {0}: invoke setup --source registry (or mirror) builds from the public"
        " image; or copy the files from a stage that has them (COPY --from)",
    ),
    Cause(
        _SCRIPT + r"([\w.+/-]+): (?:command )?not found$",
        "{0} is not in the image at this step",
        "install {0} in an earlier instruction, or use a base that has it",
        stand_in="install {0} in an earlier instruction, or use a base that has it; the base is a local stand-in, which has less"
        " than the public image (invoke setup --source registry)",
    ),
    Cause(
        r'exec: "(/bin/(?:ba)?sh)": stat \S+ no such file|exec (/bin/(?:ba)?sh): no such file',
        "the base image has no shell, and RUN needs one",
        "move RUN to a stage that has a shell, and copy its result (COPY --from)",
    ),
    Cause(
        r"E: Unable to locate package (\S+)|E: Package '([^']+)' has no installation candidate",
        "apt has no package {0}{1}",
        "run apt-get update in the same RUN; is {0}{1} the package's name in this release of the distribution?",
        stand_in="the base is a local stand-in, which names no package sources: apt-get update succeeds there and finds nothing."
        " invoke setup --source registry (or mirror) builds from the public image; or take the files out of a stage that has"
        " them (COPY --from)",
    ),
    Cause(
        r"(?:unable to select packages|ERROR: unable to select)|^\s+(\S+) \(no such package\)",
        "apk has no such package",
        "check its name in this release of Alpine: pkgs.alpinelinux.org",
    ),
    Cause(
        _ANSWERED,
        "a Maven repository answers with status {0}",
        "for 401 and 403, add credentials under <servers> in the settings.xml that the secret maven_settings mounts "
        "(docs/how-to/sources.md)",
    ),
    Cause(rf"{_NO_NAME}|[Cc]ould not transfer artifact", "a build step cannot reach the network", _NETWORK, reach=True),
    Cause(_NO_ANSWER, "a build step gets no answer from the network", _NETWORK, reach=True),
    Cause(
        r"exit code: 137\b|signal: killed|SIGKILL",
        "a build step was killed, most likely because it ran out of memory",
        "give the engine more memory, or compile with fewer jobs (GOFLAGS=-p=1, MAVEN_OPTS=-Xmx512m)",
    ),
)
"""Where a program runs within the build."""

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
        _WRONG_CERTIFICATE,
        "a server's certificate is not valid: {0}",
        "check this machine's clock, and the host name",
    ),
    Cause(
        _UNTRUSTED,
        "a server's certificate is signed by a CA that this machine does not trust",
        "set your CA: invoke setup --ca-bundle FILE (docs/how-to/sources.md)",
    ),
    Cause(rf"{_NO_NAME}|{_NO_ANSWER}", "a module proxy, registry or repository does not answer", _NETWORK),
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
        _PKIX,
        "Java does not trust a server's certificate",
        "set your private CA: invoke setup --ca-bundle FILE (docs/how-to/sources.md)",
    ),
    Cause(
        _NO_JAVA_CERTIFICATE,
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
