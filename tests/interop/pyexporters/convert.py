"""What opencensus-ext-ocagent makes of the samples by its own conversion functions: JSON, bytes in hex."""

from __future__ import annotations

import json
from typing import Any, Callable

from opencensus.ext.ocagent.stats_exporter import _get_metric_proto
from opencensus.ext.ocagent.trace_exporter.utils import translate_to_trace_proto
from samples import METRICS, SPANS


def converted(convert: Callable[[Any], Any], item: Any) -> dict[str, str]:
    """The item's bytes, or why there are none."""
    try:
        return {"hex": convert(item).SerializeToString().hex()}
    except Exception as error:  # whatever its author did not think of
        return {"error": type(error).__name__}


if __name__ == "__main__":
    spans = {name: converted(translate_to_trace_proto, span) for name, span in SPANS.items()}
    metrics = {name: converted(_get_metric_proto, metric) for name, metric in METRICS.items()}
    print(json.dumps({"spans": spans, "metrics": metrics}))
