"""What every builder of networks of others gives, and how it comes by their library."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from torch import Tensor, nn

from fsbench.backbones.specification import PretrainedSpec
from fsbench.errors import SuiteError, UsageError

__all__ = ["IMAGENET", "Built", "Triple", "check_pooled", "downloading", "library"]

Triple: TypeAlias = tuple[float, float, float]
IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std of its images


@dataclass(frozen=True)
class Built:
    """A network as its builder makes it: with random weights, or with downloaded ones where the suite says so.

    Attributes:
        module: The network; its classifier, if it has one, is removed by `behead`.
        embed: From images `[N, 3, H, W]` to features `[N, D]`.
        build: What identifies the architecture: the builder and the name without a tag.
        label: In tables.
        size: Of the images, height and width, pixels.
        mean: Of every channel, on the scale 0 to 1.
        std: The same.
        tag: What the builder calls the weights, as in timm's names; empty: nothing.
        library: Name and version of where it is from; empty: a file.
        classifier: Beginnings of the names of tensors that no feature depends on.
        behead: Take the classifier away; called once, after weights were loaded.
        has_weights: Whether it has weights already: those of a class, or downloaded ones.
        revision: Of a class: what tells it from its earlier versions.
    """

    module: nn.Module
    embed: Callable[[Tensor], Tensor]
    build: str
    label: str
    size: int
    mean: Triple
    std: Triple
    tag: str = ""
    library: str = ""
    classifier: tuple[str, ...] = ()
    behead: Callable[[], object] = lambda: None
    has_weights: bool = False
    revision: int | str | None = None


@contextmanager
def downloading(spec: PretrainedSpec) -> Iterator[None]:
    """While it lasts, a library may get weights; what it cannot get is one sentence.

    Raises:
        UsageError: They cannot be had.
    """
    try:
        yield
    except Exception as error:  # no network, no such weights, no room: whatever comes up
        if not spec.download:
            raise
        raise UsageError(
            f"the weights of {spec.build} cannot be downloaded ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]:.200}); get the file, and give it as weights."
        ) from error


def check_pooled(spec: PretrainedSpec) -> None:
    """Check that nothing but the features of the network's own is asked for.

    Raises:
        SuiteError: It is.
    """
    if spec.features != "pooled":
        raise SuiteError(f"{spec.build} gives its own features only; leave out features = {spec.features!r}.")


def library(name: str) -> Any:
    """A library of models; what it warns of when it is imported is no business of a run.

    Raises:
        UsageError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"backbones called {name}:NAME need {name} ({error}); run `python -m pip install 'fsbench[{name}]'`."
        ) from error
