"""The figures of a report as files for a paper: PDF with its fonts inside, and PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fsbench.report.figures import (
    Curve,
    Dot,
    Histogram,
    Panel,
    accuracy_panels,
    critical_differences,
    distribution_panels,
    padded,
    training_panels,
)
from fsbench.report.table import Table
from fsbench.stats.friedman import Friedman

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plots"]

_INK, _MUTED, _GRID, _TINT = "#1a1d21", "#59626b", "#d5dbe1", "#c3daf2"
_COLOURS: Final = {"best": "#0059b3", "ranked": _MUTED, "apart": "#b04a00"}
_LINES: Final = (("#0059b3", "-"), ("#b04a00", "--"), ("#00705a", ":"), ("#7a3fa0", "-."))
_Mark = TypeVar("_Mark")

_DPI = 200
_ACROSS = 3  # panels side by side
_WIDTH = 2.9  # of a panel, inches
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.edgecolor": _GRID,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": _GRID,
    "text.color": _INK,
    "text.parse_math": False,  # a $ in a name is a $
    "xtick.color": _MUTED,
    "ytick.color": _INK,
    "pdf.fonttype": 42,  # TrueType; many venues refuse Type 3
}


def plots(table: Table) -> dict[str, bytes]:
    """Every figure of the page by file name, as PDF and as PNG; the bytes depend on the table alone.

    They are `accuracy` and `episodes`, `training` where the records hold histories, and one `critical-difference-...`
    for every way and shot with enough sources.
    """
    from matplotlib import rc_context

    files = {}
    with rc_context(_STYLE):
        for name, figure in _figures(table):
            figure.draw_without_rendering()
            figure.set_layout_engine(None)  # it is laid out, and need not be again for every format
            for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
                content = io.BytesIO()
                figure.savefig(content, format=kind, dpi=_DPI, metadata=metadata)
                files[f"{name}.{kind}"] = content.getvalue()
    return files


def _figures(table: Table) -> Iterator[tuple[str, Figure]]:
    yield "accuracy", _accuracy(accuracy_panels(table))
    yield "episodes", _episodes(distribution_panels(table))
    if trainings := training_panels(table):
        yield "training", _training(trainings)
    for setting, test in critical_differences(table).items():
        yield f"critical-difference-{setting.replace(' ', '-')}", _critical(test)


def _accuracy(panels: Sequence[Panel[Dot]]) -> Figure:
    most = max(len(panel.marks) for panel in panels)
    figure, axes = _grid(panels, 0.2 * most + 0.7)
    for ax, panel in zip(axes, panels, strict=True):
        _rows(ax, panel)
        for y, dot in enumerate(panel.marks):
            shape = "D" if dot.kind == "apart" else "o"
            ax.errorbar(dot.mean, y, xerr=dot.ci95, fmt=shape, color=_COLOURS[dot.kind], markersize=4, elinewidth=1.5)
            if dot.kind == "best":
                ax.get_yticklabels()[y].set_fontweight("bold")
        ax.set_xlim(*padded(end for dot in panel.marks for end in dot.ends))
        ax.set_ylim(most - 0.5, -0.5)
    figure.supxlabel("accuracy and its 95 % confidence interval, percent", fontsize=8, color=_MUTED)
    return figure


def _episodes(panels: Sequence[Panel[Histogram]]) -> Figure:
    most = max(len(panel.marks) for panel in panels)
    figure, axes = _grid(panels, 0.3 * most + 0.7)
    for ax, panel in zip(axes, panels, strict=True):
        _rows(ax, panel)
        tallest = max(share for mark in panel.marks for share in mark.shares)
        for y, mark in enumerate(panel.marks):
            tops = [y - 0.85 * share / tallest for share in mark.shares]
            ax.stairs(
                tops, mark.edges, baseline=y, fill=True, facecolor=_TINT, edgecolor=_COLOURS["best"], linewidth=0.5
            )
            for at, colour in ((mark.median, _INK), (mark.hard, _COLOURS["apart"])):
                ax.plot([at, at], [y, y - 0.35], color=colour, linewidth=1.5)
        ax.set_xlim(min(mark.edges[0] for mark in panel.marks), 100)
        ax.set_ylim(most - 0.85, -1.0)
    words = "accuracy of single episodes, percent; marked: median (dark) and 5th percentile (orange)"
    figure.supxlabel(words, fontsize=8, color=_MUTED)
    return figure


def _training(panels: Sequence[Panel[Curve]]) -> Figure:
    figure, axes = _grid(panels, 1.7)
    curves = [curve for panel in panels for curve in panel.marks]
    kinds = sorted({curve.kind for curve in curves})
    ends = padded(look[1] for curve in curves for look in (*curve.looks, curve.kept))
    for ax, panel in zip(axes, panels, strict=True):
        ax.set_title(textwrap.fill(panel.title, 34))
        for curve in panel.marks:
            colour, line = _LINES[kinds.index(curve.kind) % len(_LINES)]
            steps, accuracies = zip(*curve.looks, strict=True)
            ax.plot(steps, accuracies, color=colour, linestyle=line, linewidth=1.2, label=curve.kind)
            ax.plot(*curve.kept, "o", color=colour, markersize=3.5)
        ax.set_xlim(left=0)
        ax.set_ylim(*ends)
        ax.grid(axis="y")
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=len(handles), frameon=False)
    figure.supxlabel("step; point: the weights that were kept", fontsize=8, color=_MUTED)
    figure.supylabel("validation accuracy, percent", fontsize=8, color=_MUTED)
    return figure


def _critical(test: Friedman) -> Figure:
    """Demšar's diagram; the unit is a rank across, and a line of text down."""
    from matplotlib.figure import Figure

    ranks = test.average_ranks
    left, bars = (len(ranks) + 1) // 2, 0.35 * len(test.groups)
    figure = Figure(figsize=(5.5, 0.2 * (left + bars) + 0.9), layout="constrained")
    ax = figure.add_subplot()
    ax.set_axis_off()
    room = 0.45 * (len(ranks) - 1)
    ax.set_xlim(1 - room, max(len(ranks) + room, 1 + test.critical_difference))
    ax.set_ylim(left + bars + 0.6, -3.2)
    ax.plot([1, len(ranks)], [0, 0], color=_INK, linewidth=1)
    for rank in range(1, len(ranks) + 1):
        ax.plot([rank, rank], [0, -0.25], color=_INK, linewidth=1)
        ax.text(rank, -0.4, str(rank), ha="center", va="bottom", color=_MUTED)
    ax.plot([1, 1 + test.critical_difference], [-1.9, -1.9], color=_INK, linewidth=3, solid_capstyle="butt")
    ax.text(1, -2.1, f"critical difference {test.critical_difference:.2f}", va="bottom", color=_MUTED)
    for level, group in enumerate(test.groups, 1):
        ends = [ranks[group[0]] - 0.05, ranks[group[-1]] + 0.05]
        ax.plot(ends, [0.35 * level] * 2, color=_COLOURS["best"], linewidth=3, solid_capstyle="butt")
    for place, (name, mean) in enumerate(ranks.items()):
        y = bars + 0.9 + min(place, len(ranks) - 1 - place)
        side, to = ("right", 1 - 0.1 * room) if place < left else ("left", len(ranks) + 0.1 * room)
        ax.plot([mean, mean, to], [0, y, y], color=_INK, linewidth=0.8)
        ax.text(to, y, f" {name}  {mean:.2f} ", ha=side, va="center")
    return figure


def _grid(panels: Sequence[Panel[_Mark]], height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure with room for all panels, each so many inches high."""
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(_WIDTH * across, height * down + 0.3), layout="constrained")
    axes = [figure.add_subplot(down, across, place + 1) for place in range(len(panels))]
    for ax in axes:
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(length=0)
        ax.set_axisbelow(True)
    return figure, axes


def _rows(ax: Axes, panel: Panel[Dot] | Panel[Histogram]) -> None:
    ax.set_title(panel.title, loc="right")  # there it has the room above the names too
    ax.set_yticks(range(len(panel.marks)), [mark.name for mark in panel.marks])
    ax.grid(axis="x")
