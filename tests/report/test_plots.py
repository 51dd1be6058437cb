"""The plots of a paper: which there are, that they are what their names say, and that nothing but the table enters."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from fsbench.report import plots as plots_module
from fsbench.report.arrange import build_table
from fsbench.report.plots import plots
from helpers.factories import make_record


@pytest.fixture(autouse=True, scope="module")
def coarse() -> Iterator[None]:
    """PNG files of few pixels, which are drawn faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots_module, "_DPI", 30)
        yield


def test_every_figure_is_a_pdf_and_a_png_whatever_the_names() -> None:
    rows = ((r"$\frac{1$ & <b>_%#", 20, False), ("ProtoNet", 40, False), ("LEO", 50, False), ("fo-MAML", 44, True))
    records = [
        make_record(name, [low + place, low + 9], source=f"s{place}$", transductive=how)
        for name, low, how in rows
        for place in range(5)
    ]
    files = plots(build_table(records))
    names = ("accuracy", "episodes", "training", "critical-difference-5-way-1-shot")
    assert sorted(files) == sorted(f"{name}.{kind}" for name in names for kind in ("pdf", "png"))
    for name, content in files.items():
        if name.endswith(".pdf"):
            assert content.startswith(b"%PDF-")
            assert b"/Type3" not in content  # many venues refuse such fonts
        else:
            image = Image.open(io.BytesIO(content)).convert("RGB")
            assert len(image.getcolors(maxcolors=2**16) or ()) > 10


def test_the_same_records_give_the_same_bytes_without_dates_and_without_histories_no_trainings() -> None:
    record = make_record()
    table = build_table([record.model_copy(update={"training": record.training.model_copy(update={"history": []})})])
    files = plots(table)
    assert sorted(files) == ["accuracy.pdf", "accuracy.png", "episodes.pdf", "episodes.png"]
    assert files == plots(table)
    for content in files.values():
        assert b"CreationDate" not in content
        assert b"Software" not in content
