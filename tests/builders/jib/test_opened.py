"""Old plug-ins of Maven's reach into the JDK, which newer ones refuse unless its packages are opened."""

from __future__ import annotations

import subprocess

import pytest

from deadweight.builders.jib.maven import OPENED, SHORT_LIVED
from deadweight.toolchain.find import find

pytestmark = pytest.mark.tools

REACHES = """\
class Reaches {
    public static void main(String[] given) throws Exception {
        java.util.TreeMap.class.getDeclaredField("comparator").setAccessible(true);
        java.awt.font.TextAttribute.class.getDeclaredField("instanceMap").setAccessible(true);
        Class.forName("com.sun.tools.javac.processing.JavacProcessingEnvironment").getDeclaredField("context").setAccessible(true);
    }
}
"""


@pytest.mark.parametrize(("opened", "reached"), [(OPENED, True), ("", False)])
def test_what_old_plug_ins_reach_into_is_open(tmp_path, opened, reached):
    file = tmp_path / "Reaches.java"
    file.write_text(REACHES)
    words = [find("java").path, *SHORT_LIVED.split(), *opened.split(), file]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) == reached, done.stderr
    assert "WARNING" not in done.stderr
