"""From the name of a source to its pack: found in the cache, or prepared exactly once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from fsbench.data import places
from fsbench.data.card import Card, Variant, list_cards, load_card, of_your_own, plugins
from fsbench.data.duplicates import duplicates_across_splits
from fsbench.data.pack import SPLITS, Pack, differing_split
from fsbench.data.pack_files import load_pack
from fsbench.data.prepared import Prepared, write_pack
from fsbench.data.sources import folder as own_folder
from fsbench.data.sources.registry import source_module
from fsbench.errors import DataError, DataNotFoundError, UsageError, unknown
from fsbench.files.atomic import make_folder
from fsbench.files.locks import locked

__all__ = ["describe", "download", "ensure_pack", "pack_folder", "prepare_own", "verify"]

_LOG = logging.getLogger("fsbench")


def ensure_pack(
    reference: str,
    *,
    size: int | None = None,
    data_root: Path | None = None,
    origin: Path | None = None,
    fresh: bool = False,
) -> Pack:
    """The pack of a source; prepared now, under a lock, unless it lies in the cache.

    Args:
        reference: "name" or "name:variant" of a source with a card, or the name of an own source prepared before.
        size: Height and width of the images, pixels; None: as the card says, or the only size of an own source.
        data_root: Where sources have their folders; see `fsbench.data.places.data_root`.
        origin: The folder of this source's files instead of `<data root>/<name>`.
        fresh: Prepare it even if it lies in the cache; an own source is prepared by `prepare_own` only.

    Raises:
        UsageError: There is no such source, variant or size.
        DataNotFoundError: The files of the source are not there.
        DataError: They are damaged or not what the card declares, or the cached pack is damaged.
        OutputError: The cache cannot be written.
    """
    folder = pack_folder(reference, size)
    declared = _declared(reference)
    if declared is None:
        if fresh or origin is not None:
            raise UsageError(
                f"{reference} is a source of your own; run `fsbench data prepare {reference} --from PATH`."
            )
        return load_pack(folder)
    card, variant = declared
    if origin is not None and not card.files:
        raise UsageError(f"{card.name} is drawn, and has no files for --from {origin}; leave --from out.")
    pixels = card.size if size is None else size
    files = places.source_files(card.name, places.data_root(data_root)) if origin is None else origin

    def make() -> Prepared:
        return source_module(card).prepare(card, variant.name, pixels, files)

    return _once(folder, card.name, make, origin, fresh=fresh)


def prepare_own(name: str, origin: Path, own: own_folder.OwnSource | None = None, *, fresh: bool = False) -> Pack:
    """Make a source of the user's own from a folder or zip of class folders; `ensure_pack(name)` finds it later.

    Args:
        name: What to call it: letters, digits and underscores.
        origin: The folder or zip.
        own: How to make it; None: as `OwnSource()` says.
        fresh: Prepare it even if a source of this name and size lies in the cache; its packs of other sizes stay.

    Raises:
        UsageError: The name, a fraction or the split list does not fit, or the name stands for a source prepared
            with other settings, or at another size with another split.
        DataNotFoundError: There is nothing at `origin`, or there are no class folders in it.
        DataError: An image or the zip is unreadable, or a class is empty, or the name is that of a source of an
            installed package that does not work.
        OutputError: The cache cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
        raise UsageError(f"{name!r:.80} cannot name a source; use up to 64 letters, digits and underscores.")
    if name in plugins():
        load_card(name)  # one that does not work has its name all the same, and says why
    if name in (card.name for card in list_cards()):
        raise UsageError(f"{name!r} is a source of fsbench; choose another name for your own.")
    how = own or own_folder.OwnSource()
    rule = own_folder.read_rule(how.splits, how.fractions, how.seed)
    folder = places.packs_folder() / f"{name}-{how.size}px"
    replaces = (folder / "pack.json").exists()

    def make() -> Prepared:
        prepared = own_folder.prepare(origin, how, rule)
        _compare_sizes(name, how.size, prepared, replaces=replaces)
        return prepared

    pack = _once(folder, name, make, origin, fresh=fresh)
    if any(pack.processing.get(key) != value for key, value in how.settings(rule).items()):
        raise UsageError(f"the source {name} is already prepared with other settings; add --fresh to replace it.")
    if replaces and not fresh:
        given, skipped = own_folder.prepare(origin, how, rule), set(pack.processing.get("skipped", ()))
        there = [image for image in given.names if image not in skipped]
        if (list(given.classes), there) != (list(pack.classes), pack.names.tolist()):
            raise UsageError(f"the source {name} is already prepared from other files; add --fresh to replace it.")
    return pack


def verify(reference: str, *, size: int | None = None) -> Pack:
    """Read a prepared pack again, compare its hashes and, for a source with a card, its counts with the card.

    A partial pack may have less than its card says.

    Args:
        reference: As for `ensure_pack`.
        size: As for `ensure_pack`.

    Raises:
        UsageError: There is no such source, variant or size.
        DataNotFoundError: The source is not prepared.
        DataError: The pack is damaged, or its counts are not those of the card.
    """
    folder = pack_folder(reference, size)
    if not (folder / "pack.json").exists():
        raise DataNotFoundError(f"{reference} is not in {folder}; run `fsbench data prepare {reference}` first.")
    pack = load_pack(folder, verify=True)
    if declared := _declared(reference):
        expected = {**declared[1].classes.model_dump(), "images": declared[1].images}
        found = {**{split: len(pack.splits[split]) for split in SPLITS}, "images": len(pack.images)}
        for key, count in expected.items():
            if found[key] > count or (found[key] < count and pack.partial is None):
                what = key if key == "images" else f"{key} classes"
                raise DataError(
                    f"the pack in {folder} has {found[key]:,} {what} instead of {count:,}; "
                    f"run `fsbench data prepare {reference} --fresh`."
                )
    return pack


def download(reference: str, *, data_root: Path | None = None) -> None:
    """Fetch the files of a source into its folder below the data root.

    Raises:
        UsageError: There is no such source, or it cannot be downloaded.
        DataError: The files cannot be fetched, or are not what was published.
        OutputError: The folder cannot be written.
    """
    card = load_card(reference.partition(":")[0])
    if not card.download:
        raise UsageError(f"{card.name} cannot be downloaded; {card.obtain or 'it needs no files'}.")
    folder = places.data_root(data_root) / card.name
    make_folder(folder)
    source_module(card).download(folder)


def pack_folder(reference: str, size: int | None = None) -> Path:
    """Where the pack of a source lies, or will.

    Args:
        reference: As for `ensure_pack`.
        size: As for `ensure_pack`.

    Raises:
        UsageError: There is no such source, variant or, for an own source, size.
    """
    if declared := _declared(reference):
        card, variant = declared
        suffix = "" if variant == card.variants[0] else f"-{variant.name}"
        return places.packs_folder() / f"{card.name}{suffix}-{card.size if size is None else size}px"
    sizes = places.own_packs()[reference]
    if size is None and len(sizes) == 1:
        return next(iter(sizes.values()))
    if size is None:
        raise UsageError(f"the own source {reference} is prepared with {_listed(sizes)} pixels; use --size.")
    if size not in sizes:
        raise UsageError(
            f"the own source {reference} is prepared with {_listed(sizes)} pixels, not {size}; prepare it at this "
            f"size: fsbench data prepare {reference} --from FOLDER --size {size}."
        )
    return sizes[size]


def describe(pack: Pack) -> str:
    """A line about a pack: images, classes of every split, folder."""
    counts = ", ".join(f"{len(pack.splits[split]):,} {split}" for split in SPLITS)
    partial = f"; {pack.partial}" if pack.partial else ""
    return f"{pack.source}: {len(pack.images):,} images, classes: {counts}{partial}; {pack.folder}"


def _declared(reference: str) -> tuple[Card, Variant] | None:
    """The card and variant that a reference names; None for an own source."""
    name, _, variant = reference.partition(":")
    cards = {card.name: card for card in list_cards()}
    if name in cards:
        return cards[name], cards[name].variant(variant or None)
    if name in plugins():
        load_card(name)  # says why it is not among them
    own = places.own_packs()
    if reference not in own:
        raise unknown("source", reference, [*cards, *own], otherwise=of_your_own(reference))
    return None


def _compare_sizes(name: str, size: int, prepared: Prepared, *, replaces: bool) -> None:
    """See that an own source has one split at all its sizes, which a run may show together.

    Whoever replaces a pack cannot replace all of them at once, and is told which to replace next.

    Raises:
        UsageError: A new pack would have another split than one of another size.
    """
    for other, folder in places.own_packs().get(name, {}).items():
        try:
            split = None if other == size else differing_split(prepared, pack := load_pack(folder))
        except DataError:  # which those are told who want that size
            continue
        if split is None:
            continue
        if not replaces:
            raise UsageError(
                f"the source {name} is prepared with {other} pixels and other classes in {split}, and all its sizes "
                f"have one split; {_same_split(pack, prepared)}, or choose another name."
            )
        _LOG.warning(
            "%s has other classes in %s with %s pixels now than with %s; prepare that size again too, by --fresh and "
            "with the split of this one: no run takes both",
            *(name, split, size, other),
        )


def _same_split(pack: Pack, prepared: Prepared) -> str:
    """How to prepare an own source with the split of a pack, as half a sentence."""
    match pack.processing.get("split"):
        case split if split == prepared.processing["split"]:
            return "its files were others then, so prepare that size again by --fresh first"
        case {"fractions": [*fractions], "seed": seed}:
            return f"use --fractions {','.join(map(str, fractions))} --seed {seed}, as it was drawn there"
    return "give the list of --splits that it has there"


def _once(folder: Path, source: str, make: Callable[[], Prepared], origin: Path | None, *, fresh: bool) -> Pack:
    """Load the pack in `folder`; if there is none, make it while other processes that want it wait."""
    written = folder / "pack.json"
    if written.exists() and not fresh:
        if origin is not None and not origin.exists():  # nothing would look at it
            raise DataNotFoundError(
                f"{origin} does not exist, though {source} is already prepared in {folder}; leave --from out, or "
                "correct it."
            )
        _LOG.info("%s: already prepared in %s", source, folder)
        return load_pack(folder)
    with locked(folder, lambda holder: _LOG.info("%s: waiting for %s, which is preparing it", source, holder)):
        if written.exists() and not fresh:
            return load_pack(folder)
        pack = write_pack(folder, source, make())
        if same := duplicates_across_splits(pack):
            shown = "; ".join(f"{name} = {other}" for name, other in same[:3]) + ("; ..." if len(same) > 3 else "")
            _LOG.warning("%s: %s images have an exact duplicate in another split: %s", source, len(same), shown)
        return pack


def _listed(sizes: dict[int, Path]) -> str:
    return " and ".join(str(size) for size in sorted(sizes))
