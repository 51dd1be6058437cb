"""Published results as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fsbench.errors import UsageError, unknown

if TYPE_CHECKING:
    from fsbench.published.results import Reported

__all__ = ["published_ranks", "reported_page", "select_results"]

_NOTHING = "–"


_NOTES = {
    "metadataset": (
        "Both halves of Table 1 of Meta-Dataset (Triantafillou et al., 2020). The ranks are computed here from the "
        "figures by the paper's rule, among all methods of the half. An older printing has other figures for fo-MAML "
        "and fo-Proto-MAML, and averages of ranks without ties."
    ),
    "cub": (
        "The authors' sheets disagree on ResNet-18, 5-way 5-shot: in one of them the figures of MatchingNet and "
        "RelationNet have changed places."
    ),
    "tieredimagenet": (
        "The first five methods are the tieredImageNet columns of the results table of the MetaOptNet paper (Lee et "
        "al., 2019). A well-known lecture shows these figures under the title MiniImageNet; those of miniImageNet are "
        "others (fsbench reported five-way)."
    ),
}


def published_ranks(results: Iterable[Reported]) -> dict[str, dict[str, float]]:
    """Meta-Dataset's ranks of published results: test source to method to rank.

    Args:
        results: With intervals, of one training, every method at most once on a test source.
    """
    from fsbench.stats.ranks import metadataset_ranks

    sources: dict[str, list[Reported]] = {}
    for result in results:
        sources.setdefault(result.test_source, []).append(result)
    return {
        source: metadataset_ranks(
            {result.method: float(result.mean) for result in found},
            {result.method: float(result.ci95) for result in found if result.ci95 is not None},
        )
        for source, found in sources.items()
    }


def select_results(suite: str, results: Sequence[Reported], method: str | None, shot: int | None) -> list[Reported]:
    """The results of a method, as published or as fsbench calls it, at a shot.

    Raises:
        UsageError: There are none.
    """
    from fsbench.report.published import PUBLISHED_AS

    wanted = list(results)
    if method is not None:
        names = {name.casefold() for name in (method, *PUBLISHED_AS.get(method, ()))}
        wanted = [result for result in results if {result.method.casefold(), result.family.casefold()} & names]
        if not wanted:
            raise unknown(f"published method of {suite}", method, {result.family for result in results})
    if shot is not None:
        shots = sorted({result.shot for result in wanted if result.shot is not None})
        wanted = [result for result in wanted if result.shot == shot]
        if not wanted:
            known = f"known: {', '.join(map(str, shots))}" if shots else "its shots vary, so leave --shot out"
            raise UsageError(f"{suite} has no published results at {shot}-shot; {known}.")
    return wanted


def reported_page(suite: str, results: Sequence[Reported], wanted: Sequence[Reported]) -> Iterator[str]:
    """The paragraphs of a page: the wanted ones of a suite's results, ranked among all, and their sources."""
    from fsbench.published.results import MARKS

    yield f"{suite}: published accuracies, percent ± 95 % confidence interval where one was printed"
    if suite in _NOTES:
        yield _NOTES[suite]
    references = list(dict.fromkeys(result.reference for result in wanted))
    if any(result.way is None for result in wanted):
        for sources in dict.fromkeys(result.train_sources for result in wanted):
            half = [result for result in results if result.train_sources == sources]
            yield f"trained on {', '.join(sources)}"
            yield _half(half, [result for result in wanted if result.train_sources == sources])
    else:
        yield _by_setting(wanted, references)
    used = "".join(result.marks for result in wanted)
    if used:
        yield "\n".join(f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in used)
    yield "\n".join(["sources", *(f"{number:>3}  {text}" for number, text in enumerate(references, 1))])


def _by_setting(results: Iterable[Reported], references: Sequence[str]) -> str:
    """A line for every method, backbone and source, a column for every way and shot."""
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    settings = dict.fromkeys(result.setting for result in results)
    for result in results:
        name = f"{result.method} {result.marks}".rstrip()
        lines.setdefault((name, result.backbone, result.reference), {})[result.setting] = result.figure
    rows = [
        [name, backbone, *(figures.get(setting, _NOTHING) for setting in settings), references.index(reference) + 1]
        for (name, backbone, reference), figures in lines.items()
    ]
    return _table(["method", "backbone", *settings, "source"], rows)


def _half(results: Sequence[Reported], wanted: Iterable[Reported]) -> str:
    """A line for every test source and one of average ranks, a column for every method."""
    from fsbench.stats.ranks import average_ranks

    columns: dict[str, dict[str, str]] = {}
    heads: dict[str, str] = {}
    for result in wanted:
        heads[result.method] = f"{result.method} {result.marks}\n{result.backbone}"
        columns.setdefault(result.method, {})[result.test_source] = result.figure
    ranks = published_ranks(results)
    rows = [[source, *(figures.get(source, _NOTHING) for figures in columns.values())] for source in ranks]
    average: Mapping[str, float] = average_ranks(ranks)
    rows.append(["average rank", *(f"{average[method]:.2f}" for method in columns)])
    return _table(["test source", *heads.values()], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers=heads, tablefmt="simple", disable_numparse=True)
