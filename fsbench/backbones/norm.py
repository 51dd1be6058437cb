"""Batch normalisation that says whose statistics it uses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BatchNorm2d"]


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with a third source of statistics: the first images of the batch.

    Ioffe and Szegedy, ICML 2015. In few-shot learning the statistics decide whether a prediction is
    inductive (Bronskill et al., "TaskNorm", ICML 2020), so the caller says which ones it means.
    """

    def forward(self, input: Tensor, leading: int | None = None) -> Tensor:
        """Normalise `input` `[N, C, H, W]`.

        Args:
            input: Feature maps.
            leading: None for the ordinary layer (batch statistics in training, which move the running ones;
                running statistics in evaluation). A number n for the statistics of the first n maps, in
                either mode, with gradients through them and without touching the running statistics.
        """
        if leading is None:
            return super().forward(input)
        if leading == len(input):
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        variance, mean = torch.var_mean(input[:leading], dim=(0, 2, 3), correction=0)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return input * scale[:, None, None] + shift[:, None, None]
