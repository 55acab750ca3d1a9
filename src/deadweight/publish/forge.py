"""The parts of GitHub's and GitLab's REST APIs that one comment on a pull request needs.

Sources: GitHub REST "Issue comments", "Best practices: handle rate limit errors"; GitLab REST "Notes", "Rate limits".
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from deadweight._errors import DeadweightError, MissingError

SECONDS = 20.0
PAGE, MAX_PAGES = 100, 50
ATTEMPTS = 6
MAX_ANSWER_BYTES = 32 * 1024 * 1024


class Gone(DeadweightError):
    """There is no such comment any more."""


class NoRights(MissingError):
    """The token may not do this."""


class Busy(DeadweightError):
    """The forge did not answer in time, or not as it should."""


class Unsure(Busy):
    """The same for a POST: what it asks for may have been done."""


@dataclass(frozen=True)
class Comment:
    id: int
    body: str


class Forge(Protocol):
    """A place for comments on one pull request.

    All raise Gone, NoRights, Busy (Unsure of a POST), or DeadweightError for another refusal.
    """

    def comments(self) -> Iterator[Comment]:
        """Oldest first."""
        ...

    def create(self, body: str) -> Comment: ...

    def update(self, comment: Comment, body: str) -> None: ...

    def delete(self, comment: Comment) -> None: ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is for one host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True)
class Api:
    """JSON over HTTP with a token. ``patience_seconds`` is how long all waiting of one call may take together."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    patience_seconds: float = 180.0
    sleep: Callable[[float], None] = time.sleep

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the forge answers. Waits where it says so (Retry-After, rate limits) and where it fails (5xx).

        A POST is not repeated after a failure, since it may have been done: Unsure says so.
        """
        left = self.patience_seconds
        for attempt in range(ATTEMPTS):
            status, headers, answer = self._once(method, path, body)
            if status in range(200, 300):
                return answer
            limited = status == 429 or (status == 403 and _is_limit(headers))
            if not limited and status < 500:
                raise _refusal(status, method, path, answer)
            wait = _wait(headers, attempt)
            if wait > left or attempt == ATTEMPTS - 1 or (method == "POST" and not limited):
                why = (
                    "the rate limit is used up" if limited else f"HTTP status {status}" if status < 600 else str(answer)
                )
                raise (Unsure if method == "POST" and not limited else Busy)(f"{method} {self.url}{path}: {why}")
            self.sleep(wait)
            left -= wait
        raise AssertionError

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Mapping[str, str], Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "deadweight", **self.headers}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - http(s), see ``checked``
        opener = urllib.request.build_opener(_NoRedirects)
        try:
            with opener.open(request, timeout=SECONDS) as answer:
                return answer.status, dict(answer.headers), _json(answer.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                text = b""
                with contextlib.suppress(OSError, http.client.HTTPException):
                    text = error.read(4096)
                return error.code, dict(error.headers), _json(text)
        except (OSError, http.client.HTTPException) as error:
            return 600, {}, f"no answer: {getattr(error, 'reason', error)}"


def checked(url: str, variable: str) -> str:
    """An API's address. Raises MissingError for none, and for what is none."""
    if not url.startswith(("https://", "http://")):
        raise MissingError(f"{variable} is not an API address: {url!r}", hint="run it in a job of that CI system")
    return url.rstrip("/")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _is_limit(headers: Mapping[str, str]) -> bool:
    said = _lower(headers)
    return "retry-after" in said or said.get("x-ratelimit-remaining") == "0"


def _wait(headers: Mapping[str, str], attempt: int) -> float:
    """Seconds: what the forge asks for, else twice as long each time."""
    said = _lower(headers)
    after = said.get("retry-after", "")
    if after.isdigit():
        return float(after)
    if after:
        with contextlib.suppress(ValueError, TypeError):
            return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
    reset = said.get("x-ratelimit-reset") or said.get("ratelimit-reset") or ""
    if reset.isdigit() and (said.get("x-ratelimit-remaining") or said.get("ratelimit-remaining")) == "0":
        return max(1.0, float(reset) - time.time())
    return float(2**attempt)


def _refusal(status: int, method: str, path: str, answer: Any) -> DeadweightError:
    said = answer.get("message") or answer.get("error") if isinstance(answer, dict) else None
    text = f"{method} {path}: HTTP status {status}" + (f": {said}" if said else "")
    if status in (404, 410):
        return Gone(text)
    if status in (401, 403):
        return NoRights(text, hint="GitHub: permissions: pull-requests: write; GitLab: a token with the scope api")
    return DeadweightError(text)


@dataclass(frozen=True)
class _Rest:
    """Both forges do it alike: a list to read and add to, and a path for each comment."""

    api: Api
    listed: str
    each: str
    change: str

    def comments(self) -> Iterator[Comment]:
        for page in range(1, MAX_PAGES + 1):
            query = f"per_page={PAGE}&page={page}"
            found = self.api.call("GET", f"{self.listed}?{query}")
            if not isinstance(found, list):
                raise Busy(f"GET {self.listed}: the answer is not a list")
            yield from (Comment(int(one["id"]), str(one.get("body") or "")) for one in found)
            if len(found) < PAGE:
                return

    def create(self, body: str) -> Comment:
        made = self.api.call("POST", self.listed, {"body": body})
        if not isinstance(made, dict) or "id" not in made:
            raise Unsure(f"POST {self.listed}: the answer is not a comment")
        return Comment(int(made["id"]), body)

    def update(self, comment: Comment, body: str) -> None:
        self.api.call(self.change, f"{self.each}/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self.api.call("DELETE", f"{self.each}/{comment.id}")


def github(api: Api, repository: str, number: int) -> Forge:
    """Comments of a pull request are an issue's."""
    issues = f"/repos/{repository}/issues"
    return _Rest(api, f"{issues}/{number}/comments", f"{issues}/comments", "PATCH")


def gitlab(api: Api, project: str, number: int) -> Forge:
    notes = f"/projects/{project}/merge_requests/{number}/notes"
    return _Rest(api, notes, notes, "PUT")
