"""How fast this machine is at what a run would do, measured now on random images.

The work is what a run does, by the same code: steps of a training, the embedding of images, the answering of episodes.
Speed does not depend on what images show, so they are noise: a stand-in with as many classes, and images of each, as
the largest episodes need.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from fsbench.backbones.specification import BackboneSpec
from fsbench.data.pack import Pack
from fsbench.engine.batches import training_data
from fsbench.engine.evaluation import correct_counts, embed_split
from fsbench.engine.frozen import embedded_once
from fsbench.engine.memory import frozen_at_once
from fsbench.engine.precision import backbones_in
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.engine.store import ImageStore
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.forecast.outlook import Outlook
from fsbench.methods.base import FeatureMethod, Method
from fsbench.methods.building import build_frozen, build_model
from fsbench.run.cells import Training

if TYPE_CHECKING:
    from fsbench.backbones.pretrained import Pretrained

__all__ = ["LONG", "TIMINGS", "Amounts", "MeasuredSpeeds", "amounts_on"]

TIMINGS = 5  # of which the median counts, after one that does not: two of them may be disturbed
LONG = 3.0  # seconds after which no further timing follows: what takes long is disturbed less


@dataclass(frozen=True)
class Amounts:
    """What is done in one timing.

    Attributes:
        steps: Of a training.
        images: Embedded, or a few more.
        compared: Episodes answered from features.
        adapted: Episodes answered from images.
    """

    steps: int
    images: int
    compared: int
    adapted: int


def amounts_on(device: torch.device) -> Amounts:
    """As little as tells the speed: some work on a CPU takes seconds; a GPU is fast when it has much to do at once."""
    if device.type == "cpu":
        return Amounts(steps=1, images=64, compared=64, adapted=1)
    return Amounts(steps=32, images=4096, compared=600, adapted=600)


class MeasuredSpeeds:
    """The `fsbench.forecast.cost.Speeds` of this machine; each is measured when it is first asked for.

    Args:
        outlook: Says what will be asked for.
        device: Where to compute.
        precision: Of the trainings.
        clock: Seconds, from any beginning.

    Attributes:
        amounts: What is done in one timing.
    """

    def __init__(
        self,
        outlook: Outlook,
        device: torch.device,
        precision: Literal["fp32", "bf16"],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._outlook, self._device, self._precision, self._clock = outlook, device, precision, clock
        self.amounts = amounts_on(device)
        self._measured: dict[str, float] = {}
        images = outlook.suite.images
        self._pack = _stand_in(outlook, self.amounts.images)
        self._all, self._some = (
            ImageStore(self._pack, split, device, images.mean, images.std) for split in ("train", "val")
        )

    def step(self, training: Training) -> float:
        """Seconds of a step of a training, the mean over its phases of image sizes."""
        schedule = training.schedule
        return sum(
            self._step(training, first, size) * ((stop or schedule.steps) - first) / schedule.steps
            for first, stop, size in schedule.phases(0)
        )

    def _step(self, training: Training, first: int, size: int | None) -> float:
        """Seconds of a step from the `first` on; of trainings that differ in seed or length alone, the same."""
        schedule = replace(training.schedule, sizes=() if size is None else ((size, 0),))  # of this phase alone
        shape = [str(schedule.protocol), schedule.size, schedule.pool, schedule.augment, schedule.optimiser, size]

        def measure() -> float:
            model = self._model(training.method, training.params, training.backbone)
            take_step = Stepper(model, schedule, cuda_recorder(model, schedule, self._device))
            numbers, stores = itertools.count(first), [self._all] * len(training.sources)

            with (
                embedded_once(model, stores) if training.frozen else nullcontext(stores) as shown,
                backbones_in(self._precision, model),
            ):
                data = training_data(schedule, shown, first)

                def steps() -> None:
                    for _ in range(self.amounts.steps):
                        take_step(next(data), next(numbers))

                return self._seconds(steps) / self.amounts.steps

        clips = [schedule.clip, schedule.clip_value]
        own = [training.method, training.params, training.backbone.identity(), len(training.sources), training.frozen]
        return self._once([*own, *shape, *clips], measure)

    def image(self, method: str, params: Mapping[str, Any], backbone: BackboneSpec | Pretrained) -> float:
        """Seconds of embedding an image."""

        def measure() -> float:
            model = self._model(method, params, backbone)
            assert isinstance(model, FeatureMethod)
            store, at_once = self._seen_by(backbone)
            return self._seconds(lambda: embed_split(model, store, at_once)) / len(store.indices)

        return self._once([method, params, backbone.identity()], measure)

    def episode(
        self, method: str, params: Mapping[str, Any], backbone: BackboneSpec | Pretrained, protocol: AnyProtocol
    ) -> float:
        """Seconds of answering an episode; of a method that embeds all images first, without that."""

        def measure() -> float:
            model, features = self._model(method, params, backbone), None
            embeds = self._outlook.embeds(method)
            number = self.amounts.compared if embeds else self.amounts.adapted
            episodes = Sampler(self._pack, replace(protocol, split="train", episodes=number), Rules()).draw()
            if isinstance(model, FeatureMethod) and embeds:
                some = embed_split(model, *self._seen_by(backbone))
                features = some[torch.arange(len(self._all.indices)) % len(some)]
            store = self._all if isinstance(backbone, BackboneSpec) else self._seen(backbone, "train")
            return self._seconds(lambda: correct_counts(model, store, episodes, features)) / number

        return self._once([method, params, backbone.identity(), str(protocol)], measure)

    def _seen_by(self, backbone: BackboneSpec | Pretrained) -> tuple[ImageStore, int | None]:
        """The images as a backbone sees them, and how many it embeds at once."""
        if isinstance(backbone, BackboneSpec):
            return self._some, None
        return self._seen(backbone, "val"), frozen_at_once(backbone.largest, self._device)

    def _seen(self, backbone: Pretrained, split: str) -> ImageStore:
        store = ImageStore(self._pack, split, self._device, backbone.mean, backbone.std)
        return store.showing(backbone.size)

    def _once(self, what: list[Any], measure: Callable[[], float]) -> float:
        key = json.dumps(what)
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]

    def _seconds(self, work: Callable[[], object]) -> float:
        """How long some work takes once it has been done before."""
        work()
        timings = [self._timed(work)]
        while len(timings) < TIMINGS and sum(timings) < LONG:
            timings.append(self._timed(work))
        return statistics.median(timings)

    def _timed(self, work: Callable[[], object]) -> float:
        self._finish()
        started = self._clock()
        work()
        self._finish()
        return self._clock() - started

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _model(self, method: str, params: Mapping[str, Any], backbone: BackboneSpec | Pretrained) -> Method:
        if not isinstance(backbone, BackboneSpec):
            found = self._outlook.methods[method]
            return build_frozen(backbone.network, method, found, params, device=self._device)
        # a stand-in may have more classes than a source, and there is one of it for every source
        classes = max(self._outlook.classes, len(self._outlook.suite.sources.train) * len(self._pack.classes))
        outlook = self._outlook
        return build_model(
            outlook.suite, backbone, outlook.methods[method], params, classes=classes, seed=0, device=self._device
        )


def _stand_in(outlook: Outlook, images: int) -> Pack:
    """A pack of noise: "train" has enough for the largest episodes, "val" about so many images, or all."""
    trained = (training.schedule.protocol for training in outlook.trainings)
    looked_at = (training.validation for training in outlook.trainings)
    asked = itertools.chain((cell.episode_set.protocol for cell in outlook.cells), looked_at)
    classes, each = max([2, *(training.schedule.pool or 0 for training in outlook.trainings)]), 1
    for protocol in itertools.chain(trained, asked):
        if protocol is not None:
            way, items = protocol.largest
            classes, each = max(classes, way), max(each, items)
    each = max(each, -(-images // classes))
    size, channels = outlook.suite.images.size, outlook.suite.images.channels
    noise = np.random.default_rng(0).integers(0, 256, (classes * each, channels, size, size), dtype=np.uint8)
    splits = {"train": range(classes), "val": range(-(-images // each)), "test": ()}
    return Pack.blank("stand-in", noise, classes, splits)
