"""Create or update one comment on a pull request, found by a marker in its first line, safe under concurrent runs."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import requests
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

from deadweight._errors import DeadweightError, MissingError, UsageError, wording

ROUNDS = 5
"""How often all is looked at anew where a comment is deleted meanwhile, or nobody knows whether one was made."""

Done = Literal["created", "updated", "unchanged", "newer", "nothing"]


def post(forge: Forge, run: int, start: str, body: str, *, silent: bool) -> Done:
    """Make the one comment that begins with ``start`` say ``body``. If there is nothing to tell (``silent``), none is made.

    Two jobs that both make one see each other's afterwards: the oldest stays, the other is deleted. A comment of a newer run
    (``run`` in its marker) is left alone. Raises NoRights, Busy, DeadweightError.
    """
    problem: DeadweightError | None = None
    for _round in range(ROUNDS):
        try:
            return _attempt(forge, start, body, run, create=not silent)
        except (Gone, Unsure) as error:
            problem = error
    raise Busy(wording("publish.not_updated", attempts=ROUNDS, problem=problem))


def _attempt(forge: Forge, start: str, body: str, run: int, *, create: bool) -> Done:
    ours, made = _ours(forge, start), None
    if not ours:
        if not create:
            return "nothing"
        made = forge.create(body)
        ours = _ours(forge, start) or [made]
    first, *rest = ours
    newest = max(ours, key=_run_of)
    for comment in rest:
        with contextlib.suppress(Gone):  # the other job deleted it
            forge.delete(comment)
    if made is not None and first.id == made.id:
        return "created"
    if _run_of(newest) > run:
        if _run_of(first) < _run_of(newest):  # the newer one was a double: its words go into the one that stays
            forge.update(first, newest.body)
        return "newer"
    if _without_run(first.body) == _without_run(body):
        return "unchanged"
    forge.update(first, body)
    return "updated"


def _ours(forge: Forge, start: str) -> list[Comment]:
    """Oldest first. A comment that quotes ours does not begin with the marker."""
    ours = (comment for comment in forge.comments() if comment.body.startswith(start))
    return sorted(ours, key=lambda comment: comment.id)


def _run_of(comment: Comment) -> int:
    match = re.search(r" run (\d{1,19}) -->", comment.body.split("\n", 1)[0])
    return int(match[1]) if match else 0


def _without_run(body: str) -> str:
    """Forges may end lines their own way, and trim the end."""
    return re.sub(r" run \d+ -->", "", body.replace("\r\n", "\n"), count=1).strip()


@dataclass(frozen=True)
class Place:
    """Where a job's comment goes: a forge, or nowhere (None), as the job of a fork has no token to write with."""

    forge: Forge | None
    run: int


def place(provider: str, environment: Mapping[str, str], **api: Any) -> Place:
    """What the job's environment tells. Raises UsageError for an unknown provider, MissingError where this is no such job."""
    providers = {"github": _github, "gitlab": _gitlab}
    if provider not in providers:
        raise UsageError(wording("tasks.choice", flag="--post", choices=", ".join(providers), value=provider))
    return providers[provider](environment, **api)


def _github(environment: Mapping[str, str], **api: Any) -> Place:
    url = checked(environment.get("GITHUB_API_URL") or "https://api.github.com", "GITHUB_API_URL")
    repository, run = environment.get("GITHUB_REPOSITORY", ""), _number(environment.get("GITHUB_RUN_ID"))
    pull: Any = None
    with contextlib.suppress(KeyError, OSError, ValueError, AttributeError):  # of no event, or of what is none
        pull = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_bytes()).get("pull_request")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not isinstance(pull, dict) or "number" not in pull:
        raise MissingError(wording("publish.no_pull_request"))
    if ((pull.get("head") or {}).get("repo") or {}).get("full_name") != repository:
        return Place(None, run)
    how = "env: GITHUB_TOKEN: ${{ github.token }} and permissions: pull-requests: write"
    token = _token(environment, "GITHUB_TOKEN", how)
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    issues = f"/repos/{repository}/issues"  # comments of a pull request are an issue's
    listed = f"{issues}/{int(pull['number'])}/comments"
    return Place(Forge(url, headers, listed, f"{issues}/comments", "PATCH", **api), run)


def _gitlab(environment: Mapping[str, str], **api: Any) -> Place:
    number, project = environment.get("CI_MERGE_REQUEST_IID", ""), environment.get("CI_MERGE_REQUEST_PROJECT_ID", "")
    run = _number(environment.get("CI_PIPELINE_ID"))
    if not number.isdecimal() or not project.isdecimal():
        raise MissingError(wording("publish.no_merge_request"))
    if environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", project) != project:
        return Place(None, run)
    url = checked(environment.get("CI_API_V4_URL", ""), "CI_API_V4_URL")
    how = "a masked variable with a project access token of scope api, role Reporter"
    token = _token(environment, "GITLAB_TOKEN", how)
    notes = f"/projects/{project}/merge_requests/{int(number)}/notes"
    return Place(Forge(url, {"PRIVATE-TOKEN": token}, notes, notes, "PUT", **api), run)


def _token(environment: Mapping[str, str], name: str, hint: str) -> str:
    token = environment.get(name, "").strip()
    if not token:
        raise NoRights(wording("publish.no_token", variable=name), hint=hint)
    if not token.isascii() or not token.isprintable():
        raise NoRights(wording("publish.wrong_token", variable=name), hint=hint)
    return token


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


# The parts of GitHub's and GitLab's REST APIs that one comment on a pull request needs.
# Sources: GitHub REST "Issue comments", "Best practices: handle rate limit errors"; GitLab REST "Notes", "Rate limits".
SECONDS = 20.0
PAGE, MAX_PAGES = 100, 50
ATTEMPTS = 6
NO_ANSWER = 600


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


@dataclass(frozen=True)
class Forge:
    """A place for comments on one pull request: JSON over HTTP with a token. Both forges do it alike: a list to read and add to
    (``listed``), and a path for each comment (in ``single``). ``patience_seconds`` is how long all waiting of one call may take.

    All raise Gone, NoRights, Busy (Unsure of a POST), or DeadweightError for another refusal.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    listed: str
    single: str
    change: str
    patience_seconds: float = 180.0
    sleep: Callable[[float], None] = time.sleep

    def comments(self) -> Iterator[Comment]:
        """Oldest first."""
        for page in range(1, MAX_PAGES + 1):
            rows = self.call("GET", f"{self.listed}?per_page={PAGE}&page={page}")
            if not isinstance(rows, list):
                raise Busy(wording("publish.no_list", path=self.listed))
            yield from (Comment(int(row["id"]), str(row.get("body") or "")) for row in rows)
            if len(rows) < PAGE:
                return

    def create(self, body: str) -> Comment:
        made = self.call("POST", self.listed, {"body": body})
        if not isinstance(made, dict) or "id" not in made:
            raise Unsure(wording("publish.no_comment", path=self.listed))
        return Comment(int(made["id"]), body)

    def update(self, comment: Comment, body: str) -> None:
        self.call(self.change, f"{self.single}/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self.call("DELETE", f"{self.single}/{comment.id}")

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the forge answers. Waits where it says so (Retry-After, rate limits) and where it fails (5xx).

        A POST is not repeated after a failure, since it may have been done: Unsure says so.
        """
        left, request = self.patience_seconds, f"{method} {self.url}{path}"
        for attempt in range(ATTEMPTS):
            answer = self._answer(method, path, body)
            status, headers = answer.status_code, answer.headers
            if status in range(200, 300):
                return _document(answer)
            limited = status == 429 or (status == 403 and ("retry-after" in headers or _is_used_up(headers)))
            if not limited and status < 500:
                raise _refusal(status, method, path, _document(answer))
            wait = _wait(headers, attempt)
            if wait > left or attempt == ATTEMPTS - 1 or (method == "POST" and not limited):
                if limited:
                    raise Busy(wording("publish.rate_limit", request=request))
                why = wording("publish.status", request=request, status=status)
                if status == NO_ANSWER:
                    why = wording("publish.no_answer", request=request, problem=answer.reason)
                raise Unsure(why) if method == "POST" else Busy(why)
            self.sleep(wait)
            left -= wait
        raise AssertionError

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> requests.Response:
        headers = {"User-Agent": "deadweight", **self.headers}
        # A token is for one host. Without an ``auth``, even one that adds nothing, a .netrc of the machine would replace it.
        options: dict[str, Any] = {"allow_redirects": False, "auth": lambda request: request}
        try:
            return requests.request(method, self.url + path, json=body, headers=headers, timeout=SECONDS, **options)
        except requests.RequestException as error:
            failed = requests.Response()
            failed.status_code, failed.reason = NO_ANSWER, str(error).rpartition(": ")[2].rstrip("')\"")
            return failed


def checked(url: str, variable: str) -> str:
    """An API's address. Raises MissingError for none, and for what is none."""
    if not url.startswith(("https://", "http://")):
        raise MissingError(wording("publish.no_address", variable=variable, url=url))
    return url.rstrip("/")


def _document(answer: requests.Response) -> Any:
    with contextlib.suppress(ValueError):
        return answer.json()
    return None


def _is_used_up(headers: Mapping[str, str]) -> bool:
    return "0" in (headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining"))


def _wait(headers: Mapping[str, str], attempt: int) -> float:
    """Seconds: what the forge asks for, else twice as long each time."""
    with contextlib.suppress(KeyError, InvalidHeader):
        return Retry().parse_retry_after(headers["retry-after"])
    reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
    if reset.isdigit() and _is_used_up(headers):
        return max(1.0, float(reset) - time.time())
    return float(2**attempt)


def _refusal(status: int, method: str, path: str, answer: Any) -> DeadweightError:
    reason = answer.get("message") or answer.get("error") if isinstance(answer, dict) else None
    message = wording("publish.refused", request=f"{method} {path}", status=status, answer=reason or "no reason given")
    if status in (404, 410):
        return Gone(message)
    if status in (401, 403):
        return NoRights(message, hint="GitHub: permissions: pull-requests: write; GitLab: a token with the scope api")
    return DeadweightError(message)
