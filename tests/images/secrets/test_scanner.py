"""The scanner as others use it: engines, cache, bounds, threads."""

import base64
import bz2
import dataclasses
import functools
import gzip
import os
import random
import struct
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from deadweight_images.errors import wording
from deadweight_images.secrets import confirm, matcher
from deadweight_images.secrets.model import Budget, Limits
from deadweight_images.secrets.rules import load_rules
from deadweight_images.secrets.scanner import Scanner
from tests.support.secret_samples import github_token, pem, sample
from tests.support.trees import written, zipped

RULES = load_rules()
TOKEN = github_token(random.Random(1))
LINE = b"k = " + TOKEN + b"\n"


def _found(scan):
    return sorted((match.rule, match.inner, match.offset, match.line, match.fingerprint) for match in scan.matches)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(RULES.rules), st.integers(0, 99)), max_size=6),
    noise=st.binary(max_size=60),
)
def test_both_engines_agree_on_any_mixture(scanner, plain, parts, noise):
    """Samples of any rules, one behind the other between noise. One without its rule's keyword is for hyperscan alone, which needs
    none (``bx_key = …`` of the rule for ``ibm``)."""
    made = [(rule.keywords, sample(rule.id, rule.regex, random.Random(seed))) for rule, seed in parts]
    samples = [text for words, text in made if not words or any(word.encode() in text.lower() for word in words)]
    data = (b"\n" + noise + b"\n").join([b"", *samples, b""])
    assert _found(scanner.scan(data, path="x")) == _found(plain.scan(data, path="x"))


def test_both_engines_agree_on_this_machines_python_library(scanner, plain):
    """Real text with real key-like noise: about 3 MB of the standard library's own modules."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]:
        data = path.read_bytes()
        fast, slow = (_found(engine.scan(data, path=path.name, decode=False)) for engine in (scanner, plain))
        assert fast == slow


def test_without_hyperscan_the_plain_engine_is_used(tmp_path):
    path = written(tmp_path, {"hyperscan.py": "raise ImportError('not on this machine')\n"})
    code = "from deadweight_images.secrets.scanner import Scanner; print(Scanner.default().engine)"
    env = {**os.environ, "PYTHONPATH": str(path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip() == "re"


def test_compiled_rules_are_kept_and_a_damaged_or_missing_file_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path))
    few = dataclasses.replace(RULES, rules=tuple(rule for rule in RULES.rules if rule.id.startswith("git")))
    data = memoryview(LINE)
    expected = matcher.HyperscanMatcher(few).hits(data, decode=False)
    (file,) = (tmp_path / "secrets").iterdir()
    good = file.read_bytes()
    for damaged in (b"", good[:1000], good[:-1] + b"!", b"\0" * len(good)):
        file.write_bytes(damaged)
        assert matcher.HyperscanMatcher(few).hits(data, decode=False) == expected
        assert file.read_bytes() == good
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(file))  # which is no folder
    assert matcher.HyperscanMatcher(few).hits(data, decode=False) == expected != []


def test_where_it_was_is_told_and_plain_mode_decodes_nothing(scanner):
    packed = gzip.compress(zipped({"a/b\n.txt": b"one\ntwo " + github_token(random.Random(5)) + b"\n"}))
    (match,) = scanner.scan(packed, path="x.gz").matches
    assert (match.inner, match.offset, match.line) == ("gzip@0!zip:a/b\\x0a.txt", 8, 2)
    assert match.redacted == "ghp_… (40 bytes)"
    assert scanner.scan(gzip.compress(LINE), path="x").matches[0].inner == "gzip@0"
    assert [scanner.scan(data, path="x", decode=False).matches for data in (packed, gzip.compress(LINE))] == [(), ()]


def test_the_same_secret_has_one_fingerprint_everywhere(scanner):
    key = pem(random.Random(6))
    texts = (key, key.replace(b"\n", b"\r\n"), key.replace(b"\n", b"\\n"), gzip.compress(key))
    assert len({scanner.scan(data, path=str(n)).matches[0].fingerprint for n, data in enumerate(texts)}) == 1


# Bounds: nothing is left out in silence, and nothing runs away.


def _deep() -> bytes:
    return functools.reduce(lambda data, _: gzip.compress(data), range(11), LINE)


def _damaged() -> bytes:
    rng = random.Random(4)
    data = bytearray(bz2.compress(b"".join(rng.randbytes(50_000) for _ in range(40))))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def _longer_than_a_piece() -> bytes:
    return gzip.compress(b" " * 999_999 + gzip.compress(random.Random(3).randbytes(3 << 20)) + b" " * (1 << 20), 1)


def _member(flags: int, method: int) -> bytes:
    return struct.pack("<4s3H8x2I2H", b"PK\x03\x04", 20, flags, method, 9, 9, 1, 0) + b"a123456789"


TOLD = {
    "too deep": (Limits(), _deep, [wording("skip.encoded_too_deep", depth=10)]),
    "longer than a piece": (Limits(piece=1 << 20), _longer_than_a_piece, [wording("skip.longer_than_scanned", megabytes=1)]),
    "too many objects": (
        Limits(objects=5), lambda: b"".join(gzip.compress(b"nothing here %d" % n) for n in range(50)),
        [wording("skip.too_much_encoded")],
    ),
    "encrypted members and unknown methods": (
        Limits(), lambda: b"".join([_member(1, 8), _member(0, 9), _member(1, 99), _member(0, 95), _member(0, 98)]),  # 99: AES
        [wording("skip.encrypted"), *(wording("skip.zip_method", method=method) for method in (9, 95, 98))],
    ),
    "a damaged stream": (Limits(), _damaged, [wording("skip.damaged_after_start")]),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_what_is_not_looked_at_is_told(case):
    limits, make, reasons = TOLD[case]
    scan = Scanner.default(limits).scan(make(), path="x")
    assert (scan.matches, [skipped.reason for skipped in scan.skipped]) == ((), reasons)
    if case == "longer than a piece":
        assert scan.skipped[0].inner == "gzip@0!gzip@999999"


def test_what_is_too_big_is_told():
    small = Scanner.default(Limits(total=1 << 20, piece=1 << 18))
    skipped = small.scan(gzip.compress(b"\0" * (64 << 20) + TOKEN), path="bomb").skipped[0]
    assert (skipped.reason, skipped.size_bytes >= 1 << 20) == (wording("skip.decodes_too_large"), True)
    assert small.scan(gzip.compress(TOKEN + b"\n" + b"\0" * (64 << 20)), path="bomb").matches


def test_a_secret_at_the_seam_of_two_pieces_is_found():
    small = Scanner.default(Limits(piece=1 << 18))
    for shift in (-60, -36, -20, -1, 0, 1):
        data = b"." * ((1 << 18) + shift) + b" " + TOKEN + b" " + b"." * (1 << 18)
        (match,) = small.scan(gzip.compress(data), path="x").matches
        assert match.offset == data.index(TOKEN)


PACKERS = {
    "gzip": gzip.compress, "zip": lambda text: zipped({"app.log": text}), "zstd": zstandard.compress, "bzip2": bz2.compress,
    "base64": base64.b64encode, "utf-16": lambda text: text.decode().encode("utf-16-le"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("depth", [1, 2])
def test_what_the_end_of_a_piece_cuts_begins_the_next(kind, depth):
    """Packed content at any distance from the seam, the secret in its last line; told once, at its place in the whole."""
    rng = random.Random(kind)
    small = Scanner.default(Limits(piece=1 << 20))
    size = 150_000 if kind == "utf-16" else 300_000  # half of it noise that no codec makes much smaller
    text = b"# a line of a log\n" * 5000 + rng.randbytes(size).hex().encode()
    text += b"\ntoken = " + github_token(rng) + b"\n"
    inner = PACKERS[kind](text)
    assert 1 << 16 < len(inner) < 1 << 20
    for reach in (100, len(inner) // 2, len(inner) - 100):
        data = b" " * ((1 << 20) - reach) + inner + b" " * (1 << 21)
        for _step in range(depth):
            data = gzip.compress(data, 1)
        scan = small.scan(data, path="backup.tar.gz")
        (match,) = scan.matches
        assert (match.rule, scan.skipped) == ("github-pat", ())
        assert kind == "zip" or match.inner.split("!")[-1] == f"{kind}@{(1 << 20) - reach}"


def test_packed_content_that_is_cut_again_and_again_ends():
    """Each piece begins with what the end of the last one cut: it is counted as often as it is looked at."""
    small = Scanner.default(Limits(piece=1 << 20, total=8 << 20))
    head = gzip.compress(random.Random(3).randbytes(1 << 18))[:-9]
    assert small.scan(gzip.compress(b" " + (head + b" " * 9) * 40, 1), path="x").skipped


def test_a_crowd_of_candidates_is_told(monkeypatch, scanner):
    monkeypatch.setattr(confirm, "_CROWD", 1 << 14)
    (skipped,) = scanner.scan(b"key = abcdefghij1 \n" * 5000, path="x", decode=False).skipped
    reason = wording("skip.too_many_candidates", rule="generic-api-key")
    assert (skipped.reason, skipped.size_bytes > 70_000) == (reason, True)


def test_only_so_many_candidates_are_judged_and_a_crowd_hides_no_rare_one(monkeypatch, scanner):
    crowd = b"".join(b"password = 'p%dabc(x)'\n" % number for number in range(500))
    budget, line = Budget(1 << 20, 10, verdicts=200), b"token = " + github_token(random.Random(4)) + b"\n"
    scan = scanner.confirm(crowd + line, "x", scanner.block(crowd + line), within=budget)
    assert [match.rule for match in scan.matches] == ["github-pat"]
    assert {skipped.reason.code for skipped in scan.skipped} == {"skip.too_many_candidates"}
    assert budget.verdicts < 0
    assert scanner.confirm(crowd, "y", scanner.block(crowd), within=budget).skipped


def test_the_same_text_is_judged_by_what_stands_around_it(scanner):
    """Refused behind one name, it is a secret behind another; what repeats costs one verdict."""
    line = b'"%s": "Ab3dEf9hIj2kLm5nOp8q", '
    budget = Budget(1 << 20, 10)
    data = (line % b"sha256_password") * 500 + line % b"password"
    scan = scanner.confirm(data, "x", scanner.block(data), within=budget)
    assert [match.offset for match in scan.matches] == [data.rindex(b"Ab3d")]
    assert Budget(1 << 20, 10).verdicts - budget.verdicts < 100


FRONTS = {b"_Z20hi": 0, b"*Z17hi": 0, b"_ZN3foo20hi": 0, b"token=": 1, b"Z2": 1, b"Z20-": 1, b"Z3hi": 1}


def test_a_name_in_a_compiled_program_is_no_token(scanner):
    """HiGHS, in scipy: compilers write the length of each name in front of it."""
    scans = {front: scanner.scan(front + b"ghs_" + TOKEN[4:] + b"\0", path="x.so") for front in FRONTS}
    assert {front: len(scan.matches) for front, scan in scans.items()} == FRONTS


def test_more_secrets_than_anyone_reads_are_told(monkeypatch, scanner):
    monkeypatch.setattr(confirm, "_MOST", 5)
    rng = random.Random(9)
    scan = scanner.scan(b"".join(b"k = " + github_token(rng) + b"\n" for _ in range(20)), path="x")
    reasons = [skipped.reason for skipped in scan.skipped]
    assert (len(scan.matches), reasons) == (5, [wording("skip.too_many_candidates", rule="github-pat")])


def test_dense_candidates_do_not_fill_the_memory(scanner):
    data = (b"key = abcdefghij1 \n" + b"PK\x03\x04\x14\0\0\0\x08\0") * 300_000
    assert len(scanner.block(data, decode=True)) < 180_000


def test_one_secret_is_reported_once_per_file(scanner):
    (match,) = scanner.scan(LINE * 50, path="x").matches
    assert match.line == 1


MAGIC = (b"PK\x03\x04\x14\0\0\0\x08\0", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"PACK\0\0\0\x02", b"\xfd7zXZ\0",
         b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"\0x\x9c", b"H4sIAAAA" * 4)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(noise=st.binary(max_size=400), magic=st.sampled_from(MAGIC))
def test_hostile_bytes_are_never_an_error(scanner, noise, magic):
    scanner.scan(magic + noise + magic, path="x")


@settings(max_examples=60, deadline=None)
@given(front=st.binary(max_size=300), back=st.binary(max_size=300))
def test_a_token_between_any_bytes_is_found(scanner, front, back):
    data = front + b"\n" + github_token(random.Random(8)) + b"\n" + back
    assert "github-pat" in {match.rule for match in scanner.scan(data, path="x").matches}


def test_a_file_named_like_a_secret(scanner):
    asked = (("etc/secret.txt", 12), ("etc/secret.txt", 5000), ("usr/lib/secrets.py", 12))
    assert [scanner.wants(*file) for file in asked] == [True, False, False]
    (match,) = scanner.scan(b"hunter-two\n", path="run/db_password").matches
    assert match.rule == "named-secret-file"
    for harmless in (b"changeme\n", b"# see the manual\n", b"one line\nanother\n", b"", b"${DB_PASSWORD}\n"):
        assert scanner.scan(harmless, path="run/db_password").matches == ()


HARMLESS = [
    b"PASSWORD=${DB_PASSWORD}\nTOKEN=$(cat /run/token)\nAPI_KEY=<your key here>\nSECRET=changeme\n",
    b"password: str = None\ntoken = get_token(request)\napi_key = settings.api_key\nsecret = os.environ['SECRET']\n",
    b"index https://user:password@host/ or https://${USER}:${PASS}@host/ or http://%s:%s@%s\n",
    b"root:x:0:0:root:/root:/bin/bash\nroot:*:19000:0:99999:7:::\nbin:!:19000::::::\n",
    b"-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0-----BEGIN RSA PRIVATE KEY-----\0%s\0",
    b"-----BEGIN CERTIFICATE-----\n" + b"MIIB" * 16 + b"\n-----END CERTIFICATE-----\n",
    b"cloud.google.com/go/auth v0.22.0 h1:" + b"Xp9wAK4b" * 5 + b"Abc=\n",
    b'"integrity": "sha512-' + b"Xp9wAK4b" * 10 + b'=="\n',
    b'USE_CREDENTIALS = "use-credentials";\nDEFAULT_TOKEN: "default_token",\n',
    b"password = \"Pass(1)word\" token: '%(token1)s' secret='{{ Secret1 }}' api_key: \"f(X1,y)\" password: 'https://X1/a?b,c'\n",
    b'{\\"password\\": \\"null\\", \\"token\\": \\"${TOKEN1}\\", \\"secret\\": \\"my_secret_name\\"}\n',
    b"AWS_SECRET_ACCESS_KEY_FILE=/run/secrets/aws\nexport GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568\n",
]


@pytest.mark.parametrize("word", ["Tr0ub4dor&3x!", "kT9v;Q2mX7pL4", "S3cret,w!th-s1gns$", "gH7-kd93_Lsq"])
@pytest.mark.parametrize("form", [
    'password = "{}" # of production', '<datasource user="app" password="{}"/>', "define('DB_PASSWORD', '{}');",
    "'password' => '{}',", 'password := "{}"', 'export DB_PASSWORD="{}"; make',
    'x = "{{\\"password\\": \\"{}\\", \\"port\\": 1}}"', "log: {{\\\\'api_key\\\\':\\\\'{}\\\\'}}",
])  # fmt: skip
def test_a_password_in_quotes_is_found_whole(form, word, scanner):
    text = f"x = 1\n{form.format(word)}\n".encode()
    (match,) = scanner.scan(text, path="x").matches
    assert (match.offset, match.length) == (text.index(word.encode()), len(word))


@pytest.mark.parametrize("data", HARMLESS, ids=range(len(HARMLESS)))
def test_harmless_text_gives_nothing(data, scanner):
    assert [(match.rule, match.redacted) for match in scanner.scan(data, path="x").matches] == []


@pytest.mark.slow
def test_noise_on_real_package_files(scanner):
    """Python's own library: tens of MB that hold no secret but key material for its tests. The count is printed with ``-s``."""
    rules, size = Counter[str](), 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*")):
        own = path.is_file() and path.suffix != ".pyc" and "site-packages" not in path.parts
        if own and path.stat().st_size < 8 << 20:
            data = path.read_bytes()
            size += len(data)
            rules.update(match.rule for match in scanner.scan(data, path=path.name).matches)
    noise = sum(count for rule, count in rules.items() if "private-key" not in rule)
    print(f"{size / 1e6:.0f} MB: {rules}")
    assert noise < max(12, size / 1e6)


def test_compiled_rules_of_earlier_versions_go_and_nothing_else(tmp_path):
    now, day = 1_900_000_000.0, 86_400.0
    names = [(f"plain-{number:024x}.hsdb", f"mine-{number}.hsdb") for number in range(matcher.KEPT + 4)]
    for number, pair in enumerate(names):
        for name in pair:
            os.utime(written(tmp_path, {name: b"x"}) / name, (now - number * day / 2,) * 2)
    matcher.prune_cache(tmp_path, now)
    left = {plain for plain, _ in names[: matcher.KEPT]} | {mine for _, mine in names}
    assert {file.name for file in tmp_path.iterdir()} == left
    written(tmp_path, {f"text-{1:024x}.hsdb": b"x"})
    for file in tmp_path.iterdir():
        os.utime(file, (now, now))
    matcher.prune_cache(tmp_path, now)  # all were used today: another process may be at work with them
    assert len([*tmp_path.iterdir()]) == len(left) + 1
    matcher.prune_cache(tmp_path / "missing", now)
