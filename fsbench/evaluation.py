"""Evaluation: how many queries of every episode a method gets right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsbench.episodes import Episodes
from fsbench.methods.base import FeatureMethod, Method
from fsbench.tasks import ImageStore

__all__ = ["correct_counts", "embed_split"]

_IMAGES_A_CHUNK = 256  # large enough to fill two cores, small enough to stay in cache
_NUMBERS_A_CHUNK = 1 << 24  # of the largest array that comparing builds: 64 MiB
_TASKS_A_CHUNK = 8


def embed_split(method: FeatureMethod, store: ImageStore) -> Tensor:
    """Features `[N, ...]` of every image of a split, in the order of `store.indices`."""
    method.eval()
    size = _IMAGES_A_CHUNK if store.device.type == "cpu" else 16 * _IMAGES_A_CHUNK
    with torch.no_grad():
        chunks = [
            method.embed(store.images(store.indices[start : start + size]))
            for start in range(0, len(store.indices), size)
        ]
    return torch.cat(chunks)


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
    numbers = episodes.way * episodes.query_images.shape[1] * features[0].numel()
    correct = []
    for chunk in _chunks(episodes, max(1, _NUMBERS_A_CHUNK // numbers)):
        support = features[store.tensor(rows[chunk.support_images])]
        query = features[store.tensor(rows[chunk.query_images])]
        logits = method.compare(support, store.tensor(chunk.support_labels), query, episodes.way)
        correct.append(_right(logits, store.tensor(chunk.query_labels)))
    return torch.cat(correct).cpu().numpy()


def _from_images(method: Method, store: ImageStore, episodes: Episodes) -> npt.NDArray[np.int64]:
    correct = []
    for chunk in _chunks(episodes, _TASKS_A_CHUNK):
        tasks = store.tasks(chunk)
        correct.append(_right(method.predict(tasks), tasks.query_labels))
    return torch.cat(correct).cpu().numpy()


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(-1) == labels).sum(-1)


def _chunks(episodes: Episodes, size: int) -> list[Episodes]:
    return [episodes[start : start + size] for start in range(0, len(episodes), size)]
