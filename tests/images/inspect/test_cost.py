"""Time that grows faster than what is read: the same pieces four times over may take about four times as long, whatever they are.

``nox -s fuzz`` tries many more compositions of the pieces, of larger sizes.
"""

import base64
import contextlib
import gzip
import random
import time
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError
from deadweight_images.errors import wording
from deadweight_images.findings import LayersReport
from deadweight_images.inspect.analyse import analyse
from deadweight_images.secrets.scanner import Scanner
from tests.support import image_samples as samples
from tests.support.examples import FUZZ
from tests.support.processes import within

pytestmark = pytest.mark.system

FILE = samples.honest_layer({"a": b"x"})
SIZE, TIMES = (4000, 4) if FUZZ else (1500, 4)
WORDS = (
    "echo 'password={n}hunter' > /etc/secret.txt && ", "export TOKEN_{n}=ab{n}cdefgh; ", "cat <<a >secret.txt ",
    "\"pass_{n}=", "'",
    "curl -u u{n}:pw{n}abc https://x ", "https://u{n}:pw{n}abcd@h.io/ ", "\\n", "|1 SECRET_{n}=é{n}xyz ", "printf '%s' \"",
    "--token ", "docker login -p s{n}cret ", "echo a:b{n} | chpasswd ", "\u0000", "A" * 40, "> x ", "<<-'EOF' ",
    "{{\"auth\": \"dXNlcjpwYXNz{n}\"}} ",
    "#(nop) ENV ", "-----BEGIN PRIVATE KEY----- ", "eyJhbGciOiJIUzI1NiJ9.", "AKIA", "=", "[\"--password\", \"p{n}ss\"] ",
)  # fmt: skip


def history(random_: random.Random, count: int) -> samples.Made:
    chosen = random_.sample(WORDS, 3)
    text = "".join(word.replace("{n}", str(number)) for number in range(count) for word in chosen)
    return samples.build(FILE, history=[{"created_by": f"RUN {text}"}])


def variables(random_: random.Random, count: int) -> samples.Made:
    name = random_.choice(["DB_PASSWORD", "PATH", "TOKEN", "X"])
    value = random_.choice(WORDS).strip() + "q{n}"
    pairs = [(f"{name}_{number}", value.replace("{n}", str(number))) for number in range(count)]
    form = random_.choice(["Env", "Labels", "Cmd"])
    listed = {"Env": [f"{key}={text}" for key, text in pairs], "Labels": dict(pairs)}
    config = {form: listed.get(form, [part for key, text in pairs for part in (f"--{key}", text)])}
    return samples.build(FILE, config=config)


def links(random_: random.Random, count: int) -> samples.Made:
    """Hard and symbolic links to one another, forwards and backwards, through folders that are links, set-uid or shells."""
    kind = random_.choice([b"1", b"2"])
    step, mode = random_.choice([-7, -1, 1]), random_.choice([0o644, 0o4755])
    through, name = random_.choice([b"", b"way/", b"../", b"way/../"]), random_.choice([b"l%d", b"d/l%d", b"d%d/sh"])
    made = [samples.header(b"way", kind=b"2", link=b"."), samples.file(name % 0, b"\x7fELF", 0o4755)]
    for number in range(1, count):
        target = max(0, min(count - 1, number + step))
        made.append(samples.header(name % number, kind=kind, link=through + name % target, mode=mode))
    removed = [samples.header(b".wh." + name % number) for number in range(0, count, 2) if b"/" not in name]
    more = [] if random_.random() < 0.5 else [samples.layer(*removed)]
    return samples.build(samples.layer(*made), *more)


def names(random_: random.Random, count: int) -> samples.Made:
    depth, part = random_.choice([1, 5, 12]), random_.choice([b"a", b"secret", b"%d", b".wh.x"])
    one = b"%s/%s-%%d" % (b"/".join([b"f"] * depth), part.replace(b"%d", b"n"))
    layer = samples.layer(*(samples.header(one % number) for number in range(count)))
    return samples.build(layer, layer) if random_.random() < 0.5 else samples.build(layer)


def nested(random_: random.Random, count: int) -> samples.Made:
    """Encodings in one another, and beginnings of encodings that hold nothing."""
    starts = (b"\x1f\x8b\x08\0%d", b"PK\3\4\x14\0\0\0\x08\0%d", b"\0\x78\x9c%d", b"BZh91AY&SY%d")
    data = random_.choice([b"password = hunter%d\n", *starts])
    content = b"".join(data % number for number in range(count))
    encodings = [gzip.compress, base64.b64encode, lambda one: one.decode("latin-1").encode("utf-16-le")]
    for _ in range(random_.randrange(4)):
        content = random_.choice(encodings)(content)
    return samples.build(samples.honest_layer({"file": content}))


def seconds(path: Path) -> float:
    started = time.process_time()
    with contextlib.suppress(ArchiveError):  # one clear error is an answer too, if it comes in time
        analyse(path)
    return time.process_time() - started


@pytest.mark.slow
@pytest.mark.parametrize("make", [history, variables, links, names, nested], ids=lambda make: make.__name__)
@pytest.mark.parametrize("seed", range(FUZZ or 3))
def test_time_grows_with_what_is_read_and_not_faster(tmp_path, make, seed):
    short = samples.docker_save(tmp_path / "few.tar", make(random.Random(seed), SIZE))
    long = samples.docker_save(tmp_path / "many.tar", make(random.Random(seed), TIMES * SIZE))
    few = min(seconds(short), seconds(short))
    # Quadratic work takes sixteen times as long. What is spent on the first thousand secrets is spent once.
    most = 2 * TIMES * few + 0.5
    many = seconds(long)
    many = many if many < most else seconds(long)  # the lesser of two, as of the few
    assert many < most, f"{SIZE}: {few:.2f} s, {TIMES * SIZE}: {many:.2f} s"


# What repeats, or nearly does: with ``{n}`` no two pieces are the same.
CONTENTS = (
    *(word for word in WORDS if len(word) > 1),
    "a", "A", "%41", "%3D", "\\x41", "41", "aGVsbG8g", "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=\n", "password=abcdefgh1234 ",
    "password={n}abcdefgh ", '"password": "abcdefgh1234", ', '"password": "abc{n}defgh1234", ', "TOKEN=abc{n}defgh1234\n",
    "api_key: '{n}a9f8e7d6c5b4a3f2e1d0'\n", '{{"auth": "dXNlcjpwYXNzd29yZA=="}} ', "ghs_{n}abcdefghijklmnopqrstuvwxyz012345 ",
    "AKIAIOSFODNN7EXAMPLE ", "-----BEGIN RSA PRIVATE KEY-----\n", "Authorization: Basic dXNlcjpwYXNz\n",
    "postgres://user{n}:secret{n}@example.com/db ", "<password>${{password{n}}}</password>\n", "secret_key_base = ENV['X{n}']\n",
    "p\0a\0s\0s\0w\0o\0r\0d\0=\0{n}\0", "\x1f\x8b\x08\0{n}", "PK\3\4\x14\0\0\0\x08\0{n}", "\0x\x9c{n}",
)  # fmt: skip
TRIES = 5
PLAIN = b"the service listens on port 8080 and waits\n"
WEIGHT, MOST = 32 if FUZZ else 8, 40
"""MB of each content, and how many times the processor's time for as much plain text it may take: machines differ."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The rules are compiled once for a machine, which takes seconds, and modules are imported."""
    Scanner.default().block(b"x" * 8192)
    analyse(samples.saved(tmp_path_factory.mktemp("x"), FILE))


@pytest.mark.slow
@pytest.mark.parametrize("content", CONTENTS if FUZZ else CONTENTS[24::8], ids=ascii)
def test_no_content_takes_longer_than_its_size_explains(tmp_path, compiled, content):
    text, most = content.replace("{{", "{").replace("}}", "}").encode("latin-1"), WEIGHT * 1_000_000
    if b"{n}" in text:
        text = b"".join(text.replace(b"{n}", b"%d" % number) for number in range(most // (len(text) + 3)))
    else:
        text *= most // len(text)
    plain = samples.saved(tmp_path, samples.honest_layer({"a.txt": PLAIN * (most // len(PLAIN))}), name="plain.tar")
    path, took, usual = samples.saved(tmp_path, samples.honest_layer({"a.txt": text})), [], []
    # Other load takes the caches and a share of the clock away: the least of some tries is what the work itself costs.
    while not took or (min(took) >= MOST * min(usual) and len(took) < TRIES):
        took.append(seconds(path))
        usual.append(seconds(plain))
    assert min(took) < MOST * min(usual), (
        f"{min(took) / min(usual):.0f} times as long as plain text, in {len(took)} tries"
    )


@pytest.mark.slow
def test_one_instruction_of_forty_thousand_secrets(tmp_path):
    """It took 248 seconds: every place was compared with every other, and each offset counted from the beginning."""
    text = "echo 'password=hunter2abc' > /etc/secret.txt && " * 40_000
    report = looked_at(samples.saved(tmp_path, FILE, history=[{"created_by": "RUN " + text}]))
    assert (bool(report.unread["mine"]), "hunter2abc" in str(report.layers)) == (True, False)


def looked_at(path: Path) -> LayersReport:
    """What is found within eight seconds of a processor."""
    with within(8, processor=True):
        return analyse(path)


def test_more_secrets_in_the_environment_than_anyone_reads(tmp_path):
    names_ = [f"DB_PASSWORD_{number}=hunter{number}q" for number in range(20_000)]
    report = looked_at(samples.saved(tmp_path, FILE, config={"Env": names_}))
    reasons = [item.reason for item in report.skipped if item.unread]
    assert (len(report.secrets), reasons) == (1000, [wording("skip.config_too_long", most=1000, what="secrets")])
