"""`fsbench episodes`: episodes as files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from fsbench.cli.options import PROTOCOL
from fsbench.setting import ProtocolName

__all__ = ["episodes", "export"]


@click.group()
def episodes() -> None:
    """Episodes as files."""


@episodes.command()
@click.argument("suite_name", metavar="SUITE")
@click.option("--source", help="Test source; default the suite's first.")
@PROTOCOL
@click.option("--way", type=click.IntRange(min=2), help="Classes per episode; default as the suite says.")
@click.option("--shot", type=click.IntRange(min=1), help="Support images per class; default the suite's first.")
@click.option("--episodes", "number", type=click.IntRange(min=2), help="How many; default as the suite says.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.npz or FILE.json.")
def export(
    suite_name: str,
    source: str | None,
    protocol: ProtocolName,
    way: int | None,
    shot: int | None,
    number: int | None,
    data_root: Path | None,
    out: Path,
) -> None:
    """Write a suite's test episodes as indices and image names, for any other codebase to run."""
    from fsbench.data.prepare import ensure_pack
    from fsbench.episodes.content import content_digest
    from fsbench.episodes.files import EpisodeFile, write_episodes
    from fsbench.episodes.sampler import Sampler
    from fsbench.errors import UsageError, unknown
    from fsbench.run.options import Options, protocols_of
    from fsbench.suite import check_number
    from fsbench.suite_files import load_suite

    check_number(number)
    suite = load_suite(suite_name)
    chosen = source or suite.sources.test[0]
    if chosen not in suite.sources.test:
        raise unknown(f"test source of the suite {suite.name}", chosen, suite.sources.test)
    if way is not None and protocol != "fixed":
        raise UsageError(f"--way is {way}, but episodes of the protocol {protocol} have no fixed way; leave it out.")
    options = Options(protocol=protocol, shots=() if shot is None else (shot,), episodes=number)
    drawn_as = protocols_of(suite, options)[0]
    if way is not None:
        drawn_as = dataclasses.replace(drawn_as, way=way)
    pack = ensure_pack(chosen, size=suite.images.size, data_root=data_root)
    drawn = Sampler(pack, drawn_as, suite.episodes.rules).draw()
    write_episodes(out, EpisodeFile(chosen, pack.digest, drawn_as, drawn_as.sampler, drawn), pack)
    click.echo(f"{len(drawn)} episodes of {chosen}, {drawn_as}, hash {content_digest(pack, drawn)[:12]}, in {out}")
