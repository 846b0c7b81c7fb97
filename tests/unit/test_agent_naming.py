"""OpenCensus's names as Prometheus's.  The first table was seen on a Collector's page; tests/interop holds us to it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent.naming import exposition, label_name
from puremux.agent.series import Descriptor
from tests.shared.agent_messages import Type, descriptor

GAUGE, COUNTER, HISTOGRAM = Type.GAUGE_DOUBLE, Type.CUMULATIVE_INT64, Type.CUMULATIVE_DISTRIBUTION


@pytest.mark.parametrize(
    "name, kind, unit, expected",
    [
        pytest.param("opdemo/latency", HISTOGRAM, "ms", "opdemo_latency_milliseconds", id="a unit becomes a word"),
        pytest.param("opdemo/line_counts", COUNTER, "1", "opdemo_line_counts", id="counter: the page adds _total"),
        pytest.param("c_double_total", COUNTER, "s", "c_double_seconds", id="total moves behind the unit"),
        pytest.param("g_total", GAUGE, "", "g_total", id="a gauge may be called total"),
        pytest.param("fill", GAUGE, "1", "fill_ratio", id="a gauge of unit 1 is a ratio"),
        pytest.param("ratio/fill", GAUGE, "1", "fill_ratio", id="ratio goes to the end"),
        pytest.param("bytes/sent", COUNTER, "By", "bytes_sent", id="a unit that is in the name"),
        pytest.param("rate", GAUGE, "By/s", "rate_bytes_per_second", id="one unit per another"),
        pytest.param("rate", GAUGE, "{pages}/s", "rate_per_second", id="a remark per unit"),
        pytest.param("things", GAUGE, "{thing}", "things", id="a remark is no unit"),
        pytest.param("load", GAUGE, "furlong", "load_furlong", id="a unit nobody knows"),
        pytest.param("cpu", GAUGE, "%", "cpu_percent", id="percent"),
        pytest.param("1st", GAUGE, "", "_1st", id="a digit first"),
        pytest.param("c_dist/x.y-z", HISTOGRAM, "", "c_dist_x_y_z", id="signs part words"),
        pytest.param("a:b", GAUGE, "", "a_b", id="no colons: they are for recording rules"),
        pytest.param("ünï", GAUGE, "", "_n_", id="letters beyond ASCII"),
        pytest.param("___", GAUGE, "", "_", id="nothing but signs"),
    ],
)
def test_names_are_the_collectors(name: str, kind: int, unit: str, expected: str) -> None:
    assert exposition(Descriptor(descriptor(name, kind, unit))).name == expected


@pytest.mark.parametrize(
    "kind, expected",
    [
        (Type.GAUGE_INT64, "gauge"),
        (Type.GAUGE_DOUBLE, "gauge"),
        (Type.GAUGE_DISTRIBUTION, "gaugehistogram"),
        (Type.CUMULATIVE_INT64, "counter"),
        (Type.CUMULATIVE_DOUBLE, "counter"),
        (Type.CUMULATIVE_DISTRIBUTION, "histogram"),
        (Type.SUMMARY, "summary"),
    ],
)
def test_every_type_has_one_on_the_page(kind: int, expected: str) -> None:
    assert exposition(Descriptor(descriptor("m", kind))).kind == expected


@pytest.mark.parametrize(
    "name, unit, expected",
    [("latency", "ms", "milliseconds"), ("bytes/sent", "By", ""), ("fill", "1", ""), ("r", "By/s", "bytes_per_second")],
)
def test_a_unit_is_told_where_it_ends_the_name(name: str, unit: str, expected: str) -> None:
    assert exposition(Descriptor(descriptor(name, HISTOGRAM, unit))).unit == expected


@pytest.mark.parametrize(
    "key, expected",
    [
        ("method", "method"),
        ("k8s.pod.name", "k8s_pod_name"),
        ("1x", "key_1x"),
        ("_u", "key_u"),
        ("__r", "key__r"),
        ("é", "key_"),
        ("", "key"),
    ],
)
def test_labels_are_the_collectors(key: str, expected: str) -> None:
    assert label_name(key) == expected


@given(st.text(), st.sampled_from(Type.Type.values()[1:]), st.one_of(st.sampled_from(["ms", "1", "By/s"]), st.text()))
def test_any_name_becomes_a_valid_one(name: str, kind: int, unit: str) -> None:
    found = exposition(Descriptor(descriptor(name, kind, unit)))
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", found.name)
    assert not found.unit or found.name.endswith(f"_{found.unit}")


@given(st.text())
def test_any_key_becomes_a_valid_label(key: str) -> None:
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", label_name(key))
