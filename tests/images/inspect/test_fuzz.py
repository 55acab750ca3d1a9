"""Real archives, damaged in every way that a tar can be: a report or one clear error, never a traceback, never without end."""

import io
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from deadweight._errors import DeadweightError
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.extract import extract
from tests.support import image_samples as samples

pytestmark = pytest.mark.system

# Where a header's fields begin, and what a liar writes there.
FIELDS = (0, 99, 100, 108, 116, 124, 135, 156, 157, 257, 345, 482)
KINDS = [b"%c" % kind for kind in b"LKxgS12356"]
LIES = (b"\0", b"\xff" * 12, b"\x80", b"7777777", b"-1", b"/", b"../", b".wh.", b".wh..wh..opq", *KINDS)
SECRET = b"db_password = kT9vQ2mX7pL4wZ8rNc3B\n"


def real_layer(form: int) -> bytes:
    """Files that packages of this machine installed, with their modes and links, and a secret."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name in sorted(Path("/etc").rglob("*"))[:60]:
            if name.is_symlink() or name.is_dir() or (name.is_file() and name.stat().st_size < 20_000):
                tar.add(name, recursive=False, filter=named)
        secret = tarfile.TarInfo("etc/" + "a-long-name/" * 12 + "secret.txt")
        secret.size = len(SECRET)
        tar.addfile(secret, io.BytesIO(SECRET))
    return out.getvalue()


def named(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uname = info.gname = "root"
    info.pax_headers = {"comment": "as real as it gets"}
    return info


LAYERS = [real_layer(form) for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)]
GONE = samples.honest_layer({"etc/.wh.hostname": b"", "usr/.wh..wh..opq": b""})
kinds = st.one_of(
    st.tuples(st.just("field"), st.integers(0, 200), st.sampled_from(FIELDS), st.sampled_from(LIES)),
    st.tuples(st.just("byte"), st.integers(0, 1 << 20), st.integers(0, 255), st.none()),
    st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.integers(1, 3000), st.none()),
    st.tuples(st.just("again"), st.integers(0, 2000), st.integers(1, 6), st.none()),
)


def changed(data: bytes, wanted: list[tuple]) -> bytes:
    made = bytearray(data)
    for kind, place, number, text in wanted:
        if kind == "field":
            headers = [at for at in range(0, len(made) - 511, 512) if made[at + 257 : at + 262] == b"ustar"] or [0]
            at = headers[place % len(headers)]
            made[at + number : at + number + len(text)] = text
            made[at : at + 512] = samples.summed(made[at : at + 512])
        elif kind == "byte":
            made[place % len(made)] = number
        elif kind == "cut":
            del made[place % len(made) : place % len(made) + number]
        else:
            at = place * 512 % len(made)
            made[at:at] = made[at : at + 512 * number]
        if len(made) < 1024:
            return bytes(made) + samples.END
    return bytes(made)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(
    wanted=st.lists(kinds, min_size=1, max_size=6), number=st.integers(0, 2), whole=st.booleans(),
    compression=st.sampled_from(["none", "gzip", "zstd"]), scan=st.sampled_from(["deep", "plain", "hidden", "no"]),
)  # fmt: skip
# a tar without a magic number
@example(wanted=[("field", 0, 257, b"\0")], number=0, whole=False, compression="none", scan="no")
def test_a_damaged_archive_is_a_report_or_one_error(tmp_path, wanted, number, whole, compression, scan):
    """Damage in the archive as a whole, or in one layer whose digests are right all the same."""
    layer = LAYERS[number] if whole else changed(LAYERS[number], wanted)
    path = samples.saved(tmp_path, layer, GONE, LAYERS[0], compression=compression)
    if whole:
        path.write_bytes(changed(path.read_bytes(), wanted))
    outcomes = []
    for look in (analyse, samples.streamed):
        try:
            report = look(path, scan=scan)
            document(report)
            outcomes.append((report.files, report.hidden_files, report.counted_secrets))
        except DeadweightError as error:
            outcomes.append(type(error))
    if isinstance(outcomes[0], tuple):
        with TemporaryDirectory(dir=tmp_path) as folder:
            out = Path(folder).resolve() / "out"
            for item in extract(path, analyse(path, scan="no").hidden, out):
                assert item.written is None or item.written.resolve().is_relative_to(out)
    if not whole:
        assert outcomes[0] == outcomes[1]  # in place or as a stream, a layer is read in one way
