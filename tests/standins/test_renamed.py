"""Packages that are called otherwise now."""

from __future__ import annotations

import subprocess

import pytest

from deadweight_standins.bases import names
from deadweight_standins.machine import this_machine
from deadweight_standins.recipes import RENAMED_FOLDER, fill_renamed, installs_renamed


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("apt-get update && apt-get install -y netcat && rm -rf /var/lib/apt/lists/*", True),
        ("apt-get install -y netcat-openbsd", False),
        ("apt-get install -y python3 libncurses5-dev", False),
        ("apt-get install -y curl python", True),
    ],
)
def test_only_who_asks_by_an_old_name_gets_them(command, answer):
    assert installs_renamed(command) is answer


@pytest.mark.system
def test_each_is_an_empty_package_that_depends_on_what_it_is_called_now(tmp_path):
    fill_renamed(tmp_path, this_machine())
    stanzas = (tmp_path / RENAMED_FOLDER / "Packages").read_text().strip().split("\n\n")
    told = [dict(line.split(": ", 1) for line in each.splitlines() if ": " in line) for each in stanzas]
    assert {each["Package"]: each["Depends"] for each in told} == {
        name: entry.now for name, entry in names().renamed.items()
    }
    assert all("stand-in" in each["Version"] for each in told)
    python = next(tmp_path.glob(f"{RENAMED_FOLDER}/python_*.deb"))
    listed = subprocess.run(["dpkg-deb", "--contents", python], capture_output=True, text=True, check=True).stdout
    assert "./usr/bin/python -> python3" in listed
