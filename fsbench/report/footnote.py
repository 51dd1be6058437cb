"""What a table's figures are, in words, for the foot of the table in any format.

The words depend on the records alone: no date, no timing, so that two equal runs give equal files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fsbench.backbones.specification import FEATURES
from fsbench.records import Cuda, Record
from fsbench.report.marks import DEVIATES_MARK
from fsbench.report.starts import initialisations
from fsbench.report.table import Column, Table
from fsbench.report.wording import listed, span

__all__ = ["Note", "footnote"]

_TRACKS = {
    "apart": "support and query of a class never share a track (the frames of one object)",
    "shared": "support and query of a class may share a track (the frames of one object), as in the published protocol",
    "unknown": (
        "the prepared files do not say which images belong to a track (the frames of one object), so support and "
        "query of a class may share one"
    ),
}


_DECLARED = {
    "names_matter": "the numbers by which the classes of an episode are called",
    "order_matters": "the order of the support images",
}


class Note(NamedTuple):
    """One point of a footnote, as plain text."""

    term: str
    text: str


def footnote(table: Table) -> list[Note]:
    """Everything that a reader must know to quote a figure of the table."""
    return [
        _accuracy(),
        *_seeds(table),
        _ranks(table),
        _bold(table),
        _inductive(table),
        *_declared(table),
        *_tracks(table),
        _backbones(table),
        *_train_sources(table),
        *_incomplete(table),
        *_other_shots(table),
        *(Note("Initialisation", text) for text in initialisations(table, _line(table))),
        *_deviations(table),
        *_episodes(table),
        *_k_shot(table),
        *_variable(table),
        *_left_out(table),
        *_missing(table),
        *_precision(table),
        _made_with(table),
    ]


def _accuracy() -> Note:
    return Note(
        "Accuracy",
        "percent of an episode's queries that are classified correctly, mean over the episodes ± 95 % confidence "
        "interval (Student t). The interval covers a closed world: it says how far the mean may lie from the one over "
        "all episodes of these test classes, for these trained models; it covers neither another training nor other "
        "classes.",
    )


def _seeds(table: Table) -> Iterator[Note]:
    if table.several_seeds:
        yield Note(
            "Training seeds",
            f"where a {_line(table)} has several, the accuracy of an episode is first averaged over them; the figure "
            "in brackets right after the interval is the standard deviation between the means of the seeds.",
        )


def _line(table: Table) -> str:
    """What a reader sees the figures of a method as."""
    return "method" if table.by_source else "row"


def _ranks(table: Table) -> Note:
    one, place = _line(table), "row" if table.by_source else "column"
    by_tracks: dict[tuple[str, ...], list[str]] = {}
    for line in table.lines:
        if not line.transductive:
            by_tracks.setdefault(line.tracks, []).append(line.name)
    ranked = "; and apart from them ".join(map(listed, by_tracks.values()))
    several = table.by_source and len(table.settings) > 1
    scope = " of a table, and in the last table over those of all" if several else ""
    rules = {
        "metadataset": (
            f"Meta-Dataset's rule in every {place}",
            f"{one}s that lie at most √(CI² + CI²) of the two below it are tied with it and share a rank",
        ),
        "paired": (
            f"by paired tests in every {place}",
            f"{one}s that are not significantly worse (as under Bold) are tied with it and share a rank",
        ),
    }
    rule, tied = rules[table.ranks]
    return Note(
        "Rank",
        f"{rule}, among {ranked or f'no {one}'}: the best {one} leads, {tied}, and the others follow in the same "
        f"way. The average rank is the mean over the {place}s{scope}.",
    )


def _bold(table: Table) -> Note:
    one, place = _line(table), "row" if table.by_source else "column"
    return Note(
        "Bold",
        f"the best {one} of a {place} and those not significantly worse: Student's t test of the paired differences on "
        f"the shared episodes, at 5 %, corrected by Holm's method for all pairs of the {place}.",
    )


def _inductive(table: Table) -> Note:
    one, everywhere = _line(table), "for every method" if table.by_source else "in every row"
    exception = (
        f" The {one}s marked transductive are the exception: they may use all queries of an episode together, so they "
        "are not like for like: not ranked, never bold."
    )
    return Note(
        "Inductive",
        "the answer to a query does not depend on the episode's other queries."
        + (exception if any(line.transductive for line in table.lines) else f" So it is {everywhere}."),
    )


def _tracks(table: Table) -> Iterator[Note]:
    """What weights from elsewhere have seen, where there are any."""
    if not table.external:
        return
    one, place = _line(table), "row" if table.by_source else "column"
    yield Note(
        "Leakage track",
        "what the weights may have seen of the test classes. A, without a sign: trained here, on the suite's own "
        "classes. B: trained elsewhere, without known overlap with the test classes. C: with overlap, or it is not "
        f"known. Only {one}s of one track are ranked, set in bold and compared with each other, in every {place}; a "
        f"{one} that shares its track with another in some of them only has no average rank.",
    )
    seen: dict[str, dict[str, None]] = {}
    for record in table.records:
        where, own = record.identity.source, record.pretraining
        if record.track != "A" and own is None:
            seen.setdefault(record.backbone_label, {})[f"on {where} {record.track}, trained here on its classes"] = None
        elif own is not None:
            whose = f"{record.backbone_label}, pretrained on {listed(own.corpora) or 'what is unknown'}"
            seen.setdefault(whose, {})[f"on {where} {record.track}, since {own.overlap}"] = None
    for whose, found in seen.items():
        yield Note("Leakage track", f"{whose}: {'; '.join(found)}.")


def _declared(table: Table) -> Iterator[Note]:
    for name, what in _DECLARED.items():
        lines = [line.name for line in table.lines if any(name in record.declared for record in line.records)]
        if lines:
            yield Note("Arbitrary", f"the answers of {listed(lines)} depend on {what}, which tells nothing of them.")


def _backbones(table: Table) -> Note:
    records: dict[str, list[Record]] = {}
    for line in table.lines:
        records.setdefault(line.backbone, []).extend(line.records)
    text = "; ".join(f"{backbone}, {_sizes(found)} trained parameters" for backbone, found in records.items())
    return Note("Backbone", f"{text} with the method's own.")


def _sizes(records: Sequence[Record]) -> str:
    features = [record.features for record in records if record.features is not None]
    where = " read from files" if any(record.identity.backbone.get("name") == FEATURES for record in records) else ""
    known = f"{span(features)} features{where}, " if features else ""
    if frozen := [record.training.frozen for record in records if record.pretraining is not None and not where]:
        known += f"{span(frozen)} pretrained and "
    return known + span(record.training.parameters for record in records)


def _train_sources(table: Table) -> Iterator[Note]:
    """One note for every set of several sources that models were trained on."""
    methods: dict[tuple[str, ...], list[str]] = {}
    for line in table.lines:
        for record in line.records:
            methods.setdefault(tuple(record.identity.train_sources), []).append(line.name)
    for sources, names in methods.items():
        if len(sources) > 1:
            whose = f" ({listed(names)})" if len(methods) > 1 else ""
            yield Note(
                "Trained on",
                f"{len(sources)} sources{whose}: {', '.join(sources)}; the source of every training episode, and of "
                "every image of a training batch, is drawn uniformly.",
            )


def _incomplete(table: Table) -> Iterator[Note]:
    """What is missing of training sources that have no column to say it."""
    shown = {column.source for column in table.columns}
    found = {source: what for record in table.records for source, what in record.train_partial.items()}
    for source, what in found.items():
        if source not in shown:
            yield Note("Trained on", f"of {source}, {what}.")


def _other_shots(table: Table) -> Iterator[Note]:
    """One note for every training shot whose models answer episodes of other shots."""
    tested: dict[int, dict[str, None]] = {}
    for line in table.lines:
        for record in line.records:
            shot, trained = record.identity.shot, record.identity.train_shot
            if trained is not None and trained != shot:
                where = "variable shots" if shot is None else f"{shot}-shot"
                tested.setdefault(trained, {})[f"{line.name} at {where}"] = None
    for trained, names in tested.items():
        yield Note("Trained on", f"{trained}-shot episodes: the models of {listed(names)}.")


def _deviations(table: Table) -> Iterator[Note]:
    for line in table.lines:
        if line.deviates:
            yield Note("Deviation", f"{DEVIATES_MARK} {line.name}, from the training of its paper: {line.deviates}")


def _episodes(table: Table) -> Iterator[Note]:
    """One note a source: its images, and the episodes of each of its columns."""
    sources: dict[str, list[Column]] = {}
    for column in table.columns:
        missing = f", {column.partial}" if column.partial else ""
        tracks = f"; {_TRACKS[column.tracks]}" if column.tracks else ""
        seen = listed((_images(r) for r in table.records if r.identity.source == column.source), " and ")
        source = (
            f"{column.source}, {column.split} split, {seen}{missing}{tracks}; "
            f"sampler {column.sampler}, seed {column.episode_seed}"
        )
        sources.setdefault(source, []).append(column)
    for source, columns in sources.items():
        yield Note("Episodes", f"{source}: {'; '.join(map(_draw, columns))}.")


def _images(record: Record) -> str:
    """What a model sees: the size of the images, and the pack that they are from."""
    images = record.identity.images
    colours = "1 channel" if images["channels"] == 1 else f"{images['channels']} channels"
    enlarged = f" enlarged from {before}×{before}" if (before := images.get("enlarged_from")) else ""
    return f"{images['size']}×{images['size']} pixels{enlarged}, {colours}, pack {record.identity.pack[:12]}"


def _draw(column: Column) -> str:
    queries = "" if column.queries is None else f"{column.queries} queries per class, "
    few = column.classes_left_out
    which = "1 class left out, which has" if few == 1 else f"{few} classes left out, which have"
    left_out = f", {which} too few images" if few else ""
    return f"{column.setting}, {queries}{column.episodes} episodes, hash {column.episode_set[:12]}{left_out}"


def _k_shot(table: Table) -> Iterator[Note]:
    if any(column.way is None and column.shot is not None for column in table.columns):
        yield Note(
            "All-way",
            "an episode has all classes of the split and K images of each to learn from. Half of every class, and at "
            "least 16 images, are kept for that; all others are asked, the same for every K and every episode. The "
            "interval covers other support sets, not other test sets.",
        )
    shown = [
        str(column)
        for index, column in enumerate(table.columns)
        if column.way is None and column.shot is not None
        if not any(np.ptp(r.accuracies) for line in table.lines if (f := line.figures[index]) for r in f.records)
    ]
    if shown:
        yield Note(
            "All-way",
            f"on {listed(shown)} all images that may be shown are shown: the episodes are one, which is answered again "
            "and again. Its interval is 0, and what differs there by any amount is called significant.",
        )


def _variable(table: Table) -> Iterator[Note]:
    if any(column.shot is None for column in table.columns):
        yield Note(
            "Variable way and shot",
            "Meta-Dataset's sampler: 5 to 50 ways, up to 500 support images and up to 10 queries per class; ways and "
            "shots differ from episode to episode, and shots also from class to class.",
        )


def _left_out(table: Table) -> Iterator[Note]:
    for source, reason in table.left_out.items():
        yield Note("Left out", f"{source}: {reason}")


def _missing(table: Table) -> Iterator[Note]:
    holes = [
        f"{line.name} on {column}"
        for line in table.lines
        for column, figure in zip(table.columns, line.figures, strict=True)
        if figure is None
    ]
    if holes:
        yield Note(
            "Missing",
            f"no finished record of {'; '.join(holes)}. A {_line(table)} with a gap has no average rank over it; "
            "where it has a figure, it takes a place.",
        )


def _made_with(table: Table) -> Note:
    machines = [record.environment for record in table.records]
    versions = (
        f"fsbench {m.fsbench}, Python {m.python}, torch {m.torch}{_with_cuda(m.cuda)}, NumPy {m.numpy}"
        for m in machines
    )
    commits = f"tested at commit {listed(_commit(machine.commit) for machine in machines)}"
    if trained := listed(_commit(commit) for record in table.records for commit in record.training.commits):
        commits += f", trained at commit {trained} as far as recorded"
    devices = listed(machine.device for machine in machines)
    return Note("Made with", f"{listed(versions, '; ')}; {commits}; device {devices}.")


def _precision(table: Table) -> Iterator[Note]:
    """The rows with backbones that computed in bf16: while they were trained, or those of elsewhere in the test."""
    trained: dict[str, None] = {}
    tested: dict[str, None] = {}
    for line in table.lines:
        for record in line.records:
            if record.training.precision == "bf16":
                (trained if record.pretraining is None else tested)[line.name] = None
    one = _line(table)
    if trained:
        others = [line.name for line in table.lines if line.name not in trained]
        but = f" but {listed(others)}" if others else ""
        who = f"all {one}s{but}" if len(others) < len(trained) else listed(trained)
        text = f"in their own training the backbones of {who} computed in bf16, and in the tests they compute in fp32."
        yield Note("Precision", text)
    if tested:
        yield Note("Precision", f"the pretrained backbones of {listed(tested)} compute in bf16.")


def _with_cuda(cuda: Cuda | None) -> str:
    return "" if cuda is None else f" with CUDA {cuda.runtime} and cuDNN {cuda.cudnn}{', TF32' if cuda.tf32 else ''}"


def _commit(commit: str | None) -> str:
    if commit is None:
        return "not recorded"
    return f"{commit[:12]} with changes" if commit.endswith("+") else commit[:12]
