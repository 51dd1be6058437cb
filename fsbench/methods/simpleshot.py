"""SimpleShot."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import ClassifierMethod, prototypes

__all__ = ["SimpleShot"]


class SimpleShot(ClassifierMethod):
    """The nearest class mean of centred features of unit length: Wang et al., "SimpleShot", 2019, section 3.

    Deviations: the features are centred by the mean of the support set, where the paper subtracts that of all training
    images, which a backbone from elsewhere does not come with; and class means are of the same unit vectors.

    Args:
        centred: Subtract the mean of the support features before features are brought to unit length ("CL2N"); else
            they are only brought to unit length ("L2N").
    """

    label = "SimpleShot"
    fits_head = True

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, centred: bool) -> None:
        super().__init__(make_backbone, classes)
        self.centred = centred

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: minus squared distances, from -4 to 0."""
        if self.centred:
            centre = support.mean(1, keepdim=True)
            support, query = support - centre, query - centre
        support, query = F.normalize(support, dim=-1), F.normalize(query, dim=-1)
        means = prototypes(support, labels, way)
        lengths = means.square().sum(-1).unsqueeze(1) + query.square().sum(-1, keepdim=True)
        return 2 * query @ means.mT - lengths
