"""The options that say which part of a suite is meant, the same for every command that has them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any, Literal

import click

from fsbench.setting import PROTOCOLS, ProtocolName
from fsbench.text import printable

__all__ = ["FOLDERS", "PROTOCOL", "selects_cells"]


class _Names(click.ParamType[list[Any]]):
    """Comma-separated names; the option may also be repeated."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if not names:
            self.fail(f"{value!r} names nothing; leave the option out for all.", param, ctx)
        return names


class _Fraction(click.FloatRange):
    """A number of a range, which NaN is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        return self.fail(f"{value} is no number.", param, ctx) if isnan(found) else found


class _Shots(_Names):
    """Comma-separated positive integers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        names = super().convert(value, param, ctx)
        if bad := [name for name in names if not re.fullmatch(r"0*[1-9][0-9]{0,5}", name)]:
            self.fail(f"{bad[0]!r} is not a positive number of shots.", param, ctx)
        return [int(name) for name in names]


def _folders(ctx: click.Context, param: click.Parameter, given: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders among some paths: a shell's `results/*/*` gives files too."""
    files = [str(path) for path in given if not path.is_dir()]
    if len(files) == len(given):
        raise click.BadParameter(f"{printable(', '.join(files))} is no folder; name the out folder of a run.")
    if files:
        click.echo(printable(f"Skipped, because they are not folders: {', '.join(files)}"), err=True)
    return tuple(path for path in given if path.is_dir())


FOLDERS = click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    callback=_folders,
)
PROTOCOL = click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default="fixed",
    show_default=True,
    help="Fixed ways and shots as the suite says, Meta-Dataset's variable ones, or k-shot: all test classes at once.",
)
_OPTIONS = (
    click.option(
        "--suite",
        "suite_name",
        default="glyphs",
        show_default=True,
        help="Name of a suite, or path of a TOML file.",
    ),
    click.option(
        "--methods",
        type=_Names(),
        multiple=True,
        help="Rows to run, by their names or labels in tables, comma-separated; default all.",
    ),
    click.option("--shots", type=_Shots(), multiple=True, help="Shots to run, comma-separated; default all."),
    PROTOCOL,
    click.option(
        "--backbone", help="Instead of the suite's: conv4, resnet18, timm:NAME, one of a package, or file.py:Class."
    ),
    click.option(
        "--features", multiple=True, help="Files of `fsbench embed`, instead of the backbone of rows without training."
    ),
    click.option(
        "--weights", help="File of weights of --backbone (safetensors, torch.save), for rows without training."
    ),
    click.option(
        "--download", is_flag=True, help="Have timm, torchvision or open_clip get the weights of that backbone."
    ),
    click.option("--image-size", type=click.IntRange(8, 1024), help="Height and width instead of the suite's, pixels."),
    click.option("--episodes", type=click.IntRange(min=2), help="Test episodes: the first N of the suite's."),
    click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="Training seeds, from 0."),
    click.option(
        "--training-fraction",
        type=_Fraction(min=0, max=1, min_open=True),
        default=1.0,
        show_default=True,
        help="Shorten every training to this fraction; the table is stamped so.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default="auto",
        show_default=True,
        help="Of backbones in training; auto is bf16 where the processor has it. Tests are in fp32; only those of a "
        "frozen backbone in bf16, where that is asked for.",
    ),
    click.option("--deterministic", is_flag=True, help="Use only operations that are reproducible bit by bit."),
)


def selects_cells(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it takes the `suite` and the `options` that they make as its first two arguments.

    A name or value that does not fit is an `FsbenchError` of the command.
    """

    @functools.wraps(command)
    def selecting(
        *,
        suite_name: str,
        methods: tuple[list[str], ...],
        shots: tuple[list[int], ...],
        protocol: ProtocolName,
        backbone: str | None,
        features: tuple[str, ...],
        weights: str | None,
        download: bool,
        image_size: int | None,
        episodes: int | None,
        seeds: int,
        training_fraction: float,
        precision: Literal["auto", "fp32", "bf16"],
        deterministic: bool,
        **others: Any,
    ) -> None:
        from fsbench.backbones.specification import given_backbone
        from fsbench.run.options import Options, selected_rows
        from fsbench.suite import check_number
        from fsbench.suite_files import load_suite

        check_number(episodes)
        given = given_backbone(backbone, weights, features, download=download)
        trained = backbone if given is None else None
        suite = load_suite(suite_name).changed(backbone=trained, image_size=image_size, given=given)
        options = Options(
            rows=tuple(name for names in methods for name in names),
            protocol=protocol,
            shots=tuple(dict.fromkeys(shot for some in shots for shot in some)),
            episodes=episodes,
            seeds=seeds,
            fraction=training_fraction,
            deterministic=deterministic,
            precision=precision,
        )
        selected_rows(suite, options)  # a name that no row has fails now, before the command does anything
        command(suite, options, **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), selecting)
