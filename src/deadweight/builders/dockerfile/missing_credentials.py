"""What a step of a Dockerfile says that lacks credentials, and the two lines that give them."""

from __future__ import annotations

from deadweight.builders.shared.diagnosis import PRIVATE, Cause, Code


def _add(first: str, second: str, why: str = "") -> str:
    return f"the Dockerfile can stay as it is; add two lines to the variant{why}:\n        {first}:\n          {second}"


_NETRC, _AGENT = ("secrets", "netrc: ~/.netrc"), ("ssh", "default: $SSH_AUTH_SOCK")
CREDENTIALS = (
    Cause(
        PRIVATE,
        "the module {0} cannot be fetched: it is private, or it does not exist",
        f"if it is private, set GOPRIVATE to its host; {_add(*_NETRC, ' (over SSH: ssh: and default: $SSH_AUTH_SOCK)')}",
        reach=True,
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"could not read (?:Username|Password) for '([^']+)'",
        "{0} asks for credentials, and the build has none",
        _add(*_NETRC, ", and a line for that host to ~/.netrc"),
        reach=True,
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"Permission denied \(publickey",
        "a server asks for an SSH key, and the build has none that it takes",
        _add(*_AGENT),
        reach=True,
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"Host key verification failed",
        "a build step does not know the SSH server's key",
        _add("secrets", "known_hosts: ~/.ssh/known_hosts"),
        reach=True,
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"npm (?:error|ERR!) code E40[13]\b|ERR_PNPM_FETCH_40[13]",
        "npm's registry asks for credentials, and the build has none that it takes",
        _add("secrets", "npmrc: ~/.npmrc"),
        reach=True,
        code=Code.CREDENTIALS,
    ),
    Cause(
        r"401 Error, Credentials not correct for (\S+)|^User for ([\w.:-]+):",
        "the package index {0}{1} asks for credentials, and the build has none that it takes",
        _add(*_NETRC, ", and a line for that host to ~/.netrc"),
        reach=True,
        code=Code.CREDENTIALS,
    ),
)
"""What the suite may give to a Dockerfile that asks for none of it (``build_network``)."""
