"""A small forge: the comments of one pull request as GitHub's and GitLab's REST references describe them, with faults on demand."""

import json
import re
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.http_servers import Answering, served
from tests.support.trees import written

GITHUB = re.compile(r"/repos/team/app/issues(?:/(?P<number>7)/comments|/comments/(?P<id>\d+))")
GITLAB = re.compile(r"/projects/42/merge_requests/7/notes(?:/(?P<id>\d+))?")
TOKEN = "s3cret-t0ken"

Answer = tuple[int, dict[str, str], Any]


def environment(provider: str, url: str, folder: Path, *, run: int = 5, fork: bool = False) -> dict[str, str]:
    """What a job of a pull request of this forge has; its event lies in the folder."""
    if provider == "gitlab":
        source, ids = "43" if fork else "42", {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "42"}
        ids |= {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": source, "CI_PIPELINE_ID": str(run)}
        return {"CI_API_V4_URL": url, **ids, "GITLAB_TOKEN": TOKEN}
    event = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "me/app" if fork else "team/app"}}}}
    written(folder, {"event.json": json.dumps(event)})
    place = {"GITHUB_API_URL": url, "GITHUB_REPOSITORY": "team/app", "GITHUB_EVENT_PATH": str(folder / "event.json")}
    return {**place, "GITHUB_RUN_ID": str(run), "GITHUB_TOKEN": TOKEN}


class ForgeServer:
    """``faults`` are answers given instead, first come first served; ``may_write`` says what the token may. ``before`` runs before
    a request of that method is answered."""

    def __init__(self) -> None:
        self.comments: dict[int, str] = {}
        self.faults: list[tuple[int, dict[str, str]] | None] = []
        self.may_write = True
        self.lost_answers = 0
        self.before: dict[str, Callable[[], None]] = {}
        self.asked: list[str] = []
        self.lock = threading.RLock()
        self._next = 100

        class Handler(Answering):
            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = lambda request: self.respond(request)

        running = ExitStack()
        self.url = f"http://127.0.0.1:{running.enter_context(served(Handler)).server_port}"
        self.close = running.close

    def add(self, body: str) -> int:
        with self.lock:
            self._next += 1
            self.comments[self._next] = body
            return self._next

    def respond(self, request: Answering) -> None:
        body = json.loads(request.rfile.read(int(request.headers.get("Content-Length") or 0)) or b"{}")
        if (hook := self.before.pop(request.command, None)) is not None:
            hook()
        with self.lock:
            status, headers, document = self._answer(request, body)
        request.answer(status, b"" if document is None else json.dumps(document).encode(), headers)

    def _answer(self, request: Answering, body: dict[str, Any]) -> Answer:
        self.asked.append(request.command)
        url = urlsplit(request.path)
        if self.faults and (fault := self.faults.pop(0)) is not None:
            return fault[0], fault[1], {"message": "later"}
        hub, lab = GITHUB.fullmatch(url.path), GITLAB.fullmatch(url.path)
        token = request.headers.get("Authorization") if hub else f"Bearer {request.headers.get('PRIVATE-TOKEN')}"
        if token != f"Bearer {TOKEN}":
            return 401, {}, {"message": "Bad credentials"}
        match = hub or lab
        if match is None:
            return 404, {}, {"message": "Not Found"}
        if request.command != "GET" and not self.may_write:
            return 403, {}, {"message": "Resource not accessible by integration"}
        number = match["id"]
        if number is None:
            return self._collection(request.command, body, parse_qs(url.query))
        return self._one(request.command, "PATCH" if hub else "PUT", int(number), body)

    def _collection(self, method: str, body: dict[str, Any], query: dict[str, list[str]]) -> Answer:
        if method == "GET":
            size, page = int(query["per_page"][0]), int(query["page"][0])
            comments = [{"id": key, "body": text} for key, text in sorted(self.comments.items())]
            return 200, {}, comments[(page - 1) * size : page * size]
        if method != "POST" or set(body) != {"body"} or not body["body"] or len(body["body"]) > 65536:
            return 422, {}, {"message": "Validation Failed"}
        made = self.add(body["body"])
        if self.lost_answers:
            self.lost_answers -= 1
            return 502, {}, None
        return 201, {}, {"id": made, "body": body["body"]}

    def _one(self, method: str, change: str, number: int, body: dict[str, Any]) -> Answer:
        if number not in self.comments:
            return 404, {}, {"message": "Not Found"}
        if method == "DELETE":
            del self.comments[number]
            return 204, {}, None
        if method != change:
            return 405, {}, {"message": "405 Method Not Allowed"}
        self.comments[number] = body["body"]
        return 200, {}, {"id": number, "body": body["body"]}
