"""Two spans, sent to an agent.  Usage: python examples/first_spans.py [ADDRESS]"""

from __future__ import annotations

import sys

from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.tracer import Tracer

import puremux

with puremux.Exporter(*sys.argv[1:], service_name="breakfast") as exporter:
    tracer = Tracer(exporter=exporter, sampler=AlwaysOnSampler())
    with tracer.span("breakfast"), tracer.span("coffee") as span:
        span.add_attribute("cups", 2)

print(exporter.stats()["confirmed"], "spans are at the agent")
