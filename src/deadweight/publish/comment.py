"""One sticky comment on a pull request, found again by a marker in its first line, whoever else writes one at the same time."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deadweight._errors import DeadweightError, MissingError, UsageError
from deadweight.publish.forge import Api, Busy, Comment, Forge, Gone, NoRights, Unsure, checked, github, gitlab

ROUNDS = 5
"""How often all is looked at anew where a comment is deleted meanwhile, or nobody knows whether one was made."""

Done = Literal["created", "updated", "unchanged", "newer", "nothing"]


def keep_up(forge: Forge, start: str, body: str, *, run: int = 0, create: bool = True) -> Done:
    """Make the one comment that begins with ``start`` say ``body``. ``create`` is False where none is to be made.

    Two jobs that both make one see each other's afterwards: the oldest stays, the other is deleted. A comment of a newer run
    (``run`` in its marker) is left alone. Raises NoRights, Busy, DeadweightError.
    """
    last: DeadweightError | None = None
    for _round in range(ROUNDS):
        try:
            return _once(forge, start, body, run, create=create)
        except Gone as error:
            last = error
        except Unsure as error:
            last = error
    raise Busy(f"the comment could not be updated in {ROUNDS} attempts: {last}")


def _once(forge: Forge, start: str, body: str, run: int, *, create: bool) -> Done:
    mine = _ours(forge, start)
    if not mine and not create:
        return "nothing"
    made = None
    if not mine:
        made = forge.create(body)
        mine = _ours(forge, start) or [made]
    first, rest = mine[0], mine[1:]
    newest = max(_run_of(each) for each in mine)
    for each in rest:
        with contextlib.suppress(Gone):  # the other job deleted it
            forge.delete(each)
    if made is not None and first.id == made.id:
        return "created"
    if newest > run:
        if _run_of(first) < newest:  # the newer one was a double: its words go into the one that stays
            forge.update(first, next(each.body for each in rest if _run_of(each) == newest))
        return "newer"
    if _without_run(first.body) == _without_run(body):
        return "unchanged"
    forge.update(first, body)
    return "updated"


def _ours(forge: Forge, start: str) -> list[Comment]:
    """Oldest first. A comment that quotes ours does not begin with the marker."""
    return sorted((each for each in forge.comments() if each.body.startswith(start)), key=lambda each: each.id)


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
    if provider == "github":
        return _github(environment, **api)
    if provider == "gitlab":
        return _gitlab(environment, **api)
    raise UsageError(f"--post: expected github or gitlab, found {provider!r}")


def _github(environment: Mapping[str, str], **api: Any) -> Place:
    url = checked(environment.get("GITHUB_API_URL") or "https://api.github.com", "GITHUB_API_URL")
    repository = environment.get("GITHUB_REPOSITORY", "")
    pull = _event(environment).get("pull_request")
    run = _number(environment.get("GITHUB_RUN_ID"))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not isinstance(pull, dict) or "number" not in pull:
        raise MissingError(
            "not a GitHub job of a pull request",
            hint="run it on: pull_request; the number is read from GITHUB_EVENT_PATH",
        )
    head = ((pull.get("head") or {}).get("repo") or {}).get("full_name")
    if head != repository:
        return Place(None, run)
    token = _token(
        environment, "GITHUB_TOKEN", "env: GITHUB_TOKEN: ${{ github.token }} and permissions: pull-requests: write"
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return Place(github(Api(url, headers, **api), repository, int(pull["number"])), run)


def _gitlab(environment: Mapping[str, str], **api: Any) -> Place:
    number, project = environment.get("CI_MERGE_REQUEST_IID", ""), environment.get("CI_MERGE_REQUEST_PROJECT_ID", "")
    run = _number(environment.get("CI_PIPELINE_ID"))
    if not number.isdecimal() or not project.isdecimal():
        raise MissingError(
            "not a GitLab job of a merge request", hint="rules: if: $CI_PIPELINE_SOURCE == 'merge_request_event'"
        )
    if environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", project) != project:
        return Place(None, run)
    url = checked(environment.get("CI_API_V4_URL", ""), "CI_API_V4_URL")
    token = _token(
        environment, "GITLAB_TOKEN", "a masked variable with a project access token of scope api, role Reporter"
    )
    return Place(gitlab(Api(url, {"PRIVATE-TOKEN": token}, **api), project, int(number)), run)


def _token(environment: Mapping[str, str], name: str, hint: str) -> str:
    token = environment.get(name, "").strip()
    if not token:
        raise NoRights(f"{name} is not set", hint=hint)
    if not token.isascii() or not token.isprintable():
        raise NoRights(f"{name} contains characters that are not allowed in a token", hint=hint)
    return token


def _event(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def post(where: Place, start: str, body: str, *, silent: bool) -> Done:
    """Keep the comment up to date. Where there is nothing to tell (``silent``), an earlier comment says so and none is made."""
    if where.forge is None:
        raise DeadweightError(
            "the job of a fork's pull request has no right to comment: its verdict goes to the job's summary"
        )
    return keep_up(where.forge, start, body, run=where.run, create=not silent)
