"""Patterns of a suite, matched in text of a service.

RE2 and not Python's ``re``, which may take time that doubles with each character of the text (``^(a+)+$``), and hears no signal
meanwhile: RE2 takes time that is linear in the text. So there is no look-around, there are no back-references, and ``\\d``,
``\\w``, ``\\s`` and ``\\b`` know ASCII alone (https://github.com/google/re2/wiki/Syntax). google-re2 is the binding of the RE2
project itself, with wheels for every Python that we support. hyperscan, which we have too, has none for some machines.
"""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def compiled(pattern: str) -> Any:
    """The pattern, in which ``^`` and ``$`` are those of a line. Raises ValueError, saying in one clause what is wrong."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"(?m){pattern}", options)
    except UnicodeEncodeError:
        raise ValueError("half a character") from None
    except re2.error as error:
        said = error.args[0]
        told = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(told.replace("(?m)", "", 1)) from None


def found(pattern: str, text: str) -> bool:
    """Whether the pattern matches somewhere in the text."""
    return compiled(pattern).search(text.encode("utf-8", "replace").decode()) is not None
