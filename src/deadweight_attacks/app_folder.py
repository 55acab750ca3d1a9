"""Where an image keeps its own application, told by the words that start it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath


def app_folder(words: Sequence[str], working: str = "") -> str:
    """The folder of the image's own application, by the words that start it.

    That of the program; where that is an interpreter, or is found through PATH: the folder of the first path among its arguments
    (``-jar /app/x.jar``, ``-cp @/app/list`` or ``-cp /app/classes:…``), else the working directory. A base brings a working
    directory of its own (distroless: ``/home/nonroot``), so it comes last.
    """
    if words and words[0].startswith("/") and not _RUNS_OTHERS.fullmatch(PurePosixPath(words[0]).name):
        return str(PurePosixPath(words[0]).parent)
    for word in words[1:]:
        path = PurePosixPath(word.removeprefix("@").partition(":")[0])
        if path.is_absolute():
            return str(path if path.parent == PurePosixPath("/") and not path.suffix else path.parent)
    return str(PurePosixPath(working)) if working.startswith("/") else "/"


_RUNS_OTHERS = re.compile(r"(|ba|da|a|z)sh|env|tini|dumb-init|java|python[0-9.]*|node|ruby|perl|php|dotnet")
