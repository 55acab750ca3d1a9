"""An SSH server of the operating system's, started on loopback for as long as a test needs it; nothing is installed."""

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.trees import shell_script

PACKAGES = ("openssh-server", "libwrap0")
START = """
set -e
mount --make-rprivate /
mount --bind "$1/passwd" /etc/passwd
mkdir -p /run/sshd
exec "$2" -i -e -f "$1/config" 2>>"$1/log"
"""
"""sshd wants a user of its own, and finds it in a file that only its own mount namespace has."""


@contextlib.contextmanager
def ssh_server(folder: Path, engine: str) -> Iterator[int]:
    """Gives the port. ``folder/bin/ssh`` then is a client that knows the server and has a key; root's commands run here, and have
    ``engine`` as their DOCKER_HOST."""
    program, libraries = _unpacked(folder)
    for name in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    port = int(listener.getsockname()[1])
    users = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("sshd:")]
    (folder / "passwd").write_text("\n".join([*users, "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin", ""]))
    (folder / "config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/key.pub\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PATH={_path()} DOCKER_HOST={engine}\n"
    )
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    shell_script(
        folder / "bin" / "ssh",
        f'exec {shutil.which("ssh")} -F none -i "${{TEST_SSH_KEY:-{folder}/key}}" -o IdentitiesOnly=yes'
        f' -o IdentityAgent=none -o UserKnownHostsFile={folder}/known "$@"',
    )
    environment = {"LD_LIBRARY_PATH": str(libraries), "PATH": _path()}
    argv = ["unshare", "--mount", "sh", "-c", START, "sh", str(folder), str(program)]
    serving: list[subprocess.Popen[bytes]] = []

    def serve() -> None:  # one sshd for each connection, as inetd starts it: it cannot be told to bind any free port
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                serving.append(
                    subprocess.Popen(argv, env=environment, stdin=connection.fileno(), stdout=connection.fileno())
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
        for each in serving:
            each.terminate()
            each.wait(10)


def _path() -> str:
    docker = shutil.which("docker")
    return f"{Path(docker).parent if docker else '/usr/bin'}:/usr/sbin:/usr/bin:/sbin:/bin"


def _unpacked(folder: Path) -> tuple[Path, Path]:
    for package in PACKAGES:
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(archive), str(folder / "root")], check=True)
    (library,) = (folder / "root").glob("**/libwrap.so.0")
    return folder / "root/usr/sbin/sshd", library.parent
