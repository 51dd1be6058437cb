"""The regression check: the records of a new run beside those that are trusted, cell by cell.

A cell is a row of a suite on one source, way and shot, with all its training seeds. What stands on both sides is
compared only like for like: the same split, episodes, pack, length of training and leakage track, and both inductive
or both transductive. What the differences then mean is the rule of `fsbench.verdict`.

A cell with one training seed is compared over episodes; the interval then does not cover the noise of another training.
With several seeds it is compared over the differences between the means of equal seeds, so the interval does cover it;
the noise is learnt from all cells that are compared so (`fsbench.stats.seeds`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from fsbench.errors import NewerRecordError, RecordError, UsageError
from fsbench.identity import CellIdentity
from fsbench.record_files import read_record, reading_many, record_files
from fsbench.records import Record
from fsbench.stats.paired import Difference, paired_difference
from fsbench.stats.seeds import SeedMeans, seed_differences
from fsbench.verdict import EXIT_CODES, Comparison, Finding, Place, verdicts

__all__ = ["compare"]

_LIKE_FOR_LIKE = ("split", "queries", "episodes", "episode_set", "pack", "transductive", "training_fraction")


@dataclass
class _Side:
    """What a folder holds."""

    cells: dict[Place, list[Record]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)  # of files that cannot be compared
    absent: dict[tuple[str, str], str] = field(default_factory=dict)  # suite and source, and why it was left out


def compare(base: Path, new: Path, *, margin: float = 0.5, strict: bool = False) -> Comparison:
    """Compare two folders of records.

    Args:
        base: What is trusted: a folder with `records/`, or of records.
        new: What is to be judged, likewise.
        margin: How much a cell may lose, percentage points.
        strict: Inconclusive cells fail.

    Raises:
        UsageError: The margin is not between 0 and 100.
    """
    if not 0 <= margin <= 100:
        raise UsageError(f"a margin lies between 0 and 100 percentage points, and {margin:g} does not.")
    with reading_many():
        trusted, judged = _read(base, "BASE"), _read(new, "NEW")
    found: dict[Place, Finding] = {}
    seeds: dict[Place, SeedMeans] = {}
    for place, records in trusted.cells.items():
        found[place], means = _measure(place, records, judged)
        if means:
            seeds[place] = means
    changed = {
        place: finding.difference
        for place, finding in found.items()
        if finding.difference and finding.verdict != "identical"
    }
    for place, (verdict, difference) in verdicts(changed | seed_differences(seeds), margin).items():
        found[place] = replace(found[place], verdict=verdict, difference=difference)
    added = [
        Finding(str(place), "added", "BASE has no record of it.", place)
        for place in judged.cells
        if place not in trusted.cells
    ]
    findings = [*trusted.findings, *judged.findings, *found.values(), *added]
    return Comparison(tuple(sorted(findings, key=_seriousness)), margin, strict)


def _seriousness(finding: Finding) -> int:
    return list(EXIT_CODES).index(finding.verdict)


def _read(folder: Path, name: str) -> _Side:
    """The records of a folder by place; a file that is not one is a finding, and so is a folder without any."""
    side = _Side()
    paths = record_files(folder)
    if not paths:
        side.findings.append(Finding(str(folder), "missing", f"{name} holds no records."))
    for path in paths:
        try:
            record = read_record(path)
        except NewerRecordError as error:
            side.findings.append(Finding(str(path), "not comparable", str(error)))
        except RecordError as error:
            side.findings.append(Finding(str(path), "damaged", str(error)))
        else:
            identity = record.identity
            place = Place(identity.suite, identity.row, identity.source, identity.way, identity.shot)
            side.cells.setdefault(place, []).append(record)
            side.absent.update({(identity.suite, source): why for source, why in record.absent.items()})
    for records in side.cells.values():
        records.sort(key=_seed)
    return side


def _seed(record: Record) -> int:
    return record.identity.train_seed


def _measure(place: Place, base: Sequence[Record], judged: _Side) -> tuple[Finding, SeedMeans | None]:
    """Compare a cell of BASE with that of NEW, without a verdict.

    The difference is still missing where there are means of seeds, which are tested all together.
    """
    seeds = [_seed(record) for record in base]
    every = judged.cells.get(place, [])
    new = [record for record in every if _seed(record) in seeds]
    left_out = judged.absent.get((place.suite, place.source))
    if not every and left_out:
        return Finding(str(place), "data missing", f"NEW left {place.source} out: {left_out}", place), None
    if gone := sorted(set(seeds) - set(map(_seed, new))):
        which = f" with training seed {', '.join(map(str, gone))}" if every else ""
        return Finding(str(place), "missing", f"NEW has no record of it{which}.", place), None
    if reason := _twice("BASE", base) or _twice("NEW", new) or _unlike(base, new):
        return Finding(str(place), "not comparable", reason, place), None
    same = all((a.correct, a.total) == (b.correct, b.total) for a, b in zip(base, new, strict=True))
    several = len(seeds) > 1
    finding = Finding(
        subject=str(place),
        verdict="identical" if same else "pass",
        reason=_changed(base, new),
        place=place,
        base=fmean(record.mean for record in base),
        new=fmean(record.mean for record in new),
        difference=Difference(0.0, 0.0, 1.0) if same else None if several else paired_difference(new, base),
        over=f"{len(seeds)} training seeds" if several else f"{len(base[0].correct)} episodes",
        records=(tuple(record.cell for record in base), tuple(record.cell for record in new)),
    )
    return finding, _seed_means(base, new) if several and not same else None


def _seed_means(base: Sequence[Record], new: Sequence[Record]) -> SeedMeans:
    return SeedMeans([record.mean for record in base], [record.mean for record in new], 100 / sum(base[0].total))


def _twice(name: str, records: Sequence[Record]) -> str:
    """What to say where a training seed has several records; nothing where none has."""
    seed, times = Counter(map(_seed, records)).most_common(1)[0]
    return f"{name} has {times} records with training seed {seed}; keep one of them." if times > 1 else ""


def _unlike(base: Sequence[Record], new: Sequence[Record]) -> str:
    """What must be equal and is not; nothing if all is."""
    for name in (*_LIKE_FOR_LIKE, "track"):
        values = [
            [record.track if name == "track" else getattr(record.identity, name) for record in side]
            for side in (base, new)
        ]
        if len({*values[0], *values[1]}) > 1:
            sides = [dict.fromkeys(str(value)[:12] for value in side) for side in values]
            return f"{name} differs: {', '.join(sides[0])} in BASE, {', '.join(sides[1])} in NEW."
    return ""


def _changed(base: Sequence[Record], new: Sequence[Record]) -> str:
    """What else of the identity is not the same."""
    pairs = [(a.identity, b.identity) for a, b in zip(base, new, strict=True)]
    names = [name for name in CellIdentity.model_fields if any(getattr(a, name) != getattr(b, name) for a, b in pairs)]
    return f"other {', '.join(names)}" if names else ""
