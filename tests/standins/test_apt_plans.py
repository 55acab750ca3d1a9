"""What apt would install is asked once for each state of its lists."""

import os
from pathlib import Path

import pytest

from deadweight_standins import debian
from deadweight_standins.machine import this_machine
from tests.support.trees import written

pytestmark = pytest.mark.usefixtures("lists")
PLAN = [("libcap2", "1:2.66-4", "amd64"), ("libc6", "2.36-9", "amd64")]


@pytest.fixture
def lists(tmp_path, monkeypatch) -> Path:
    """Apt's lists, which stand for the machine's."""
    folder = written(tmp_path / "lists", {"bookworm_main_Packages": "Package: libcap2\n"})
    monkeypatch.setattr(debian, "MACHINES", (folder,))
    return folder


def plans(folder: Path) -> debian.Plans:
    own = folder / "own"
    own.mkdir(exist_ok=True)
    return debian.Plans(folder / "state" / "plans.json", (own,))


def test_an_answer_is_kept_for_the_names_it_was_given_to(tmp_path):
    assert plans(tmp_path).get(["libcap2"]) is None
    plans(tmp_path).keep(["libcap2"], PLAN)
    plans(tmp_path).keep(["busybox"], [])
    assert (plans(tmp_path).get(["libcap2"]), plans(tmp_path).get(["busybox"])) == (PLAN, [])
    assert plans(tmp_path).get(["libcap2", "busybox"]) is None


CHANGES = {
    "change": lambda own, file, _: file.write_text("Package: libcap2\nVersion: 2\n"),
    "touch": lambda own, file, _: os.utime(file, (1, 1)),
    "add": lambda own, file, _: (own / "trixie_main_Packages").write_text("Package: libcap2\n"),
    "remove": lambda own, file, _: file.unlink(),
    "configure": lambda own, file, patch: patch.setenv("APT_CONFIG", "/elsewhere"),
}
DAMAGED = {
    content: lambda own, *_, content=content: plans(own.parent).file.write_text(content, encoding="latin-1")
    for content in ("", "{", "[]", '{"lists": 1}', '{"answers": {}}', "\xff")
}


@pytest.mark.parametrize("how", (CHANGES | DAMAGED).values(), ids=CHANGES | DAMAGED)
def test_new_lists_another_configuration_or_a_damaged_file_forget_it(tmp_path, lists, how, monkeypatch):
    plans(tmp_path).keep(["libcap2"], PLAN)
    how(tmp_path / "own", lists / "bookworm_main_Packages", monkeypatch)
    assert plans(tmp_path).get(["libcap2"]) is None
    plans(tmp_path).keep(["busybox"], PLAN)
    assert (plans(tmp_path).get(["libcap2"]), plans(tmp_path).get(["busybox"])) == (None, PLAN)


def test_no_file_grows_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "MOST", 3)
    for number in range(4):
        plans(tmp_path).keep([str(number)], PLAN)
    assert plans(tmp_path).get(["0"]) is None
    assert plans(tmp_path).get(["3"]) == PLAN


def test_a_library_is_found_by_the_name_it_had_before_2024(tmp_path):
    """Apt takes the one that provides it, and says that one's name: Debian 13, Ubuntu 24.04."""
    packages = debian.Packages(tmp_path / "debs", this_machine(), tmp_path / "log")
    file = tmp_path / "debs" / "libreadline8t64_8.2-6_amd64.deb"
    (tmp_path / "debs" / "state" / "lists").mkdir(parents=True)
    file.touch()
    state, plan = tmp_path / "debs" / "state", [("libreadline8t64", "8.2-6", "amd64")]
    debian.Plans(state / "plans.json", (state / "lists", state / "parts")).keep(["libreadline8"], plan)
    assert packages.get(["libreadline8"])["libreadline8"] == file
