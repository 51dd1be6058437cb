"""A forecast as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fsbench.forecast.cost import Cost
    from fsbench.forecast.outlook import Outlook
    from fsbench.forecast.speeds import MeasuredSpeeds
    from fsbench.run.cells import Training

__all__ = ["cost_to_markdown", "outlook_to_markdown"]

_ANY = "any"


_NONE = "–"


def outlook_to_markdown(outlook: Outlook) -> str:
    """The trainings of a run, those that differ in their seed alone in one line, and how many cells use them.

    Rows without training follow.
    """
    from fsbench.report.markdown import escape
    from fsbench.run.frozen import Untrained

    lines = []
    for training, seeds in _by_shape(outlook):
        schedule = training.schedule
        data = "image" if schedule.protocol is None else "task"
        shape = "" if schedule.protocol is None else f", {schedule.protocol}"
        cells = sum(cell.training.id in seeds for cell in outlook.cells)
        lines.append(
            [
                training.row,
                _shot(training),
                f"{len(seeds)}",
                f"{schedule.steps:,}",
                f"{_counted(schedule.size, data)}{shape}",
                training.starts_from.row if training.starts_from else _NONE,
                f"{cells}",
            ]
        )
    untrained = Counter(cell.identity.row for cell in outlook.cells if isinstance(cell.training, Untrained))
    lines += [[row, _ANY, "0", *[_NONE] * 3, f"{cells}"] for row, cells in untrained.items()]
    heads = ("row", "shot", "trainings", "steps of each", "a step", "starts from", "cells")
    steps = sum(training.schedule.steps for training in outlook.trainings)
    episodes = sum(cell.episode_set.protocol.episodes for cell in outlook.cells)
    sources = len({cell.identity.source for cell in outlook.cells})
    parts = [
        f"# Plan of {escape(outlook.suite.name)}: {escape(outlook.suite.title)}",
        _table(heads, lines, "lrrrllr"),
        f"Total: {_counted(len(outlook.trainings), 'training')} with {_counted(steps, 'step')}; "
        f"{_counted(len(outlook.cells), 'cell')} with {_counted(episodes, 'test episode')} of "
        f"{_counted(sources, 'source')}.",
    ]
    if any(training.schedule.patience for training in outlook.trainings):
        parts.append("Steps are the most there can be: some of these trainings stop when they no longer improve.")
    parts += [f"{escape(source)} is left out: {escape(reason)}" for source, reason in outlook.left_out.items()]
    return "\n\n".join(parts)


def _speeds(outlook: Outlook, speeds: MeasuredSpeeds, device: torch.device) -> Iterator[str]:
    from fsbench.forecast.cost import look_seconds, looks
    from fsbench.forecast.speeds import LONG, TIMINGS
    from fsbench.run.environment import describe_environment

    machine, amounts, images = describe_environment(device), speeds.amounts, outlook.suite.images
    yield "## Speeds, measured now"
    yield (
        f"On {machine.device} ({machine.platform}), threads: {machine.threads}, torch {machine.torch}, on random "
        f"images of {images.size}x{images.size} pixels, channels: {images.channels}. Every time is the median of "
        f"{TIMINGS}, or of fewer that took {LONG:g} seconds, after one that does not count. "
        f"Done in one timing: {_counted(amounts.steps, 'training step')}; "
        f"the embedding of {_counted(amounts.images, 'image')} or a few more; "
        f"{_counted(amounts.compared, 'episode')} of a method that compares features, "
        f"{_counted(amounts.adapted, 'episode')} of any other. The time of a look at the validation episodes is "
        "computed from those of an image and an episode. Preparing the sources is not in it."
    )
    if any(cell.identity.shot is None for cell in outlook.cells):
        yield "Episodes of variable shots differ in size, and so few of them give a rough figure."
    yield _table(
        ("row", "shot", "s a step", "s a look", "looks"),
        [
            [
                training.row,
                _shot(training),
                _figure(speeds.step(training)),
                _figure(look_seconds(outlook, training, speeds)),
                f"{looks(training)}",
            ]
            for training, _ in _by_shape(outlook)
        ],
        "lrrrr",
    )
    answered = {}
    for cell in outlook.cells:
        identity = cell.identity
        model = identity.method, identity.params, cell.training.backbone
        of_image = speeds.image(*model) if outlook.embeds(identity.method) else None
        of_episode = speeds.episode(*model, cell.episode_set.protocol)
        shot = _ANY if identity.shot is None else f"{identity.shot}"
        figures = [_NONE if of_image is None else _figure(of_image), _figure(of_episode)]
        answered[identity.row, shot] = [identity.row, shot, *figures]
    yield _table(("row", "shot", "s an image embedded", "s a test episode"), list(answered.values()), "lrrr")


def _sizes(outlook: Outlook) -> Iterator[str]:
    """The images that are embedded."""
    if not any(outlook.embeds(method) for method in outlook.methods):
        return
    splits = {(training.validation_source, training.validation.split): None for training in outlook.trainings}
    splits |= {(cell.identity.source, cell.identity.split): None for cell in outlook.cells}
    lines = [
        [source, split, f"{outlook.images(source, split):,}", outlook.assumed.get(source, "the prepared source")]
        for source, split in splits
    ]
    yield "## Images to choose from"
    yield _table(("source", "split", "images", "known from"), lines, "llrl")
    yield "Embedded are those that episodes ask for: as many as all of them have places, or all that there are."


def cost_to_markdown(outlook: Outlook, speeds: MeasuredSpeeds, device: torch.device, cost: Cost) -> str:
    """What the work of an outlook takes, with the measured speeds that this is computed from."""
    return "\n\n".join([*_speeds(outlook, speeds, device), *_sizes(outlook), *_cost(cost)])


def _cost(cost: Cost) -> Iterator[str]:
    yield "## Cost, computed from these"
    lines = [
        [row, *(_hours(seconds) for seconds in (part.training, part.validation, part.evaluation, part.total))]
        for row, part in cost.rows.items()
    ]
    parts = cost.rows.values()
    sums = [sum(getattr(part, name) for part in parts) for name in ("training", "validation", "evaluation")]
    lines.append(["all", *(_hours(seconds) for seconds in (*sums, cost.total))])
    yield _table(("row", "training, h", "validation, h", "evaluation, h", "all, h"), lines, "lrrrr")
    yield (
        "A training that several rows use is in the row that defines it, and the embedding of a source in the first "
        f"row that needs it. The longest chain of work of which each part waits for the one before takes "
        f"{_hours(cost.longest)} h: {', then '.join(cost.chain)}."
    )
    numbers = [2**power for power in range(math.ceil(math.log2(max(1.0, cost.total / cost.longest))) + 1)]
    yield _table(("devices like this", "h at best"), [[f"{n}", _hours(cost.at_best(n))] for n in numbers], "rr")


def _by_shape(outlook: Outlook) -> list[tuple[Training, set[str]]]:
    """The trainings of the first seed, each with the ids of those that differ in their seed alone."""
    groups: dict[tuple[str, int | None], tuple[Training, set[str]]] = {}
    for training in outlook.trainings:
        groups.setdefault((training.row, training.shot), (training, set()))[1].add(training.id)
    return list(groups.values())


def _shot(training: Training) -> str:
    return _ANY if training.shot is None else f"{training.shot}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _figure(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _hours(seconds: float) -> str:
    return _figure(seconds / 3600)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], alignment: str) -> str:
    from fsbench.report.markdown import escape, pipe_table

    aligned = [{"l": "left", "r": "right"}[letter] for letter in alignment]
    return pipe_table(heads, [[escape(text) for text in line] for line in lines], aligned)
