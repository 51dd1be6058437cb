"""How near training steps and the evaluation of gradient methods come to their convolutions alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from torch import Tensor

from bare import bare_convolutions
from fsbench.engine.devices import pick_device
from fsbench.engine.precision import backbones_in, pick_precision
from fsbench.engine.steps import Stepper
from fsbench.errors import DeviceError
from made import MINIIMAGENET, draw, method, store
from peers import SCHEDULE, gradient_method, random_tasks

if TYPE_CHECKING:
    from conftest import Beside

BLOCKS = 4  # of a Conv4
PEER = "its convolutions alone, forward and backward"


@pytest.mark.allocation
@pytest.mark.parametrize(("precision", "target"), [("bf16", 0.75), ("fp32", None)])
def test_training_step(
    precision: Literal["bf16", "fp32"], target: float | None, tmp_path: Path, beside: Beside
) -> None:
    try:
        pick_precision(precision, pick_device("cpu"), deterministic=False)
    except DeviceError as error:
        pytest.skip(str(error))
    images, model = store(tmp_path, MINIIMAGENET), method("proto", MINIIMAGENET)
    tasks, step, numbers = images.tasks(draw(images, 1, shot=5)), Stepper(model, SCHEDULE), itertools.count()

    def ours() -> Tensor:
        with backbones_in(precision, model):
            return step(tasks, next(numbers))

    def agree(_: Tensor, convolutions: int) -> None:
        assert convolutions == 2 * BLOCKS

    beside(
        "bound",
        f"training step of {model.label} in {precision}, 5-way 5-shot, {MINIIMAGENET}",
        ours=ours,
        peer=bare_convolutions(ours),
        peer_name=PEER,
        agree=agree,
        unit="images/s",
        our_work=len(tasks.images),
        target=target,
        rounds=15,
        note="one task of 100 images, in memory",
    )


@pytest.mark.allocation
@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize("name", ["fomaml", "foprotomaml"])
def test_evaluation(name: str, shot: int, beside: Beside) -> None:
    model, tasks = gradient_method(name, MINIIMAGENET).eval(), random_tasks(MINIIMAGENET, 1, shot=shot)

    def ours() -> Tensor:
        return model.predict(tasks)

    def agree(_: Tensor, convolutions: int) -> None:
        # the queries once; a step forward and backward, but the first of a head that starts at zero forward only
        backward = model.test_steps - model.zero_head
        prototypes = not model.zero_head  # are another pass over the support set
        assert convolutions == BLOCKS * (model.test_steps + backward + 1 + prototypes)

    beside(
        "bound",
        f"evaluation of {model.label} in fp32, 5-way {shot}-shot, {model.test_steps} inner steps, {MINIIMAGENET}",
        ours=ours,
        peer=bare_convolutions(ours),
        peer_name=PEER,
        agree=agree,
        unit="tasks/s",
        our_work=1,
        rounds=9,
        note="one task, in memory",
    )
