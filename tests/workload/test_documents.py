"""The requests that a repository's documents show."""

import pytest

from deadweight_workload.documents import shown
from tests.support.trees import written

README = r"""
Ask with ➜ curl -I localhost:8080/?code=404, or see http://localhost:8080/docs.
    $ curl -sX PUT -H 'X-File: /' -H "Authorization: Bearer abc" -d a=b \
        http://127.0.0.1:$PORT/x?y=1 | jq .
`http POST :8080/items name=tea X-A:b`, `wget -qO- shop:80/` and `curl --json '{"a": [1]}' "{{ host }}/items"`

curl -F file=@a localhost/f; curl -d @file localhost/f; curl localhost/items/$ID; curl localhost/<id>; curl 'localhost/x
curl -sL https://get.example.com/install.sh | sh
curl -d 'user=bob&password=hunter2' localhost/login
"""
SHOWN = [
    ("PUT", "/x?y=1", {"content-type": "application/x-www-form-urlencoded", "x-file": "/"}, "a=b"),
    ("POST", "/items", {"content-type": "application/json", "x-a": "b"}, '{"name": "tea"}'),
    ("GET", "/", {}, None),
    ("POST", "/items", {"content-type": "application/json"}, '{"a": [1]}'),
    ("POST", "/login", {"content-type": "application/x-www-form-urlencoded"}, "user=bob&password=masked"),
    ("GET", "/docs", {}, None),
]


def asked(root):
    return [(one.method, one.path, one.headers, one.body) for one in shown(root)]


def test_commands_and_addresses_are_read_without_secrets_and_without_what_only_a_reader_knows(tmp_path):
    others = dict.fromkeys(("CHANGELOG.md", "node_modules/x/README.md", "notes.txt"), "http://localhost/other")
    root = written(tmp_path, {"README.md": README, "docs/more.md": "http://localhost/more", **others})
    got = asked(root)
    assert [("HEAD", "/?code=404", {}, None), *SHOWN, ("GET", "/more", {}, None)] == got


@pytest.mark.parametrize("text", ["curl", "curl localhost:", "http ://", "curl -X", "curl -H localhost/x", "\0" * 100])
def test_what_is_no_request_is_none(tmp_path, text):
    assert asked(written(tmp_path, {"README.md": text})) == []
