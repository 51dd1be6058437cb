"""SimpleShot."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fsbench.methods.base import ClassifierMethod, prototypes

__all__ = ["SimpleShot"]


class SimpleShot(ClassifierMethod):
    """The nearest class mean of features of unit length: "L2N" of Wang et al., "SimpleShot", 2019, section 3.

    The paper's "CL2N" subtracts the mean of all training images first, which a backbone from elsewhere does not come
    with; that of a few support images in its place costs accuracy. Deviation: class means are of the same unit vectors.
    """

    label = "SimpleShot"
    fits_head = True

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: minus squared distances, from -4 to 0."""
        support, query = F.normalize(support, dim=-1), F.normalize(query, dim=-1)
        means = prototypes(support, labels, way)
        lengths = means.square().sum(-1).unsqueeze(1) + query.square().sum(-1, keepdim=True)
        return 2 * query @ means.mT - lengths
