"""Episodes as files, so that any other codebase can run the very same ones, and back."""

from __future__ import annotations

import itertools
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile

import numpy as np
from pydantic import ValidationError

from fsbench.data.pack import Pack
from fsbench.episodes.fixed import Episodes, FixedProtocol
from fsbench.episodes.kshot import KShotProtocol
from fsbench.episodes.protocol import AnyEpisodes, AnyProtocol, Block
from fsbench.episodes.ragged import RaggedEpisode, RaggedEpisodes
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.streams import Integers
from fsbench.episodes.variable import VariableProtocol
from fsbench.errors import EpisodeError, UsageError, first_problem
from fsbench.files.arrays import UNREADABLE
from fsbench.files.atomic import atomic_path, write_atomic
from fsbench.files.reading import open_regular, read_text
from fsbench.files.strict import Seed, StrictModel, Text

__all__ = ["EpisodeFile", "parts_tracks", "read_episodes", "write_episodes"]

_LARGEST = 2**28  # bytes of an array: 400,000 episodes
_RULES = [Rules(leave_out=out, tracks_apart=apart) for out in (True, False) for apart in (True, False)]
_FIXED = ("classes", "support", "query", "order")
_VARIABLE = ("classes", "support", "support_labels", "query", "query_labels", "offsets")


class _About(StrictModel):
    """What a file says beside its arrays."""

    source: Text
    pack: Text
    sampler: Text
    split: Text
    seed: Seed
    episode_set: Text  # hash of the episodes


@dataclass(frozen=True)
class EpisodeFile:
    """What a file of episodes holds.

    Attributes:
        source: The test source.
        pack: Digest of the pack that the indices refer to.
        protocol: How the episodes were drawn.
        sampler: The sampler version.
        episodes: The indices.
    """

    source: str
    pack: str
    protocol: AnyProtocol
    sampler: str
    episodes: AnyEpisodes

    def check(self, pack: Pack) -> None:
        """Check that the episodes are proper episodes of a pack.

        Raises:
            EpisodeError: They were drawn from another pack, or break a rule of episodes.
        """
        if pack.digest != self.pack:
            raise EpisodeError(
                f"the episode file was made for another preparation of {self.source} (pack {self.pack[:12]}, "
                f"here {pack.digest[:12]}); export it again."
            )
        if self.protocol.split not in pack.splits:
            raise EpisodeError(f"the episode file names the split {self.protocol.split!r}; it is train, val or test.")
        members = np.asarray(pack.splits[self.protocol.split])
        for block in self.episodes.blocks:
            if broken := _broken_rule(block, pack, members):
                raise EpisodeError(f"the episode file for {self.source} {broken}; export it again.")
        if self.sampler == self.protocol.sampler and not any(self._drawn_by(rules, pack) for rules in _RULES):
            raise EpisodeError(
                f"the episode file for {self.source} says that {self.sampler} drew it with the seed "
                f"{self.protocol.seed}, which draws others; export it again, or give what drew it a name of its own."
            )

    def _drawn_by(self, rules: Rules, pack: Pack) -> bool:
        """Whether the sampler of fsbench draws these episodes."""
        try:
            return Sampler(pack, self.protocol, rules).draw().digest == self.episodes.digest
        except EpisodeError:
            return False


def write_episodes(path: Path, content: EpisodeFile, pack: Pack) -> None:
    """Write episodes to `.npz` or `.json`.

    Arrays of episodes of fixed shape: `classes` `[E, way]`, `support` `[E, way, shot]`, `query` `[E, way, queries]`
    (indices of images), `order` `[E, way * queries]` (in which the queries are presented).

    Arrays of episodes of variable shape or of all classes, one episode after another: `classes`, `support` and `query`
    (indices of images, the queries as they are presented), `support_labels` and `query_labels` (within the episode),
    and `offsets` `[E + 1, 3]`: what episode i has of classes, support and query, labels alike, starts at `offsets[i]`
    and ends before `offsets[i + 1]`.

    Always: `names` and `class_names` (of every image and class of the pack, by index).

    Raises:
        UsageError: The file name ends in neither.
        OutputError: It cannot be written.
    """
    about = {
        "source": content.source,
        "pack": content.pack,
        "sampler": content.sampler,
        "split": content.protocol.split,
        "seed": content.protocol.seed,
        "episode_set": content.episodes.digest,
    }
    names = {"names": pack.names, "class_names": np.asarray(pack.classes, dtype=np.str_)}
    arrays: dict[str, Any] = {**content.episodes.arrays, **names}
    if path.suffix == ".npz":
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, about=np.asarray(json.dumps(about)), **arrays)
    elif path.suffix == ".json":
        whole = about | {name: array.tolist() for name, array in arrays.items()}
        write_atomic(path, json.dumps(whole, ensure_ascii=False) + "\n")
    else:
        raise UsageError(f"episodes are written to .npz or .json, not to {path.name!r}; change the ending.")


def parts_tracks(pack: Pack, episodes: AnyEpisodes) -> bool:
    """Whether no episode shows one object both to learn from and to answer, so far as the pack knows objects."""
    if pack.tracks is None:
        return True
    objects = pack.labels * (pack.tracks.max() + 1) + pack.tracks
    return not any(
        np.isin(objects[query], objects[support]).any()
        for block in episodes.blocks
        for support, query in zip(block.support_images, block.query_images, strict=True)
    )


def read_episodes(path: Path) -> EpisodeFile:
    """Read a file of episodes.

    Raises:
        EpisodeError: It cannot be read, or does not match its own hash.
    """
    try:
        content = _read_npz(path) if path.suffix == ".npz" else json.loads(read_text(path))
        protocol, episodes = _reader(content)(content)
        about = _About.model_validate({name: content[name] for name in _About.model_fields})
        digest = episodes.digest
    except ValidationError as error:
        raise EpisodeError(
            f"the episode file {path} cannot be read ({first_problem(error)}); export it again."
        ) from error
    except (*UNREADABLE, AttributeError, BadZipFile, zlib.error, struct.error) as error:
        raise EpisodeError(f"the episode file {path} cannot be read ({error}); export it again.") from error
    if digest != about.episode_set:
        raise EpisodeError(f"the episode file {path} does not match its own hash; export it again.")
    return EpisodeFile(about.source, about.pack, protocol, about.sampler, episodes)


def _read_npz(path: Path) -> dict[str, Any]:
    with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
        wanted = {*_FIXED, *_VARIABLE} & set(file)
        for member in file.zip.infolist():
            if member.filename.removesuffix(".npy") not in {"about", *wanted}:
                continue
            if member.file_size > _LARGEST or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise ValueError(
                    f"its {member.filename} is not deflated, or claims to have more than {_LARGEST:,} bytes"
                )
        about: dict[str, Any] = json.loads(str(file["about"]))
        return about | {name: file[name] for name in wanted}


def _reader(content: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], tuple[AnyProtocol, AnyEpisodes]]:
    if "offsets" not in content:
        return _fixed
    return _k_shot if str(content["sampler"]).startswith(f"{KShotProtocol.kind}-") else _variable


def _fixed(content: Mapping[str, Any]) -> tuple[AnyProtocol, AnyEpisodes]:
    episodes = Episodes(**_integers(content, _FIXED))
    number, way, shot, queries = *episodes.support.shape, episodes.queries
    shapes = [(number, way), (number, way, shot), (number, way, queries), (number, way * queries)]
    found = [getattr(episodes, name).shape for name in _FIXED]
    if found != shapes or number < 2 or 0 in (way, shot, queries):
        raise ValueError("its arrays do not fit each other")
    if (np.sort(episodes.order, axis=1) != np.arange(way * queries)).any():
        raise ValueError("it has a query order that is no permutation")
    return FixedProtocol(str(content["split"]), way, shot, queries, number, int(content["seed"])), episodes


def _variable(content: Mapping[str, Any]) -> tuple[AnyProtocol, AnyEpisodes]:
    arrays = _integers(content, _VARIABLE)
    offsets = arrays.pop("offsets")
    ends = [len(arrays[name]) for name in ("classes", "support", "query")]
    if (
        any(array.ndim != 1 for array in arrays.values())
        or offsets.shape[1:] != (3,)
        or len(offsets) < 3
        or (offsets[1:] <= offsets[:-1]).any()
        or offsets[[0, -1]].tolist() != [[0, 0, 0], ends]
        or len(arrays["support_labels"]) != len(arrays["support"])
        or len(arrays["query_labels"]) != len(arrays["query"])
    ):
        raise ValueError("its arrays do not fit each other")
    classes, support, query = (
        [slice(start, stop) for start, stop in itertools.pairwise(column)] for column in offsets.T.tolist()
    )
    blocks = (
        RaggedEpisode(
            classes=arrays["classes"][None, those],
            support_images=arrays["support"][None, shown],
            support_labels=arrays["support_labels"][None, shown],
            query_images=arrays["query"][None, asked],
            query_labels=arrays["query_labels"][None, asked],
        )
        for those, shown, asked in zip(classes, support, query, strict=True)
    )
    episodes = RaggedEpisodes(tuple(blocks))
    return VariableProtocol(str(content["split"]), len(episodes), int(content["seed"])), episodes


def _k_shot(content: Mapping[str, Any]) -> tuple[AnyProtocol, AnyEpisodes]:
    varied, episodes = _variable(content)
    shots = {number for block in episodes.blocks for number in np.bincount(block.support_labels[0]).tolist()}
    if len(shots) != 1:
        raise ValueError("its classes differ in shots")
    return KShotProtocol(varied.split, shots.pop(), varied.episodes, varied.seed), episodes


def _integers(content: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Integers]:
    arrays = {name: np.asarray(content[name]) for name in names}
    if not all(array.dtype.kind == "i" for array in arrays.values()):
        raise ValueError("its arrays are not integers")
    return {name: array.astype(np.int64) for name, array in arrays.items()}


def _broken_rule(block: Block, pack: Pack, members: Integers) -> str | None:
    """What is wrong with some episodes, if anything."""
    images = np.concatenate([block.support_images, block.query_images], axis=1)
    labels = np.concatenate([block.support_labels, block.query_labels], axis=1)
    if images.min() < 0 or images.max() >= len(pack.labels):
        return f"names images that {pack.source} does not have"
    if labels.min() < 0 or labels.max() >= block.way:
        return "has labels of classes that are not in the episode"
    owners = np.take_along_axis(block.classes, labels, axis=1)
    wrong = {
        "has episodes of one class, of which nothing can be asked": block.way < 2,
        "holds classes outside its split": not np.isin(block.classes, members).all(),
        "holds images under a class that is not theirs": (pack.labels[images] != owners).any(),
        "repeats a class within an episode": _repeats(block.classes),
        "repeats an image within an episode": _repeats(images),
        "has a class without support": not all(
            set(range(block.way)) <= set(row) for row in block.support_labels.tolist()
        ),
    }
    return next((rule for rule, fails in wrong.items() if fails), None)


def _repeats(items: Integers) -> bool:
    ordered = np.sort(items, axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())
