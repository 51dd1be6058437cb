"""Evaluation: how many queries of every episode a method gets right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsbench.engine.memory import chunks, in_chunks
from fsbench.engine.store import ImageStore
from fsbench.engine.tally import Tally
from fsbench.engine.transfer import send
from fsbench.episodes.protocol import AnyEpisodes, Block
from fsbench.errors import TrainingError
from fsbench.methods.base import FeatureMethod, Method, check_logits

__all__ = ["asked_counts", "asked_images", "correct_counts", "embed_images", "embed_split"]


class _AtOnce(NamedTuple):
    """What is done at once; fixed, since a sum may be rounded differently in a batch of another size."""

    pixels: int  # of the images that are embedded
    adapted: int  # pixels of the tasks that are adapted to
    numbers: int  # of the largest array that comparing builds
    tasks: int  # of a method that answers task by task, at most


# On a CPU enough to fill the cores, but so little that its activations stay in cache and, with glibc's default
# thresholds, on the heap: 83 images of 28x28, or 9 of 84x84. On a GPU 594 images of 84x84, and tasks of four times as
# many: maps of 160 channels have 2**30 numbers, those of Conv4-64 in the tasks as well, and beyond 2**31 not every
# algorithm works.
_ON_CPU = _AtOnce(pixels=1 << 16, adapted=1 << 16, numbers=1 << 24, tasks=1)
_ON_GPU = _AtOnce(pixels=1 << 22, adapted=1 << 24, numbers=1 << 28, tasks=16)
_NO_ANSWER = -(1 << 32)  # as many right answers: fewer than any episode has queries


def embed_split(
    method: FeatureMethod,
    store: ImageStore,
    at_once: int | None = None,
    watcher: Callable[[int], None] | None = None,
) -> Tensor:
    """Features `[N, ...]` of every image of a split, in the order of `store.indices`.

    Args:
        method: Left in evaluation mode.
        store: The images.
        at_once: Images; None: as many as are good for the backbones of fsbench.
        watcher: Told how many images are embedded.

    Raises:
        DeviceError: The device has too little memory.
    """
    method.eval()
    return embed_images(method.embed, store, at_once, watcher)


def embed_images(
    embed: Callable[[Tensor], Tensor],
    store: ImageStore,
    at_once: int | None = None,
    watcher: Callable[[int], None] | None = None,
) -> Tensor:
    """As `embed_split`, by a function from images `[N, C, H, W]` to features `[N, ...]`."""

    def embed_some(which: slice) -> Tensor:
        features = embed(store.images(store.indices[which]))
        if watcher is not None:
            watcher(which.stop)
        return features

    size = at_once or max(1, _at_once(store).pixels // store.pixels)
    with torch.no_grad():
        return _chunked(embed_some, len(store.indices), size, store, "images")


def asked_counts(episodes: AnyEpisodes) -> npt.NDArray[np.int64]:
    """Queries of every episode, int64 `[E]`."""
    return np.concatenate([np.full(len(block), block.query_images.shape[1]) for block in episodes.blocks])


def asked_images(episodes: AnyEpisodes) -> npt.NDArray[np.int64]:
    """Pack indices of the images that the episodes show or ask, each as often as they do."""
    return np.concatenate(
        [images.ravel() for block in episodes.blocks for images in (block.support_images, block.query_images)]
    )


def correct_counts(
    method: Method,
    store: ImageStore,
    episodes: AnyEpisodes,
    features: Tensor | None = None,
    tally: Tally | None = None,
) -> npt.NDArray[np.int64]:
    """Correctly classified queries of every episode, int64 `[E]`.

    A method that answers from features of single images gets every image that is asked for embedded once;
    any other predicts task by task. An answer is the largest logit; a tie goes to the first class, so that a model
    without knowledge scores exactly chance.

    Args:
        method: Left in evaluation mode.
        store: The images of the split that the episodes index.
        episodes: What to answer.
        features: What `embed_split(method, store)` returned, if the caller has it.
        tally: Goes on from the answers that it has, and keeps those of a method that predicts task by task.

    Raises:
        DeviceError: The device has too little memory.
        OutputError: The tally cannot be written.
        TrainingError: A logit is not finite, or there are not as many as queries and classes.
    """
    method.eval()
    with torch.no_grad():
        if method.embeds_once():
            assert isinstance(method, FeatureMethod)
            if features is None:
                store = store.narrowed(asked_images(episodes))
                features = embed_split(method, store)
            counts = [_from_features(method, store, block, features) for block in episodes.blocks]
        else:
            counts = _from_images(method, store, episodes, tally)
    right = torch.cat(counts).cpu().numpy()
    if (right < 0).any():
        raise TrainingError(
            f"{method.label} gives logits that are not finite in episode {int(np.argmax(right < 0))} of the "
            f"{store.split} episodes of {store.pack.source}; lower the learning rates, or mend how it computes them."
        )
    return right


def _from_features(method: FeatureMethod, store: ImageStore, episodes: Block, features: Tensor) -> Tensor:
    """Right answers of every episode `[E]`; a single episode, which may be large, in parts of its queries."""
    rows = [store.rows(images) for images in (episodes.support_images, episodes.query_images)]
    support, query, shown, asked = send([*rows, episodes.support_labels, episodes.query_labels], store.device)
    way, length, most = episodes.way, features[0].numel(), _at_once(store).numbers

    if len(episodes) == 1:
        shown_images = support.shape[1]
        of_query = max(way, length, shown_images) if method.fits_head else way * max(length, shown_images)

        def answer_queries(which: slice) -> Tensor:
            logits = method.compare(features[support], shown, features[query[:, which]], way)
            return _right(method, logits, asked[:, which], way)[0]

        right = _chunked(answer_queries, query.shape[1], max(1, most // of_query), store, "queries")
        return right.sum(dim=0, keepdim=True)

    def answer_episodes(which: slice) -> Tensor:
        logits = method.compare(features[support[which]], shown[which], features[query[which]], way)
        return _right(method, logits, asked[which], way).sum(-1)

    size = max(1, most // (way * length * query.shape[1]))
    return _chunked(answer_episodes, len(episodes), size, store, "episodes")


def _from_images(method: Method, store: ImageStore, episodes: AnyEpisodes, tally: Tally | None) -> list[Tensor]:
    """Right answers of the episodes, task by task, `[n]` each; those that the tally has are taken from it."""
    known = [] if tally is None else tally.counts
    counts, left = [torch.tensor(known, dtype=torch.int64, device=store.device)], len(known)
    for block in episodes.blocks:
        start = min(left, len(block))
        left -= start
        for right in _task_by_task(method, store, block, start):
            counts.append(right)
            if tally is not None:
                tally.update(counts)
    return counts


def _task_by_task(method: Method, store: ImageStore, episodes: Block, start: int) -> Iterator[Tensor]:
    def answer(which: slice) -> Tensor:
        tasks = store.tasks(episodes[which])
        return _right(method, method.predict(tasks), tasks.query_labels, tasks.way).sum(-1)

    at_once = _at_once(store)
    images = episodes.support_images.shape[1] + episodes.query_images.shape[1]
    size = max(1, min(at_once.tasks, at_once.adapted // (images * store.pixels)))
    return chunks(answer, len(episodes), size, "tasks", even=_on_gpu(store), start=start)


def _at_once(store: ImageStore) -> _AtOnce:
    return _ON_GPU if _on_gpu(store) else _ON_CPU


def _chunked(work: Callable[[slice], Tensor], total: int, size: int, store: ImageStore, what: str) -> Tensor:
    """As `in_chunks`; on a GPU the slices are even."""
    return in_chunks(work, total, size, what, even=_on_gpu(store))


def _on_gpu(store: ImageStore) -> bool:
    return store.device.type != "cpu"


def _right(method: Method, logits: Tensor, labels: Tensor, way: int) -> Tensor:
    """1 for every query that is answered rightly, 0 for every other; `_NO_ANSWER` where a logit is not finite."""
    check_logits(method, logits, labels, way)
    right = (logits.argmax(-1) == labels).long()
    return right.masked_fill(~logits.isfinite().all(-1), _NO_ANSWER)
