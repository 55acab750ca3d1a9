"""Secrets in bytes of a layer that are no file's content: names, link targets, extended attributes, behind the end marker."""

from __future__ import annotations

import random

import image_samples as samples
import pytest
from secret_samples import ALNUM, aws_key_id, aws_secret, docker_config, github_token, password, pem, text

from deadweight.image.analyse import analyse
from deadweight.image.stream import analyse_stream

RNG = random.Random(21)
SECRETS = {
    "PEM": pem(RNG),
    "docker auth": docker_config(RNG),
    "environment": b"DB_PASSWORD=" + password(RNG) + b"long0therTa1l",
    "AWS": b"aws_secret_access_key = " + aws_secret(RNG),
    "URL": b"https://robot:" + password(RNG) + b"@git.internal/x",
    "npm": b"npm_" + text(RNG, ALNUM, 36).encode(),
    "token": github_token(RNG),
}
WHOLE_WORDS = {**SECRETS, "key id": aws_key_id(RNG)}
FILE = samples.file(b"f", b"hello")


def found(tmp_path, layer, compression="none"):
    path = samples.docker_save(tmp_path / "x.tar", samples.build(layer, compression=compression))
    with path.open("rb") as stream:
        assert analyse_stream(stream).secrets == analyse(path).secrets
    return [(each.where, each.path, each.inner, each.fingerprint) for each in analyse(path).secrets]


def plain(tmp_path, secret):
    ((_where, _path, _inner, mark),) = found(tmp_path, samples.layer(samples.file(b"f", secret + b"\n")))
    return mark


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind", SECRETS)
def test_an_extended_attribute_and_what_is_behind_the_end_are_read_whole(tmp_path, kind, compression):
    """With the fingerprint that the same secret has in a file: a part of it would be another, or one for all."""
    secret = SECRETS[kind]
    mark = plain(tmp_path, secret)
    records = samples.pax_record(b"mtime", b"1.5") + samples.pax_record(b"SCHILY.xattr.user.k", secret)
    attribute = samples.layer(samples.file(b"e"), samples.pax_raw(records) + FILE, samples.file(b"g"))
    assert found(tmp_path, attribute, compression) == [("file", "/f", "extended header", mark)]
    assert found(tmp_path, samples.layer(FILE) + samples.padded(secret + b"\n"), compression) == [
        ("layer", None, "", mark)
    ]


@pytest.mark.parametrize(
    "kind", [kind for kind, secret in WHOLE_WORDS.items() if len(secret) < 90 and b"\n" not in secret]
)
def test_a_link_target_and_a_name_are_texts_of_their_own(tmp_path, kind):
    secret = WHOLE_WORDS[kind]
    mark = plain(tmp_path, secret)
    for link in (
        samples.header(b"l", kind=b"2", link=secret),
        samples.header(b"K", len(secret), b"K") + samples.padded(secret) + samples.header(b"l", kind=b"2", link=b"cut"),
    ):
        assert found(tmp_path, samples.layer(FILE, link, FILE)) == [("file", "/l", "link target", mark)]
    ((where, path, inner, same),) = found(tmp_path, samples.layer(samples.file(secret, b"x"), FILE))
    assert (where, inner, same) == ("file", "name", mark)
    assert path is not None


def test_a_name_of_a_hidden_file_is_its_own(tmp_path):
    token = github_token(RNG)
    layers = samples.layer(samples.file(b"d/" + token, b"x")), samples.layer(samples.file(b".wh.d"))
    report = analyse(samples.docker_save(tmp_path / "x.tar", samples.build(*layers)))
    ((mark,),) = [file.secrets for file in report.hidden]
    assert (mark.rule, mark.inner, report.secrets) == ("github-pat", "name", ())
