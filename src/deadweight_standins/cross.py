"""Make the stand-in for tonistiigi/xx, the helper scripts that Dockerfiles use to cross-build.

Stand-ins have this machine's architecture, so the target platform is always the build platform: compilers and package managers
run as they are, and a build for another platform is refused.
"""

from __future__ import annotations

from pathlib import Path

from deadweight_standins.build_cache import BuildCache, Settings, put
from deadweight_standins.recipes import PATHS, Made

_INFO = """#!/bin/sh
# What xx-info tells of the platform that is built for.
wanted="${{TARGETPLATFORM:-linux/{oci}}}"
[ -n "$TARGETPLATFORM" ] || [ -z "$TARGETARCH" ] || wanted="linux/$TARGETARCH"
if [ "$wanted" != linux/{oci} ]; then
  echo "xx: this stand-in builds for linux/{oci} only, not for $wanted" >&2
  exit 1
fi
libc=gnu; [ -e /etc/apk ] || [ -e /sbin/apk ] && libc=musl
case "${{1:-triple}}" in
  os) echo linux ;;
  arch) echo {oci} ;;
  march) echo {apk} ;;
  alpine-arch) echo {apk} ;;
  debian-arch) echo {deb} ;;
  rhel-arch) echo {apk} ;;
  vendor) echo unknown ;;
  libc) echo $libc ;;
  is-cross) exit 1 ;;
  env)
    echo TARGETOS=linux; echo TARGETARCH={oci}; echo TARGETVARIANT=
    echo TARGETPLATFORM=linux/{oci}; echo TARGETPAIR=linux-{oci} ;;
  triple) echo {apk}-linux-$libc ;;
  *) echo "xx-info: unknown command $1" >&2; exit 1 ;;
esac
"""
_CALL = """#!/bin/sh
xx-info os > /dev/null || exit 1
case "$1" in --wrap|--unwrap|--setup|--setup-target-triple) exit 0 ;; esac
exec {program} "$@"
"""
_PACKAGES = """#!/bin/sh
xx-info os > /dev/null || exit 1
exec {program} "$@"
"""
_VERIFY = """#!/bin/sh
# Whether files are programs for the platform that is built for, and with --static whether they need no loader.
xx-info os > /dev/null || exit 1
static="$XX_VERIFY_STATIC"
for file in "$@"; do
  case "$file" in --static) static=1; continue ;; --setup) continue ;; --*) continue ;; esac
  kind="$(od -An -tx1 -N20 "$file" | tr -d ' \\n')" || exit 1
  case "$kind" in
    7f454c46????????????????????????????{machine}) ;;
    *) echo "xx-verify: $file is no program for linux/{oci}" >&2; exit 1 ;;
  esac
  if [ -n "$static" ] && grep -q -e '/ld-linux' -e '/ld-musl' "$file"; then
    echo "xx-verify: $file is not statically linked" >&2; exit 1
  fi
done
"""
_SCRIPTS = {
    **dict.fromkeys(("go", "cc", "c++", "clang", "clang++", "cargo"), _CALL),
    **dict.fromkeys(("apk", "apt", "apt-get"), _PACKAGES),
}
"""By the program that each calls: ``xx-go`` calls ``go``."""
_MACHINES = {"amd64": "3e00", "arm64": "b700"}
"""How an ELF file's header says for which machine it is."""


def xx(cache: BuildCache, _: str) -> Made:
    """Scripts below /usr/bin, and nothing else: ``COPY --from=xx / /`` puts them beside what a stage has."""
    words = {"machine": _MACHINES[cache.machine.oci], **cache.machine._asdict()}

    def fill(root: Path) -> None:
        put(root, "usr/bin/xx-info", _INFO.format(**words), executable=True)
        put(root, "usr/bin/xx-verify", _VERIFY.format(**words), executable=True)
        for program, script in _SCRIPTS.items():
            put(root, f"usr/bin/xx-{program}", script.format(program=program), executable=True)

    return Made((cache.tree_layer("xx", fill),), Settings(env=(f"PATH={PATHS}",)))
