"""The chart of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS, OTHERS = "#2f6f4f", "#b9b4aa"


def draw(figures: dict[str, float], path: Path) -> None:
    """Bars of CPU microseconds a span, the shortest on top."""
    plt.rcParams["svg.hashsalt"] = "puremux"  # the same figures give the same file
    ordered = sorted(figures.items(), key=lambda item: -item[1])
    chart, axes = plt.subplots(figsize=(8, 0.45 * len(ordered) + 1))
    bars = axes.barh(
        [name for name, _ in ordered],
        [value for _, value in ordered],
        color=[OURS if "puremux" in name else OTHERS for name, _ in ordered],
    )
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xlabel("client CPU, µs a span (less is better)")
    axes.spines[["top", "right"]].set_visible(False)
    chart.tight_layout()
    chart.savefig(path, metadata={"Date": None})
