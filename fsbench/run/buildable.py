"""Whether the models of a run can be built, before the first of them is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from fsbench.backbones.base import Backbone
from fsbench.backbones.probe import check_backbone
from fsbench.errors import FsbenchError, SuiteError
from fsbench.files.atomic import canonical_json
from fsbench.methods.base import Method
from fsbench.methods.building import build_frozen
from fsbench.methods.gradient import GradientMethod
from fsbench.run.cells import Cell, Training
from fsbench.run.frozen import Untrained
from fsbench.run.models import backbone_of, initial_model
from fsbench.run.order import Run
from fsbench.run.trainable import trainings_of
from fsbench.suite_sections import ImageSpec
from fsbench.tasks import Tasks

__all__ = ["check_models"]

_CPU = torch.device("cpu")  # where building takes milliseconds, and no memory that a run needs


def check_models(run: Run, cells: Sequence[Cell]) -> None:
    """Build every model that some cells need once: those of their trainings, and those that are tested.

    Raises:
        SuiteError: A row's method cannot use its backbone, or the smallest images that its training begins with, or
            has none to start from, or has other weights than its start or its training, or there are no features of a
            source; the text names the row or the source.
    """
    trainings, built = trainings_of(cells), dict[bytes, _Shapes]()
    linked = {each.id for last in trainings if last.starts_from is not None for each in (last.starts_from, last)}

    def build(
        row: str,
        name: str,
        params: Mapping[str, Any],
        training: Training | Untrained,
        hands_on: bool = False,
        smallest: int | None = None,
    ) -> _Shapes:
        key = canonical_json([name, dict(params), training.backbone.identity(), hands_on, smallest])
        if key not in built:
            if isinstance(training, Untrained):
                model = build_frozen(training.backbone.network, row, run.methods[name], params, device=_CPU)
            else:
                model = _built(run, row, name, params, training)
                _check_backbones(model, run.order.suite.images)
                if smallest is not None:
                    _check_smallest(model, row, run.order.suite.images.channels, smallest)
            built[key] = _Shapes(
                _shapes(model),
                _shapes(backbone_of(model, training)) if isinstance(training, Training) and hands_on else {},
            )
        return built[key]

    trained: dict[str, _Shapes] = {}
    for each in trainings:
        smallest = min((size for size, _ in each.schedule.sizes), default=None)
        trained[each.id] = build(each.row, each.method, each.params, each, each.id in linked, smallest)
        if (start := each.starts_from) is not None and trained[each.id].backbone != trained[start.id].backbone:
            raise SuiteError(
                f"methods.{each.row} cannot start from the backbone of {start.row}: their weights differ; name another "
                "start, or leave it out."
            )
    for cell in cells:
        _check_features(cell)
        tested = build(cell.identity.row, cell.identity.method, cell.identity.params, cell.training)
        if isinstance(cell.training, Training) and tested.model != trained[cell.training.id].model:
            raise SuiteError(
                f"methods.{cell.identity.row} cannot use the training of {cell.training.row}: their weights differ; "
                "give it a training of its own."
            )


def _check_backbones(model: Method, images: ImageSpec) -> None:
    """Look at what the model has that is not fsbench's own, whose contract its tests hold it to."""
    for module in model.modules():
        if isinstance(module, Backbone) and not type(module).__module__.startswith("fsbench."):
            adapts = isinstance(model, GradientMethod)
            check_backbone(module, channels=images.channels, size=images.size, adapts=adapts)


def _check_smallest(model: Method, row: str, channels: int, size: int) -> None:
    """See that a model answers a task of the smallest images of its training."""
    images, labels = torch.zeros(1, 2, channels, size, size), torch.arange(2).unsqueeze(0)
    try:
        model.eval().predict(Tasks(images, labels, images, labels, 2))
    except (FsbenchError, RuntimeError, TypeError, ValueError) as error:  # as somebody's backbone takes one size alone
        raise SuiteError(
            f"methods.{row} cannot begin with images of {size}x{size} pixels, as its small_first says "
            f"({str(error).rstrip('.')}); raise them, or leave small_first out."
        ) from error


class _Shapes(NamedTuple):
    """The shapes of weights by name: of a model, and of its backbone where another training takes that over."""

    model: Mapping[str, torch.Size]
    backbone: Mapping[str, torch.Size]


def _shapes(module: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _check_features(cell: Cell) -> None:
    if not isinstance(cell.training, Untrained):
        return
    backbone, source = cell.training.backbone, cell.identity.source
    if backbone.files and source not in backbone.files:
        raise SuiteError(
            f"there are no features of {source} for the backbone {backbone.name}, only of {', '.join(backbone.files)}; "
            "add a file, take the source out of the suite, or name in --methods the rows without training alone."
        )


def _built(run: Run, row: str, name: str, params: Mapping[str, Any], training: Training) -> Method:
    try:
        return initial_model(run, name, params, training, device=_CPU)
    except FsbenchError as error:
        raise SuiteError(f"methods.{row}: {error}") from error
    except (TypeError, ValueError) as error:  # as somebody's backbone says that it gives no maps
        raise SuiteError(
            f"methods.{row} cannot be built on the backbone {training.backbone.name} ({error}); choose another "
            "backbone, or leave the row out: name the others in --methods."
        ) from error
