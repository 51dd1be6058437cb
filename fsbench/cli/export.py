"""`fsbench export`: results in the formats of open collections."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

__all__ = ["export"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["every-eval-ever", "model-index"]),
    required=True,
    help="JSON of Every Eval Ever, or model cards of the Hugging Face Hub with a model-index.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where to write.")
@click.option("--by", help="Who measured it, for Every Eval Ever; default as contribution.toml says.")
def export(folder: Path, kind: Literal["every-eval-ever", "model-index"], out: Path, by: str | None) -> None:
    """Write the records in FOLDER for open collections.

    One file per row. Every figure keeps what makes it comparable: way, shot, the hash of
    the episodes, the interval, the training seed, the track, whether it is transductive, and all in which it deviates.

    A model card replaces one with fewer figures of the same records, and no other file.
    """
    from time import time

    from fsbench.errors import UsageError
    from fsbench.files.atomic import write_atomic
    from fsbench.report.contribution import read_contribution
    from fsbench.report.every_eval_ever import to_every_eval_ever
    from fsbench.report.model_index import replaces, to_model_cards
    from fsbench.report.reading import records_of

    records = records_of(folder)
    if kind == "model-index":
        files = to_model_cards(records)
        for name, card in files.items():
            path = out / name
            if (before := _read(path)) is not None and not replaces(card, before):
                raise UsageError(
                    f"{path} is no earlier card of these records; name another folder with --out, or move it away."
                )
    else:
        contribution = read_contribution(folder)
        who = (by or "").strip() or (contribution and contribution.by)
        if not who:
            raise UsageError(f"{folder} does not say who measured this; use --by NAME.")
        files = to_every_eval_ever(records, by=who, time=int(time()))
    for name, text in files.items():
        write_atomic(out / name, text)
    click.echo(f"{len(files)} files below {out}", err=True)


def _read(path: Path) -> str | None:
    """The text that lies at a path, if anything does."""
    from fsbench.files.reading import read_text

    try:
        return read_text(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        return ""
