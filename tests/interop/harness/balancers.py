"""Envoy and nginx as gRPC load balancers: each stream of a client's connection goes to the next of several agents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.interop.grpc_peers.install import proxy_program

from .process import free_port, is_listening
from .proxies import Proxy

__all__ = ["BALANCERS", "balancer"]

BALANCERS = ("envoy", "nginx")

ENVOY = """
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: %(port)d}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                codec_type: HTTP2
                stream_idle_timeout: 0s
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {prefix: "/"}
                          route: {cluster: agents, timeout: 0s}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: agents
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment:
        cluster_name: agents
        endpoints:
          - lb_endpoints:
%(agents)s
"""  # noqa: E501  types have names of that length

NGINX = """
daemon off;
worker_processes 1;
pid %(folder)s/nginx.pid;
error_log stderr error;
events {}
http {
    access_log off;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    client_max_body_size 0;
    upstream agents {
%(agents)s
    }
    server {
        listen 127.0.0.1:%(port)d http2;
        location / { grpc_pass grpc://agents; grpc_read_timeout 1h; grpc_send_timeout 1h; }
    }
}
"""


def balancer(name: str, agents: Sequence[int], folder: Path) -> Proxy:
    """Start one, without TLS, in front of the ports of agents.

    Args:
        name: one of ``BALANCERS``.
        folder: for its configuration and state.
    """
    port = free_port()
    if name == "envoy":
        each = "            - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}"
        arguments = ["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        template, file = ENVOY, "envoy.yaml"
    else:
        each = "        server 127.0.0.1:%d;"
        arguments = ["-p", str(folder), "-e", "stderr", "-c", "nginx.conf"]
        template, file = NGINX, "nginx.conf"
    words = {"port": port, "folder": folder, "agents": "\n".join(each % agent for agent in agents)}
    (folder / file).write_text(template % words)
    proxy = Proxy([proxy_program(name), *arguments], folder, ready=lambda: is_listening(port))
    proxy.port = port
    return proxy
