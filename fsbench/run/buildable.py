"""Whether the models of a run can be built, before the first of them is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fsbench.errors import FsbenchError, SuiteError
from fsbench.files.atomic import canonical_json
from fsbench.methods.registry import build_frozen, build_model
from fsbench.run.frozen import Untrained
from fsbench.run.order import Run
from fsbench.run.plan import Cell, Training
from fsbench.run.trainable import trainings_of

__all__ = ["check_models"]

_CPU = torch.device("cpu")  # where building takes milliseconds, and no memory that a run needs


def check_models(run: Run, cells: Sequence[Cell]) -> None:
    """Build every model that some cells need once: those of their trainings, and those that are tested.

    Raises:
        SuiteError: A row's method cannot use its backbone; the text names the row.
    """
    built = set[bytes]()

    def build(row: str, name: str, params: Mapping[str, Any], training: Training | Untrained) -> None:
        key = canonical_json([name, dict(params), training.backbone.identity()])
        if key not in built:
            built.add(key)
            if isinstance(training, Untrained):
                build_frozen(training.backbone.network, row, run.methods[name], params, device=_CPU)
            else:
                _build(run, row, name, params, training)

    for training in trainings_of(cells):
        build(training.row, training.method, training.params, training)
    for cell in cells:
        build(cell.identity.row, cell.identity.method, cell.identity.params, cell.training)


def _build(run: Run, row: str, name: str, params: Mapping[str, Any], training: Training) -> None:
    try:
        build_model(
            run.order.suite,
            training.backbone,
            run.methods[name],
            params,
            classes=sum(len(run.material.packs[source].splits["train"]) for source in training.sources),
            seed=training.schedule.seed,
            device=_CPU,
        )
    except FsbenchError as error:
        raise SuiteError(f"methods.{row}: {error}") from error
    except (TypeError, ValueError) as error:  # as somebody's backbone says that it gives no maps
        raise SuiteError(
            f"methods.{row} cannot be built on the backbone {training.backbone.name} ({error}); choose another "
            "backbone, or leave the row out: name the others in --methods."
        ) from error
