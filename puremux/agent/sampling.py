"""Samplers in words, for those who ask all clients to sample alike.

Floor 5, agent: imports ``puremux.proto``.
Spec: opencensus-proto, trace/v1/trace_config.proto.
"""

from __future__ import annotations

from ..proto import trace_config_pb2

__all__ = ["FORMS", "trace_config"]

FORMS = "always, never, parent, probability=P with P from 0 to 1, or rate=N for N traces a second"

CONSTANT = {
    "always": trace_config_pb2.ConstantSampler.ALWAYS_ON,
    "never": trace_config_pb2.ConstantSampler.ALWAYS_OFF,
    "parent": trace_config_pb2.ConstantSampler.ALWAYS_PARENT,
}

LARGEST_RATE = 2**31 - 1


def trace_config(words: str) -> trace_config_pb2.TraceConfig:
    """The TraceConfig for ``probability=0.1`` and the like.

    Raises:
        ValueError: it is none of these forms; the message says which there are.
    """
    config = trace_config_pb2.TraceConfig()
    kind, _, value = words.partition("=")
    try:
        if words in CONSTANT:
            config.constant_sampler.decision = CONSTANT[words]
        elif kind == "probability" and 0 <= float(value) <= 1:
            config.probability_sampler.samplingProbability = float(value)
        elif kind == "rate" and 0 <= int(value) <= LARGEST_RATE:
            config.rate_limiting_sampler.qps = int(value)
        else:
            raise ValueError
    except ValueError:
        raise ValueError(f"a sampler is {FORMS}, not {words!r}") from None
    return config
