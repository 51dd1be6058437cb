"""MatchingNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import MetricMethod, cosines

__all__ = ["MatchingNet"]


class MatchingNet(MetricMethod):
    """Matching networks: Vinyals et al., NeurIPS 2016, equations 1 and 2.

    A query's class probabilities are the support labels averaged with the softmax of its cosine
    similarities to all support images. The logits are the logarithms of these probabilities.

    Deviations: no full context embeddings, and the similarities are multiplied by `scale`, since cosines
    in [-1, 1] alone give a nearly flat softmax (Chen et al., ICLR 2019, multiply by 100). They also take
    the positive part of the similarities, which changes none of features that are not negative, and add 1e-6 to
    the probabilities; neither is done here. Meta-Dataset divides by the length of the support feature alone.

    Args:
        scale: Factor of the cosine similarities.
    """

    label = "MatchingNet"

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, scale: PositiveFloat) -> None:
        super().__init__(make_backbone, classes)
        self.scale = scale

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: log-probabilities."""
        attention = F.log_softmax(self.scale * cosines(query, support), dim=-1)
        others = labels.unsqueeze(-1) != torch.arange(way, device=labels.device)
        return attention.unsqueeze(-1).masked_fill(others.unsqueeze(1), -torch.inf).logsumexp(2)
