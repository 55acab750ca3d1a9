"""A secret in a name or in a place is printed and published nowhere; what only looks like one stays as it is."""

from __future__ import annotations

import random

import pytest

from deadweight.report.sarif import layers_junit, layers_sarif
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.extract import extract
from tests.support import image_samples as samples
from tests.support.image_samples import honest_layer as L
from tests.support.secret_samples import github_token

TOKEN = github_token(random.Random(31)).decode()
WORD = "kT9vQ2mX7pL4wZ8r"


def look(tmp_path, *layers, **more):
    archive = samples.saved(tmp_path, *layers, **more)
    return archive, analyse(archive)


def said(report):
    return document(report) + layers_sarif(report, "x") + layers_junit(report, "x")


def test_a_secret_in_a_name_is_cut_wherever_the_name_stands(tmp_path):
    lower = {
        f"t/{TOKEN}/f": b"hello world\n",
        "bin/sh": f"/opt/{TOKEN}",
        f"opt/{TOKEN}": b"\x7fELF",
        "a.tar": L({TOKEN: TOKEN.encode()}),
    }
    layers = L(lower, **{TOKEN: 0o4755}), L({f".wh.{TOKEN}": b"", f"t/{TOKEN}/.wh.f": b""})
    archive, report = look(tmp_path, *layers, config={"User": TOKEN, "Labels": {f"token={TOKEN}": "x"}})
    assert TOKEN not in said(report)
    shown = f"{TOKEN[:4]}… (40 bytes)"
    assert (report.user, report.hidden[0].path) == (shown, f"/t/{shown}/f")
    assert [figure.path for figure in report.setuid] == [f"/opt/{shown}"]
    done = extract(archive, report.hidden, tmp_path / "out")
    assert [item.written.read_bytes() for item in done if item.written] == [b"hello world\n"]
    assert not any(TOKEN in str(path) for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("scan", ["deep", "hidden"])
def test_a_password_of_a_url_in_a_name_is_cut_though_paths_have_single_slashes(tmp_path, scan):
    """Of a mirror's folder, say: the layer has both slashes, a clean path one, and a rule for URLs wants two."""
    lower = {f"srv/https://robot:{WORD}@git.internal/x": b"hello\n", f"srv/ssh:///{TOKEN}@h.internal": b""}
    archive = samples.saved(tmp_path, L(lower), L({".wh.srv": b"", f"usr/ftp://me:{WORD}@h.internal/y": b"z" * 5000}))
    report = analyse(archive, scan=scan)
    assert WORD not in said(report)
    assert TOKEN not in said(report)
    assert report.hidden[0].path == f"/srv/https:/robot:{WORD[:4]}… (16 bytes)@git.internal/x"
    done = extract(archive, report.hidden, tmp_path / "out")
    assert [item.written.read_bytes() for item in done if item.written] == [b"hello\n", b""]


def test_many_names_close_together_are_each_cut(tmp_path):
    names = [github_token(random.Random(number)).decode() for number in range(30)]
    _archive, report = look(
        tmp_path, L({f"l{n}": f"/x/{name}" for n, name in enumerate(names)} | dict.fromkeys(names, b"x"))
    )
    assert not any(name in said(report) for name in names)
    assert sum(each.inner == "link target" for each in report.secrets) == 30


def test_ordinary_names_stay(tmp_path):
    names = [
        "etc/secret.txt",
        "usr/lib/password-store/token.py",
        "a=b;d/TOKEN=x",
        "opt/0123456789abcdef0123456789abcdef.key",
    ]
    _archive, report = look(tmp_path, L(dict.fromkeys(names, b"x")), L({".wh..wh..opq": b""}))
    assert {file.path for file in report.hidden} == {f"/{name}" for name in names}


PLACES = {
    "a label's key": (
        {"config": {"Labels": {f"DB_PASSWORD={WORD}": "x"}}},
        "config.Labels[DB_PASSWORD=kT9v… (16 bytes)]",
    ),
    "a volume": ({"config": {"Volumes": {f"/x?password={WORD}": {}}}}, "config.Volumes"),
    "a port": ({"config": {"ExposedPorts": {f"token={WORD}": {}}}}, "config.ExposedPorts"),
    "an author": ({"history": [{"created_by": "x", "author": f"token={WORD}"}]}, "history[0].author"),
    "a key of the history that nobody knows": (
        {"history": [{"created_by": "x", "env": f"TOKEN={WORD}"}]},
        "history[0].env",
    ),
    "a key of the config that nobody knows": (
        {"container_config": {"Env": [f"TOKEN={WORD}"]}},
        "container_config.Env[0]",
    ),
    "a user": ({"config": {"User": f"token={WORD}"}}, "config.User"),
    "words": ({"config": {"Env": [f"PASSPHRASE={WORD} battery staple"]}}, "config.Env[0]"),
    "a URL's password": ({"config": {"Env": [f"MY_PASSWORD_URL=https://u:{WORD}@git.internal"]}}, "config.Env[0]"),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_the_config_is_read_and_told_without_the_secret(tmp_path, place):
    given, where = PLACES[place]
    _archive, report = look(tmp_path, L({"a": b"x"}), **given)
    assert {secret.where for secret in report.secrets} == {where}
    assert WORD not in said(report)
    assert "battery" not in said(report)
