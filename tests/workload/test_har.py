"""HAR files: what is read of them, and that no secret is in what is read or written."""

import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deadweight.engine.http import direct
from deadweight_workload import Recording, har, recorded
from tests.support.codes import parts

SECRETS = ("hunter2", "s3cr3t", "eyJhbGciOiJIUzI1NiJ9.e30.abc", "0123456789abcdef0123456789abcdef")
HEADERS = {
    "Authorization": f"Bearer {SECRETS[2]}",
    "Cookie": f"session={SECRETS[1]}",
    "Accept": "text/html",
    "X-Key": SECRETS[3],
}
FORM, JSON = {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/json"}
ASKED = [
    ("GET", f"/files/12?page=2&access_token={SECRETS[1]}", {}, ""),
    ("POST", "/login", FORM, f"user=bob&password={SECRETS[0]}"),
    (
        "POST",
        "/keys",
        JSON,
        json.dumps({"author": "bob", "max_tokens": 5, "in": [{"api_key": SECRETS[3]}], "pin": 1234}),
    ),
    ("GET", f"/reset/{SECRETS[3]}", {}, ""),
    ("POST", "/xml", {"Content-Type": "text/xml"}, f"<password>{SECRETS[0]}</password>"),
]
CLEAN = [
    ("GET /files/12?page=2&access_token=masked", None),
    ("POST /login", "user=bob&password=masked"),
    ("POST /keys", '{"author": "bob", "max_tokens": 5, "in": [{"api_key": "masked"}], "pin": "masked"}'),
    ("GET /reset/masked", None),
]


def lines(requests):
    return [(f"{request.method} {request.path}", request.body) for request in requests]


def entry(method, url, headers=(), text=None):
    pairs = [{"name": name, "value": value} for name, value in dict(headers).items()]
    return {
        "request": {"method": method, "url": url, "headers": pairs, **({"postData": {"text": text}} if text else {})}
    }


def test_what_a_browser_recorded_is_read_without_its_secrets(tmp_path):
    entries = [entry(method, f"http://app{path}", HEADERS | more, text) for method, path, more, text in ASKED]
    entries += [entry("GET", "https://elsewhere.example/pixel"), entry("TRACE", "http://app/"), entries[0], {}, "?"]
    entries += [{"request": 7}, {"request": {"url": "http://[", "headers": 7, "postData": {"params": [7]}}}]
    (tmp_path / "t.har").write_text(json.dumps({"log": {"entries": entries}}))
    read = har.read(tmp_path / "t.har")
    assert lines(read.requests) == CLEAN
    assert (read.elsewhere, read.unusable) == (3, 2)
    assert {name for request in read.requests for name in request.headers} == {"accept", "content-type"}
    assert not [secret for secret in SECRETS if secret in repr(read)]


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"log": {"entries": 7}}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_har_file_is_an_error_of_one_kind(tmp_path, text):
    (tmp_path / "t.har").write_bytes(text)
    with pytest.raises(ValueError):
        har.read(tmp_path / "t.har")


def test_a_recording_proxy_passes_all_on_and_writes_what_can_be_sent_again(tmp_path):
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(
                (
                    self.path,
                    self.headers["Authorization"],
                    self.rfile.read(int(self.headers["Content-Length"] or 0)).decode(),
                )
            )
            self.send_response(201)
            for pair in (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", "2")):
                self.send_header(*pair)
            self.end_headers()
            self.wfile.write(b"ok")

        do_GET = do_POST

        def log_message(self, *_):
            pass

    recording, out = Recording(), tmp_path / "traffic.har"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        route = direct("address", "127.0.0.1", server.server_address[1])
        with recorded(lambda: route, recording) as port:
            for method, path, more, text in ASKED:
                client = http.client.HTTPConnection("127.0.0.1", port)
                client.request(method, path, text or None, HEADERS | more)
                answer = client.getresponse()
                assert (answer.status, answer.read()) == (201, b"ok")
                assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
                client.close()
        server.shutdown()
    assert seen == [(path, HEADERS["Authorization"], text) for _, path, _, text in ASKED]
    _, fields = parts(recording.save(out))
    assert (fields["requests"], fields["operations"], fields["unusable"]) == (4, 4, 1)
    assert not [secret for secret in SECRETS if secret in out.read_text()]
    assert lines(har.read(out).requests) == CLEAN


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"])
def test_who_asks_and_goes_is_not_passed_on(sent):
    """Neither is the service asked, nor does the proxy wait for the rest."""
    recording = Recording()
    with socket.create_server(("127.0.0.1", 0)) as asked:
        service = direct("address", *asked.getsockname())
        with recorded(lambda: service, recording) as port, socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        asked.settimeout(0.2)
        with pytest.raises(TimeoutError):
            asked.accept()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
def test_a_service_that_closes_in_the_midst_ends_the_answer(answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            wire, _ = listener.accept()
            with wire:
                wire.recv(65536)
                wire.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        service = direct("address", *listener.getsockname())
        with recorded(lambda: service, Recording()) as port, socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b"".join(iter(lambda: client.recv(65536), b""))
    assert got.split()[1] == (b"200" if answer else b"502")


def test_a_service_that_is_gone_is_answered_for():
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = direct("address", "127.0.0.1", free.getsockname()[1])
    with recorded(lambda: nobody, Recording()) as port:
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.request("GET", "/")
        assert client.getresponse().status == 502
        client.close()
