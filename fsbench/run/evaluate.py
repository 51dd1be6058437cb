"""A model of one's own, measured on the test episodes of a suite, without training it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fsbench.engine.devices import pick_device
from fsbench.engine.evaluation import asked_counts, asked_images, correct_counts, embed_split
from fsbench.engine.store import ImageStore
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.streams import Integers
from fsbench.errors import TrainingError, UsageError
from fsbench.methods.base import FeatureMethod, Method, prototypes
from fsbench.run.cells import EpisodeSet
from fsbench.run.material import open_material
from fsbench.run.options import Options
from fsbench.stats.intervals import Interval, mean_ci
from fsbench.suite import Suite

__all__ = ["Accuracy", "Embed", "evaluate_model"]

Embed = Callable[[Tensor], Tensor]  # from images [N, C, H, W] to features [N, ...]


@dataclass(frozen=True, eq=False)
class Accuracy:
    """What a model achieves on the test episodes of one source and protocol.

    Attributes:
        source: The test source.
        protocol: How its episodes were drawn.
        correct: Queries answered rightly in every episode, int64 `[E]`.
        total: Queries of every episode, int64 `[E]`.
    """

    source: str
    protocol: AnyProtocol
    correct: Integers
    total: Integers

    @property
    def interval(self) -> Interval:
        """Mean accuracy over the episodes and half the width of its 95 % confidence interval, percent."""
        return mean_ci(100.0 * self.correct / self.total)

    @property
    def mean(self) -> float:
        """Mean accuracy over the episodes, percent."""
        return self.interval.mean

    @property
    def ci95(self) -> float:
        """Half the width of the mean's 95 % confidence interval, percentage points."""
        return self.interval.half_width

    def __str__(self) -> str:
        return f"{self.source}, {self.protocol}: {self.mean:.2f} ± {self.ci95:.2f}"


class _NearestMean(FeatureMethod):
    """The class whose mean support feature is nearest to the query's, by Euclidean distance."""

    label = "nearest mean"
    fits_head = True

    def __init__(self, embed: Embed) -> None:
        super().__init__()
        self._embed = embed  # registered as a part, so that it moves to the device, if it is a module

    def embed(self, images: Tensor) -> Tensor:
        """Features `[N, D]`."""
        features = self._embed(images)
        if not isinstance(features, Tensor) or not features.shape or len(features) != len(images):
            given = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UsageError(
                f"a model must return a tensor [N, ...] of features for N = {len(images)} images, not {given}; "
                "wrap it in a function that does."
            )
        return features.flatten(1).to(images.device, torch.float32)

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: minus distances."""
        return -torch.cdist(query, prototypes(support, labels, way))

    def loss(self, data: object) -> Tensor:
        """It is never trained."""
        raise NotImplementedError


def evaluate_model(
    model: Method | Embed, suite: Suite, options: Options, *, data_root: Path | None, device: str
) -> list[Accuracy]:
    """Measure a model as it is on the test episodes of a suite.

    Args:
        model: A method, or a function or module from images `[N, C, H, W]` to features `[N, ...]`. Features are
            compared with the mean of every class by Euclidean distance. A module is moved to the device and put into
            evaluation mode.
        suite: Says test sources, episodes, and the size and normalisation of the images.
        options: What to change of it.
        data_root: Where the sources' files lie, if a pack is not yet prepared.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        One accuracy for every test source that is there and every protocol.

    Raises:
        DataNotFoundError: A source is not there that the suite does not do without.
        EpisodeError: A source cannot give the episodes.
        UsageError: The model does not return features.
        TrainingError: They are not finite.
    """
    if not callable(model):
        raise UsageError(f"the model is {model!r:.80}; give a Method, or a function or module from images to features.")
    where = pick_device(device)
    method = (model if isinstance(model, Method) else _NearestMean(model)).to(where)
    material = open_material(suite, options, data_root=data_root, episode_file=None, trains=False)
    by_source: dict[str, list[EpisodeSet]] = {}
    for source, episode_set in material.episode_sets:
        by_source.setdefault(source, []).append(episode_set)
    found = []
    for source, episode_sets in by_source.items():
        store = ImageStore(material.packs[source], "test", where, suite.images.mean, suite.images.std)
        found += _of_source(method, source, store, episode_sets)
    return found


def _of_source(method: Method, source: str, store: ImageStore, episode_sets: Sequence[EpisodeSet]) -> list[Accuracy]:
    """The accuracies on one source; images that several protocols ask for are embedded once."""
    features = None
    if isinstance(method, FeatureMethod) and not method.transductive:
        store = store.narrowed(np.concatenate([asked_images(each.episodes) for each in episode_sets]))
        features = embed_split(method, store)
        if wrong := int((~features.flatten(1).isfinite().all(1)).sum()):
            raise TrainingError(
                f"the model gives features that are not finite for {wrong} of {len(features)} images of {source}; look "
                "in it for a division by zero or an overflow."
            )
    return [
        Accuracy(
            source,
            each.protocol,
            correct_counts(method, store, each.episodes, features),
            asked_counts(each.episodes),
        )
        for each in episode_sets
    ]
