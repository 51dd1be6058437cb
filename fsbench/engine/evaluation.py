"""Evaluation: how many queries of every episode a method gets right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsbench.engine.memory import in_chunks
from fsbench.engine.store import ImageStore
from fsbench.episodes.protocol import AnyEpisodes, Block
from fsbench.errors import TrainingError
from fsbench.methods.base import FeatureMethod, Method

__all__ = ["LEAST_FROZEN", "asked_counts", "asked_images", "correct_counts", "embed_split"]

# What is done at once on a CPU: large enough to fill the cores, small enough for its activations to stay in cache and,
# with glibc's default thresholds, on the heap.
_PIXELS_A_CHUNK = 1 << 16  # 83 images of 28x28, 9 of 84x84
_NUMBERS_A_CHUNK = 1 << 24  # of the largest array that comparing builds: 64 MiB
_TASKS_A_CHUNK = 1
LEAST_FROZEN = 16  # images at once of a backbone that was trained elsewhere: they are large, and one is slower than 16
_NO_ANSWER = -(1 << 32)  # as many right answers: fewer than any episode has queries


def embed_split(method: FeatureMethod, store: ImageStore, least: int = 1) -> Tensor:
    """Features `[N, ...]` of every image of a split, in the order of `store.indices`.

    Args:
        method: Left in evaluation mode.
        store: The images.
        least: Images at once, however large they are.

    Raises:
        DeviceError: The device has too little memory.
    """
    method.eval()
    size = max(least, _PIXELS_A_CHUNK // store.pixels)
    with torch.no_grad():
        return in_chunks(
            lambda which: method.embed(store.images(store.indices[which])),
            len(store.indices),
            size,
            store.device,
            "images",
        )


def asked_counts(episodes: AnyEpisodes) -> npt.NDArray[np.int64]:
    """Queries of every episode, int64 `[E]`."""
    return np.concatenate([np.full(len(block), block.query_images.shape[1]) for block in episodes.blocks])


def asked_images(episodes: AnyEpisodes) -> npt.NDArray[np.int64]:
    """Pack indices of the images that the episodes show or ask, each as often as they do."""
    return np.concatenate(
        [images.ravel() for block in episodes.blocks for images in (block.support_images, block.query_images)]
    )


def correct_counts(
    method: Method, store: ImageStore, episodes: AnyEpisodes, features: Tensor | None = None
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

    Raises:
        DeviceError: The device has too little memory.
        TrainingError: A logit is not finite.
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
            counts = [_from_images(method, store, block) for block in episodes.blocks]
    right = torch.cat(counts).cpu().numpy()
    if (right < 0).any():
        raise TrainingError(
            f"{method.label} gives logits that are not finite in episode {int(np.argmax(right < 0))} of the "
            f"{store.split} episodes of {store.pack.source}; lower the learning rates."
        )
    return right


def _from_features(method: FeatureMethod, store: ImageStore, episodes: Block, features: Tensor) -> Tensor:
    """Right answers of every episode `[E]`; a single episode, which may be large, in parts of its queries."""
    support, query = (store.tensor(store.rows(images)) for images in (episodes.support_images, episodes.query_images))
    shown, asked = store.tensor(episodes.support_labels), store.tensor(episodes.query_labels)
    way, numbers = episodes.way, episodes.way * features[0].numel()

    if len(episodes) == 1:

        def answer_queries(which: slice) -> Tensor:
            logits = method.compare(features[support], shown, features[query[:, which]], way)
            return _right(logits, asked[:, which])[0]

        right = _chunked(answer_queries, query.shape[1], numbers, store, "queries")
        return right.sum(dim=0, keepdim=True)

    def answer_episodes(which: slice) -> Tensor:
        logits = method.compare(features[support[which]], shown[which], features[query[which]], way)
        return _right(logits, asked[which]).sum(-1)

    return _chunked(answer_episodes, len(episodes), numbers * query.shape[1], store, "episodes")


def _chunked(answer: Callable[[slice], Tensor], total: int, numbers: int, store: ImageStore, what: str) -> Tensor:
    return in_chunks(answer, total, max(1, _NUMBERS_A_CHUNK // numbers), store.device, what)


def _from_images(method: Method, store: ImageStore, episodes: Block) -> Tensor:
    def answer(which: slice) -> Tensor:
        tasks = store.tasks(episodes[which])
        return _right(method.predict(tasks), tasks.query_labels).sum(-1)

    return in_chunks(answer, len(episodes), _TASKS_A_CHUNK, store.device, "tasks")


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    """1 for every query that is answered rightly, 0 for every other; `_NO_ANSWER` where a logit is not finite."""
    right = (logits.argmax(-1) == labels).long()
    return right.masked_fill(~logits.isfinite().all(-1), _NO_ANSWER)
