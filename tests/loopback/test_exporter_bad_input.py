"""What cannot work: one clear sentence each, logged once, counted, and never raised into the application."""

from __future__ import annotations

import asyncio
import copy
import errno
import logging
import math
import pickle
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
import trustme

from puremux.agent import Agent
from puremux.channel import Channel
from puremux.errors import AddressError
from puremux.exporter import Exporter
from puremux.exporter.streams import Pace
from puremux.status import StatusCode
from puremux.transport.tls import server_context
from tests.loopback.exporters import exporter_to
from tests.shared.scripted_agent import ScriptedAgent
from tests.shared.span_data import span, spans
from tests.shared.waiting import eventually

IMPATIENT = {"bundle_delay": 0.02, "reconnection_period": 0.05, "connect_timeout": 2.0}


def metric(name: str) -> Any:
    descriptor = SimpleNamespace(name=name, description="", unit="1", type=4, label_keys=[])
    return SimpleNamespace(descriptor=descriptor, time_series=[])


def sentences(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def one_sentence_about(address: str, caplog: pytest.LogCaptureFixture, **options: Any) -> str:
    """Export to an address where it cannot work, for several attempts; the sentence that was logged."""
    exporter = Exporter(address, **{**IMPATIENT, **options})
    exporter.export(spans(3))
    eventually(lambda: exporter.stats()["last_error"], 10)
    eventually(lambda: exporter.stats()["waiting"] == 3, 10)
    (sentence,) = eventually(lambda: sentences(caplog), 10)
    assert not exporter.stop(timeout=0.1)
    assert exporter.stats()["dropped"] == {"the exporter was stopped": 3}
    assert "Traceback" not in sentence and "\n" not in sentence
    return sentence


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says one thing to each client."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with closing(client):
                    client.recv(1024)
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls_agent(tmp_path: Path) -> Iterator[tuple[Agent, trustme.CA]]:
    """An agent behind TLS, whose certificate is for another host."""
    authority = trustme.CA()
    certificate = authority.issue_cert("elsewhere.example")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    with Agent("127.0.0.1:0", tls=server_context(str(tmp_path / "server.pem"))) as agent:
        yield agent, authority


def test_a_name_without_address(caplog: pytest.LogCaptureFixture) -> None:
    sentence = one_sentence_about("no-such-host.invalid:55678", caplog, insecure=True)
    assert "no-such-host.invalid" in sentence


def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    sentence = one_sentence_about(f"127.0.0.1:{port}", caplog)
    assert f"127.0.0.1:{port}" in sentence and "refused" in sentence


def test_tls_to_a_server_without(caplog: pytest.LogCaptureFixture) -> None:
    with Agent("127.0.0.1:0") as agent:
        sentence = one_sentence_about(agent.address, caplog, insecure=False)
    assert "insecure=True" in sentence


def test_plaintext_to_a_server_with_tls(caplog: pytest.LogCaptureFixture, tls_agent: tuple[Agent, trustme.CA]) -> None:
    sentence = one_sentence_about(tls_agent[0].address, caplog)
    assert tls_agent[0].address in sentence and "insecure=False" in sentence


def test_a_certificate_of_nobody_we_trust(
    caplog: pytest.LogCaptureFixture, tls_agent: tuple[Agent, trustme.CA]
) -> None:
    sentence = one_sentence_about(tls_agent[0].address, caplog, insecure=False)
    assert "trust" in sentence and tls_agent[0].address in sentence


def test_a_certificate_of_another_host(caplog: pytest.LogCaptureFixture, tls_agent: tuple[Agent, trustme.CA]) -> None:
    context = ssl.create_default_context()
    tls_agent[1].configure_trust(context)
    sentence = one_sentence_about(tls_agent[0].address, caplog, tls=context)
    assert "127.0.0.1" in sentence and "certificate" in sentence


def test_a_server_of_http_1(caplog: pytest.LogCaptureFixture) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        sentence = one_sentence_about(address, caplog)
    assert address in sentence and "HTTP/1" in sentence and "400 Bad Request" in sentence


@pytest.mark.parametrize("address", ["localhost:port", "", "host:99999", "http://localhost:55678", "::1:55678"])
def test_a_malformed_address_is_refused_when_the_exporter_is_made(address: str) -> None:
    with pytest.raises(AddressError, match="address") as caught:
        Exporter(address)
    assert "\n" not in str(caught.value)


def test_an_environment_with_a_proxy_of_another_kind_does_not_end_the_program(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("grpc_proxy", "socks5://me:secret@proxy:1080")
    Exporter("agent.example:443", start=False)
    (sentence,) = sentences(caplog)
    assert "The proxy in $grpc_proxy has the scheme 'socks5'" in sentence and "secret" not in sentence
    assert sentence.endswith("agent.example:443 is reached without a proxy.")
    with pytest.raises(AddressError, match="socks5"):
        Exporter("agent.example:443", start=False, proxy="socks5://proxy:1080")


def test_an_attribute_that_cannot_be_sent_costs_neither_the_span_nor_the_program() -> None:
    class Refuses:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    bad = span("bad attribute")
    bad.attributes = {"fine": 1, "bad": Refuses(), "large": 2**70, "odd": [1, 2]}
    with Agent("127.0.0.1:0") as agent, Exporter(agent.address, **IMPATIENT) as exporter:
        exporter.export([bad])
        assert exporter.flush(10)
        (held,) = agent.store.recent_spans()
    assert held.span.attributes.attribute_map["fine"].int_value == 1


def test_an_item_that_raises_what_is_no_exception_costs_no_other() -> None:
    class Cancels:
        def __str__(self) -> str:
            raise asyncio.CancelledError  # as what gevent raises, no Exception

    bad = span("bad name")
    bad.name = Cancels()
    with Agent("127.0.0.1:0") as agent, Exporter(agent.address, **IMPATIENT) as exporter:
        exporter.export([span("before"), bad, span("after")])
        assert exporter.flush(10)
        assert exporter.stats()["confirmed"] == 2
        assert exporter.stats()["dropped"] == {"cannot be encoded": 1}


def test_a_metric_that_is_none_costs_no_other_and_is_counted() -> None:
    exporter = Exporter("127.0.0.1:1", start=False)
    odd = SimpleNamespace(descriptor=None, time_series=iter(()))
    exporter.export_metrics([metric("before"), odd, 7, metric("after")])
    assert exporter.stats()["metrics"]["accepted"] == 4
    exporter.stop(0)


def test_no_descriptors_left_is_counted_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with Agent("127.0.0.1:0") as agent:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socketpair", refuse)
            exporter = Exporter(agent.address, **IMPATIENT)
            exporter.export(spans(3))
            exporter.export_metrics([metric("m")])
            assert not exporter.flush(0.1)
            assert exporter.stats()["queue"] == 3
        exporter.export(spans(400))
        assert exporter.flush(10), "there are some again"
        assert exporter.stop() and exporter.stats()["confirmed"] == 403
    assert all("Too many open files" in each for each in sentences(caplog)) and sentences(caplog)


@pytest.mark.parametrize(
    "options, error",
    [
        pytest.param({"reconnection_period": 0}, ValueError, id="reconnection period"),
        pytest.param({"compression": "zip"}, ValueError, id="compression"),
        pytest.param({"queue_size": 0}, ValueError, id="queue size"),
        pytest.param({"own_metrics": 0}, ValueError, id="own metrics"),
        pytest.param({"bundle_delay": None}, TypeError, id="no bundle delay"),
        pytest.param({"bundle_delay": math.nan}, ValueError, id="bundle delay that is no number"),
        pytest.param({"bundle_count": 1.5}, TypeError, id="bundle count with a fraction"),
        pytest.param({"replay_bytes": None}, TypeError, id="no bound on bytes"),
        pytest.param({"replay_bytes": math.nan}, ValueError, id="bound on bytes that is no number"),
        pytest.param({"queue_size": math.inf}, TypeError, id="queue without end"),
        pytest.param({"queue_size": None}, TypeError, id="no queue size"),
        pytest.param({"reconnection_period": math.nan}, ValueError, id="reconnection period that is no number"),
        pytest.param({"connect_timeout": math.nan}, ValueError, id="connect timeout that is no number"),
        pytest.param({"own_metrics": "60"}, TypeError, id="text for a number"),
        pytest.param({"span_limits": 7}, TypeError, id="span limits"),
        pytest.param({"pace": 7}, TypeError, id="pace"),
        pytest.param({"headers": {"grpc-status": "0"}}, ValueError, id="reserved header"),
        pytest.param({"sampler": SimpleNamespace()}, TypeError, id="sampler"),
        pytest.param({"resource": 7}, TypeError, id="resource"),
        pytest.param({"insecure": True, "tls": ssl.create_default_context()}, ValueError, id="both ways"),
        pytest.param({"insecure": "false"}, TypeError, id="text for a flag, which would be a yes"),
        pytest.param({"compression": 2}, TypeError, id="a number for a compression"),
        pytest.param({"bundle_delay": 10**400}, ValueError, id="bundle delay beyond floats"),
        pytest.param({"reconnection_period": 10**400}, ValueError, id="reconnection period beyond floats"),
        pytest.param({"queue_size": -(10**5000)}, ValueError, id="a number that cannot even be shown"),
        pytest.param({"connect_timeout": "5"}, TypeError, id="text for the connect timeout"),
        pytest.param({"keepalive": 300}, TypeError, id="a number for a keepalive"),
        pytest.param({"headers": "authorization"}, TypeError, id="text for headers"),
        pytest.param({"headers": 7}, TypeError, id="a number for headers"),
        pytest.param({"headers": {1: "one"}}, TypeError, id="a header whose name is a number"),
        pytest.param({"headers": {"key": None}}, TypeError, id="a header without value"),
        pytest.param({"authority": b"agent"}, TypeError, id="bytes for the authority"),
        pytest.param({"authority": "no host"}, ValueError, id="an authority that is no host"),
        pytest.param({"user_agent": 5}, TypeError, id="a number for a user agent"),
        pytest.param({"proxy": ["http://proxy:3128"]}, TypeError, id="several proxies"),
        pytest.param({"tap": "file"}, TypeError, id="a tap that cannot be called"),
        pytest.param({"metric_name_prefix": 7}, TypeError, id="a number for a prefix"),
        pytest.param({"sampler": Agent}, TypeError, id="a class for a sampler"),
    ],
)
def test_options_that_do_not_fit_are_refused_when_the_exporter_is_made(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="|".join([*options, "sampler", "metadata", "queue", "insecure"])):
        Exporter("127.0.0.1:1", **options)


@pytest.mark.parametrize("address", [None, 55678, b"agent:55678", [b"agent:55678"]], ids=repr)
def test_an_address_of_another_type_is_refused_in_a_sentence(address: Any) -> None:
    with pytest.raises(TypeError, match='an address is a str such as "localhost:55678"'):
        Exporter(address)


def test_a_refused_header_does_not_show_what_it_holds() -> None:
    with pytest.raises(TypeError) as caught:
        Exporter(headers="Bearer secret")  # type: ignore[arg-type]  # on purpose
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("timeout, error", [("5", TypeError), (math.nan, ValueError)])
def test_a_timeout_that_is_no_number_is_refused_and_nothing_is_stopped(timeout: Any, error: type[Exception]) -> None:
    with Agent("127.0.0.1:0") as agent, Exporter(agent.address, **IMPATIENT) as exporter:
        for wait in (exporter.flush, exporter.stop):
            with pytest.raises(error, match="timeout"):
                wait(timeout)
        exporter.export(spans(3))
        assert exporter.flush(10**400)


@pytest.mark.parametrize("name", ["rotate_after", "rotate_bytes", "confirm_within", "probe_after", "probe_within"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, "1", None], ids=repr)
def test_a_pace_is_checked_when_it_is_made(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"Pace: {name} takes a number of"):
        Pace(**{name: value})


def test_what_raises_in_odd_ways_harms_nobody(agent: ScriptedAgent, caplog: pytest.LogCaptureFixture) -> None:

    class Unspeakable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no")

        __str__ = __repr__

    class Hostile:
        def __init__(self, error: BaseException) -> None:
            self._error = error

        def __getattr__(self, name: str) -> Any:
            raise self._error

    def broken() -> Iterator[Any]:
        yield span("before")
        raise Unspeakable

    with exporter_to(agent) as exporter:
        exporter.export([Hostile(Unspeakable()), Hostile(SystemExit(1)), Hostile(RecursionError()), span("good")])
        exporter.export(broken())
        exporter.export_metrics(broken())
        assert exporter.flush(10)
        stats = exporter.stats()
    assert sorted(agent.span_names()) == ["before", "good"]
    assert (stats["dropped"], stats["queue"]) == ({"cannot be encoded": 3}, 0)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_an_exporter_and_what_it_is_made_of_cannot_be_copied(copied: Callable[[Any], Any]) -> None:
    with Exporter("127.0.0.1:1", start=False) as exporter, Channel("127.0.0.1:1") as channel:
        for one in (exporter, channel, channel.open("/t/Echo")):
            with pytest.raises(TypeError, match=f"{type(one).__name__} cannot be copied or pickled, since"):
                copied(one)


@pytest.mark.parametrize("options", [{}, {"insecure": False}], ids=["plaintext", "TLS"])
def test_a_server_that_closes_at_once(caplog: pytest.LogCaptureFixture, options: dict[str, Any]) -> None:
    with answering(b"") as address:
        sentence = one_sentence_about(address, caplog, **options)
    assert sentence.count(address) == 1
    assert (
        "; check that a gRPC server listens there, and pass insecure=False if" in sentence
        or "pass insecure=True" in sentence
    )


@pytest.mark.parametrize(
    "code, advice",
    [
        (StatusCode.UNIMPLEMENTED, "; no OpenCensus agent listens there: check the port"),
        (StatusCode.UNAUTHENTICATED, "; check the credentials in headers="),
    ],
)
def test_a_server_that_refuses_for_good_is_asked_now_and_then(
    code: StatusCode, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent()
    agent.on_message = lambda stream: stream.responder.finish(code, "no")
    exporter = Exporter(agent.address, bundle_delay=0.02)
    exporter.export(spans(3))
    eventually(lambda: sentences(caplog), 10)
    assert not exporter.flush(0.5)
    asked = len(agent.streams)
    exporter.stop(0)
    agent.stop()
    assert f"Export with {code.name}: no{advice}" in sentences(caplog)[0]
    assert asked <= 3, "as long as it goes on refusing, the waits grow to five seconds"


def test_the_sentence_about_a_span_says_what_is_wrong_with_it(caplog: pytest.LogCaptureFixture) -> None:
    bad = span("bad")
    bad.span_id = "not sixteen hexadecimal digits"
    with Agent("127.0.0.1:0") as agent, Exporter(agent.address, **IMPATIENT) as exporter:
        exporter.export([bad])
        exporter.flush(10)
    (sentence,) = sentences(caplog)
    assert sentence.endswith("span id is 'not sixteen ...ecimal digits', not 16 hexadecimal digits")
