"""MAML, and ANIL, its relative that adapts the head alone."""

from __future__ import annotations

from fsbench.methods.base import one_hot
from fsbench.methods.fomaml import FirstOrderMAML
from fsbench.methods.gradient import Weights
from fsbench.tasks import Tasks

__all__ = ["ANIL", "MAML", "TransductiveMAML"]


class MAML(FirstOrderMAML):
    """MAML: Finn, Abbeel and Levine, ICML 2017, algorithm 2.

    The outer gradient is that of the query loss after the inner steps, in the weights before them: with inner losses
    L_t and a rate a it is the product of all I - a H(L_t) with the gradient of the query loss. All else is as in
    `FirstOrderMAML`, with its deviations from the paper.
    """

    label = "MAML"
    order = 2


class TransductiveMAML(MAML):
    """MAML as its authors ran it: the queries of a task are normalised by their own statistics."""

    transductive = True


class ANIL(MAML):
    """ANIL: Raghu, Raghu, Bengio and Vinyals, ICLR 2020, section 4.

    MAML whose inner steps move the head alone. The features of the support set are the same in every step, and
    the gradient of the head's weights W is (p - y)' f / n for the probabilities p, indicators y and features f of
    the n support images. The outer gradient goes through all of it, and so to the backbone.

    Deviations: those of `FirstOrderMAML`, in the head that starts at zero and in whose statistics normalise.
    """

    label = "ANIL"

    def adapt(self, tasks: Tasks, steps: int) -> Weights:
        """The initial weights of the backbone, and those of the head after `steps` inner steps."""
        backbone = self.side_by_side(tasks)
        head, bias = self.initial_head(tasks, backbone)
        features = self.features(backbone, tasks.support, tasks.support.shape[1])
        targets = one_hot(tasks.support_labels, tasks.way, features)
        for _ in range(steps):
            answers = (features @ head.mT + bias.unsqueeze(1)).softmax(-1)
            errors = (answers - targets) / features.shape[1]
            head, bias = head - self.inner_rate * errors.mT @ features, bias - self.inner_rate * errors.sum(1)
        return Weights(backbone, head, bias)
