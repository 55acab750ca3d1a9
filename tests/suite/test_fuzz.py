"""Configuration loading survives 10,000 documents (2,000 in a run of the suite): a Suite, or a ConfigError that names its place."""

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from deadweight._errors import ConfigError
from deadweight.builders import table
from deadweight.project.load_suite import load_suite
from deadweight.suite.checks import Checks
from deadweight.suite.model import RunSettings, Suite, Variant
from tests.support import ROOT
from tests.support.examples import examples

pytestmark = [pytest.mark.system, pytest.mark.slow]

WORDS = sorted(
    {
        *Variant.model_fields,
        *(key for name in table.names() for key in table.record(name).own_keys()),
        *Checks.model_fields,
        *RunSettings.model_fields,
        *("defaults", "variants", "sources", "soft", "hard", "size_bytes", "request", "json", "json_body"),
    }
)
scalars = (
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    st.sampled_from([*table.names(), "15MB", "pass", "1.2.3", "2026-01-01", "0o7", "1:30", "no", "~", "=", "<<"]),
)
keys = st.sampled_from(WORDS) | st.text(max_size=8)
values = st.recursive(
    st.one_of(scalars),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
variants = st.dictionaries(st.sampled_from(["a", "b"]) | keys, values, max_size=3)
documents = st.fixed_dictionaries(
    {"name": st.one_of(st.just("demo"), *scalars), "variants": variants},
    optional={"defaults": values, "sources": values, "misspelt": values},
)


def check(folder: Path, content: bytes) -> bool:
    """Whether the document was accepted; fails the test for anything but a Suite or a placed ConfigError."""
    file = folder / "deadweight.yaml"
    file.write_bytes(content)
    try:
        assert isinstance(load_suite(file), Suite)
    except ConfigError as error:
        problem = error
    else:
        return True
    assert problem.exit_code == 2
    assert re.compile(r"deadweight\.yaml(:\d+)?: ").search(str(problem)), str(problem)
    assert problem.line is None or 1 <= problem.line <= content.count(b"\n") + content.count(b"\r") + 8
    return False


@settings(max_examples=examples(2_500), deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(document=documents)
def test_generated_documents(tmp_path, document):
    check(tmp_path, yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass"))


def test_mutated_bytes(tmp_path):
    """The project's own suite file, damaged in 7,500 ways (each from its seed, so that a failure can be seen again)."""
    whole = (ROOT / "deadweight.yaml").read_bytes()
    # without the defaults' checks it is small enough to be read that often, and what is cut off it is no longer all variants
    good = re.sub(rb"\n  checks:\n.*?\nvariants:", b"\nvariants:", whole, count=1, flags=re.DOTALL)
    count = examples(7_500)
    assert 0 < sum(check(tmp_path, damaged(good, random.Random(seed))) for seed in range(count)) < count


PIECES = [b"{", b"[", b": ", b"\n", b"- ", b"&a ", b"*a", b"!!int ", b"|", b"'", b'"', b"\t", b"%", b"\xff"]


def damaged(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content[: dice.randrange(200, 1500)] if dice.random() < 0.7 else content[:6000])
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(data))
        kind = dice.randrange(5)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at : at + dice.randrange(1, 30)]
        elif kind == 2:
            data[at:at] = dice.choice(PIECES)
        elif kind == 3:
            start = dice.randrange(len(data))
            data[at:at] = data[start : start + dice.randrange(1, 80)]
        else:
            data = data[: max(1, at)]
        if not data:
            return b""
    return bytes(data)
