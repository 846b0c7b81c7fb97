"""Starts the servers and proxies that others wrote, on ports of 127.0.0.1, and ends them."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.shared.waiting import eventually

from . import install

__all__ = ["PROXIES", "Certificate", "behind", "grpc_go", "grpcio"]

HERE = Path(__file__).parent
START = 20.0  # seconds for a server to accept; the machine may be busy


@dataclass(frozen=True)
class Certificate:
    """A server's certificate for localhost, and the authority that vouches for it, as PEM files."""

    chain: Path
    key: Path
    authority: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """Write all three into a folder."""
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        made = cls(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
        issued.cert_chain_pems[0].write_to_path(made.chain)
        issued.private_key_pem.write_to_path(made.key)
        authority.cert_pem.write_to_path(made.authority)
        return made


@contextmanager
def grpcio(certificate: Certificate | None = None) -> Iterator[int]:
    """Our interop service on grpcio; yields its port."""
    files = [str(certificate.chain), str(certificate.key)] if certificate else []
    command = [str(install.grpcio_python()), str(HERE / "grpcio_server.py"), str(install.stubs()), *files]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        _end(process)


@contextmanager
def grpc_go(certificate: Certificate | None = None) -> Iterator[int]:
    """grpc-go's own interop server; yields its port."""
    port = _free_port()
    tls = (
        ["--use_tls", f"--tls_cert_file={certificate.chain}", f"--tls_key_file={certificate.key}"]
        if certificate
        else []
    )
    with _running([str(install.grpc_go_server()), f"--port={port}", *tls], port):
        yield port


PROXIES = ("envoy", "nginx", "nghttpx")


@contextmanager
def behind(proxy: str, backend: int, folder: Path, certificate: Certificate | None = None) -> Iterator[int]:
    """A proxy in front of a plaintext server; yields the proxy's port.

    Args:
        proxy: one of ``PROXIES``.
        backend: the server's port.
        folder: where the proxy's configuration and state may be written.
        certificate: for TLS in front of the proxy (nginx only).
    """
    port = _free_port()
    words = {"PORT": str(port), "BACKEND": str(backend), "FOLDER": str(folder), "SSL": "ssl" if certificate else ""}
    if certificate is not None:
        words["TLS"] = f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};"
    suffix = {"envoy": "yaml"}.get(proxy, "conf")
    template = (HERE / f"{proxy}.{suffix}").read_text()
    for word, value in {"TLS": "", **words}.items():
        template = template.replace(f"@{word}@", value)
    configuration = folder / f"{proxy}.{suffix}"
    configuration.write_text(template)
    with _running([install.proxy_program(proxy), *_arguments(proxy, configuration)], port):
        yield port


def _arguments(proxy: str, configuration: Path) -> list[str]:
    if proxy == "envoy":
        return ["-c", str(configuration), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    if proxy == "nginx":
        return ["-c", str(configuration), "-p", str(configuration.parent), "-e", "stderr"]
    return [f"--conf={configuration}"]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        eventually(lambda: _accepts(process, port), START, f"{command[0]} accepts")
        yield
    finally:
        _end(process)


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended: {process.stderr and process.stderr.read()!r}")
    socket.create_connection(("127.0.0.1", port), 1.0).close()
    return True


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
