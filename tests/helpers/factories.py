"""Records for the tests of whatever reads records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsbench.identity import CellIdentity, cell_id
from fsbench.records import Environment, Record, TrainingSummary, Validation
from fsbench.stats.intervals import mean_ci

__all__ = ["make_record"]


def make_record(
    label: str = "ProtoNet",
    correct: Sequence[int] = (60, 66, 72, 69),
    *,
    source: str = "omniglot",
    shot: int | None = 1,
    train_seed: int = 0,
    transductive: bool = False,
    fraction: float = 1.0,
    steps: int = 3000,
    planned_steps: int = 3000,
    environment: dict[str, Any] | None = None,
    features: int | None = None,
    absent: dict[str, str] | None = None,
    train_partial: dict[str, str] | None = None,
    **identity: Any,
) -> Record:
    """A finished cell: episodes of 5 ways and 15 queries a class, of which `correct` are right.

    With `shot=None` it is one of the variable protocol, each of its episodes having 75 queries.

    Args:
        label: The row's name; its key and the method's name follow from it.
        correct: Correctly classified queries of every episode, of 75.
        source: The test source.
        shot: Of training and test; None: way, shot and queries vary.
        train_seed: Of the training.
        transductive: Whether the row is.
        fraction: Of the suite's training length.
        steps: Taken.
        planned_steps: At that fraction.
        environment: Fields of `Environment` to replace.
        features: That the backbone makes of an image.
        absent: Sources that were left out, and why.
        train_partial: Incomplete training sources, and how.
        identity: Fields of `CellIdentity` to replace.
    """
    row = f"{label.lower()}-transductive" if transductive else label.lower()
    variable = shot is None
    way = identity.get("way", None if variable else 5)
    facts: dict[str, Any] = {
        "suite": "tiny",
        "row": row,
        "method": label.lower(),
        "method_revision": 1,
        "params": {},
        "transductive": transductive,
        "backbone": {"name": "conv4", "width": 64},
        "images": {"size": 28, "channels": 1, "mean": [0.5], "std": [0.5]},
        "training": f"{row}-{source}-{shot}-{train_seed}",
        "train_sources": [source],
        "train_shot": shot,
        "train_seed": train_seed,
        "training_fraction": fraction,
        "source": source,
        "pack": f"{source}-pack-digest",
        "partial": None,
        "split": "test",
        "way": way,
        "shot": shot,
        "queries": None if variable else 15,
        "episodes": len(correct),
        "episode_seed": 0,
        "sampler": "variable-1" if variable else "fixed-1",
        "episode_set": f"{source}-{'variable' if variable else f'{way}-{shot}'}-episode-set",
        "deterministic": False,
    }
    cell = CellIdentity.model_validate(facts | identity)
    total = [(cell.way or 5) * (cell.queries or 15)] * len(correct)
    mean, ci95 = mean_ci(100 * right / asked for right, asked in zip(correct, total, strict=True))
    machine = {
        "fsbench": "0.1.0",
        "commit": "0123456789abcdef",
        "python": "3.12.1",
        "torch": "2.11.0",
        "numpy": "2.3.0",
        "platform": "Linux",
        "device": "cpu",
        "threads": 2,
    }
    return Record(
        cell=cell_id(cell),
        label=label,
        backbone_label="Conv4-64",
        identity=cell,
        features=features,
        absent=absent or {},
        train_partial=train_partial or {},
        correct=list(correct),
        total=total,
        mean=mean,
        ci95=ci95,
        training=TrainingSummary(
            steps=steps,
            planned_steps=planned_steps,
            best_step=steps,
            best_accuracy=90.0,
            stopped_early=steps < planned_steps,
            parameters=111_936,
            history=[Validation(step=steps, loss=0.1, accuracy=90.0)],
        ),
        environment=Environment.model_validate(machine | (environment or {})),
        timings={"evaluation": 1.5},
    )
