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
    verdicts = [verdict for several in found.values() for verdict in several]
    if as_json:
        click.echo(json.dumps(verification_to_json(verdicts), indent=1, ensure_ascii=False))
    else:
        for folder, several in found.items():
            records = [verdict for verdict in several if verdict.path.parent != folder]
            good = [verdict for verdict in records if verdict.problem is None]
            drawn = sum(verdict.unchecked is None for verdict in good)
            click.echo(
                f"{folder}: {len(good)} of {len(records)} records verify, {drawn} with their episodes drawn again"
            )
        for reason in dict.fromkeys(verdict.unchecked for verdict in verdicts if verdict.unchecked):
            click.echo(reason)
    problems = [verdict.problem for verdict in verdicts if verdict.problem]
    for problem in problems:
        click.echo(problem, err=True)
    ctx.exit(2 if problems else 0)
