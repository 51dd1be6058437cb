"""What a run is made on: the packs of its sources, and the test episodes of every column of its table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fsbench.data.pack import Pack, differing_split
from fsbench.data.prepare import ensure_pack
from fsbench.episodes.content import content_digest
from fsbench.episodes.files import EpisodeFile, parts_tracks
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.errors import DataError, DataNotFoundError, EpisodeError, FsbenchError, SuiteError, UsageError, unknown
from fsbench.run.cells import EpisodeSet
from fsbench.run.options import Options, protocols_of
from fsbench.suite import Suite

__all__ = ["NO_FEATURES", "Material", "check_channels", "draw_columns", "no_features", "open_material"]

_LOG = logging.getLogger("fsbench")
NO_FEATURES: Final = "no features of it were given"  # why a source is left out


@dataclass(frozen=True)
class Material:
    """The material of a run.

    Attributes:
        packs: The pack of every source that is there.
        episode_sets: Test source and episodes of every column.
        left_out: The sources of the suite that are left out, each with the reason.
        sized: The packs of the test sources at the sizes that frozen backbones ask for, by source and size.
    """

    packs: Mapping[str, Pack]
    episode_sets: Sequence[tuple[str, EpisodeSet]]
    left_out: Mapping[str, str]
    sized: Mapping[tuple[str, int], Pack] = field(default_factory=dict)


def open_material(
    suite: Suite,
    options: Options,
    *,
    data_root: Path | None,
    episode_file: EpisodeFile | None,
    trains: bool = True,
    sizes: Collection[int] = (),
    given: Collection[str] | None = None,
    every_test: bool = True,
) -> Material:
    """Prepare the sources of a suite that are there, and draw the test episodes or take them from a file.

    Args:
        suite: What to measure.
        options: What to change of it.
        data_root: Where the sources' files lie, if a pack is not yet prepared.
        episode_file: Test on these episodes, and on no others.
        trains: Open the training sources too.
        sizes: Of images, pixels, at which frozen backbones want the test sources.
        given: The test sources that there are features of, where all rows are on files of features; else None.
        every_test: No: do without the test sources that are not there or cannot give the episodes, whatever the suite
            says; but never without one to train on.

    Raises:
        DataNotFoundError: A source is not there that the suite does not do without.
        DataError: The files of a source are damaged, or have other channels than the suite.
        EpisodeError: A source cannot give the episodes, and the suite does not do without it.
        UsageError: The episode file does not fit the suite or the options.
    """
    opener = _Opener(suite, options, data_root, given, every_test=every_test)
    packs = opener.packs(trains=trains)
    if episode_file is None:
        episode_sets = opener.drawn(packs)
    else:
        episode_sets = [(episode_file.source, opener.read(packs, episode_file))]
    return Material(packs, episode_sets, opener.left_out, opener.sized(packs, episode_sets, sizes))


def check_channels(source: str, pack: Pack, suite: Suite) -> None:
    """See that a suite can show the images of a pack.

    Raises:
        DataError: They have other channels than it asks for.
    """
    if pack.images.shape[1] not in (1, suite.images.channels):
        raise DataError(
            f"{source} has {pack.images.shape[1]} channels, but the suite {suite.name} asks for "
            f"{suite.images.channels}; change images.channels, mean and std in the suite."
        )


def draw_columns(
    suite: Suite,
    options: Options,
    packs: Mapping[str, Pack],
    draw: Callable[[Pack, AnyProtocol, Rules], EpisodeSet],
) -> tuple[list[tuple[str, EpisodeSet]], dict[str, EpisodeError]]:
    """Test source and episodes of every column of the sources that are there, and why some cannot give any."""
    columns: list[tuple[str, EpisodeSet]] = []
    refused: dict[str, EpisodeError] = {}
    for source in (source for source in suite.sources.test if source in packs):
        try:
            columns += [
                (source, draw(packs[source], protocol, suite.episodes.rules))
                for protocol in protocols_of(suite, options)
            ]
        except EpisodeError as error:
            refused[source] = error
    return columns, refused


class _Opener:
    """Opens one source after the other, and remembers which are left out."""

    def __init__(
        self,
        suite: Suite,
        options: Options,
        data_root: Path | None,
        given: Collection[str] | None,
        *,
        every_test: bool,
    ) -> None:
        self._suite, self._options, self._data_root, self._given = suite, options, data_root, given
        self._every_test = every_test
        self.left_out: dict[str, str] = {}

    def packs(self, *, trains: bool) -> dict[str, Pack]:
        """The packs of the sources that are there."""
        suite, sources = self._suite, self._suite.sources
        packs = {}
        for source in dict.fromkeys([*(sources.train if trains else ()), *sources.test]):
            if self._given is not None and source not in self._given:
                self._leave_out(source, NO_FEATURES, no_features(source, self._given))
                continue
            try:
                pack = ensure_pack(source, size=suite.images.size, data_root=self._data_root)
            except DataNotFoundError as error:
                self._leave_out(source, "its files are not there", error, trained_on=trains and source in sources.train)
                continue
            check_channels(source, pack, suite)
            packs[source] = pack
        for names in (sources.train, sources.test):
            _check_different({name: packs[name] for name in names if name in packs}, suite.name)
        if trains and (needed := sources.validation or sources.train[0]) not in packs:
            raise DataNotFoundError(
                f"the suite {suite.name} validates on {needed}, whose files are not there; run "
                f"`fsbench data prepare {needed}` to read what it needs."
            )
        return packs

    def sized(
        self, packs: Mapping[str, Pack], episode_sets: Sequence[tuple[str, EpisodeSet]], sizes: Collection[int]
    ) -> dict[tuple[str, int], Pack]:
        """The packs of the test sources at other sizes; the episodes must show the same images and splits there.

        Raises:
            DataError: A pack holds other images than that of the suite's size, or has other classes in a split.
        """
        found: dict[tuple[str, int], Pack] = {}
        for source, size in ((source, size) for source in dict(episode_sets) for size in sizes):
            of_suite = packs[source]
            if size == self._suite.images.size:
                found[source, size] = of_suite
                continue
            pack = found[source, size] = ensure_pack(source, size=size, data_root=self._data_root)
            for episode_set in (each for name, each in episode_sets if name == source):
                same = len(pack.labels) == len(of_suite.labels)
                if not same or content_digest(pack, episode_set.episodes) != episode_set.digest:
                    raise DataError(
                        f"the packs of {source} with {self._suite.images.size} and {size} pixels hold other images "
                        f"({of_suite.folder}, {pack.folder}); prepare both again from the same files."
                    )
            if (split := differing_split(pack, of_suite)) is not None:
                raise DataError(
                    f"the packs of {source} with {self._suite.images.size} and {size} pixels have other classes in "
                    f"{split} ({of_suite.folder}, {pack.folder}); prepare one of them again by --fresh, with the split "
                    "of the other."
                )
        return found

    def drawn(self, packs: Mapping[str, Pack]) -> list[tuple[str, EpisodeSet]]:
        """Test source and episodes of every column, as the suite says."""
        columns, refused = draw_columns(self._suite, self._options, packs, EpisodeSet.drawn)
        for source, error in refused.items():
            self._leave_out(source, str(error).rstrip(".")[:2000], error)  # as much as a record takes
        if not columns and refused:
            raise next(iter(refused.values()))
        if not columns:
            raise DataNotFoundError(f"no test source of the suite {self._suite.name} is there; add the files of one.")
        return columns

    def read(self, packs: Mapping[str, Pack], file: EpisodeFile) -> EpisodeSet:
        """The episodes of a file, or as many of the first ones as are asked for."""
        suite, options, protocol = self._suite, self._options, file.protocol
        if file.source not in suite.sources.test:
            raise unknown(f"test source of the suite {suite.name}", file.source, suite.sources.test)
        if file.source not in packs:
            raise DataNotFoundError(f"the episodes are of {file.source}, whose files are not there; add them.")
        kind = protocol.kind
        if options.protocol != kind:
            raise UsageError(f"the episode file holds episodes of the protocol {kind}; use --protocol {kind}.")
        if not options.variable and options.shots and protocol.shot not in options.shots:
            raise UsageError(f"the episode file holds {protocol.shot}-shot episodes; leave --shots out.")
        file.check(packs[file.source])
        number = options.episodes or len(file.episodes)
        if number > len(file.episodes):
            raise UsageError(f"--episodes is {number}, but the file holds {len(file.episodes)}; leave the option out.")
        sampler = Sampler(packs[file.source], protocol, suite.episodes.rules)
        episodes = file.episodes[:number]
        digest = content_digest(packs[file.source], episodes)
        asked = replace(protocol, episodes=number)
        tracks = sampler.tracks
        if tracks == "apart" and not parts_tracks(packs[file.source], episodes):  # whoever drew them has not
            tracks = "shared"
        return EpisodeSet(asked, episodes, digest, file.sampler, tracks, sampler.pool.left_out)

    def _leave_out(self, source: str, reason: str, error: FsbenchError, *, trained_on: bool = False) -> None:
        if self._suite.sources.absent == "error" and (self._every_test or trained_on):
            raise error
        self.left_out[source] = reason
        _LOG.warning("%s is left out: %s", source, error)


def no_features(source: str, given: Collection[str]) -> DataNotFoundError:
    """Why a source cannot be tested by files of features, of which there are those that are given."""
    return DataNotFoundError(
        f"there are no features of {source}, only of {', '.join(given)}; add a file, or take the source out of the "
        "suite."
    )


def _check_different(packs: Mapping[str, Pack], suite: str) -> None:
    """Refuse two names of one source in a list: a variant that is the one of the bare name, say."""
    names: dict[Path, str] = {}
    for name, pack in packs.items():
        if (first := names.setdefault(pack.folder, name)) != name:
            raise SuiteError(f"the suite {suite} names one source twice, as {first} and as {name}; leave one out.")
