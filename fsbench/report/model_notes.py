"""How the models of a table came about, in words for its footnote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fsbench.backbones.specification import FEATURES
from fsbench.records import Cuda, Record
from fsbench.report.marks import DEVIATES_MARK
from fsbench.report.starts import initialisations
from fsbench.report.table import Line, Table
from fsbench.report.wording import Note, listed, span

__all__ = ["machine_notes", "model_notes"]

_DECLARED = {
    "names_matter": "the numbers by which the classes of an episode are called",
    "order_matters": "the order of the support images",
}


def model_notes(table: Table) -> Iterator[Note]:
    """What the models depend on and have seen, of what size they are, and how they were trained."""
    yield from _declared(table)
    yield from _tracks(table)
    yield _backbones(table)
    yield from _train_sources(table)
    yield from _incomplete(table)
    yield from _other_shots(table)
    yield from (Note("Initialisation", text) for text in initialisations(table))
    yield from _deviations(table)


def machine_notes(table: Table) -> Iterator[Note]:
    """With what precision, code and machine the figures were made."""
    yield from _precision(table)
    yield _made_with(table)


def _declared(table: Table) -> Iterator[Note]:
    for name, what in _DECLARED.items():
        lines = [line.name for line in table.lines if any(name in record.declared for record in line.records)]
        if lines:
            yield Note("Arbitrary", f"the answers of {listed(lines)} depend on {what}, which tells nothing of them.")


def _tracks(table: Table) -> Iterator[Note]:
    """What weights from elsewhere have seen, where there are any."""
    if not table.external:
        return
    one, place = table.line_noun, table.column_noun
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


def _precision(table: Table) -> Iterator[Note]:
    """The rows with backbones that computed in bf16: while they were trained, or those of elsewhere in the test."""
    trained: dict[str, None] = {}
    tested: dict[str, None] = {}
    for line in table.lines:
        for record in line.records:
            if record.training.precision == "bf16":
                (trained if record.pretraining is None else tested)[line.name] = None
    one = table.line_noun
    if trained:
        others = [line.name for line in table.lines if line.name not in trained]
        but = f" but {listed(others)}" if others else ""
        who = f"all {one}s{but}" if len(others) < len(trained) else listed(trained)
        mixed = [line.name for line in table.lines if line.name in trained and not _all_in_bf16(line)]
        some = f", those of {listed(mixed)} in some trainings only" if mixed else ""
        text = (
            f"in their own training the backbones of {who} computed in bf16{some}; in the tests they compute in fp32."
        )
        yield Note("Precision", text)
    if tested:
        yield Note("Precision", f"the pretrained backbones of {listed(tested)} compute in bf16.")


def _all_in_bf16(line: Line) -> bool:
    return all(record.training.precision == "bf16" for record in line.records)


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


def _with_cuda(cuda: Cuda | None) -> str:
    return "" if cuda is None else f" with CUDA {cuda.runtime} and cuDNN {cuda.cudnn}{', TF32' if cuda.tf32 else ''}"


def _commit(commit: str | None) -> str:
    if commit is None:
        return "not recorded"
    return f"{commit[:12]} with changes" if commit.endswith("+") else commit[:12]
