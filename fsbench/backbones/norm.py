"""Batch normalisation that says whose statistics it uses, and convolutions that absorb it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BatchNorm2d", "normalised_conv"]


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

    def folded(self, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that is `conv` followed by this layer with its running statistics."""
        assert self.running_var is not None and self.running_mean is not None and conv.bias is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return conv.weight * scale[:, None, None, None], (conv.bias - self.running_mean) * scale + self.bias


def normalised_conv(conv: nn.Conv2d, norm: BatchNorm2d, images: Tensor, leading: int | None = None) -> Tensor:
    """A convolution and its normalisation, in one operation where the statistics are constants.

    Args:
        conv: The convolution.
        norm: What follows it.
        images: `[N, C, H, W]`; or `[N, G * C, H, W]`, the images of G tasks side by side, if `conv` and `norm`
            hold the weights of G networks stacked along their first dimension and `leading` is given.
        leading: As in `BatchNorm2d.forward`.
    """
    if leading is None and not norm.training:
        weight, bias = norm.folded(conv)
        return F.conv2d(images, weight, bias, padding=conv.padding)
    groups = images.shape[1] // conv.weight.shape[1]
    maps: Tensor = norm(F.conv2d(images, conv.weight, conv.bias, padding=conv.padding, groups=groups), leading)
    return maps
