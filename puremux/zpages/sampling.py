"""The form of traceconfigz: a TraceConfig in words, and back from what a browser sends.

Floor 5, zpages: imports text, and ``puremux.proto``.
Spec: opencensus-proto, trace/v1/trace_config.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..proto import trace_config_pb2

__all__ = ["LIMITS", "SAMPLERS", "FormError", "Settings", "config_of", "in_words", "settings_of"]

SAMPLERS = {
    "own": "as the program decides by itself",
    "on": "every trace",
    "off": "no trace",
    "parent": "a trace if its parent is sampled",
    "probability": "a share of the traces",
    "rate": "so many traces a second at the most",
}
"""What can be asked for, and what it keeps."""

DECISIONS = {
    "off": trace_config_pb2.ConstantSampler.ALWAYS_OFF,
    "on": trace_config_pb2.ConstantSampler.ALWAYS_ON,
    "parent": trace_config_pb2.ConstantSampler.ALWAYS_PARENT,
}

LIMITS = {
    "attributes": "max_number_of_attributes",
    "annotations": "max_number_of_annotations",
    "message events": "max_number_of_message_events",
    "links": "max_number_of_links",
}
"""What a span keeps at the most, and the field of TraceConfig for it."""

INT64 = 2**63


class FormError(ValueError):
    """What was sent makes no TraceConfig; one sentence."""


class Settings(NamedTuple):
    """A TraceConfig, as fields of a form."""

    sampler: str
    """One of ``SAMPLERS``."""

    probability: str = ""
    rate: str = ""
    limits: Mapping[str, str] = {}


def settings_of(config: trace_config_pb2.TraceConfig) -> Settings:
    """What a TraceConfig would look like in the form."""
    limits = {name: str(getattr(config, field) or "") for name, field in LIMITS.items()}
    kind = config.WhichOneof("sampler")
    if kind == "constant_sampler":
        names = {number: name for name, number in DECISIONS.items()}
        return Settings(names.get(config.constant_sampler.decision, "own"), limits=limits)
    if kind == "probability_sampler":
        return Settings("probability", f"{config.probability_sampler.samplingProbability:g}", limits=limits)
    if kind == "rate_limiting_sampler":
        return Settings("rate", rate=str(config.rate_limiting_sampler.qps), limits=limits)
    return Settings("own", limits=limits)


def in_words(config: trace_config_pb2.TraceConfig) -> str:
    """Which traces are kept, as part of a sentence."""
    settings = settings_of(config)
    if settings.sampler == "probability":
        return f"{config.probability_sampler.samplingProbability:.6g} of the traces"
    if settings.sampler == "rate":
        return f"{settings.rate} traces a second at the most"
    return SAMPLERS[settings.sampler]


def config_of(form: Mapping[str, str]) -> trace_config_pb2.TraceConfig:
    """The TraceConfig that a form asks for.

    Raises:
        FormError: a field does not fit.
    """
    config = trace_config_pb2.TraceConfig()
    sampler = form.get("sampler", "")
    if sampler in DECISIONS:
        config.constant_sampler.decision = DECISIONS[sampler]
    elif sampler == "probability":
        config.probability_sampler.samplingProbability = _probability(form.get("probability", ""))
    elif sampler == "rate":
        config.rate_limiting_sampler.qps = _whole(form.get("rate", ""), "The number of traces a second")
    elif sampler != "own":
        raise FormError("Choose one of the samplers.")
    for name, field in LIMITS.items():
        text = form.get(name, "").strip()
        if text:
            setattr(config, field, _whole(text, f"The number of {name}", least=1))
    return config


def _probability(text: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise FormError(f"The share is a number from 0 to 1, not {text[:40]!r}.")
    return probability


def _whole(text: str, what: str, least: int = 0) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit() and len(stripped) < 20 and least <= int(stripped) < INT64):
        raise FormError(f"{what} is a whole number from {least} up, not {text[:40]!r}.")
    return int(stripped)
