"""The sampler that follows the agent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.exporter.limits import SpanLimits
from puremux.exporter.sampling import AgentSampler
from puremux.proto import trace_config_pb2
from puremux.proto.trace_config_pb2 import ConstantSampler, ProbabilitySampler, RateLimitingSampler, TraceConfig

samplers = pytest.importorskip("opencensus.trace.samplers")


def context(trace_id: str = "0" * 31 + "1", sampled: bool = False) -> Any:
    return SimpleNamespace(trace_id=trace_id, trace_options=SimpleNamespace(get_enabled=lambda: sampled))


def following(**config: Any) -> AgentSampler:
    sampler = AgentSampler()
    sampler.apply(TraceConfig(**config).SerializeToString())
    return sampler


@given(st.integers(0, 2**128 - 1), st.floats(0, 1))
def test_probability_decides_as_opencensus_does(number: int, probability: float) -> None:
    ours = following(probability_sampler=ProbabilitySampler(samplingProbability=probability))
    theirs = samplers.ProbabilitySampler(probability)
    assert ours.should_sample(context(f"{number:032x}")) == theirs.should_sample(context(f"{number:032x}"))


@pytest.mark.parametrize(
    "decision, sampled_parent, expected",
    [
        pytest.param(ConstantSampler.ALWAYS_ON, False, True, id="always on"),
        pytest.param(ConstantSampler.ALWAYS_OFF, True, False, id="always off, whatever the parent"),
        pytest.param(ConstantSampler.ALWAYS_PARENT, True, True, id="as the sampled parent"),
        pytest.param(ConstantSampler.ALWAYS_PARENT, False, False, id="as the parent that was not"),
    ],
)
def test_constant(decision: int, sampled_parent: bool, expected: bool) -> None:
    sampler = following(constant_sampler=ConstantSampler(decision=decision))
    assert sampler.should_sample(context(sampled=sampled_parent)) is expected


def test_rate_limit_keeps_so_many_a_second_and_the_children_of_kept_traces() -> None:
    now = 100.0
    sampler = AgentSampler(clock=lambda: now)
    sampler.apply(TraceConfig(rate_limiting_sampler=RateLimitingSampler(qps=10)).SerializeToString())
    kept = 0
    for _ in range(3000):  # three seconds, a thousand traces each
        now += 0.001
        kept += sampler.should_sample(context())
    assert 29 <= kept <= 31
    assert sampler.should_sample(context(sampled=True))


def test_a_rate_of_none_keeps_none() -> None:
    sampler = following(rate_limiting_sampler=RateLimitingSampler(qps=0))
    assert not sampler.should_sample(context())


def test_a_configuration_without_sampler_leaves_the_decision_to_the_application() -> None:
    sampler = AgentSampler(samplers.AlwaysOnSampler())
    sampler.apply(
        TraceConfig(constant_sampler=ConstantSampler(decision=ConstantSampler.ALWAYS_OFF)).SerializeToString()
    )
    assert not sampler.should_sample(context())
    sampler.apply(b"")
    assert sampler.should_sample(context())


def test_limits_follow_too_and_zero_changes_nothing() -> None:
    sampler = AgentSampler(limits=SpanLimits(max_links=7))
    sampler.apply(TraceConfig(max_number_of_attributes=3).SerializeToString())
    assert sampler.limits == SpanLimits(max_attributes=3, max_links=7)
    sampler.apply(b"")
    assert sampler.limits == SpanLimits(max_links=7)


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_an_impossible_probability_is_refused_and_changes_nothing(probability: float) -> None:
    sampler = following(constant_sampler=ConstantSampler(decision=ConstantSampler.ALWAYS_ON))
    before = sampler.current()
    bad = TraceConfig(
        probability_sampler=ProbabilitySampler(samplingProbability=probability), max_number_of_links=1
    ).SerializeToString()
    with pytest.raises(ValueError, match="not between 0 and 1"):
        sampler.apply(bad)
    assert sampler.current() == before and sampler.should_sample(context())


@pytest.mark.parametrize(
    "own, kind",
    [
        pytest.param(None, "probability_sampler", id="default"),
        pytest.param(samplers.ProbabilitySampler(0.5), "probability_sampler", id="probability"),
        pytest.param(samplers.AlwaysOnSampler(), "constant_sampler", id="always on"),
        pytest.param(SimpleNamespace(should_sample=lambda context: True), None, id="of unknown kind"),
    ],
)
def test_tells_the_agent_what_is_in_force(own: Any, kind: str | None) -> None:
    current = trace_config_pb2.TraceConfig.FromString(AgentSampler(own).current())
    assert current.WhichOneof("sampler") == kind
    assert current.max_number_of_annotations == 32


@given(
    st.one_of(
        st.builds(lambda p: {"probability_sampler": ProbabilitySampler(samplingProbability=p)}, st.floats(0, 1)),
        st.builds(lambda d: {"constant_sampler": ConstantSampler(decision=d)}, st.integers(0, 2)),
        st.builds(lambda q: {"rate_limiting_sampler": RateLimitingSampler(qps=q)}, st.integers(-(2**63), 2**63 - 1)),
    ),
    st.lists(st.integers(1, 2**63 - 1), min_size=4, max_size=4),
)
def test_what_is_in_force_is_told_as_the_generated_class_serializes_it(sampler: Any, limits: list[int]) -> None:
    config = TraceConfig(
        **sampler,
        max_number_of_attributes=limits[0],
        max_number_of_annotations=limits[1],
        max_number_of_message_events=limits[2],
        max_number_of_links=limits[3],
    )
    following = AgentSampler()
    following.apply(config.SerializeToString())
    assert following.current() == config.SerializeToString(deterministic=True)


def test_what_is_no_sampler_is_refused() -> None:
    with pytest.raises(TypeError, match="should_sample"):
        AgentSampler(object())  # type: ignore[arg-type]  # that is the point


def test_a_sampler_that_cannot_tell_its_rate_is_used_all_the_same() -> None:
    class Shy:
        @property
        def rate(self) -> float:
            raise RuntimeError("not now")

        def should_sample(self, span_context: Any) -> bool:
            return True

    sampler = AgentSampler(Shy())
    assert not TraceConfig.FromString(sampler.current()).WhichOneof("sampler")
    assert sampler.should_sample(context())
