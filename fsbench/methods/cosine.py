"""The cosine classifier."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import ClassifierMethod, one_hot, prototypes

__all__ = ["CosineClassifier"]


class CosineClassifier(ClassifierMethod):
    """A classifier by cosine similarity, trained on the support set: the head of Baseline++, Chen et al., ICLR 2019.

    The logit of a class is `scale` times the cosine of the query's feature and the class's weight vector. The vectors
    are trained with cross-entropy by gradient steps on the whole support set, for all tasks side by side, with the
    gradient in closed form.

    Deviations: the vectors start at the means of the classes' unit features, as Qi et al. ("Low-shot learning with
    imprinted weights", CVPR 2018) imprint them, instead of at random, so that neither order nor names of the classes
    matter; plain gradient descent; one fixed scale, where theirs is 2 times a norm that is learned for every class.

    Args:
        steps: Gradient steps; 0 leaves the imprinted weights.
        rate: Learning rate.
        scale: Of the cosines.
    """

    label = "Cosine"
    fits_head = True

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        steps: NonNegativeInt,
        rate: NonNegativeFloat,
        scale: PositiveFloat,
    ) -> None:
        super().__init__(make_backbone, classes)
        self.steps, self.rate, self.scale = steps, rate, scale

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`."""
        shown, asked = F.normalize(support, dim=-1), F.normalize(query, dim=-1)
        targets = one_hot(labels, way, shown)
        weights = prototypes(shown, labels, way)
        for _ in range(self.steps):
            lengths = weights.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            units = weights / lengths
            similar = shown @ units.mT
            errors = self.scale * ((self.scale * similar).softmax(-1) - targets) / support.shape[1]
            along = (errors * similar).sum(1).unsqueeze(-1)  # what only changes the length of a vector
            weights = weights - self.rate * (errors.mT @ shown - along * units) / lengths
        return self.scale * (asked @ F.normalize(weights, dim=-1).mT)
