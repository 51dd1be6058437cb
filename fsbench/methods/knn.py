"""k-NN."""

from __future__ import annotations

from torch import Tensor

from fsbench.methods.base import ClassifierMethod, cosines, nearest

__all__ = ["NearestNeighbour"]


class NearestNeighbour(ClassifierMethod):
    """The k-NN baseline of Meta-Dataset: Triantafillou et al., ICLR 2020, section 3.

    One nearest neighbour (k = 1) among the individual support images, by cosine similarity of features
    from the pretrained classifier. The logit of a class is the similarity of its nearest support image;
    ties go to the first class.

    Deviations: the paper's k-NN has the backbone that did best on validation (a wide ResNet) where the suite has one
    for all rows, and normalises queries by the statistics of the support set, where the running statistics serve here.
    """

    label = "k-NN"

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: largest cosine similarity to an image of the class."""
        return nearest(cosines(query, support), labels, way)
