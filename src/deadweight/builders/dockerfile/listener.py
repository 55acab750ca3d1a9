"""Take BuildKit's output apart into each instruction's own lines, and explain why the failing instruction failed.

Of a failed build only the failing instruction is shown: its place in the Dockerfile and its program's own words. Numbers, times,
digests and progress stay in the log.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deadweight._errors import CommandError, wording
from deadweight.builders.shared import diagnosis
from deadweight.records.built_image import Cache

_BEGIN = re.compile(r"^#(\d+) \[(?P<place>[^\]]+)\] (?P<what>.*)$")
_OUTPUT = re.compile(r"^#(\d+) (?:\d+\.\d+ )(.*)$")
_CACHED = re.compile(r"^#(\d+) CACHED$")
_FAILED = re.compile(r"^#(\d+) ERROR: (.*)$")
_CONTEXT = re.compile(r"#\d+ transferring context: (?P<size>[\d.]+ ?[kMG]?B)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROGRESS = re.compile(
    r"^(?:sha256:[0-9a-f]{64}\b|(?:resolve|extracting|transferring|exporting|naming to|writing image|unpacking|resolving)\b"
    r"|(?:DONE|CACHED)\b|-{3,}$|> \[|load metadata for|\[internal\] )"
)
_STEP_PREFIX = re.compile(r"^(?:#\d+ (?:ERROR: )?)?(?:\d+\.\d+ )?")
_STAGE = re.compile(r"^(?:\S+ )?(?:\S+ )?\d+/\d+$")
_REPEATED = re.compile(
    r"^(?:ERROR: )?(?:failed to build: )?(?:failed to (?:solve|compute cache key)\b.*|executor failed running .*"
    r"|process \".*\" did not complete successfully: .*)$"
)
_CODE = re.compile(r"exit code: (\d+)")


@dataclass
class _Instruction:
    """``what`` as BuildKit shows it: variables filled in, one line; ``line`` is the Dockerfile's, as far as it is known."""

    place: str
    what: str
    line: int | None
    words: deque[str] = field(default_factory=lambda: deque(maxlen=diagnosis.HEARD_LINES))
    cached: bool = False

    @property
    def word(self) -> str:
        return self.what.split(None, 1)[0] if _STAGE.match(self.place) and self.what else ""

    @property
    def where(self) -> Sequence[diagnosis.Where]:
        if self.word in ("COPY", "ADD"):
            return ("copy_from",) if "--from" in self.what else ("copy", "run")
        return ("run",) if self.word == "RUN" else ("pull",)

    def shown(self, file: str) -> str:
        if not self.word:
            return f" ({self.what[:120]})"
        place = f"{file}:{self.line}" if self.line else file
        return f" ({place}: {self.what[:117]}{'…' if len(self.what) > 117 else ''})"


class DockerListener(diagnosis.Listener):
    """Remembers what each instruction says. ``lines`` gives an instruction's line in the Dockerfile, as far as it is known;
    ``added`` is what the copy that is built says more than the user's."""

    def __init__(
        self, say: Callable[[str], None], dockerfile: str, lines: dict[str, int], added: Sequence[str] = ()
    ) -> None:
        super().__init__(say, _announce)
        self._file, self._lines, self._added = dockerfile, lines, added
        self._steps: dict[str, _Instruction] = {}
        self._failed, self._reason = "", ""  # the failed instruction's number, and BuildKit's own words on it

    def __call__(self, line: str) -> None:
        super().__call__(line)
        line = _COLOUR.sub("", line)
        begun, output, failed = _BEGIN.match(line), _OUTPUT.match(line), _FAILED.match(line)
        if begun:
            what = begun["what"]
            for words in self._added:
                what = what.replace(words, "", 1)
            known = self._lines.get(" ".join(what.split()))
            self._steps.setdefault(begun[1], _Instruction(begun["place"], what, known))
        elif output and output[1] in self._steps:
            self._steps[output[1]].words.append(output[2])
        elif failed and (not self._failed or "context canceled" in self._reason):
            self._failed, self._reason = failed[1], failed[2]
        elif (cached := _CACHED.match(line)) and cached[1] in self._steps:
            self._steps[cached[1]].cached = True

    @property
    def cache(self) -> Cache:
        """What BuildKit took from earlier builds. A base that is there was only downloaded."""
        made = [step.cached for step in self._steps.values() if step.word not in ("", "FROM")]
        return "cached" if made and all(made) else "warm" if any(made) else "cold"

    def failure(
        self,
        error: CommandError,
        what: str,
        *,
        stand_in: bool = False,
        full_disk: Callable[[], str] = str,
        advice: Callable[[int | None], str] = lambda _line: "",
    ) -> CommandError:
        """The failure as itself: where, why, in whose words, and what helps; with the line of the instruction that failed.

        ``full_disk`` tells what to do about the engine's, ``advice`` what the instruction at a line needed to reach the network,
        and did not get.
        """
        step = self._steps.get(self._failed)
        words, line = self._words(step, error), step.line if step else None
        where = step.where if step else ("client", "pull")
        cause = diagnosis.diagnose(where, [*words, self._reason], stand_in=stand_in)
        if self.compiler and not (cause and cause.outweighs(self.compiler)):
            message = wording("builders.not_compiled", what=what)
            failure = error.reworded(message, self.compiler, None, diagnosis.Code.NOT_COMPILED)
        else:
            known = cause or diagnosis.Cause("", (), "", "")
            reason = (known.message or self._step_failure(step, error)) + (step.shown(self._file) if step else "")
            full = full_disk() if known.code is diagnosis.Code.DISK_FULL else ""
            hint = (advice(line) if known.reach else "") or full or known.hint
            message = wording("builders.tool_failed", what=what, reason=reason)
            failure = error.reworded(message, diagnosis.with_cause(words, cause), hint or None, known.code)
        failure.line, failure.step = line, step.what if step else ""
        return failure

    def _words(self, step: _Instruction | None, error: CommandError) -> list[str]:
        """The failing instruction's own; else BuildKit's sentence on it; else what stands in no instruction at all."""
        own = [text for text in map(diagnosis.without_chatter, step.words if step else ()) if text.strip()]
        if own:
            return own
        if self._reason and not _REPEATED.match(self._reason):
            return [self._reason]
        apart = (line for line in self._heard if not _COLOUR.sub("", line).startswith("#"))
        rest = [text for text in map(cleaned, (*apart, *error.tail)) if text]
        return list(dict.fromkeys([text for text in rest if step is None or not _REPEATED.match(text)] or rest))

    def _step_failure(self, step: _Instruction | None, error: CommandError) -> str:
        if step is None:
            return error.reason
        code = _CODE.search(self._reason)
        word = step.word or step.what.split(None, 1)[0]
        return f"{word} {wording('run.failed', code=code[1])}" if code else f"{word} failed"


def cleaned(line: str) -> str:
    """A line of BuildKit's without number and time; nothing where it only tells of progress."""
    text = _STEP_PREFIX.sub("", _COLOUR.sub("", line)).strip()
    return "" if _PROGRESS.match(text) else text


def _announce(line: str) -> str | None:
    begun, sent = _BEGIN.match(line), _CONTEXT.match(line)
    if begun and begun["place"] != "internal":
        return f"[{begun['place']}] {begun['what'][:100]}"
    if sent:
        return f"sending the context: {sent['size']}"
    return "exporting" if line.endswith("exporting layers") else None
