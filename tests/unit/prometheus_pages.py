"""The page for Prometheus as tests read it: asked for without a socket, and parsed by prometheus-client."""

from __future__ import annotations

from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families as parse_text

from puremux.agent.prometheus import page_app
from puremux.agent.store import Store

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SHOP = {"service_name": "shop", "service_instance_id": "web-1:7"}


class Answer(NamedTuple):
    status: str
    headers: dict[str, str]
    body: str


def get(store: Store, path: str = "/metrics", *, query: str = "", accept: str | None = None, **options: Any) -> Answer:
    """What the page's WSGI application answers."""
    asked = {"PATH_INFO": path, "QUERY_STRING": query, **({} if accept is None else {"HTTP_ACCEPT": accept})}
    status, headers, body = ask(store, asked, **options)
    return Answer(status, headers, body.decode())


def ask(store: Store, asked: dict[str, str], **options: Any) -> tuple[str, dict[str, str], bytes]:
    """What it answers to a request as WSGI has it."""
    started: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", **asked}
    body = b"".join(page_app(store, **options)(environ, lambda *args: started.extend(args)))
    return started[0], dict(started[1]), body


def families(store: Store, **options: Any) -> dict[str, Any]:
    """The clients' families on the page, by name."""
    return {
        family.name: family
        for family in parse_text(get(store, **options).body)
        if not family.name.startswith(("puremux_agent_", "target_info"))
    }


def samples(store: Store, **options: Any) -> dict[tuple[str, str], float]:
    """The clients' samples by name and labels, without the labels that all have."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k not in SHOP)): sample.value
        for family in families(store, **options).values()
        for sample in family.samples
    }


def own(store: Store) -> dict[str, float]:
    """The agent's own figures."""
    return {
        ",".join([sample.name.replace("puremux_agent_", ""), *sample.labels.values()]): sample.value
        for family in parse_text(get(store).body)
        for sample in family.samples
        if family.name.startswith("puremux_agent_")
    }
