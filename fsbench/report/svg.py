"""The figures of a report as small SVG drawings, coloured by the style sheet of the page that holds them.

`fsbench.report.plots` draws the same panels for a paper by matplotlib. The page has drawings of its own because a
drawing of matplotlib cannot do what the page promises: every mark names its figure and its record on hover, colours
follow the reader's light or dark, text stays readable on a phone, and a drawing takes a third of the bytes.

Every text enters through `Markup.format`, which escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fsbench.report.figures import Curve, Dot, Histogram, Panel, padded
from fsbench.stats.friedman import Friedman

__all__ = ["accuracy_svg", "critical_svg", "distribution_svg", "training_svg"]

_WIDTH = 380  # units of a drawing, each about a pixel on a phone
_NAMES, _START, _END = 202, 210, 368  # where names end, and where axes start and end
_LETTERS = 26  # of a name that fit, also bold
_TOP = 6
_PITCH, _RIDGE, _CURVES = 22, 30, 110  # heights: of a dot's row, of a histogram, of a panel of curves
_TICKS = 18  # height of the numbers below an axis
_WIDE, _SIDE, _AXIS = 640, 190, 62  # of a diagram: its width, the room for names on each side, where its axis lies

_SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
_GROUP = Markup('<g class="{}"><title>{}</title>{}</g>')
_LINE = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
_TEXT = Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>')
_CIRCLE = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"/>')
_PATH = Markup('<path class="{}" d="{}"/>')


class _Scale(NamedTuple):
    """From values to places along an axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, number: int) -> list[float]:
        """Round values within the axis, at most one more than `number`."""
        rough = (self.high - self.low) / number
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(step * place, 9) for place in range(first, last + 1)]


def accuracy_svg(panel: Panel[Dot]) -> Markup:
    """Dots with whiskers, a row each."""
    scale = _Scale(*padded(end for dot in panel.marks for end in dot.ends), _START, _END)
    parts = []
    for place, dot in enumerate(panel.marks):
        x, y = scale(dot.mean), _TOP + _PITCH * (place + 0.5)
        low, high = scale(dot.ends[0]), scale(dot.ends[1])
        point = _diamond(x, y) if dot.kind == "apart" else _CIRCLE.format(x, y, 4)
        title = f"{dot.name}: {dot.mean:.2f} ± {dot.ci95:.2f} %; {dot.trace}"
        drawn = _name(dot.name, y) + _LINE.format("whisker", low, y, high, y) + point
        parts.append(_GROUP.format(f"dot {dot.kind}", title, drawn))
    label = f"Accuracy and its 95 % confidence interval, {panel.title}"
    return _plot(label, scale, _TOP + _PITCH * len(panel.marks), parts)


def distribution_svg(panel: Panel[Histogram]) -> Markup:
    """Histograms of the accuracies of episodes, a row each, all on one scale."""
    scale = _Scale(min(mark.edges[0] for mark in panel.marks), 100.0, _START, _END)
    unit = (_RIDGE - 4) / max(share for mark in panel.marks for share in mark.shares)
    parts = []
    for place, mark in enumerate(panel.marks):
        y = _TOP + _RIDGE * (place + 1.0)
        steps = (
            f"V{y - unit * share:.1f}H{scale(edge):.1f}"
            for share, edge in zip(mark.shares, mark.edges[1:], strict=True)
        )
        ridge = _PATH.format("ridge", f"M{scale(mark.edges[0]):.1f} {y:.1f}{''.join(steps)}V{y:.1f}Z")
        ticks = _join(
            _LINE.format(kind, scale(at), y, scale(at), y - 10)
            for kind, at in (("hard", mark.hard), ("median", mark.median))
        )
        title = f"{mark.name}: median {mark.median:.1f} %, 5th percentile {mark.hard:.1f} %; {mark.trace}"
        parts.append(_GROUP.format("histogram", title, _name(mark.name, y - 8) + ridge + ticks))
    label = f"Accuracies of single episodes, {panel.title}"
    return _plot(label, scale, _TOP + _RIDGE * len(panel.marks), parts)


def critical_svg(result: Friedman, setting: str) -> Markup:
    """Demšar's diagram: average ranks on an axis, and a bar under every group of which Nemenyi's test parts none."""
    ranks = result.average_ranks
    scale = _Scale(1, len(ranks), _SIDE, _WIDE - _SIDE)
    end = min(scale(1 + result.critical_difference), _WIDE - 4)
    parts = [
        _LINE.format("bar", _SIDE, 22, end, 22),
        _TEXT.format("tick", (_SIDE + end) / 2, 14, f"critical difference {result.critical_difference:.2f}"),
        _LINE.format("axis", _SIDE, _AXIS, _WIDE - _SIDE, _AXIS),
    ]
    for rank in range(1, len(ranks) + 1):
        parts.append(_LINE.format("axis", scale(rank), _AXIS - 5, scale(rank), _AXIS))
        parts.append(_TEXT.format("tick", scale(rank), _AXIS - 10, rank))
    for level, group in enumerate(result.groups):
        y, title = _AXIS + 8 + 7 * level, f"not significantly different: {', '.join(group)}"
        bar = _LINE.format("bar", scale(ranks[group[0]]) - 4, y, scale(ranks[group[-1]]) + 4, y)
        parts.append(_GROUP.format("group", title, bar))
    first, left = _AXIS + 24 + 7 * len(result.groups), (len(ranks) + 1) // 2
    for place, (name, mean) in enumerate(ranks.items()):
        y = first + _PITCH * min(place, len(ranks) - 1 - place)
        kind, x, to = ("name", _SIDE - 22, -6) if place < left else ("name right", _WIDE - _SIDE + 22, 6)
        words = _TEXT.format(kind, x + to, y + 4, f"{_short(name)}  {mean:.2f}")
        title = f"{name}: average rank {mean:.2f} over {result.sources} sources"
        parts.append(
            _GROUP.format("method", title, _PATH.format("line", f"M{scale(mean):.1f} {_AXIS}V{y}H{x}") + words)
        )
    return _SVG.format(_WIDE, first + _PITCH * left - 8, f"Critical-difference diagram, {setting}", _join(parts))


def training_svg(panel: Panel[Curve], kinds: Sequence[str], ends: tuple[float, float]) -> Markup:
    """Accuracy on the validation episodes over the steps of every training.

    Args:
        panel: The trainings of a row.
        kinds: All kinds of training, in the order of their colours.
        ends: Of the axis of accuracies, percent.
    """
    start, bottom = 36, _TOP + _CURVES
    across = _Scale(0, max(step for curve in panel.marks for step, _ in (*curve.looks, curve.kept)), start, _END - 6)
    up = _Scale(*ends, bottom, _TOP)
    parts = [_TEXT.format("tick", across(tick), bottom + 14, f"{tick:,.0f}") for tick in across.ticks(4)]
    for tick in up.ticks(4):
        parts.append(_LINE.format("grid", start, up(tick), _END, up(tick)))
        parts.append(_TEXT.format("name tick", start - 6, up(tick) + 4, f"{tick:g}"))
    for curve in panel.marks:
        line = "L".join(f"{across(step):.1f} {up(accuracy):.1f}" for step, accuracy in curve.looks)
        last, best = curve.kept
        title = f"{panel.title}, {curve.kind}, seed {curve.seed}: kept at step {last:,} with {best:.2f} %"
        drawn = _PATH.format("line", f"M{line}") + _CIRCLE.format(across(last), up(best), 3.5)
        parts.append(_GROUP.format(f"curve kind-{kinds.index(curve.kind) % 4}", title, drawn))
    label = f"Validation accuracy during training, {panel.title}"
    return _SVG.format(_WIDTH, bottom + _TICKS, label, _join(parts))


def _plot(label: str, scale: _Scale, bottom: float, parts: Iterable[Markup]) -> Markup:
    """Rows of marks over the grid of their axis, percent."""
    grid = [
        _LINE.format("grid", scale(tick), _TOP, scale(tick), bottom)
        + _TEXT.format("tick", scale(tick), bottom + 14, f"{tick:g}")
        for tick in scale.ticks(5)
    ]
    return _SVG.format(_WIDTH, bottom + _TICKS, label, _join([*grid, *parts]))


def _name(name: str, y: float) -> Markup:
    return _TEXT.format("name", _NAMES, y + 4, _short(name))


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _diamond(x: float, y: float) -> Markup:
    return _PATH.format("diamond", f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5Z")


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
