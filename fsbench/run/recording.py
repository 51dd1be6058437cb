"""What the record of a tested cell says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fsbench.backbones.base import Backbone
from fsbench.engine.evaluation import asked_counts
from fsbench.identity import cell_id
from fsbench.methods.base import Method
from fsbench.records import Environment, Record
from fsbench.run.cells import Cell
from fsbench.run.models import Trained
from fsbench.run.order import Run
from fsbench.stats.intervals import mean_ci

__all__ = ["record_of"]


def record_of(
    run: Run,
    cell: Cell,
    method: Method,
    trained: Trained,
    *,
    correct: npt.NDArray[np.int64],
    environment: Environment,
    seconds: float,
) -> Record:
    """The record of a cell.

    Args:
        run: What it belongs to.
        cell: What was tested.
        method: With the weights that it was tested with.
        trained: How these came about.
        correct: Queries of every episode that were answered rightly, `[E]`.
        environment: Where it was tested.
        seconds: That the test took.
    """
    asked = asked_counts(cell.episode_set.episodes)
    backbone = next((module for module in method.modules() if isinstance(module, Backbone)), None)
    interval = mean_ci(100.0 * correct / asked)
    track, pretraining = run.seen(cell)
    return Record(
        cell=cell_id(cell.identity),
        label=cell.label,
        backbone_label="none" if backbone is None else backbone.label,
        deviates=run.order.suite.methods[cell.identity.row].deviates,
        identity=cell.identity,
        features=None if backbone is None else backbone.features,
        declared=[name for name in ("names_matter", "order_matters") if getattr(method, name)],
        absent=dict(run.material.left_out),
        train_partial={
            source: partial
            for source in cell.training.sources
            if (partial := run.material.packs[source].partial) is not None
        },
        track=track,
        pretraining=pretraining,
        correct=correct.tolist(),
        total=asked.tolist(),
        mean=interval.mean,
        ci95=interval.half_width,
        training=trained.summary,
        step_images=cell.step_images,
        recipe=cell.recipe,
        environment=environment,
        timings={"training": trained.seconds, "evaluation": seconds},
    )
