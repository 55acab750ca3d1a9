"""Content that was decoded once and for all: large packed files that many images carry, without a secret in them.

Each is known by the digest of all its bytes, so that a file in which one is changed is looked into like any other. Its plain bytes
are looked at in any case; only what is packed in it is not unpacked again.
"""

from __future__ import annotations

import hashlib

# Size in bytes, SHA-256, and what it is. Look into a new one with ``invoke layers --archive`` before it is added.
_KNOWN = {
    # Go's src/regexp/testdata/re2-exhaustive.txt.bz2, the same in its 1.21 and 1.26: 65 MB of patterns and answers for a test
    428262: "f1253bff45157cd2a71d7729e11a19ad8ae15efdc0af00fe0939289e6e1a4ec8",
}
_SMALLEST = min(_KNOWN)


def known(data: memoryview) -> bool:
    """Whether these bytes are such a file."""
    size = len(data)
    return size >= _SMALLEST and size in _KNOWN and hashlib.sha256(data).hexdigest() == _KNOWN[size]
