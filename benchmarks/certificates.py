"""A certificate authority and a certificate for every host of a network, for a cluster whose connections use TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_DAYS = "2"


def make_certificates(folder: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Ray's environment variables for TLS, with one certificate for all `names`, such as `DNS:head`, `IP:10.0.0.1`.

    Raises FileNotFoundError without openssl, subprocess.CalledProcessError where it refuses.
    """
    folder.mkdir(parents=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", _DAYS, "-subj", "/CN=tests")
    openssl("req", *key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node")
    (folder / "names").write_text(f"subjectAltName={','.join(names)}\n")
    signed_by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", "node.csr", *signed_by, "-out", "node.crt", "-days", _DAYS, "-extfile", "names")
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(folder / "node.crt"),
        "RAY_TLS_SERVER_KEY": str(folder / "node.key"),
        "RAY_TLS_CA_CERT": str(folder / "ca.crt"),
    }
