"""Episodes as files, so that any other codebase can run the very same ones, and back."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from fsbench.data.pack import Pack
from fsbench.episodes import Episodes, Integers, Protocol
from fsbench.errors import EpisodeError, UsageError
from fsbench.files import atomic_path, write_atomic

__all__ = ["EpisodeFile", "read_episodes", "write_episodes"]

_ARRAYS = ("classes", "support", "query", "order")


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
    protocol: Protocol
    sampler: str
    episodes: Episodes

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
        found = self.episodes
        images = np.concatenate([found.support, found.query], axis=2)
        if images.min() < 0 or images.max() >= len(pack.labels):
            raise EpisodeError(f"the episode file names images that {self.source} does not have; export it again.")
        wrong = {
            "holds classes outside its split": not np.isin(found.classes, pack.splits[self.protocol.split]).all(),
            "holds images under a class that is not theirs": (pack.labels[images] != found.classes[..., None]).any(),
            "repeats a class within an episode": _repeats(found.classes),
            "repeats an image within an episode": _repeats(images.reshape(len(found), -1)),
            "has a query order that is no permutation": (
                np.sort(found.order, axis=1) != np.arange(found.order.shape[1])
            ).any(),
        }
        if broken := [rule for rule, fails in wrong.items() if fails]:
            raise EpisodeError(f"the episode file for {self.source} {broken[0]}; export it again.")


def write_episodes(path: Path, content: EpisodeFile, pack: Pack) -> None:
    """Write episodes to `.npz` or `.json`.

    Arrays: `classes` `[E, way]`, `support` `[E, way, shot]`, `query` `[E, way, queries]` (indices of images),
    `order` `[E, way * queries]` (in which the queries are presented), `names` and `class_names` (of every
    image and class of the pack, by index).

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
    arrays = {name: getattr(content.episodes, name) for name in _ARRAYS}
    arrays |= {"names": pack.names, "class_names": np.asarray(pack.classes, dtype=np.str_)}
    if path.suffix == ".npz":
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, about=np.asarray(json.dumps(about)), **arrays)
    elif path.suffix == ".json":
        whole = about | {name: array.tolist() for name, array in arrays.items()}
        write_atomic(path, json.dumps(whole, ensure_ascii=False) + "\n")
    else:
        raise UsageError(f"episodes are written to .npz or .json, not to {path.name!r}; change the ending.")


def read_episodes(path: Path) -> EpisodeFile:
    """Read a file of episodes.

    Raises:
        EpisodeError: It cannot be read, or does not match its own hash.
    """
    try:
        content = _read_npz(path) if path.suffix == ".npz" else json.loads(path.read_text(encoding="utf-8"))
        arrays = {name: np.asarray(content[name]) for name in _ARRAYS}
        if not all(array.dtype.kind == "i" for array in arrays.values()):
            raise ValueError("its arrays are not integers")
        episodes = Episodes(**{name: array.astype(np.int64) for name, array in arrays.items()})
        digest = episodes.digest
        number, way, shot, queries = *episodes.support.shape, episodes.queries
        shapes = [(number, way), (number, way, shot), (number, way, queries), (number, way * queries)]
        if [array.shape for array in arrays.values()] != shapes or number < 2 or 0 in (way, shot, queries):
            raise ValueError("its arrays do not fit each other")
        protocol = Protocol(str(content["split"]), way, shot, queries, number, int(content["seed"]))
        found = EpisodeFile(str(content["source"]), str(content["pack"]), protocol, str(content["sampler"]), episodes)
        expected = content["episode_set"]
    except (OSError, LookupError, ValueError, TypeError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
        raise EpisodeError(f"the episode file {path} cannot be read ({error}); export it again.") from error
    if digest != expected:
        raise EpisodeError(f"the episode file {path} does not match its own hash; export it again.")
    return found


def _read_npz(path: Path) -> dict[str, Any]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(str(file["about"]))
        return about | {name: file[name] for name in _ARRAYS}


def _repeats(items: Integers) -> bool:
    ordered = np.sort(items, axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())
