"""nginx and HAProxy in front of an agent: they speak TLS, which the real agents cannot."""

from __future__ import annotations

from pathlib import Path

import trustme

from .process import Process, free_port, is_listening, program

__all__ = ["Authority", "Proxy", "haproxy", "nginx"]


class Authority:
    """Whom the tests trust, and the certificates that it gave out, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.file = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.file))
        self.server = folder / "server.pem"
        """Key and certificate for localhost, 127.0.0.1 and ::1."""
        authority.issue_cert("localhost", "127.0.0.1", "::1").private_key_and_cert_chain_pem.write_to_path(
            str(self.server)
        )
        self.client = folder / "client.pem"
        """Key and certificate of a client, for mutual TLS."""
        authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(self.client))


class Proxy(Process):
    """A proxy that accepts on ``port``."""

    port: int

    @property
    def address(self) -> str:
        """Where it accepts, by a name that its certificate has."""
        return f"localhost:{self.port}"


def nginx(backend: int, folder: Path, authority: Authority) -> Proxy:
    """Start nginx as a gRPC proxy: HTTP/2 ends here, and another HTTP/2 connection goes on to the backend's port."""
    port = free_port()
    (folder / "nginx.conf").write_text(f"""
daemon off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        listen [::1]:{port} ssl http2;
        ssl_certificate {authority.server};
        ssl_certificate_key {authority.server};
        client_max_body_size 0;
        client_body_timeout 1h;
        location / {{
            grpc_pass grpc://127.0.0.1:{backend};
            grpc_read_timeout 1h;  # an agent answers when the stream ends, and not before
            grpc_send_timeout 1h;
        }}
    }}
}}
""")
    return _start(["-p", str(folder), "-e", "stderr", "-c", "nginx.conf"], "nginx", folder, port)


def haproxy(backend: int, folder: Path, authority: Authority, *, client_certificates: bool = False) -> Proxy:
    """Start HAProxy as a TLS terminator: what is inside TLS goes to the backend's port byte for byte."""
    port = free_port()
    verify = f"ca-file {authority.file} verify required" if client_certificates else ""
    (folder / "haproxy.cfg").write_text(f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend tls
    bind 127.0.0.1:{port},[::1]:{port} ssl crt {authority.server} alpn h2 {verify}
    default_backend agent
backend agent
    server agent 127.0.0.1:{backend}
""")
    return _start(["-db", "-f", "haproxy.cfg"], "haproxy", folder, port)


def _start(arguments: list[str], name: str, folder: Path, port: int) -> Proxy:
    proxy = Proxy([program(name), *arguments], folder, ready=lambda: is_listening(port))
    proxy.port = port
    return proxy
