"""`fsbench episodes`: episodes as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsbench.cli.options import PROTOCOL

if TYPE_CHECKING:
    pass

__all__ = ["episodes", "export"]


@click.group()
def episodes() -> None:
    """Episodes as files."""


@episodes.command()
@click.argument("suite_name", metavar="SUITE")
@click.option("--source", help="Test source; default the suite's first.")
@PROTOCOL
@click.option("--way", type=click.IntRange(min=2), default=5, show_default=True, help="Classes per episode.")
@click.option("--shot", type=click.IntRange(min=1), default=1, show_default=True, help="Support images per class.")
@click.option("--episodes", "number", type=click.IntRange(min=2), help="How many; default as the suite says.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.npz or FILE.json.")
def export(
    suite_name: str,
    source: str | None,
    protocol: str,
    way: int,
    shot: int,
    number: int | None,
    data_root: Path | None,
    out: Path,
) -> None:
    """Write a suite's test episodes as indices and image names, for any other codebase to run."""
    from fsbench.data.prepare import ensure_pack
    from fsbench.episodes.content import content_digest
    from fsbench.episodes.files import EpisodeFile, write_episodes
    from fsbench.episodes.kshot import SUPPORT_SETS
    from fsbench.episodes.sampler import Sampler, protocol_of
    from fsbench.errors import unknown
    from fsbench.suite import check_number, load_suite

    check_number(number)
    suite = load_suite(suite_name)
    chosen = source or suite.sources.test[0]
    if chosen not in suite.sources.test:
        raise unknown(f"test source of the suite {suite.name}", chosen, suite.sources.test)
    wanted = suite.episodes
    count = number or (SUPPORT_SETS if protocol == "k-shot" else wanted.number)
    ways = way if protocol == "fixed" else None
    shots = None if protocol == "variable" else shot
    drawn_as = protocol_of("test", ways, shots, wanted.queries, episodes=count, seed=wanted.seed)
    pack = ensure_pack(chosen, size=suite.images.size, data_root=data_root)
    drawn = Sampler(pack, drawn_as, wanted.rules).draw()
    write_episodes(out, EpisodeFile(chosen, pack.digest, drawn_as, drawn_as.sampler, drawn), pack)
    click.echo(f"{len(drawn)} episodes of {chosen}, {drawn_as}, hash {content_digest(pack, drawn)[:12]}, in {out}")
