"""fo-MAML."""

from __future__ import annotations

from torch import Tensor

from fsbench.methods.gradient import GradientMethod
from fsbench.tasks import Tasks

__all__ = ["FirstOrderMAML", "TransductiveFirstOrderMAML"]


class FirstOrderMAML(GradientMethod):
    """First-order MAML: Finn, Abbeel and Levine, ICML 2017, algorithm 2 and section 5.2.

    As in Meta-Dataset's fo-MAML the head starts every task at zero instead of at learned weights, so that
    any way works and the names of the classes do not matter. The inner loss is a mean where the authors'
    code sums over the classes: their rate of 0.4 on 5-way Omniglot is 2.0 here, that of 0.01 on 5-way
    miniImageNet 0.05. From a head of zeros no gradient reaches the backbone, so its first inner step moves the
    head alone.

    Further deviations: the authors' normalisation has no scale and a shift that does not adapt, and takes support
    and queries each by their own statistics; they cut the outer gradients of miniImageNet at 10 by value, and use 32
    filters there and strides instead of pooling on Omniglot. A wider network has a longer feature vector, so that one
    rate is a larger step of the logits; rates that raise the support loss are warned of.
    """

    label = "fo-MAML"
    zero_head = True

    def initial_head(self, tasks: Tasks, backbone: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Zeros."""
        shape = (len(tasks), tasks.way)
        return tasks.support.new_zeros(*shape, self.backbone.features), tasks.support.new_zeros(shape)


class TransductiveFirstOrderMAML(FirstOrderMAML):
    """fo-MAML as its authors ran it: the queries of a task are normalised by their own statistics."""

    transductive = True
