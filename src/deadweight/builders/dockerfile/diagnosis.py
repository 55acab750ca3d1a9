"""Why a step of a Dockerfile failed, and what helps: one table for each kind of instruction."""

from __future__ import annotations

from deadweight.builders.dockerfile.missing_credentials import CREDENTIALS
from deadweight.builders.shared.diagnosis import (
    GO,
    GRADLE,
    NETWORK,
    NO_ANSWER,
    NO_JAVA_CERTIFICATE,
    NO_NAME,
    PKIX,
    UNTRUSTED,
    WRONG_CERTIFICATE,
    Cause,
    Code,
)

_SCRIPT = r"^(?:[\w/.-]*\bsh: |[\w/.-]+: (?=line ))?(?:\d+: |line \d+: )*"
_NO_BUNDLE = (
    r"error setting certificate (?:verify locations|file|path)|suitable TLS CA certificate bundle"
    r"|unable to load CA certificates"
)
_ANSWERED = r"[Cc]ould not transfer artifact .*status(?: code)?: (\d{3})"
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
        code=Code.CLIENT,
    ),
    Cause(
        r"client version ([\d.]+) is too new\. Maximum supported API version is ([\d.]+)",
        "the Docker client is too new for this engine: it speaks API {0}, the engine up to {1}",
        "DOCKER_API_VERSION={1} makes the client speak it; or update the engine",
        code=Code.CLIENT,
    ),
    Cause(
        r"buildkit not supported by daemon",
        "this Docker client and this engine cannot build with BuildKit together",
        "BuildKit needs Docker Engine 18.09 or later: update the engine; if DOCKER_API_VERSION is set, unset it",
        code=Code.CLIENT,
    ),
    Cause(
        r"BuildKit is enabled but the buildx component is missing",
        "this Docker client builds with buildx only, which is missing",
        "install it with invoke setup",
        code=Code.CLIENT,
    ),
    Cause(
        r"Cannot connect to the Docker daemon|error during connect",
        "the container engine does not answer",
        "invoke doctor shows which engine is used; invoke setup starts one",
        code=Code.ENGINE,
    ),
    Cause(
        r"dockerfile parse error (?:on )?(line \d+: [Uu]nknown (?:flag|instruction): [\w-]+)",
        "the engine's BuildKit does not understand the Dockerfile ({0})",
        "check its spelling, or use a newer engine: invoke doctor shows which one is used",
        code=Code.CLIENT,
    ),
    Cause(
        r"dockerfile parse error|failed to create LLB definition|unknown flag|requires the BuildKit",
        "",
        "the engine's BuildKit does not understand this Dockerfile: check its spelling, or use a newer engine",
        code=Code.CLIENT,
    ),
)
"""What stands in the way before anything is built."""
_ENGINE_FULL = Cause(
    r"(?i)no space left on device|disk quota exceeded",
    "the engine's disk is full",
    "docker system df shows what fills it; docker builder prune frees its build cache, docker image prune images without a name",
    code=Code.DISK_FULL,
)
_ENGINE_DAMAGED = Cause(
    r"stat (/\S+/overlay2/\w+): no such file or directory",
    "the engine's data is incomplete: {0} is missing",
    "docker builder prune --all clears the build cache that refers to it (add -H HOST if invoke doctor shows a host); "
    "then build again",
    code=Code.ENGINE,
)
_ENGINE = (_ENGINE_FULL, _ENGINE_DAMAGED)
PULL = (
    *_ENGINE,
    Cause(
        rf"{UNTRUSTED}|x509: ",
        "the engine does not trust the registry's certificate",
        "the engine pulls by itself and must trust a private CA too: copy it to /etc/docker/certs.d/REGISTRY/ca.crt on the"
        " engine's machine (docs/how-to/sources.md)",
        code=Code.CERTIFICATE,
    ),
    Cause(
        r"toomanyrequests|429 Too Many",
        "the registry's pull limit is reached",
        "docker login raises the limit; or use a mirror",
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"pull access denied|manifest unknown|manifest for \S+ not found|failed to resolve source metadata|: not found"
        r"|unauthorized|insufficient_scope|no match for platform",
        "",
        "the base image does not exist, or you may not pull it: check bases: in the variant",
        code=Code.PACKAGE,
    ),
    Cause(rf"{NO_NAME}|{NO_ANSWER}", "", "the registry cannot be reached: see invoke doctor", code=Code.NETWORK),
)
"""Where a base or another image is fetched."""
COPY = (
    *_ENGINE,
    Cause(
        r'(?:"([^"]+)": |"([^"]+)" |lstat (?:/\S+?/(?:merged|fs|diff))?(/?\S+): )(?:not found|no such file or directory)',
        "{0}{1}{2} is not in the build context",
        "paths in a Dockerfile are relative to the variant's source: folder; check that the file exists and "
        "that .dockerignore does not exclude it",
        code=Code.FILE,
    ),
    Cause(
        r"no source files were specified|not a directory",
        "",
        "paths in a Dockerfile are relative to the variant's source: folder",
        code=Code.FILE,
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
        code=Code.FILE,
    ),
)
"""Where one stage, or another image, is copied from."""
LOCK = "the lock file does not fit the package's manifest"
_LOCKS = Cause(
    r"can only install (?:packages )?when your package\.json and|ERR_PNPM_OUTDATED_LOCKFILE|Your lockfile needs to be updated"
    r"|lockfile would have been modified by this install|can only install with an existing package-lock",
    LOCK,
    "npm install, pnpm install or yarn install on your machine writes it anew: commit it",
    code=Code.LOCK,
)
UNCOMPILED = "a module of npm's does not compile with this version of Node"
PEERS = "packages of npm's ask for versions of another package that do not go together"
_PEERS = Cause(
    r"npm (?:error|ERR!) (?:code )?ERESOLVE\b",
    PEERS,
    "npm install --legacy-peer-deps installs them all the same; newer versions of these packages may agree",
    code=Code.PEERS,
)
OLD_HASHES = "a bundler asks for a hash that OpenSSL 3 lacks, which Node has from version 17 on"
_OLD_HASHES = Cause(
    r"ERR_OSSL_EVP_UNSUPPORTED|error:0308010C:digital envelope routines",
    OLD_HASHES,
    "NODE_OPTIONS=--openssl-legacy-provider before the command lets it have that hash; a newer version of the bundler needs none",
    code=Code.HASHES,
)
WANTS_VARIABLES = "the build wants variables of the environment that are not set"
_WANTS_VARIABLES = Cause(
    r"(?i:environment variables?\b[^.]{0,60}\b(?:not|missing|invalid|unset|undefined|required|inside)\b)"
    r"|(?i:\b(?:missing|invalid|undefined|define)\b[^.]{0,60}\benvironment variables?)"
    r"|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b[\"'`]? (?:is |are |was )?(?:not set|not defined|missing|required|undefined)\b"
    r"|supabaseUrl is required|URL and Key are required|Neither apiKey nor|[Mm]issing API key",
    WANTS_VARIABLES,
    "ENV in the stage that builds sets those that are no secrets; the others: secrets: in the variant, mounted in that RUN",
    code=Code.VARIABLE,
)
_OF_CODE = (
    Cause(
        r"^FAILED \S+::|^--- FAIL: |^Tests:\s+\d+ failed|There are test failures|^test result: FAILED|^FAILED \(\w+=\d"
        r"|Tests run: \d+, Failures: [1-9]|^=+ \d+ failed",
        "a test fails in the build",
        "run that test on your machine; an image can also be built without its tests",
        code=Code.TEST,
    ),
    Cause(
        r"\bSyntaxError: |syntax error near unexpected token|[Ss]yntax error, unexpected|:\d+: syntax error: ",
        "a file has a syntax error",
        "correct the line that it names; an older interpreter may not know newer syntax",
        code=Code.SYNTAX,
    ),
    Cause(
        r"missing go\.sum entry|updates to go\.(?:mod|sum) needed|lock ?file .*needs to be updated|(?:Pipfile|poetry)\.lock\b.*"
        r"(?:out of date|last generated)|missing from your lockfile|deployment mode after changing",
        "the lock file does not fit the manifest",
        "write it anew on your machine and commit it: go mod tidy, cargo update, uv lock, poetry lock, pipenv lock, bundle install",
        code=Code.LOCK,
    ),
    Cause(
        r"ResolutionImpossible|have conflicting dependencies",
        "packages ask for versions of another package that do not go together",
        "change the versions in the list, or leave one of them open",
        code=Code.PEERS,
    ),
    Cause(
        r"requires a different Python: (\S+)|engine \"\w+\" is incompatible with this module\.(.*)|requires rustc ([\d.]+)"
        r"|(?:invalid target release|release version):? (\d+)|your php version \(([\d.]+)\) does not satisfy|code EBADENGINE",
        "the language's version does not suit the code or a package",
        "use a base with the version that is asked for",
        code=Code.VERSION,
    ),
    Cause(
        r"fatal error: (\S+\.h(?:pp)?): No such file|cannot find -l([\w+.-]+)|Could not find directory of (OpenSSL)"
        r"|No package '([^']+)' found",
        "{0}{1}{2}{3}, with which a package is compiled, is not in the image at this step",
        "install its development package in an earlier instruction (Debian: -dev, Alpine: -dev, Fedora: -devel)",
        code=Code.HEADER,
    ),
    Cause(
        r"you need a C compiler|C compiler \"[^\"]+\" not found|not found: make$|install development tools first"
        r"|no acceptable C compiler",
        "a compiler is not in the image at this step, and a package is compiled with it",
        "install a compiler in an earlier instruction: apt-get install build-essential, apk add build-base",
        code=Code.COMPILER,
    ),
    Cause(
        r"\b([\w-]+) executable not found",
        "{0} is not in the image at this step",
        "install {0} in an earlier instruction, or use a base that has it",
        code=Code.PROGRAM,
    ),
)
"""What the code, its manifest or the tools around it lack."""
_LAST = (
    Cause(
        r"ModuleNotFoundError: No module named '([^']+)'|Cannot find module '([^'./][^']*)'|'([^']+)' is not in this registry",
        "the package {0}{1}{2} is not there",
        "add it to the list of packages, or correct its name",
        code=Code.PACKAGE,
    ),
    Cause(
        r"^KeyError: '([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'",
        "the build wants the variable {0}",
        "set it with ENV or ARG in the stage that builds",
        code=Code.VARIABLE,
    ),
    Cause(
        r"error TS\d+: |^error\[E\d+\]|\.(?:c|cc|cpp|cxx|h|hpp|m):\d+(?::\d+)?: error: |undefined reference to"
        r"|Compilation error in file|COMPILATION ERROR",
        "the service does not compile",
        "correct the line that it names",
        code=Code.NOT_COMPILED,
    ),
)
"""Asked after all others."""
RUN = (
    *CREDENTIALS,
    *_OF_CODE,
    _LOCKS,
    _PEERS,
    _OLD_HASHES,
    *GO,
    *_ENGINE,
    *GRADLE,
    Cause(
        PKIX,
        "Java does not trust a server's certificate",
        "Java reads a trust store of its own: mount the one made of ca_bundle: RUN --mount=type=secret,id=java_trust_store …"
        " (docs/how-to/sources.md)",
        reach=True,
        code=Code.CERTIFICATE,
    ),
    Cause(
        NO_JAVA_CERTIFICATE,
        "Java refuses a server's certificate: {1}",
        "check its dates, host names and issuer with openssl s_client -connect HOST:PORT",
        code=Code.CERTIFICATE,
    ),
    Cause(
        WRONG_CERTIFICATE,
        "a server's certificate is not valid: {0}",
        "check the clock of the engine's machine, and the host name",
        code=Code.CERTIFICATE,
    ),
    Cause(
        _NO_BUNDLE,
        "the image has no CA certificates at this step, so no server can be trusted",
        "install them in an earlier instruction: apt-get install ca-certificates, apk add ca-certificates",
        code=Code.CERTIFICATE,
    ),
    Cause(
        UNTRUSTED,
        "a server's certificate is signed by a CA that this build step does not trust",
        _MOUNT_CA,
        reach=True,
        code=Code.CERTIFICATE,
    ),
    Cause(
        _SCRIPT + r"(apk|apt-get|apt|dnf|yum|microdnf|zypper|pacman): (?:command )?not found",
        "the base image has no {0}",
        "use a base of the distribution that has {0}, or copy the files from a stage that has them (COPY --from)",
        stand_in="the base is a local stand-in without {0}: invoke setup --source registry (or mirror) builds from the public"
        " image; or copy the files from a stage that has them (COPY --from)",
        code=Code.PROGRAM,
    ),
    Cause(
        r"(?:command|unable to execute|linker|tool) ['\"`]?((?:[\w-]+-)?(?:gcc|cc|g\+\+|c\+\+|clang))['\"`]? ?"
        r"(?:failed|not found|: No such file)",
        "{0} is not in the image at this step, and a package is compiled with it",
        "install a compiler in an earlier instruction: apt-get install build-essential, apk add build-base",
        code=Code.COMPILER,
    ),
    Cause(
        _SCRIPT + r"([\w.+/-]+): (?:command )?not found$",
        "{0} is not in the image at this step",
        "install {0} in an earlier instruction, or use a base that has it",
        stand_in="install {0} in an earlier instruction, or use a base that has it; the base is a local stand-in, which has less"
        " than the public image (invoke setup --source registry)",
        code=Code.PROGRAM,
    ),
    Cause(
        r'exec: "(/bin/(?:ba)?sh)": stat \S+ no such file|exec (/bin/(?:ba)?sh): no such file',
        "the base image has no shell, and RUN needs one",
        "move RUN to a stage that has a shell, and copy its result (COPY --from)",
        code=Code.PROGRAM,
    ),
    Cause(
        r"E: Unable to locate package (\S+)|E: Package '([^']+)' has no installation candidate",
        "apt has no package {0}{1}",
        "run apt-get update in the same RUN; is {0}{1} the package's name in this release of the distribution?",
        stand_in="the base is a local stand-in, which names no package sources: apt-get update succeeds there and finds nothing."
        " invoke setup --source registry (or mirror) builds from the public image; or take the files out of a stage that has"
        " them (COPY --from)",
        code=Code.PACKAGE,
    ),
    Cause(
        r"(?:unable to select packages|ERROR: unable to select)|^\s+(\S+) \(no such package\)",
        "apk has no such package",
        "check its name in this release of Alpine: pkgs.alpinelinux.org",
        code=Code.PACKAGE,
    ),
    Cause(
        _ANSWERED,
        "a Maven repository answers with status {0}",
        "for 401 and 403, add credentials under <servers> in the settings.xml that the secret maven_settings mounts "
        "(docs/how-to/sources.md)",
        code=Code.NETWORK,
    ),
    Cause(
        r"gyp ERR! build error|gyp ERR! stack Error: .make. failed",
        UNCOMPILED,
        "take an older Node (engines in package.json, or another base), or a newer version of the module",
        code=Code.NOT_COMPILED,
    ),
    Cause(
        r"Cannot find command 'git'|spawn git\b|git: (?:command )?not found|Git executable not found",
        "git is not in the image at this step, and a package is fetched with it",
        "install it in an earlier instruction: apt-get install git, apk add git",
        code=Code.PROGRAM,
    ),
    Cause(
        r"unable to access 'https?://(?:[^@/']*@)?([\w.:-]+)[^']*': (?:Could not resolve|Failed to connect|Connection|Operation)"
        r"|ssh: (?:Could not resolve hostname|connect to host) ([\w.-]+)",
        "a build step cannot reach the network: {0}{1}, from which it clones with git",
        "a package is fetched from git there, not from an index: let the build reach that host (proxies: docs/how-to/engine.md), or"
        " list a release of the package instead",
        reach=True,
        code=Code.NETWORK,
    ),
    Cause(
        r"(?:ENOTFOUND|EAI_AGAIN|Could not resolve host:|UnknownHostException:|bad address|\blookup) '?([\w-]+(?:\.[\w-]+)+)",
        "a build step cannot reach the network: it does not find {0}",
        NETWORK,
        reach=True,
        code=Code.NETWORK,
    ),
    Cause(
        rf"{NO_NAME}|[Cc]ould not transfer artifact",
        "a build step cannot reach the network",
        NETWORK,
        reach=True,
        code=Code.NETWORK,
    ),
    Cause(NO_ANSWER, "a build step gets no answer from the network", NETWORK, reach=True, code=Code.NETWORK),
    Cause(
        r"exit code: 137\b|signal: killed|SIGKILL|JavaScript heap out of memory|java\.lang\.OutOfMemoryError",
        "a build step was killed, most likely because it ran out of memory",
        "give the engine more memory, or compile with fewer jobs (GOFLAGS=-p=1, MAVEN_OPTS=-Xmx512m)",
        code=Code.MEMORY,
    ),
    Cause(
        r"No matching version found for (\S+?)\.?\s*$|Could not find artifact (\S+) in\b|No matching distribution found for (\S+)"
        r"|(\S+@npm:\S+): Package not found",
        "the package index that is asked has no {0}{1}{2}{3}",
        "ask for a version that is there; a mirror may lack what the public index has (.npmrc, settings.xml, PIP_INDEX_URL)",
        code=Code.PACKAGE,
    ),
    Cause(
        r"Failed building wheel for ([\w.-]+)|ERROR: Failed to build (?:'|installable wheels for [^(]*\()([\w.-]+)",
        "the Python package {0}{1} has no ready-made file for this base, and does not compile on it",
        "take the Python that it was released for (another base), or a newer version of it; python:VERSION has compilers and"
        " headers, and -slim has not",
        code=Code.NOT_COMPILED,
    ),
    _WANTS_VARIABLES,
    *_LAST,
)
"""Where a program runs within the build."""
