"""The picture of docs/performance.md: how fast each drains, and how long a new alarm waits in the middle of that."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures import digits, quantile

WIDTH_IN, ROW_IN, FRAME_IN = 9.0, 0.42, 1.5
DOTS_PER_IN = 100
ROOM = 8
"""Times the largest value, for the numbers beside it."""
OURS, THEIRS, GREY = "#c2410c", "#64748b", "#475569"
PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def draw(
    file: Path,
    drains: Mapping[str, Sequence[float]],
    alarms_s: Mapping[str, Sequence[float]],
    ours: Sequence[str],
    limits_ms: Sequence[float] = (),
) -> None:
    """Writes an SVG or PNG, by the suffix of `file`, 900 px wide; the same numbers give the same bytes.

    drains: events a second of each run, by name, first on top. alarms_s: of those names, single latencies; a name may
    be missing. ours: the names that stand out. limits_ms: what is allowed to the median and p99.
    """
    mpl.rcParams.update({"svg.hashsalt": "callbox", "font.family": "DejaVu Sans", "font.size": 9})
    names = list(drains)
    colors = [OURS if name in ours else THEIRS for name in names]
    figure = Figure(figsize=(WIDTH_IN, FRAME_IN + ROW_IN * len(names)), dpi=DOTS_PER_IN, layout="constrained")
    figure.set_facecolor("white")
    rates, waits = figure.subplots(1, 2, sharey=True)
    _frame(rates, "Draining a backlog: events a second", names)
    _frame(waits, "An alarm in the middle of it: median to p99", names)
    rates.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    waits.xaxis.set_major_formatter(lambda value, _: f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s")
    for at, (name, color) in enumerate(zip(names, colors, strict=True)):
        runs = drains[name]
        rates.barh(at, median(runs), color=color, height=0.6)
        rates.plot([min(runs), max(runs)], [at, at], color="black", linewidth=1)
        _beside(rates, at, max(runs), digits(median(runs)))
        if alarms := alarms_s.get(name):
            middle, late = (quantile(alarms, share) * 1000 for share in (0.5, 0.99))
            waits.plot([middle, late], [at, at], color=color, linewidth=3, solid_capstyle="butt")
            waits.plot(middle, at, "o", color=color, markersize=7)
            _beside(waits, at, late, f"{digits(middle)} / {digits(late)}")
    for limit_ms, side in zip(limits_ms, ("right", "left"), strict=False):
        waits.axvline(limit_ms, color=GREY, linewidth=1, linestyle="--", zorder=0.9)
        waits.text(limit_ms, -0.75, f" {limit_ms:g} ms ", ha=side, color=GREY, fontsize=8)
    for axes in (rates, waits):
        low, high = axes.get_xlim()
        axes.set_xlim(low / 2, high * ROOM)
    rates.set_ylim(len(names) - 0.5, -1)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _frame(axes: Axes, title: str, names: Sequence[str]) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="x", color="#e2e8f0")
    axes.set_axisbelow(True)
    axes.minorticks_off()
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _beside(axes: Axes, at: float, value: float, text: str) -> None:
    axes.annotate(text, (value, at), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8, bbox=PLAIN)
