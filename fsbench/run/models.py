"""The models of a run: before their training, after it, and as the cells test them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fsbench.backbones.base import Backbone
from fsbench.backbones.registry import backbone_revision
from fsbench.backbones.weights import weights_digest
from fsbench.engine.training_files import load_trained
from fsbench.errors import RecordError, SuiteError, UsageError
from fsbench.methods.base import Method
from fsbench.methods.building import build_frozen, build_model
from fsbench.records import TrainingSummary
from fsbench.run.cells import Cell, Training
from fsbench.run.frozen import Untrained
from fsbench.run.order import Run

__all__ = [
    "Trained",
    "backbone_of",
    "initial_model",
    "is_trained",
    "starting_model",
    "tested_model",
    "trained_model",
]


class Trained(NamedTuple):
    """What came of a training.

    Attributes:
        weights: Of the method, by name; none where the backbone came from elsewhere.
        summary: How they came about.
        seconds: That it took.
    """

    weights: Mapping[str, Tensor]
    summary: TrainingSummary
    seconds: float


def initial_model(
    run: Run, name: str, params: Mapping[str, Any], training: Training, *, device: torch.device
) -> Method:
    """A method with the initial weights of a training's seed.

    Args:
        run: What the training belongs to.
        name: The method's, in the suite: the training's, or that of a row that tests its weights.
        params: Its hyper-parameters at a shot.
        training: Has the backbone, the seed, and the classes.
        device: Where the model is used.

    Raises:
        FsbenchError: The method cannot use the backbone, or the backbone's code is another than it was for the plan.
    """
    suite, backbone = run.order.suite, training.backbone
    model = build_model(
        suite,
        backbone,
        run.methods[name],
        params,
        classes=sum(len(run.material.packs[source].splits["train"]) for source in training.sources),
        seed=training.schedule.seed,
        device=device,
    )
    if backbone_revision(backbone.name, suite.folder) != training.backbone_revision:
        raise UsageError(
            f"the code of the backbone {backbone.name} has changed since the run began; run the same command again."
        )
    return model


def starting_model(run: Run, training: Training) -> tuple[Method, str | None]:
    """The method of a training before its first step, and the SHA-256 of the trained weights that it starts from.

    Raises:
        FsbenchError: As for `initial_model`, `trained_model` and `backbone_of`.
    """
    method = initial_model(run, training.method, training.params, training, device=run.device)
    start = training.starts_from
    if start is None:
        return method, None
    trained = _loaded(run, start)[0]
    backbone_of(method, training).load_state_dict(backbone_of(trained, start).state_dict())
    return method, weights_digest(trained)


def is_trained(run: Run, training: Training) -> bool:
    """Whether there are the weights of a finished training.

    Raises:
        RecordError: The checkpoint is damaged.
    """
    return _finished(run, training) is not None


def trained_model(run: Run, training: Training | Untrained) -> Trained:
    """What came of a training, or what stands for it on a frozen backbone.

    Raises:
        RecordError: The checkpoint is damaged, or gone.
    """
    if isinstance(training, Untrained):
        return Trained({}, _without_training(training), 0.0)
    method, summary, seconds = _loaded(run, training)
    return Trained(method.state_dict(), summary, seconds)


def tested_model(run: Run, cell: Cell, trained: Trained) -> Method:
    """The method of a cell with the weights of its training, or on its frozen backbone.

    Args:
        run: What the cell belongs to.
        cell: What is tested.
        trained: Its training.
    """
    name, params, training = cell.identity.method, cell.identity.params, cell.training
    if isinstance(training, Untrained):
        return build_frozen(training.backbone.network, cell.identity.row, run.methods[name], params, device=run.device)
    method = initial_model(run, name, params, training, device=run.device)
    method.load_state_dict(trained.weights)
    return method


def backbone_of(method: Method, training: Training) -> Backbone:
    """What a training takes over from the one that it starts from, or gives to those that start from it.

    Raises:
        SuiteError: There is none, or more than one.
    """
    found = [module for module in method.modules() if isinstance(module, Backbone)]
    if len(found) != 1:
        raise SuiteError(
            f"methods.{training.row} has a start, or is one, and {method.label} has {len(found)} backbones, not one; "
            "leave start out of the row, or take a method that has a backbone."
        )
    return found[0]


def _finished(run: Run, training: Training) -> tuple[Method, TrainingSummary, float] | None:
    method = initial_model(run, training.method, training.params, training, device=run.device)
    found = load_trained(run.checkpoint(training), method)
    return None if found is None else (method, *found)


def _loaded(run: Run, training: Training) -> tuple[Method, TrainingSummary, float]:
    found = _finished(run, training)
    if found is None:
        raise RecordError(f"the checkpoint {run.checkpoint(training)} is gone; run again.")
    return found


def _without_training(untrained: Untrained) -> TrainingSummary:
    """What stands for the history of a training in the records of a frozen backbone."""
    return TrainingSummary(
        steps=0,
        planned_steps=0,
        best_step=0,
        best_accuracy=None,
        stopped_early=False,
        parameters=0,
        frozen=untrained.backbone.parameters,
        history=[],
        precision=None if untrained.precision == "fp32" else untrained.precision,
    )
