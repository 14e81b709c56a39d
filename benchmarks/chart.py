"""The main figures as a chart: what an append takes, and every main figure as a part of its goal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.figures import MAIN
from benchmarks.others.optional import needed

_OURS, _OTHER, _MISSED = "#2a6f97", "#b8b8b8", "#c1443c"


def draw(path: Path, figures: dict[str, Figure]) -> None:
    """Write the chart; the file's suffix says which kind (.svg, .png).

    Raises:
        LeftOutError: matplotlib is not there.
    """
    appends = {name: figure for name, figure in figures.items() if name.startswith("append/") and name != "append/size"}
    main = {name: figures[name] for name in MAIN if name in figures}
    panels = [(draw_panel, shown) for draw_panel, shown in ((_appends, appends), (_goals, main)) if shown]
    if not panels:
        return
    heights = [len(shown) + 2 for _, shown in panels]
    canvas = needed("matplotlib.figure").Figure(figsize=(13, 1 + 0.35 * sum(heights)), layout="constrained")
    for (draw_panel, shown), axes in zip(
        panels, canvas.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0], strict=True
    ):
        draw_panel(axes, shown)
    canvas.savefig(path)


def _appends(axes: Any, figures: dict[str, Figure]) -> None:
    ours = sorted(figure.ours for figure in figures.values())[len(figures) // 2]
    others = [(figure.against, figure.other or 0.0) for figure in figures.values()]
    bars = sorted([*others, ("this op log", ours)], key=lambda bar: bar[1])
    names = [name for name, _ in bars]
    times = [seconds * 1e6 for _, seconds in bars]
    drawn = axes.barh(names, times, color=[_OURS if name == "this op log" else _OTHER for name in names])
    axes.bar_label(drawn, [f"{time:,.1f}" for time in times], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(left=min(times) / 2, right=max(times) * 8)
    # The labels say it, and a bar on this scale has no length of its own.
    axes.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    axes.invert_yaxis()
    axes.set_title("One append, µs (logarithmic)", loc="left")


def _goals(axes: Any, figures: dict[str, Figure]) -> None:
    names = [f"{figure.what} / {figure.against}" if figure.against else figure.what for figure in figures.values()]
    parts = [figure.value / figure.goal if figure.goal else 0.0 for figure in figures.values()]
    labels = [
        f"{figure.value:.3g} of {figure.goal:g}{'' if figure.unit == 'ratio' else ' ' + figure.unit}"
        for figure in figures.values()
    ]
    drawn = axes.barh(names, parts, color=[_OURS if part <= 1 else _MISSED for part in parts])
    axes.bar_label(drawn, labels, padding=3)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_title("Each figure as a part of its goal (1 = the goal, less is better)", loc="left")
