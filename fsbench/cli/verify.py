"""`fsbench verify`: whether records that somebody hands over are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fsbench.cli.options import FOLDERS

__all__ = ["verify"]


@click.command()
@FOLDERS
@click.option("--json", "as_json", is_flag=True, help="Print JSON: of every file whether it verifies, and why not.")
@click.pass_context
def verify(ctx: click.Context, folders: tuple[Path, ...], as_json: bool) -> None:
    """Check that records are what they say.

    Every FOLDER is the out folder of a run. Of each record: it can be read, its fields are in their bounds, mean and
    interval follow from the counts of its episodes, and where the images are prepared on this machine, its episodes
    are those that this version of fsbench draws. Whether a model gave these answers, only another run can tell.

    The exit code is 2 if a record fails or a folder has none, with a sentence for each.
    """
    from fsbench.report.verification import verification_to_json, verify_folder

    found = {folder: verify_folder(folder) for folder in folders}
    checked = [file for several in found.values() for file in several]
    if as_json:
        click.echo(json.dumps(verification_to_json(checked), indent=1, ensure_ascii=False))
    else:
        for folder, several in found.items():
            records = [file for file in several if file.path.parent != folder]
            good = [file for file in records if file.problem is None]
            drawn = sum(file.unchecked is None for file in good)
            click.echo(
                f"{folder}: {len(good)} of {len(records)} records verify, {drawn} with their episodes drawn again"
            )
        for reason in dict.fromkeys(file.unchecked for file in checked if file.unchecked):
            click.echo(reason)
    problems = [file.problem for file in checked if file.problem]
    for problem in problems:
        click.echo(problem, err=True)
    ctx.exit(2 if problems else 0)
