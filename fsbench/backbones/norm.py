"""Batch normalisation that says whose statistics it uses, and what surrounds it in one function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import Backbone

__all__ = ["BatchNorm2d", "ConvNorm", "conv_norm_pool", "differentiated_twice"]


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with a third source of statistics: the first images of the batch.

    Ioffe and Szegedy, ICML 2015. In few-shot learning the statistics decide whether a prediction is
    inductive (Bronskill et al., "TaskNorm", ICML 2020), so the caller says which ones it means.

    Attributes:
        twice: Whether what it does to all images by their own statistics is differentiated twice.
    """

    twice = False

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
        if leading == len(input) and not self.twice:
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        scale, shift = self.scale_and_shift(input[:leading], self.weight)
        return input * scale + shift

    def scale_and_shift(self, maps: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift `[C, 1, 1]` that normalise by the statistics of `maps`, with this `weight` `[C]`."""
        mean, inverse = _Statistics.apply(maps, weight, self.eps)
        scale = weight * inverse
        return scale[:, None, None], (self.bias - mean * scale)[:, None, None]

    def folded(self, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that is `conv` followed by this layer with its running statistics."""
        assert self.running_var is not None and self.running_mean is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        centred = -self.running_mean if conv.bias is None else conv.bias - self.running_mean
        return conv.weight * scale[:, None, None, None], centred * scale + self.bias


class _Statistics(torch.autograd.Function):
    """Mean and inverse standard deviation of maps, each `[C]`: on a CPU in a fifth of `torch.var_mean`'s time."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """Those that `F.batch_norm` would normalise `maps` `[N, C, H, W]` by; `weight` `[C]` only says their type."""
        _, mean, inverse = torch.native_batch_norm(maps, weight, weight, None, None, True, 0.0, eps)
        ctx.save_for_backward(maps, mean, inverse)
        return mean, inverse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient in `maps`, from d mean / d x = 1 / n and d inverse / d x = -inverse^3 (x - mean) / n."""
        (of_mean, of_inverse), (maps, mean, inverse) = gradients, ctx.saved_tensors
        number = maps.numel() // len(mean)
        slope = -of_inverse * inverse**3 / number
        shift = of_mean / number - slope * mean
        return torch.addcmul(shift[:, None, None], maps.to(slope), slope[:, None, None]).to(maps), None, None


@contextmanager
def differentiated_twice(network: nn.Module) -> Iterator[None]:
    """While it lasts, a network normalises in a way whose second derivatives are cheap.

    Those of `F.batch_norm` pass through its maps some twenty times. Statistics and scaling as operations of their own
    take half of that, and the scaling may follow the pooling.
    """
    marked = [module for module in network.modules() if isinstance(module, BatchNorm2d | Backbone)]
    for module in marked:
        module.twice = True
    try:
        yield
    finally:
        for module in marked:
            module.twice = False


def conv_norm_pool(
    conv: nn.Conv2d, norm: BatchNorm2d, images: Tensor, leading: int | None = None, *, pooled: bool
) -> Tensor:
    """Convolution, normalisation and 2x2 max-pooling, with as few passes over the large maps as possible.

    Running statistics are constants, and go into the convolution's weights. Statistics of leading images
    are known only after the convolution, but scaling by a positive number may follow the pooling, where
    the maps are a quarter as large; the sign of a negative scale goes into the convolution.

    Args:
        conv: The convolution, of any stride and padding, with or without bias.
        norm: What follows it.
        images: `[N, C, H, W]`; or `[N, G * C, H, W]`, the images of G tasks side by side, if `conv` and `norm`
            hold the weights of G networks stacked along their first dimension and `leading` is given.
        leading: As in `BatchNorm2d.forward`.
        pooled: Whether there is pooling.
    """
    if not hasattr(norm, "folded"):  # as of torch
        found = f"{type(norm).__module__}.{type(norm).__name__}"
        raise TypeError(f"{found} is no fsbench.backbones.norm.BatchNorm2d, which knows of tasks")
    groups = images.shape[1] // conv.weight.shape[1]
    images = _channels_last(images)

    def convolve(weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(images, weight, bias, conv.stride, conv.padding, groups=groups)

    if leading is None and not norm.training:
        return _pool(convolve(*norm.folded(conv)), pooled)
    if leading is None or (leading == len(images) and not norm.twice) or not pooled:
        return _pool(norm(convolve(conv.weight, conv.bias), leading), pooled)
    sign = torch.where(norm.weight < 0, -1.0, 1.0).to(norm.weight.dtype)
    maps = convolve(conv.weight * sign[:, None, None, None], None if conv.bias is None else conv.bias * sign)
    scale, shift = norm.scale_and_shift(maps[:leading], norm.weight * sign)
    return _pool(maps, pooled) * scale + shift


def _channels_last(images: Tensor) -> Tensor:
    """Images of one channel as channels last.

    Tensors of one channel lie in memory as channels first, too. Weights of such a convolution are channels first after
    a step, and then so would be its maps, which a CPU pools in ten times as long.
    """
    count, channels, height, width = images.shape
    return images.reshape(count, height, width, 1).movedim(-1, 1) if channels == 1 else images


def _pool(maps: Tensor, pooled: bool) -> Tensor:
    return F.max_pool2d(maps, 2) if pooled else maps


class ConvNorm(nn.Module):
    """Convolution without bias, which the normalisation would take away again, and batch normalisation.

    The weights start as in He et al., ICCV 2015, by the fan out.

    Args:
        inputs: Channels of the maps.
        outputs: Filters.
        kernel: Their height and width, odd; the maps are padded so that their edges count as much.
        stride: Of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = BatchNorm2d(outputs)

    def forward(self, images: Tensor, leading: int | None) -> Tensor:
        """Maps `[N, outputs, H, W]` of `images`, as in `conv_norm_pool`."""
        return conv_norm_pool(self.conv, self.norm, images, leading, pooled=False)
