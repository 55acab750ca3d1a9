"""Secrets in bytes of a layer that are no file's content: names, link targets, extended attributes, behind the end marker."""

import random

import pytest

from deadweight_images.errors import wording
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.stream import analyse_stream
from tests.support import image_samples as samples
from tests.support.secret_samples import ALNUM, aws_key_id, aws_secret, docker_config, github_token, password, pem, text

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
    path = samples.saved(tmp_path, layer, compression=compression)
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
    report = analyse(samples.saved(tmp_path, *layers))
    ((mark,),) = [file.secrets for file in report.hidden]
    assert (mark.rule, mark.inner, report.secrets) == ("github-pat", "name", ())


@pytest.mark.parametrize("way", ["none", "gzip", "stream"])
def test_headers_of_hidden_files_are_read_where_only_those_are_looked_at(tmp_path, way):
    """Empty files, links and attributes too; nothing of the visible neighbours, wherever they lie between."""
    tokens = [github_token(random.Random(number)) for number in range(6)]
    attribute = samples.pax_raw(samples.pax_record(b"SCHILY.xattr.user.k", tokens[0]))
    lower = samples.layer(
        attribute + samples.file(b"old/a"),
        samples.file(b"new/" + tokens[4], tokens[5]),
        samples.file(b"old/" + tokens[1]),
        samples.header(b"old/link", kind=b"2", link=b"/x/" + tokens[2]),
        samples.file(b"new/between", bytes(20_000)),
        samples.file(b"old/b", tokens[3] + b"\n"),
    )
    compression = "gzip" if way == "gzip" else "none"
    path = samples.saved(tmp_path, lower, samples.layer(samples.file(b".wh.old")), compression=compression)
    with path.open("rb") as stream:
        report = analyse_stream(stream, scan="hidden") if way == "stream" else analyse(path, scan="hidden")
    hidden = {file.path: [mark.inner for mark in file.secrets] for file in report.hidden}
    name = f"/old/{tokens[1][:4].decode()}… (40 bytes)"
    assert hidden == {"/old/a": ["extended header"], name: ["name"], "/old/link": ["link target"], "/old/b": [""]}
    assert report.secrets == ()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_too_much_to_look_at_is_told_of_hidden_files_too(tmp_path, compression):
    lines = b"".join(github_token(random.Random(number)) + b"\n" for number in range(1100))
    files = {f"old/{number}": lines[number * 410 * 55 : (number + 1) * 410 * 55] for number in range(2)}
    layers = samples.tar_of(files | {"old/last": github_token(RNG)}), samples.layer(samples.file(b".wh.old"))
    report = analyse(samples.saved(tmp_path, *layers, compression=compression), scan="hidden")
    assert wording("skip.too_many_secrets", most=400) in [item.reason for item in report.skipped]
