"""A private authority, made with openssl when a test asks for it."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def authority(folder: Path, hosts: Mapping[str, Sequence[str]]) -> None:
    """A CA (``ca.pem``) and for each name a certificate of these hosts (``NAME.pem``, ``NAME.key``), for either side of TLS."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
    for name, own in hosts.items():
        _openssl(folder, "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        names = ",".join(f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in own)
        (folder / "ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext")
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")


def on_loopback(folder: Path) -> None:
    """A CA and a certificate of 127.0.0.1 (``server.pem``, ``server.key``)."""
    authority(folder, {"server": ["127.0.0.1"]})


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
