"""Shells and package managers by name."""

from __future__ import annotations

SHELLS = frozenset(
    b"sh ash bash dash zsh ksh ksh93 mksh lksh pdksh oksh csh tcsh fish yash rc es elvish nu xonsh pwsh rbash "
    b"busybox toybox hush posh sash scponly".split()
)
OS_MANAGERS = frozenset(
    b"apt apt-get aptitude dpkg apk rpm yum dnf dnf5 microdnf tdnf zypper pacman opkg emerge xbps-install nix nix-env "
    b"swupd urpmi brew snap flatpak".split()
)
LANGUAGE_MANAGERS = frozenset(
    b"pip pip3 pipx uv poetry conda mamba npm npx yarn pnpm gem bundle cargo composer cpan".split()
)
MANAGERS = OS_MANAGERS | LANGUAGE_MANAGERS
