"""List Linux system calls by name and number, and those that the running kernel has."""

from __future__ import annotations

import functools
import re
from pathlib import Path

TABLE = Path(__file__).with_name("calls.tsv")
COLUMNS = {"amd64": 1, "arm64": 2}
SYMBOLS = Path("/proc/kallsyms")
_ENTRY = re.compile(r" T __(?:x64|arm64)_sys_(\w+)$", re.MULTILINE)

FAMILIES = {
    1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 29: "AF_CAN", 31: "AF_BLUETOOTH",
    38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP",
}  # fmt: skip
"""The families of sockets that are met (linux/socket.h)."""


@functools.cache
def numbers(architecture: str) -> dict[str, int]:
    """By name, for one of Go's architectures (``amd64``, ``arm64``)."""
    column = COLUMNS[architecture]
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def of_kernel(architecture: str) -> tuple[str, ...] | None:
    """Those that the running kernel has, of those that we know by name. None where it does not tell (``kptr_restrict``, no
    kallsyms)."""
    try:
        there = set(_ENTRY.findall(SYMBOLS.read_text(encoding="ascii")))
    except OSError:
        return None
    known = tuple(name for name in numbers(architecture) if _SYMBOLS.get(name, name) in there)
    return known if there else None


_SYMBOLS = {
    "stat": "newstat", "fstat": "newfstat", "lstat": "newlstat", "uname": "newuname", "umount2": "umount", "_sysctl": "sysctl",
    "sendfile": "sendfile64",
}  # fmt: skip
"""Where the kernel's function has another name than the call (the same table)."""


def family(number: int) -> str:
    return FAMILIES.get(number, f"family {number}")


# Kinds of system calls: which are made by timing, which starters of containers may make, which a program mostly lives without.
BY_TIMING = (
    "clone", "epoll_pwait", "exit", "exit_group", "futex", "getpid", "gettid", "madvise", "mmap", "munmap", "nanosleep",
    "rt_sigprocmask", "rt_sigreturn", "sched_yield", "sigaltstack", "tgkill",
)  # fmt: skip
"""What Go's run-time makes when its scheduler, its collector or a signal wants it to: a start without them may pass, and the next
one hang. Where a runtime is written in Go (runc) they stay."""

HELD = (
    *BY_TIMING, "brk", "clock_nanosleep", "epoll_pwait2", "epoll_wait", "mprotect", "mremap", "poll", "ppoll", "restart_syscall",
)  # fmt: skip
"""What schedulers and allocators make or not, as the load wants it: where a recording has one, that a trial passes without it says
nothing about the next hour."""

CLIENT = (
    "connect", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "socket",
)  # fmt: skip
"""What leads to another service."""

STARTERS = (
    *BY_TIMING, "access", "arch_prctl", "brk", "capget", "capset", "chdir", "clock_gettime", "clock_nanosleep", "close",
    "close_range", "dup", "dup2", "dup3", "epoll_create1", "epoll_ctl", "eventfd2", "execve", "execveat", "faccessat", "faccessat2",
    "fchdir", "fchown", "fcntl", "fstat", "fstatfs", "getcwd", "getdents64", "getegid", "geteuid", "getgid", "getppid", "getrandom",
    "getuid", "ioctl", "keyctl", "landlock_create_ruleset", "lseek", "memfd_create", "mkdirat", "mprotect", "newfstatat", "open",
    "openat", "openat2", "pipe2", "poll", "ppoll", "prctl", "pread64", "prlimit64", "pselect6", "read", "readlink", "readlinkat",
    "recvfrom", "recvmsg", "rseq", "rt_sigaction", "seccomp", "sendmsg", "sendto", "set_robust_list", "set_tid_address", "setgid",
    "setgroups", "setresgid", "setresuid", "setsid", "setuid", "socket", "stat", "statfs", "statx", "timer_create",
    "timer_delete", "timer_settime", "umask", "unlink", "write", "writev",
)  # fmt: skip
"""Among these the search begins; where they do not do, among all."""

LENIENT = frozenset({
    "access", "faccessat", "faccessat2", "capget", "eventfd2", "fadvise64", "getcwd", "getegid", "geteuid", "getgid",
    "getgroups", "getpeername", "getpgrp", "getppid", "getrandom", "getrlimit", "getrusage", "getsockname", "getuid",
    "ioctl", "membarrier", "mlock", "msync", "prctl", "prlimit64", "readlink", "readlinkat", "rseq", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_setaffinity", "set_robust_list", "setrlimit", "setsockopt", "statfs",
    "sysinfo", "times", "umask", "uname", "utimensat",
})  # fmt: skip
"""These are tried in larger groups, which saves trials and decides nothing."""
