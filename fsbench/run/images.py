"""The images of a run as its models see them, and their features."""

from __future__ import annotations

import functools
import logging

from torch import Tensor

from fsbench.engine.evaluation import embed_split
from fsbench.engine.memory import frozen_at_once
from fsbench.engine.precision import backbones_in
from fsbench.engine.store import ImageStore
from fsbench.errors import DeviceError, SuiteError
from fsbench.files.atomic import canonical_json
from fsbench.methods.base import ClassifierMethod, FeatureMethod, MetricMethod
from fsbench.progress import Progress
from fsbench.run.cells import Cell, Training
from fsbench.run.embed import named_images
from fsbench.run.frozen import Untrained
from fsbench.run.order import Run

__all__ = ["Features", "Images"]

_LOG = logging.getLogger("fsbench")
_BY_BACKBONE = (MetricMethod.embed, ClassifierMethod.embed)


class Images:
    """The images of a run's sources; those of a split are opened once.

    Args:
        run: What they belong to.
    """

    def __init__(self, run: Run) -> None:
        images = run.order.suite.images
        self._run = run
        self._too_large: set[str] = set()
        self._opened = functools.cache(
            lambda source, split, resident: ImageStore(
                run.material.packs[source], split, run.device, images.mean, images.std, resident=resident
            )
        )

    def of(self, source: str, split: str) -> ImageStore:
        """The images of a split; those that no work of now needs make room on a device that is full.

        Those of a source that does not fit even so are read from its file, with a warning.
        """
        try:
            return self._opened(source, split, source not in self._too_large)
        except DeviceError:
            self._opened.cache_clear()
        try:
            return self._opened(source, split, True)
        except DeviceError as error:
            _LOG.warning("%s Until then, steps read them from the file, which is slower.", error)
            self._too_large.add(source)
        return self._opened(source, split, False)

    def seen_by(self, training: Training | Untrained, source: str, split: str) -> ImageStore:
        """The images of a split as a model sees them: in the suite's size, or in that of its frozen backbone.

        A frozen backbone sees every image once, or none where its features are in files, so no GPU has to hold them.
        """
        if not isinstance(training, Untrained):
            return self.of(source, split)
        backbone = training.backbone
        if backbone.size is None:
            return self._opened(source, split, False)
        pack = self._run.material.sized[source, backbone.prepared_size or backbone.size]
        store = ImageStore(pack, split, self._run.device, backbone.mean, backbone.std, resident=False)
        return store if backbone.enlarged_from is None else store.showing(backbone.size)


class Features:
    """The features of the images that some cells of one trained model and source ask for, each embedded once.

    Args:
        store: All of these images.
        progress: Told how far an embedding is.

    Attributes:
        store: The images.
    """

    def __init__(self, store: ImageStore, progress: Progress) -> None:
        self.store, self._progress = store, progress
        self._found: dict[object, Tensor] = {}

    def of(self, cell: Cell, method: FeatureMethod) -> Tensor:
        """The features of all images of the store.

        Args:
            cell: One of the cells.
            method: Its own, with the weights that it is tested with.

        Raises:
            SuiteError: The method embeds images in a way of its own, and the backbone's features are read from files.
        """
        key = _embedding(method, cell)
        if key not in self._found:
            self._found[key] = self._embedded(cell, method)
        return self._found[key]

    def _embedded(self, cell: Cell, method: FeatureMethod) -> Tensor:
        training, source, store = cell.training, cell.identity.source, self.store
        files = training.backbone.files if isinstance(training, Untrained) else {}
        if not files:
            watcher = self._progress.part(f"embedding {source} for {cell.identity.row}", len(store.indices))
            if not isinstance(training, Untrained):
                return embed_split(method, store, None, watcher)
            with backbones_in(training.precision, method):
                return embed_split(method, store, frozen_at_once(training.backbone.largest, store.device), watcher)
        if not isinstance(method, MetricMethod | ClassifierMethod) or type(method).embed not in _BY_BACKBONE:
            raise SuiteError(
                f"methods.{cell.identity.row} embeds images in a way of its own, and files of features hold none; give "
                "it another backbone."
            )
        return files[source].of(*named_images(store.pack, store)).to(store.device)


def _embedding(method: FeatureMethod, cell: Cell) -> object:
    """What decides a method's features of an image beside its weights; methods with the same one share features.

    The families embed by the backbone alone. An `embed` of a class's own may do anything with its hyper-parameters.
    """
    if isinstance(method, MetricMethod | ClassifierMethod) and type(method).embed in _BY_BACKBONE:
        return type(method.backbone), method.backbone.shape, str(method.backbone)
    return type(method), canonical_json(cell.identity.params)
