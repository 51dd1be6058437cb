"""What a run would do, known without any images: its trainings and cells, and the sizes of its sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fsbench.data.card import load_card
from fsbench.data.pack import SPLITS, Pack
from fsbench.data.pack_files import load_pack
from fsbench.data.prepare import pack_folder
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.errors import EpisodeError
from fsbench.methods.base import Method
from fsbench.methods.registry import load_methods
from fsbench.run.cells import Cell, EpisodeSet, Training
from fsbench.run.frozen import featured_sources, load_backbones
from fsbench.run.material import NO_FEATURES, check_channels, draw_columns, no_features
from fsbench.run.options import Options, selected_rows
from fsbench.run.plan import make_plan
from fsbench.run.trainable import check_trainings, trainings_of
from fsbench.run.variable import check_variable
from fsbench.run.ways import check_ways
from fsbench.suite import Suite

__all__ = ["Outlook", "look_ahead"]


@dataclass(frozen=True)
class Outlook:
    """What a run would do if all sources of its suite were there.

    Attributes:
        suite: What would be measured.
        methods: The class of every method by its name.
        packs: The pack of every source: as prepared, or without images, as large as its card declares.
        assumed: How the sizes of those without images were come by.
        left_out: The test sources that cannot give the episodes or have no features, each with the reason.
        cells: As `fsbench.run.plan.make_plan` has them, but for the episodes: one of each test source and
            shot was drawn.
    """

    suite: Suite
    methods: Mapping[str, type[Method]]
    packs: Mapping[str, Pack]
    assumed: Mapping[str, str]
    left_out: Mapping[str, str]
    cells: list[Cell]

    @cached_property
    def trainings(self) -> list[Training]:
        """Those of the cells and those that they start from, each after the one that it starts from."""
        return trainings_of(self.cells)

    @property
    def classes(self) -> int:
        """Training classes of all sources together."""
        return sum(len(self.packs[source].splits["train"]) for source in self.suite.sources.train)

    def images(self, source: str, split: str) -> int:
        """Images in a split of a source."""
        pack = self.packs[source]
        return int(pack.counts[list(pack.splits[split])].sum())

    def asked(self, protocol: AnyProtocol, source: str) -> int:
        """Images of a source that its episodes ask for, at most."""
        way, each = protocol.largest
        return min(self.images(source, protocol.split), protocol.episodes * way * each)

    def embeds(self, method: str) -> bool:
        """Whether a method embeds the images of a source once, before it answers episodes."""
        return self.methods[method].embeds_once()


def look_ahead(suite: Suite, options: Options) -> Outlook:
    """The outlook of a run with these options; nothing is prepared or computed for it.

    Raises:
        UsageError: There is no such row, method or source.
        SuiteError: A row does not fit its method, or the method answers fewer ways than there are.
        EpisodeError: A source cannot give the episodes, and the suite does not do without it.
        DataNotFoundError: There are files of features, but none of a source that the suite does not do without.
        DataError: A prepared pack is damaged, or has other channels than the suite asks for.
    """
    rows = selected_rows(suite, options)
    methods = load_methods(suite, rows)
    if options.variable:
        check_variable(suite, rows)
    backbones = load_backbones(suite, rows)
    given = featured_sources(suite, rows, backbones)
    unfeatured = [source for source in suite.sources.test if given is not None and source not in given]
    if given is not None and unfeatured and suite.sources.absent == "error":
        raise no_features(unfeatured[0], given)
    packs: dict[str, Pack] = {}
    assumed: dict[str, str] = {}
    for source in dict.fromkeys([*suite.sources.train, *suite.sources.test]):
        folder = pack_folder(source, suite.images.size)
        if (folder / "pack.json").exists():
            packs[source] = load_pack(folder)
            check_channels(source, packs[source], suite)
        else:
            packs[source], assumed[source] = _declared(source, suite.images.size)
    shown = {source: pack for source, pack in packs.items() if source not in unfeatured}
    columns, refused = draw_columns(suite, options, shown, _column)
    if refused and suite.sources.absent == "error":
        raise next(iter(refused.values()))
    if not columns:
        raise EpisodeError(f"no test source of the suite {suite.name} can give its episodes; lower the shots.")
    # The size of an image changes nothing here, so that the packs of the suite's size stand for those of all sizes.
    sizes = {each.prepared_size or suite.images.size for each in backbones.values()}
    sized = {(source, size): packs[source] for source, _ in columns for size in sizes}
    cells = make_plan(suite, options, methods, packs, columns, backbones, sized)
    check_trainings(cells, packs)
    check_ways(cells, methods, packs, suite.episodes.rules)
    left_out = dict.fromkeys(unfeatured, NO_FEATURES) | {source: str(error) for source, error in refused.items()}
    return Outlook(suite, methods, packs, assumed, left_out, cells)


def _column(pack: Pack, protocol: AnyProtocol, rules: Rules) -> EpisodeSet:
    """A column of the table; the one episode shows that the source can give such."""
    sampler = Sampler(pack, protocol, rules)
    return EpisodeSet(protocol, sampler.draw(0, 1), "", protocol.sampler, sampler.tracks, sampler.pool.left_out)


def _declared(reference: str, size: int) -> tuple[Pack, str]:
    """A pack without images, as large as a card declares, and how its images were spread over its classes."""
    name, _, variant_name = reference.partition(":")
    card = load_card(name)
    variant = card.variant(variant_name or None)
    of_splits = variant.classes.model_dump()
    classes = sum(of_splits.values())
    images = min(variant.images, classes * card.most) if card.most else variant.images
    kept = f", {card.most:,} a class kept" if card.most else ""
    ends = np.cumsum([0, *(of_splits[split] for split in SPLITS)])
    pack = Pack.blank(
        card.name,
        np.broadcast_to(np.uint8(0), (images, card.channels, size, size)),
        classes,
        {split: range(ends[index], ends[index + 1]) for index, split in enumerate(SPLITS)},
        folder=pack_folder(reference, size),
        digest=reference,
    )
    return pack, f"{variant.images:,} images declared{kept}, assumed to be spread evenly over {classes:,} classes"
