"""The page: everything about one or more tables in one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isinf
from typing import Any, TypeAlias

from fsbench.published.citations import cited
from fsbench.report import svg
from fsbench.report.differences import differences
from fsbench.report.episodes import Sheet
from fsbench.report.figures import accuracy_panels, critical_differences, distribution_panels, padded, training_panels
from fsbench.report.findings import findings
from fsbench.report.footnote import footnote
from fsbench.report.grids import Classes, Grid, Grids, matrix
from fsbench.report.marks import PARTIAL_MARK, REDUCED_MARK, partial, reduced
from fsbench.report.pages import render
from fsbench.report.table import Column, Table
from fsbench.report.wording import listed, span
from fsbench.stats.friedman import Friedman

__all__ = ["Sheets", "to_html"]

Sheets: TypeAlias = Mapping[Column, tuple[Sheet, ...] | str]


def to_html(
    tables: Mapping[str, Table],
    *,
    sheets: Sheets | None = None,
    classes: Classes | None = None,
    files: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Write tables as one page.

    Its text depends on the arguments alone. It loads nothing, also works without its script, and escapes every name.

    Args:
        tables: What every table is called, and the table, in the order of the page.
        sheets: The pictures of a column's episodes, or why there are none.
        classes: Of every column the classes of its episodes, or why they are not known; None: not asked for.
        files: What lies beside the page with the same contents, of every table.
    """
    parts = [
        _part(f"table-{n}", title, tables[title], sheets or {}, classes or {}) | {"files": (files or {}).get(title, ())}
        for n, title in enumerate(tables, 1)
    ]
    return render("page.html.j2", parts=parts, reduced_mark=REDUCED_MARK, partial_mark=PARTIAL_MARK)


def _part(ident: str, title: str, table: Table, sheets: Sheets, classes: Classes) -> dict[str, Any]:
    """What the template says of one table, whose best rows come first."""
    table = table.by_rank()
    known = {column: classes[column] for column in table.columns if column in classes}
    grids, trainings, tests = Grids(table, ident, known), training_panels(table), critical_differences(table)
    kinds = sorted({curve.kind for panel in trainings for curve in panel.marks})
    looks = [look[1] for panel in trainings for curve in panel.marks for look in (*curve.looks, curve.kept)]
    found = {column: sheets[column] for column in table.columns if column in sheets}
    return {
        "ident": ident,
        "title": title,
        "facts": _facts(table),
        "findings": findings(table),
        "citation": _citation(table),
        "reduced": reduced(table),
        "partial": partial(table),
        "transductive": any(line.transductive for line in table.lines),
        "several_seeds": table.several_seeds,
        "accuracies": list(grids.accuracies()),
        "dots": [(panel.title, svg.accuracy_svg(panel)) for panel in accuracy_panels(table)],
        "published": grids.published(),
        "differences": list(_differences(table)),
        "ranks": [(setting, svg.critical_svg(test, setting), _words(test)) for setting, test in tests.items()],
        "kinds": kinds,
        "trainings": [(panel.title, svg.training_svg(panel, kinds, padded(looks))) for panel in trainings],
        "spreads": [(panel.title, svg.distribution_svg(panel)) for panel in distribution_panels(table)],
        "sheets": [(column, shown) for column, shown in found.items() if not isinstance(shown, str)],
        "no_sheets": [reason for reason in found.values() if isinstance(reason, str)],
        "notes": footnote(table),
        "records": grids.records(),
        "over_classes": grids.classes_known,
        "no_classes": list(dict.fromkeys(reason for reason in known.values() if isinstance(reason, str))),
    }


def _differences(table: Table) -> Iterator[tuple[str, Grid | None, list[str], list[str], list[Grid]]]:
    """Of every way and shot: its first matrix, what this leaves out for a gap or for its tracks, the other matrices."""
    families = differences(table)
    for setting in table.settings:
        number = sum(column.setting == setting for column in table.columns)
        found = [family for family in families if family.setting == setting]
        first = next((family for family in found if len(family.columns) == number), None)
        compared = {name for family in found for name in family.methods}
        whole = {name for family in found if len(family.columns) == number for name in family.methods}
        complete = table.complete(setting)
        out = [line.name for line in table.lines if first and line.name in compared - whole]
        gaps, apart = ([name for name in out if (name in complete) == kept] for kept in (False, True))
        by_width = sorted(found, key=lambda family: -len(family.columns))  # those over all sources first
        others = [matrix(family) for family in by_width if family is not first]
        yield setting, None if first is None else matrix(first), gaps, apart, others


def _citation(table: Table) -> str:
    """BibTeX of what the table holds; what no paper is known of is left out."""
    cells = [record.identity for record in table.records]
    sources = (source for cell in cells for source in (cell.source, *cell.train_sources))
    return cited((cell.method for cell in cells), sources, table.records[-1].environment.fsbench)[0]


def _facts(table: Table) -> list[str]:
    methods, sources = len(table.lines), len({column.source for column in table.columns})
    return [
        f"{methods} method{'s' * (methods > 1)} on {sources} test source{'s' * (sources > 1)}",
        listed(table.settings),
        f"{span(column.episodes for column in table.columns)} episodes a figure",
        listed(line.backbone for line in table.lines),
    ]


def _words(test: Friedman) -> str:
    methods, f = len(test.average_ranks), "∞" if isinf(test.f) else f"{test.f:.2f}"
    return (
        f"Friedman's test over {test.sources} test sources: χ²({methods - 1}) = {test.chi_square:.2f}, "
        f"p {_p(test.chi_square_p)}; Iman and Davenport's F({methods - 1}, {(methods - 1) * (test.sources - 1)}) = "
        f"{f}, p {_p(test.f_p)}. Nemenyi's critical difference at 5 %: {test.critical_difference:.2f}."
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
