"""Payload files: ours is whole and sound; what is wrong in a project's own is told with file, line and key."""

import os
import subprocess
import sys
import textwrap
import urllib.parse
from concurrent.futures import Future
from pathlib import Path

import pytest

from deadweight._errors import ConfigError
from deadweight.engine.http import Answer
from deadweight_attacks import deliver
from deadweight_attacks.listeners import Word
from deadweight_attacks.load import load_payloads
from deadweight_attacks.model import PLACES, places_in
from deadweight_attacks.request import PRELUDE, Filled, awk_text, holds, put
from deadweight_workload.model import Prepared
from tests.support.attack_grounds import payload
from tests.support.codes import raises
from tests.support.trees import shell_script

SCRIPT, REQUEST = 'script: BEGIN { print "@a@" "@b@" }', 'request: {path: "/?@a@=@b@"}'
GOOD = f"""\
payloads:
  - id: mine
    title: an attack of our own
    attack: T1059.004
    {SCRIPT}
    evidence: {{kind: output}}
"""


@pytest.fixture
def load(tmp_path):
    def read(text: str):
        file = tmp_path / "own.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_payloads([file])

    return read


def test_every_primitive_that_awk_gives_an_attacker_is_there():
    """The list of the talk's last chapter, one payload each at least."""
    assert {payload.id for payload in load_payloads().payloads} >= {
        "system", "pipe-getline", "print-pipe", "coprocess", "option-injection", "gawk-extension", "read-passwd", "environ",
        "proc-environ", "write-root", "write-app", "write-tmp", "run-root", "run-app", "run-tmp", "connect", "reverse-shell",
        "bind-shell", "download", "fork-bomb", "memory-bomb", "endless-loop", "fill-disk", "mount", "block-device", "clock",
        "kernel-module", "engine-socket", "host-read", "host-write",
    }  # fmt: skip


def test_what_no_container_gets_unasked_is_known_by_the_proof():
    """Told by the walls, it was only known where these had been tried one by one: nine attacks were stopped by the engine."""
    handed_in = {payload.id.removeprefix("breach-") for payload in load_payloads().payloads if payload.handed_in}
    assert handed_in == {"host-read", "host-write", "engine-socket", "token", "other-processes", "shared-memory"}


@pytest.mark.parametrize("payload", load_payloads().payloads, ids=lambda payload: payload.id)
def test_ours_are_told_and_referenced(payload):
    assert all((payload.title, payload.gives, payload.attack))
    assert places_in(payload.text()) <= set(PLACES)


def test_a_projects_own_are_added_and_replace_ours_by_id(load):
    assert load(GOOD).payloads[-1].id == "mine"
    replaced = load(GOOD.replace("mine", "system"))
    assert len(replaced.payloads) == len(load_payloads().payloads)
    assert next(payload for payload in replaced.payloads if payload.id == "system").title == "an attack of our own"


@pytest.mark.parametrize(("old", "new", "line", "key", "words"), [
    ("kind: output", "kind: telepathy", 6, "payloads[0].evidence.kind", "output, image-file"),
    ("T1059.004", "T59", 4, "payloads[0].attack", "payload.technique"),
    ("attack: T1059.004", "gtfobins: shelll", 4, "payloads[0].gtfobins", "payload.function"),
    ("    attack: T1059.004\n", "", 2, "payloads[0]", "payload.no_reference"),
    ('"@a@" "@b@"', '"@a@@b@"', 2, "payloads[0]", "payload.halves"),
    ("@b@", "@c@", 2, "payloads[0]", "payload.places c"),
    ("kind: output", "kind: listener", 6, "payloads[0].evidence", "payload.only_with_kind does listener"),
    ("kind: output", "kind: output, path: /x", 6, "payloads[0].evidence", "payload.only_with_kind path image-file"),
    ("    script:", "    shell: id\n    script:", 2, "payloads[0]", "payload.one_way"),
    ("    script:", "    needs: [perl]\n    script:", 5, "payloads[0].needs[0]", "payload.no_feature"),
    ("    title:", "    titel:", 3, "payloads[0].titel", "suite.misspelt_key"),
    ("an attack of our own", "[1]", 3, "payloads[0].title", "suite.text"),
    ("id: mine", "id: all", 2, "payloads[0].id", "payload.id_of_all"),
    ("    script:", "    seconds: 3000\n    script:", 5, "payloads[0].seconds", "240"),
    ("    script:", "    parallel: true\n    script:", 5, "payloads[0].parallel", "suite.whole_number"),
    ("    script:", "    parallel: 2\n    script:", 5, "payloads[0].parallel", "payload.parallel"),
    ("kind: output", "kind: image-file, path: etc/x", 6, "payloads[0].evidence.path", "payload.absolute_path"),
    (GOOD, GOOD + GOOD.partition("\n")[2], 7, "payloads[1].id", "payload.duplicate 2"),
    # what would never be sent
    (SCRIPT, f"args: [-v]\n    {REQUEST}", 5, "payloads[0].args", "payload.never_sent"),
    (SCRIPT, f"input: text\n    {REQUEST}", 5, "payloads[0].input", "payload.never_sent"),
    # a feature that can tell nothing
    (GOOD, "features:\n  mine: 'BEGIN { print 1 }'\n", 2, "features.mine", "payload.feature"),
    (GOOD, "features:\n  mine: 'BEGIN { print \"@a@@b@\" }'\n", 2, "features.mine", "payload.feature"),
    (GOOD, "features:\n  mine: 'BEGIN { print \"@a@\" \"@host@\" }'\n", 2, "features.mine", "payload.expected"),
    # whatever puts the halves together before the service has it: an echo would look like success
    (SCRIPT, 'each: ["@a@"]\n    script: nonsense @each@@b@', 2, "payloads[0]", "payload.echo"),
    (SCRIPT, 'request: {method: POST, json: {x: "@b@@a@"}, repeat: {x: 2}}', 2, "payloads[0]", "payload.echo"),
    (SCRIPT, 'request: {method: POST, form: {x: "@b@ @a@", y: "@b@@a@"}, repeat: {y: 3}}', 2, "payloads[0]", "payload.echo"),
    (SCRIPT, 'request: {method: POST, body: "@b@@a@", repeat_body: 2}', 2, "payloads[0]", "payload.echo"),
    (SCRIPT, 'each: ["@a@"]\n    request: {path: "/?x=@each@@b@"}', 2, "payloads[0]", "payload.echo"),
    (SCRIPT, 'each: ["@b@"]\n    request: {headers: {X-Word: "@a@@each@"}}', 2, "payloads[0]", "payload.echo"),
])  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(load, old, new, line, key, words):
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(old, new, 1))
    assert (caught.value.line, caught.value.key) == (line, key)
    values = {caught.value.code, *map(str, caught.value.fields.values())}
    assert values.issuperset(words.split()) or words in str(caught.value)


def test_what_a_url_quotes_is_looked_for_too():
    line = "root:x:0:0::/root:/bin/false"
    for path, body in ((f"/?{urllib.parse.quote(line)}", b""), ("/", urllib.parse.quote_plus(line).encode())):
        assert [holds(Prepared("POST", path, {}, body), [text]) for text in (line, "daemon")] == [True, False]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with raises(ConfigError, "suite.missing_file", file=str(tmp_path / "absent.yaml")):
        load_payloads([tmp_path / "absent.yaml"])


def test_places_are_filled_and_nothing_else_and_shell_words_survive_the_quotes_of_awk():
    assert awk_text('echo "a\\b"\ntrue') == 'echo \\"a\\\\b\\"\\ntrue'
    assert "\n" not in awk_text(PRELUDE)
    assert put("@a@''@b@ user@host @host@", {"a": "x", "b": "y", "host": "h"}) == "x''y user@host h"


@pytest.mark.skipif(sys.platform != "linux", reason="what is mounted is read from /proc")
def test_a_refused_mount_is_not_taken_for_one_where_the_tool_repeats_its_source(tmp_path):
    """As busybox does of a refusal by AppArmor, but not of one for want of rights: the word in its complaint proved the attack."""
    shell_script(tmp_path / "mount", 'echo "mount: mounting $3 on $4 failed: Permission denied" >&2\nexit 1')
    (tmp_path / "perl").symlink_to("/bin/false")  # which would call mount(2) itself, on this machine
    shell = payload("mount").shell
    places = {**dict.fromkeys(places_in(shell), ""), "a": "bcdfghjk", "b": "mnpqrstv", "file": f"dw-{tmp_path.name}"}
    done = subprocess.run(
        ["/bin/bash", "-c", PRELUDE + put(shell, places)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    for folder in ("/tmp", "/dev/shm"):
        Path(folder, places["file"]).rmdir()
    assert done.stdout.count("no mount on") == 2
    assert "bcdfghjkmnpqrstv" not in done.stdout + done.stderr


class _JustThen(Future):
    """Done between one look at it and the next."""

    looks = 0

    def done(self) -> bool:
        self.looks += 1
        if self.looks == 2:
            self.set_result(Answer(200, {}, b"bcdfghjkmnpqrstv", 0.1))
        return super().done()


def test_an_answer_that_comes_while_it_is_looked_for_is_read():
    """Looked at twice in one round, it was over before it was read: the word had come back, and the attack counted as failed."""
    filled = Filled(payload("run-root"), Word("bcdfghjk", "mnpqrstv"), {})
    assert deliver._watch(None, None, filled, None, _JustThen()) == "bcdfghjkmnpqrstv came back"
