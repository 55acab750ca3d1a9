"""Find the earlier report that ``--against`` names.

- a file or a folder: ``old/report.json``, ``public/``, as seen from where you are, else from the suite's folder
- ``oci://REGISTRY/REPOSITORY[:TAG]``: a report that ``publish --to oci://…`` pushed
- ``REVISION:PATH``, as git itself writes it: ``gh-pages:report.json``. The state folder is ignored by git, so a bare revision
  holds no report; a published one that is committed (static hosting, a docs folder) has a path.
"""

from __future__ import annotations

from pathlib import Path

from deadweight._errors import CommandError, UsageError
from deadweight._run import run
from deadweight.report.history import load_report, parse_report
from deadweight.report.model import REPORT_FILE, Report

OCI_PREFIX = "oci://"
HINT = "use a report.json, its folder, oci://REGISTRY/REPOSITORY:TAG, or REVISION:PATH of a report in git"


def earlier(against: str, root: Path, *, insecure: bool = False, flag: str = "--against") -> Report:
    """The earlier report that ``flag`` names.

    Raises UsageError for what names none, ConfigError for what is none, CommandError, MissingError.
    """
    if against.startswith(OCI_PREFIX):
        return _from_registry(against.removeprefix(OCI_PREFIX), insecure=insecure)
    if not against.strip():
        raise UsageError(f"{flag}: no report is given", hint=HINT)
    for path in (Path.cwd() / against, root / against):
        if path.exists():
            return load_report(path)
    revision, colon, inside = against.partition(":")
    if colon and revision and inside and not revision.startswith("-"):
        return _from_git(revision, inside, root, flag)
    raise UsageError(f"{flag} {against}: no such file or folder", hint=HINT)


def _from_registry(reference: str, *, insecure: bool) -> Report:
    from deadweight.publish.artifact import file_digest
    from deadweight.toolchain import crane

    digest = file_digest(crane.manifest(reference, insecure=insecure), REPORT_FILE)
    if digest is None:
        raise UsageError(
            f"{OCI_PREFIX}{reference}: holds no {REPORT_FILE}", hint="invoke publish --to oci://… pushes one"
        )
    text = crane.text_blob(reference, digest, insecure=insecure)
    return parse_report(text.encode(), origin=f"{OCI_PREFIX}{reference}")


def _from_git(revision: str, inside: str, root: Path, flag: str) -> Report:
    name = f"{revision}:{inside}"
    try:
        text = run(["git", "cat-file", "blob", "--end-of-options", name], cwd=root, timeout=60).output
    except CommandError as error:
        reason = error.tail[-1] if error.tail else error.reason
        raise UsageError(
            f"{flag} {name}: git has no such file: {reason}", hint="check both with git show REVISION:PATH"
        ) from error
    return parse_report(text.encode(), origin=name)
