"""Evaluation: how many queries of every episode a method gets right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsbench.chunks import in_chunks
from fsbench.episodes import Episodes
from fsbench.methods.base import FeatureMethod, Method
from fsbench.tasks import ImageStore

__all__ = ["correct_counts", "embed_split"]

# What is done at once on a CPU: large enough to fill the cores, small enough for its activations to stay in cache and,
# with glibc's default thresholds, on the heap.
_PIXELS_A_CHUNK = 1 << 16  # 83 images of 28x28, 9 of 84x84
_NUMBERS_A_CHUNK = 1 << 24  # of the largest array that comparing builds: 64 MiB
_TASKS_A_CHUNK = 1


def embed_split(method: FeatureMethod, store: ImageStore) -> Tensor:
    """Features `[N, ...]` of every image of a split, in the order of `store.indices`.

    Raises:
        DeviceError: The device has too little memory.
    """
    method.eval()
    size = max(1, _PIXELS_A_CHUNK // store.pixels)
    with torch.no_grad():
        return in_chunks(
            lambda which: method.embed(store.images(store.indices[which])),
            len(store.indices),
            size,
            store.device,
            "images",
        )


def correct_counts(
    method: Method, store: ImageStore, episodes: Episodes, features: Tensor | None = None
) -> npt.NDArray[np.int64]:
    """Correctly classified queries of every episode, int64 `[E]`.

    A method that answers from features of single images gets every image embedded once; any other
    predicts task by task. An answer is the largest logit; a tie goes to the first class, so that a model
    without knowledge scores exactly chance.

    Args:
        method: Left in evaluation mode.
        store: The images of the split that the episodes index.
        episodes: What to answer.
        features: What `embed_split(method, store)` returned, if the caller has it.

    Raises:
        DeviceError: The device has too little memory.
    """
    method.eval()
    with torch.no_grad():
        if isinstance(method, FeatureMethod) and not method.transductive:
            return _from_features(method, store, episodes, embed_split(method, store) if features is None else features)
        return _from_images(method, store, episodes)


def _from_features(
    method: FeatureMethod, store: ImageStore, episodes: Episodes, features: Tensor
) -> npt.NDArray[np.int64]:
    rows = np.full(int(store.indices[-1]) + 1, -1)
    rows[store.indices] = np.arange(len(store.indices))

    def answer(which: slice) -> Tensor:
        chunk = episodes[which]
        support = features[store.tensor(rows[chunk.support_images])]
        query = features[store.tensor(rows[chunk.query_images])]
        logits = method.compare(support, store.tensor(chunk.support_labels), query, episodes.way)
        return _right(logits, store.tensor(chunk.query_labels))

    numbers = episodes.way * episodes.query_images.shape[1] * features[0].numel()
    size = max(1, _NUMBERS_A_CHUNK // numbers)
    return in_chunks(answer, len(episodes), size, store.device, "episodes").cpu().numpy()


def _from_images(method: Method, store: ImageStore, episodes: Episodes) -> npt.NDArray[np.int64]:
    def answer(which: slice) -> Tensor:
        tasks = store.tasks(episodes[which])
        return _right(method.predict(tasks), tasks.query_labels)

    return in_chunks(answer, len(episodes), _TASKS_A_CHUNK, store.device, "tasks").cpu().numpy()


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(-1) == labels).sum(-1)
