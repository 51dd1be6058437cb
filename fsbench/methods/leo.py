"""LEO."""

from __future__ import annotations

import math
from typing import Annotated, Final

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import MetricMethod, one_hot
from fsbench.tasks import PooledTasks, Tasks

__all__ = ["LEO"]

_LEAST: Final = 1e-10  # standard deviation
_LARGEST: Final = 1.0  # logarithm of one


class LEO(MetricMethod):
    """Latent embedding optimisation: Rusu et al., ICLR 2019, algorithm 1, equations 4 to 8, and the authors' code.

    An encoder and a relation network over all pairs of support images give every class a normal distribution of
    latent codes; a decoder turns a code into one of the class's weights in a linear head. The codes take gradient
    steps on the support set, then the weights do. The outer gradient goes through all steps, in closed form. Features
    have length 1. Noise is drawn in training alone: dropout of features, codes and weights; at test the means serve.
    The paper's row is on features of a backbone that is trained before and left as it is: `freeze` in the suite.

    The loss is the cross-entropy of the queries, plus `divergence` times a one-sample estimate of the Kullback-Leibler
    divergence of the codes from N(0, 1), plus `pull` times the mean squared distance of the first codes from the
    adapted ones, plus `orthogonality` times the mean squared correlation of the decoder's rows.

    Deviations: a class has one code and one head, not one for each of its support images, whose predictions are
    averaged. The loss of an inner step is the mean over the support set times the ways, which at equal rates makes the
    steps of the authors' sum over all images and codes. No logarithm of a deviation is above 1, since they grow without
    end where steps are large. Weights are decayed by the suite's optimiser, if at all.

    Args:
        latent: Length of a code; theirs is 64.
        latent_steps: Inner steps of the codes; theirs are 5.
        weight_steps: Inner steps of the weights after these; theirs are 5.
        latent_rate: Of the codes' steps, at first, for every entry of a code; theirs is 1.
        weight_rate: Of the weights' steps, at first, for every feature; theirs is 1e-3.
        dropout: Share of the features that is dropped.
        divergence: See above.
        pull: See above.
        orthogonality: See above.
    """

    label = "LEO"
    fits_head = True
    noisy = True

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        latent: PositiveInt,
        latent_steps: NonNegativeInt,
        weight_steps: NonNegativeInt,
        latent_rate: NonNegativeFloat,
        weight_rate: NonNegativeFloat,
        dropout: Annotated[float, Field(ge=0, lt=1)],
        divergence: NonNegativeFloat,
        pull: NonNegativeFloat,
        orthogonality: NonNegativeFloat,
    ) -> None:
        super().__init__(make_backbone, classes)
        self.latent_steps, self.weight_steps, self.dropout = latent_steps, weight_steps, dropout
        self.divergence, self.pull, self.orthogonality = divergence, pull, orthogonality
        self.encoder = _weights(self.backbone.features, latent)
        self.relation = nn.ParameterList(_weights(2 * latent, 2 * latent) for _ in range(3))
        self.decoder = _weights(latent, 2 * self.backbone.features)
        self.latent_rate = nn.Parameter(torch.full((latent,), float(latent_rate)))
        self.weight_rate = nn.Parameter(torch.full((self.backbone.features,), float(weight_rate)))

    def embed(self, images: Tensor) -> Tensor:
        """Features `[N, D]` of length 1."""
        return F.normalize(self.backbone(images), dim=-1)

    def loss(self, tasks: Tasks | PooledTasks) -> Tensor:
        """Cross-entropy of the queries under the adapted weights, and what else the class says."""
        support, query = tasks.gathered(self.embed(tasks.images))
        members = one_hot(tasks.support_labels, tasks.way, support)
        means, spreads = self.encode(self._dropped(support), members)
        deviations = (spreads.exp() - 1).clamp_min(_LEAST)
        noise = torch.randn_like(means) if self.training else torch.zeros_like(means)
        codes = means + deviations * noise
        estimate = (codes.square() - noise.square()) / 2 - deviations.log()
        adapted, weights = self.adapt(codes, support, members)
        logits = self._dropped(query) @ weights.mT
        return (
            F.cross_entropy(logits.flatten(0, 1), tasks.query_labels.flatten())
            + self.divergence * estimate.mean()
            + self.pull * (adapted.detach() - codes).square().mean()
            + self.orthogonality * _correlation(self.decoder)
        )

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]` of the heads that were adapted from the means of the codes."""
        members = one_hot(labels, way, support)
        return query @ self.adapt(self.encode(support, members)[0], support, members, means=True)[1].mT

    def encode(self, support: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of deviations of the codes, `[B, way, latent]`, those with 1 added to the deviations.

        Args:
            support: Features `[B, S, D]`.
            members: Their labels as indicator vectors `[B, S, way]`.
        """
        codes = support @ self.encoder
        left, right = self.relation[0].chunk(2)  # of the first and the second of a pair
        pairs = (codes @ left).unsqueeze(2) + (codes @ right).unsqueeze(1)
        for layer in self.relation[1:]:
            pairs = pairs.relu() @ layer
        related = members.mT @ pairs.mean(2) / members.sum(1).unsqueeze(-1)
        means, spreads = related.chunk(2, dim=-1)
        return means, spreads.clamp_max(_LARGEST)

    def adapt(self, codes: Tensor, support: Tensor, members: Tensor, *, means: bool = False) -> tuple[Tensor, Tensor]:
        """Codes `[B, way, latent]` and weights `[B, way, D]` after the inner steps; with `means`, without noise."""
        noisy = self.training and not means
        for _ in range(self.latent_steps):
            weights, slopes = self._decoded(codes, noisy)
            gradient = self._gradient(weights, support, members, noisy)
            codes = codes - self.latent_rate * (torch.cat([gradient, gradient * slopes], dim=-1) @ self.decoder.mT)
        weights, _ = self._decoded(codes, noisy)
        for _ in range(self.weight_steps):
            weights = weights - self.weight_rate * self._gradient(weights, support, members, noisy)
        return codes, weights

    def _decoded(self, codes: Tensor, noisy: bool) -> tuple[Tensor, Tensor]:
        """Weights `[B, way, D]` drawn from what codes are decoded to, and their slopes in the second half of that."""
        means, spreads = (codes @ self.decoder).chunk(2, dim=-1)
        if not noisy:
            return means, torch.zeros_like(means)
        way, features = means.shape[1:]
        grown = spreads.clamp_max(_LARGEST).exp()
        deviations = grown - 1 + math.sqrt(2 / (way + features))
        noise = torch.randn_like(means) * (deviations > _LEAST)
        return means + noise * deviations, noise * grown * (spreads < _LARGEST)

    def _gradient(self, weights: Tensor, support: Tensor, members: Tensor, noisy: bool) -> Tensor:
        """Of the support loss, in the weights `[B, way, D]`."""
        shown = self._dropped(support) if noisy else support
        errors = (shown @ weights.mT).softmax(-1) - members
        return errors.mT @ shown * (weights.shape[1] / support.shape[1])

    def _dropped(self, features: Tensor) -> Tensor:
        return F.dropout(features, self.dropout, self.training)


def _weights(inputs: int, outputs: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(inputs, outputs)))


def _correlation(matrix: Tensor) -> Tensor:
    """Mean squared difference of the correlations of a matrix's rows from those of orthogonal ones."""
    unit = F.normalize(matrix, dim=1)
    return (unit @ unit.mT - torch.eye(len(unit), dtype=unit.dtype, device=unit.device)).square().mean()
