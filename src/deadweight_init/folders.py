"""Folders that a service without rights could not write to: it is tried once more with each of them in memory."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace

from deadweight_init.draft import Draft
from deadweight_init.languages.common import OWNED, is_owned
from deadweight_init.records import SEEN, Known, Service

_PATH = r"[\"'`]?(?P<path>/[\w.@+-]+(?:/[\w.@+-]+)*)/?[\"'`]?"
_REFUSED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:EACCES|EROFS): [\w -]+, (?P<call>\w+) {_PATH}",  # Node
        rf"(?:PermissionError|OSError): \[Errno (?:13|30)\] [\w -]+: {_PATH}",  # Python
        rf"\b(?P<call>mkdir|open|create|openat) {_PATH}: (?:permission denied|read-only file system)",  # Go
        rf"AccessDeniedException: {_PATH}",  # Java
        rf"{_PATH} \((?:Permission denied|Read-only file system)\)",  # Java
        rf"\b(?P<call>mkdir): can(?:no|')t create directory {_PATH}: (?:Permission denied|Read-only file system)",  # shells
        rf"can(?:no|')t create {_PATH}: (?:Permission denied|Read-only file system)",
    )
)
OF_THE_SYSTEM = frozenset(
    (
        "/",
        "/etc",
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/proc",
        "/sys",
        "/dev",
        "/var",
        "/var/lib",
        "/opt",
        "/home",
    )
) | {"/tmp"}  # noqa: S108 - in the container
"""In memory these would hide what is not the service's: programs, libraries, authorities, names of hosts."""

_PROGRAMS = ("/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/proc/", "/sys/", "/dev/")
_DATA = re.compile(r"/usr/(?:src|share/\w[\w.-]*)/.+|/usr/local/(?!s?bin|lib)\w[\w.-]*/.+")


def may_be_in_memory(folder: str) -> bool:
    """Whether a folder in memory hides nothing of the system: it is no folder of that, holds none and is in none."""
    return folder not in OF_THE_SYSTEM and (not folder.startswith(_PROGRAMS) or _DATA.fullmatch(folder) is not None)


_OF_MANY = frozenset(
    ("/var", "/var/lib", "/var/log", "/var/cache", "/var/run", "/opt", "/home", "/srv", "/mnt", "/run")
)


def in_memory(service: Service) -> tuple[str, ...]:
    """The folders that it cannot do without, as far as that was seen."""
    return tuple(each.value for each in service.around.volumes if each.origin.startswith(SEEN))


def with_folder_it_lacks(draft: Draft, died: str) -> Draft | None:
    """The draft with the folder in memory that a service was refused; None where ``died`` names none, or the same again."""
    folder = _refused(died)
    service = draft.service
    if folder is None or folder in in_memory(service) or folder in _homes(service):
        return None
    known = Known(folder, f"{SEEN}: it does not come up where it cannot write there")
    around = replace(service.around, volumes=(*service.around.volumes, known))
    return replace(draft, service=replace(service, around=around))


_AMONG_ITS_OWN = re.compile(
    r"unable to open (?:the )?database file|attempt to write a readonly database|SQLITE_(?:CANTOPEN|READONLY)"
    r"|(?:MVStore|JdbcSQL\w*)Exception: [^|]*(?:creating|opening|open|save|writing) (?:the )?(?:file|database|properties)"
    r"|\b(?:mkdir|open|create|openat) (?:\./)?[\w-][\w./-]*: (?:permission denied|read-only file system)"
    r"|(?:PermissionError|OSError): \[Errno (?:13|30)\] [\w -]+: '[\w.-]"
    r"|\bcode: 13, kind: PermissionDenied",
    re.IGNORECASE,
)
"""What could not be written lies in the folder in which the service is started: a database, or a path without a slash."""


def with_own_files(draft: Draft, died: str) -> Draft | None:
    """The draft of a service whose files are its user's, where it could not write a database among them; None for another
    reason, or the same again."""
    project = draft.service.project
    refused = _refused(died)
    inside = refused is not None and refused in _homes(draft.service)
    if project is None or is_owned(project) or not (inside or _AMONG_ITS_OWN.search(died)):
        return None
    details = {**project.details, OWNED: "1"}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)))


def _homes(service: Service) -> tuple[str, ...]:
    """The folders with the service itself: in memory they would be empty."""
    return ("/app", *(posixpath.normpath(each.words.workdir) for each in service.dockerfiles))


def _refused(died: str) -> str | None:
    for pattern in _REFUSED:
        for found in pattern.finditer(died):
            path = posixpath.normpath(found["path"])
            call = found.groupdict().get("call")
            above = posixpath.dirname(path)
            # Python does not say whether it is a folder; one right below folders that many share is
            shared = above in OF_THE_SYSTEM or above in _OF_MANY
            made = call.startswith("mkdir") if call else shared and not posixpath.splitext(path)[1]
            folder = path if made else above
            if may_be_in_memory(folder):
                return folder
    return None
