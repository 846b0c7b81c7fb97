"""Who sends: the Node, before and after a fork; the Resource, from the environment, an object or a detector."""

from __future__ import annotations

import logging
import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opencensus.common.resource import Resource

from puremux._version import __version__
from puremux.exporter import resources
from puremux.exporter.identity import Identity
from puremux.exporter.resources import merge_resources, parse_labels, resource_from_environment, resource_of
from puremux.proto import common_pb2, resource_pb2, trace_config_pb2, trace_service_pb2


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OC_RESOURCE_TYPE", "OC_RESOURCE_LABELS"):
        monkeypatch.delenv(name, raising=False)


def plain(resource: resource_pb2.Resource | resources.Resource) -> tuple[str, dict[str, str]]:
    return resource.type, dict(resource.labels)


def node_of(identity: Identity) -> common_pb2.Node:
    return common_pb2.Node.FromString(identity.node())


def readable(given_: str) -> str:
    return given_.encode("utf-8", "replace").decode()


def test_the_node_tells_all_there_is() -> None:
    identity = Identity("shop", attributes={"zone": "a"}, clock=lambda: 1_795_000_000_123_456_789)
    node = node_of(identity)
    assert node.service_info.name == "shop"
    assert node.identifier.host_name == socket.gethostname()
    assert node.identifier.pid == os.getpid()
    assert (node.identifier.start_timestamp.seconds, node.identifier.start_timestamp.nanos) == (1795000000, 123456789)
    assert node.library_info.language == common_pb2.LibraryInfo.PYTHON
    assert node.library_info.exporter_version == __version__
    assert node.library_info.core_library_version == "0.11.4"
    assert dict(node.attributes) == {"zone": "a"}


def test_a_host_name_may_be_given_and_a_service_name_left_out() -> None:
    node = node_of(Identity(host_name="elsewhere\ud800"))
    assert (node.identifier.host_name, node.service_info.name) == ("elsewhere?", "")


def test_without_opencensus_no_version_of_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "opencensus")
    assert node_of(Identity()).library_info.core_library_version == ""


@pytest.mark.parametrize("error", [KeyError("Version"), OSError(24, "Too many open files")])
def test_an_installation_that_cannot_be_read_is_no_reason_to_send_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(name: str) -> str:
        raise error

    monkeypatch.setattr("importlib.metadata.version", fail)
    assert node_of(Identity()).library_info.core_library_version == ""


def test_a_forked_child_has_a_node_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10**9, 2 * 10**9])
    identity = Identity("shop", clock=lambda: next(times))
    parent = node_of(identity)
    assert node_of(identity) == parent
    monkeypatch.setattr(os, "getpid", lambda: 99999)
    child = node_of(identity)
    assert (child.identifier.pid, child.identifier.start_timestamp.seconds) == (99999, 2)
    assert parent.identifier.pid != 99999
    assert child.service_info == parent.service_info


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=4), st.integers(0, 2**62))
def test_the_node_is_what_the_generated_class_serializes(
    service: str, host: str, attributes: dict[str, str], started: int
) -> None:
    identity = Identity(service, host_name=host, attributes=attributes, resource={}, clock=lambda: started)
    node = node_of(identity)
    assert sorted(identity.node()) == sorted(node.SerializeToString())  # of keys, each protobuf has its own order
    assert (node.service_info.name, node.identifier.host_name) == (readable(service), readable(host))
    assert dict(node.attributes) == {readable(key): readable(value) for key, value in attributes.items()}
    assert node.identifier.start_timestamp.seconds * 10**9 + node.identifier.start_timestamp.nanos == started


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=4))
def test_the_resource_is_what_the_generated_class_serializes(kind: str, labels: dict[str, str]) -> None:
    found = resource_of(SimpleNamespace(type=kind, labels=labels))
    message = resource_pb2.Resource(type=found.type, labels=found.labels)
    assert resource_pb2.Resource.FromString(found.serialized()) == message
    assert sorted(found.serialized()) == sorted(message.SerializeToString())


def test_node_and_resource_begin_a_request() -> None:
    identity = Identity("shop", resource={"region": "eu"})
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(identity.in_request() + b"\x12\x00")
    assert request.node == node_of(identity)
    assert plain(request.resource) == ("", {"region": "eu"})
    assert len(request.spans) == 1


def test_an_empty_resource_is_sent_too_lest_the_agent_take_another() -> None:
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(Identity().in_request())
    assert request.HasField("resource") and plain(request.resource) == ("", {})


@pytest.mark.parametrize(
    "brings, node, resource",
    [
        pytest.param({"node", "resource"}, "theirs", "theirs", id="both"),
        pytest.param({"node"}, "theirs", "", id="its Node alone"),
        pytest.param({"resource"}, "ours", "theirs", id="its Resource alone"),
    ],
)
def test_a_ready_request_keeps_its_own(brings: set[str], node: str, resource: str) -> None:
    own = Identity("ours", resource=resource_pb2.Resource(type="ours"))
    theirs: dict[str, Any] = {
        "node": common_pb2.Node(service_info=common_pb2.ServiceInfo(name="theirs")),
        "resource": resource_pb2.Resource(type="theirs"),
    }
    written = own.of_request(trace_service_pb2.ExportTraceServiceRequest(**{name: theirs[name] for name in brings}))
    assert written is not None
    found = trace_service_pb2.ExportTraceServiceRequest.FromString(written)
    assert (found.node.service_info.name, found.resource.type) == (node, resource)
    assert found.HasField("resource")


def test_a_ready_request_without_either_has_ours() -> None:
    assert Identity("ours").of_request(trace_service_pb2.ExportTraceServiceRequest()) is None


# Resources


@pytest.mark.parametrize(
    "given_, expected",
    [
        pytest.param({"a": "b"}, ("", {"a": "b"}), id="labels"),
        pytest.param({1: None}, ("", {"1": "None"}), id="labels that are no text"),
        pytest.param(Resource("container", {"a": "b"}), ("container", {"a": "b"}), id="of opencensus"),
        pytest.param(Resource(None, {"a": "b"}), ("", {"a": "b"}), id="of opencensus, without a type"),
        pytest.param(resource_pb2.Resource(type="t", labels={"a": "b"}), ("t", {"a": "b"}), id="the message"),
        pytest.param(SimpleNamespace(type="t", labels=None), ("t", {}), id="without labels"),
        pytest.param(lambda: {"a": "b"}, ("", {"a": "b"}), id="a detector"),
        pytest.param(lambda: Resource("vm"), ("vm", {}), id="a detector of opencensus's"),
        pytest.param(lambda: None, ("", {}), id="a detector that finds nothing"),
    ],
)
def test_what_describes_a_resource(given_: Any, expected: tuple[str, dict[str, str]]) -> None:
    assert plain(resource_of(given_)) == expected
    assert plain(Identity(resource=given_).resource) == expected


@pytest.mark.parametrize("wrong", ["a=b", 5, [("a", "b")], trace_config_pb2.TraceConfig()])
def test_what_describes_none_is_a_mistake(wrong: Any) -> None:
    with pytest.raises(TypeError, match="resource takes a mapping of labels"):
        Identity(resource=wrong)


def test_a_detector_that_fails_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def detector() -> Any:
        raise OSError("no metadata server")

    with caplog.at_level(logging.WARNING):
        assert plain(Identity(resource=detector).resource) == ("", {})
    assert "detector failed" in caplog.text
    assert "no metadata server" in caplog.text


def test_of_several_resources_the_first_that_knows_decides() -> None:
    merged = merge_resources(
        resources.Resource("", {"a": "1", "b": ""}),
        resources.Resource("vm", {"a": "2", "b": "2", "c": "2"}),
        resources.Resource("container", {"c": "3", "d": ""}),
    )
    assert plain(merged) == ("vm", {"a": "1", "b": "2", "c": "2", "d": ""})
    assert plain(merge_resources()) == ("", {})


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("a=b", {"a": "b"}, id="one"),
        pytest.param('k8s.io/pod="pod-1",zone=a', {"k8s.io/pod": "pod-1", "zone": "a"}, id="two, one quoted"),
        pytest.param(" a = b , c = d ", {"a": "b", "c": "d"}, id="spaces around"),
        pytest.param("a=b c", {"a": "b c"}, id="a space inside"),
        pytest.param("a=b,", {"a": "b"}, id="a comma at the end"),
        pytest.param("a=,b=\"\",c=''", {"a": "", "b": "", "c": ""}, id="empty values"),
        pytest.param('a="b,c=d"', {"a": "b,c=d"}, id="a comma and an equals sign in quotes"),
        pytest.param(r'a="say \"hi\" \\"', {"a": r'say "hi" \ '.strip()}, id="escapes"),
        pytest.param("a='it has \"quotes\"'", {"a": 'it has "quotes"'}, id="single quotes, as opencensus reads them"),
        pytest.param("'a,b'=c", {"a,b": "c"}, id="a quoted key"),
        pytest.param("a=b%20c", {"a": "b%20c"}, id="percent signs stand for themselves"),
        pytest.param("a=1,a=2", {"a": "2"}, id="the later of two"),
    ],
)
def test_labels_that_are_read(text: str, expected: dict[str, str]) -> None:
    assert parse_labels(text) == expected


@pytest.mark.parametrize(
    "text, reason",
    [
        pytest.param("a", "key=value", id="no value"),
        pytest.param("=b", "key=value", id="no key"),
        pytest.param('""=b', "no key", id="an empty key in quotes"),
        pytest.param("a=b=c", "key=value", id="two values"),
        pytest.param('a="b', "key=value", id="an open quote"),
        pytest.param('a="b"c', "key=value", id="more after the quote"),
        pytest.param("a=b,,c=d", "key=value", id="two commas"),
        pytest.param("a=é", "printable ASCII", id="not ASCII"),
        pytest.param('a="b\tc"', "printable ASCII", id="not printable"),
        pytest.param("a=" + "b" * 257, "256 characters", id="long"),
    ],
)
def test_labels_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_labels(text)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10)


@given(st.dictionaries(printable.filter(bool), printable, max_size=4))
def test_quoted_labels_come_back(labels: dict[str, str]) -> None:
    def quoted(word: str) -> str:
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'

    written = ",".join(f"{quoted(key)}={quoted(value)}" for key, value in labels.items())
    assert parse_labels(written) == labels


@given(st.text())
def test_any_labels_are_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        parse_labels(text)
    except ValueError as error:
        assert len(str(error)) < 200


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OC_RESOURCE_TYPE", " k8s.io/container ")
    monkeypatch.setenv("OC_RESOURCE_LABELS", 'zone="a"')
    assert plain(Identity().resource) == ("k8s.io/container", {"zone": "a"})
    assert plain(resource_from_environment({})) == ("", {})
    assert plain(Identity(resource={"own": "1"}).resource) == ("", {"own": "1"})


@pytest.mark.parametrize(
    "environment, expected, name",
    [
        pytest.param(
            {"OC_RESOURCE_TYPE": "é", "OC_RESOURCE_LABELS": "a=b"}, ("", {"a": "b"}), "OC_RESOURCE_TYPE", id="type"
        ),
        pytest.param(
            {"OC_RESOURCE_TYPE": "vm", "OC_RESOURCE_LABELS": "a"}, ("vm", {}), "OC_RESOURCE_LABELS", id="labels"
        ),
    ],
)
def test_an_environment_that_cannot_be_read_is_logged_and_no_more(
    environment: dict[str, str], expected: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert plain(resource_from_environment(environment)) == expected
    [record] = caplog.records
    assert record.getMessage().startswith(f"puremux: {name} is ignored: ")


def test_what_is_ignored_and_cannot_be_logged_raises_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("no room for a line")

    monkeypatch.setattr(logging.getLogger("puremux.exporter"), "filters", [refuse])
    monkeypatch.setenv("OC_RESOURCE_LABELS", "no labels")
    Identity()
    Identity(resource=lambda: 1 // 0)
