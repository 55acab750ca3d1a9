"""What Maven, Gradle and Jib say when they fail: their own lines without the chatter around them, and the likely cause."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from deadweight._errors import CommandError
from deadweight.builders.jib.maven import OFFLINE_VARIABLE
from deadweight.builders.shared.listen import Listener

MAX_LINES = 60
SHOWN_LINES = 8

_LEVEL = re.compile(r"^\[(?:ERROR|FATAL)\] ?(.*)$")
_ANY_LEVEL = re.compile(r"^\[(?:INFO|WARNING|ERROR|FATAL)\] ?")
_CHATTER = re.compile(
    r"^(?:To see the full stack trace|Re-run Maven|For more information about|\[Help \d+\]|After correcting the problems"
    r"|mvn <args>|See .* for the individual test|Please refer to |-> \[Help|COMPILATION ERROR|The build could not read"
    r"|\[ERROR\] Some problems were|The project \S+ \(.*\) has \d+ error|Failures:|Errors:|Tests run:|.*\.java:\[\d)"
)
_GOAL = re.compile(r"^Failed to execute goal (?:on project |\S+ (?:\([^)]*\) )?on project )\S+: ")
_ADVICE = re.compile(r", perhaps you should add a `mainClass`.*$|\. If your intention was to specify a platform.*$")
_PLACE = re.compile(r"^\s*(.*?) @ (?:(.+), )?line (\d+), column (\d+)$")
_ABOUT = re.compile(r"^\s*The project \S+ \((.+)\) has \d+ error")
_SKIPPED = "Skipping containerization because"
_NESTED = re.compile(
    r"^(?:Could not resolve dependencies for project \S+: )?(?:Failed to collect dependencies at \S+(?: -> \S+)*: )?"
    r"(?:Failed to read artifact descriptor for \S+: )?(?=\S)"
)
_TEST = re.compile(r"^\[ERROR\] {2,}([\w$]\S*\.\S+?(?:\([^)]*\)\S*)?(?::\d| »).*)$")
_COMPILER = re.compile(r"(\.java):\[(\d+),(\d+)\] ")
_REPEATED = re.compile(r"resolution (?:is not|will not be) reattempted until")
_GRADLES_REASONS = ("* Where:", "* What went wrong:")
_GRADLES_TEST = re.compile(r"^([\w$].* > .+) FAILED$")
_ARTIFACT = r"([\w.-]+:[\w.-]+:(?:[\w.-]+:)*[\w.-]+)"
_OFFLINE_HINT = (
    f"check network and proxies (invoke doctor); {OFFLINE_VARIABLE}=1 builds from Maven's local repository alone"
)

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"Cannot run Jib in offline mode",
        f"the base is not in Jib's cache: build once with the network, without {OFFLINE_VARIABLE}",
    ),
    (
        r"in offline mode",
        f"it is not in Maven's local repository: build once with the network, without {OFFLINE_VARIABLE}",
    ),
    (
        r"for offline mode",
        f"it is not in Gradle's cache: build once with the network, without {OFFLINE_VARIABLE}",
    ),
    (
        r"make sure you have packaged your project",
        "the project wants to be packaged first: args: {{jib.containerizingMode: packaged}} says so",
    ),
    (
        r"Could not transfer artifact .* status(?: code)?: 40[13]",
        "the Maven repository wants credentials: <servers> in ~/.m2/settings.xml",
    ),
    (
        r"407 Proxy|status(?: code)?: 407|[Pp]roxy [Aa]uthentication",
        "the proxy wants a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    ),
    (
        r"[Cc]redentials for .* not sent because the connection was over HTTP",
        "the registry wants credentials, which Jib sends over TLS only",
    ),
    (
        r"(?:401 Unauthorized|Unauthorized for|credentials for '?([\w.:/-]+)'? are set up)",
        "the registry wants credentials: log in with `docker login`",
    ),
    (r"does not contain an image for architecture=", "name a base that has this architecture"),
    (r"PKIX path building failed|unable to find valid certification path", "name your private CA: ca_bundle"),
    (rf"(?:artifact|dependency:?|plugin) {_ARTIFACT}", _OFFLINE_HINT),
    (r"Could not (?:resolve|transfer|find)|resolution (?:is not|will not be) reattempted", _OFFLINE_HINT),
    (r"Main class was not found|main class.*not (?:found|a valid)", "name the main class in the variant, main: com.example.Main"),
    (r"Multiple valid main classes were found: ([\w.$, ]*[\w$])", "name one of them in the variant, main: {0}"),
    (r"release version (\d+) not supported|invalid target release: (\d+)", "the service wants a newer JDK: see invoke doctor"),
    (
        r"jib-\w+-plugin:\S+ failed: Unsupported class file major version",
        "the build file names a version of Jib that is too old for this JDK: name a later one, or none",
    ),
    (r"No such file or directory|NoSuchFileException", "the log has all of it"),
)  # fmt: skip


class JavaListener(Listener):
    """Remembers Maven's error lines and Gradle's reasons beside a compiler's lines, and names of tests that failed."""

    def __init__(
        self, say: Callable[[str], None], announce: Callable[[str], str | None], source: Path, *, gradle: bool = False
    ) -> None:
        super().__init__(say, announce)
        self._gradle = gradle
        self._source, self._errors, self._tests = f"{source}/", dict[str, None](), dict[str, None]()
        self._file = ""  # the pom that Maven's errors are about
        self._in_reason = False  # of Gradle's
        self._test = ""  # the one that Gradle is about to give a reason for
        self.skipped = ""
        self.repeats = False
        """Whether Maven told of a failure that it had met before, and kept."""

    def __call__(self, line: str) -> None:
        line = line.replace(self._source, "")
        super().__call__(line)
        if _SKIPPED in line:
            self.skipped = clean(line)
        self.repeats = self.repeats or bool(not self._gradle and _REPEATED.search(line))
        test = _TEST.match(line)
        if test and len(self._tests) < SHOWN_LINES:
            self._tests.setdefault(test[1])
        level = _LEVEL.match(line)
        if level and len(self._errors) < MAX_LINES:
            self._remember(level[1].partition(" -> [Help")[0].rstrip())
        if self._gradle:
            self._hear_gradle(line)

    def _hear_gradle(self, line: str) -> None:
        """A failure's sections begin with a star; a failed test's reason is the line below it."""
        if self._test and line.startswith("    "):
            self._tests.pop(self._test, None)
            self._tests.setdefault(f"{self._test}: {line.strip()}")
        test = _GRADLES_TEST.match(line)
        self._test = test[1] if test and len(self._tests) < SHOWN_LINES else ""
        if self._test:
            self._tests.setdefault(self._test)
        if line.startswith("* "):
            self._in_reason = line.startswith(_GRADLES_REASONS)
        elif self._in_reason and line.strip() and len(self._errors) < MAX_LINES:
            self._errors.setdefault(line.strip().removeprefix("> "))

    def _remember(self, text: str) -> None:
        about = _ABOUT.match(text)
        if about:
            self._file = about[1]
        elif text and not _CHATTER.match(text):
            text = _ADVICE.sub("", _NESTED.sub("", _GOAL.sub("", text))).removesuffix(" @")
            self._errors.setdefault(_PLACE.sub(self._placed, text).strip())

    def _placed(self, match: re.Match[str]) -> str:
        """Maven tells a problem twice, without its file and below the file's name: the first is then a part of the second."""
        text, given, line, column = match.groups()
        file = (given or "").rpartition(", ")[2] or self._file  # PROJECT, FILE; or either
        return f"{file}:{line}:{column}: {text}" if file else text

    def failure(self, error: CommandError, variant: str) -> CommandError:
        """The failure in the tool's own words: the compiler's lines, else the failed tests, else Maven's errors."""
        if self.compiler:
            lines = [_COMPILER.sub(r"\1:\2:\3: ", line) for line in self.compiler]
            reason, hint = f"{variant}: the service does not compile", _cause(lines) or "the log has all of it"
        elif self._tests:
            lines = list(self._tests)
            reason, hint = f"{variant}: the service's own tests fail", "the log has all of it"
        else:
            lines = _compact(self._errors) or [clean(line) for line in error.tail if clean(line)]
            reason, hint = f"{variant}: {error.reason}", _cause(lines) or error.hint or "the log has all of it"
        return CommandError(
            error.argv,
            exit_code_of_command=error.exit_code_of_command,
            reason=reason,
            tail=lines[:SHOWN_LINES],
            log=error.log,
            hint=hint,
        )


def without_chatter(line: str) -> str:
    """A line without Maven's level, where it says something of a failure; nothing where it only tells of ways to say more."""
    level = _LEVEL.match(line)
    text = level[1].partition(" -> [Help")[0].strip() if level else line
    return "" if level and _CHATTER.match(text) else text


def _compact(errors: dict[str, None]) -> list[str]:
    """Without lines that another one holds as a part: Maven and Jib say the same thing up to three times."""
    lines = list(errors)
    return [line for line in lines if not any(line != other and line in other for other in lines)]


def _cause(lines: list[str]) -> str | None:
    said = "\n".join(lines)
    for pattern, hint in _CAUSES:
        match = re.search(pattern, said)
        if match:
            return hint.format(*(group or "" for group in match.groups()))
    return None


def clean(line: str) -> str:
    """A line without Maven's level."""
    return _ANY_LEVEL.sub("", line).strip()
