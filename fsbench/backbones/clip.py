"""The image towers of open_clip's models, without weights."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from torch import Tensor, nn

from fsbench.backbones.built import Built, check_pooled, downloading, library
from fsbench.backbones.specification import PretrainedSpec
from fsbench.errors import SuiteError, UsageError, unknown

__all__ = ["ImageTower", "build_image_tower"]

_TEXT: Final = (  # beginnings of the names that tensors of the text tower have in files of a whole model
    "text",
    "transformer",
    "token_embedding",
    "positional_embedding",
    "ln_final",
    "text_projection",
    "text_decoder",
    "logit_scale",
    "logit_bias",
)


class ImageTower(nn.Module):
    """The part of a model that embeds images; its tensors are called as in the whole model.

    Args:
        visual: That part, from images `[N, 3, H, W]` to `[N, D]`, or to that and the tokens it is made of.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Tensor:
        """Features `[N, D]` in the space that images and texts share, not normalised."""
        found = self.visual(images)
        features: Tensor = found[0] if isinstance(found, tuple) else found
        return features


def build_image_tower(spec: PretrainedSpec, name: str) -> Built:
    """Build the image tower of a model; its weights are a file of the whole model.

    A tag says what the weights were trained with: the normalisation of images, and the activation, which the weights of
    OpenAI want another of than open_clip has. Its weights are loaded only where a download is asked for.

    Args:
        spec: What the suite says of it.
        name: Of open_clip's model, with or without a tag: "ViT-B-32.laion2b_s34b_b79k".

    Raises:
        UsageError: There is no such model or tag, or open_clip is not installed.
        SuiteError: It cannot be built for such images, or offline.
    """
    open_clip = library("open_clip")
    check_pooled(spec)
    architecture, _, tag = name.partition(".")
    if architecture not in (known := open_clip.list_models()):
        raise unknown("model of open_clip", architecture, known)
    trained: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    if tag and not trained:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise unknown(f"tag of open_clip's {architecture}", tag, tags)
    quick = bool(trained.get("quick_gelu"))
    try:
        with downloading(spec):
            model = open_clip.create_model(
                architecture,
                tag if spec.download else None,
                load_weights=spec.download,
                require_pretrained=spec.download,
                pretrained_text=False,
                force_quick_gelu=quick,
                force_image_size=spec.images.size,
            )
    except UsageError:
        raise
    except Exception as error:  # whatever the library stumbles over
        raise SuiteError(
            f"{spec.build} cannot be built ({type(error).__name__}: {str(error).partition(chr(10))[0]:.200}); choose "
            "another model, or leave images.size out."
        ) from error
    native = open_clip.get_model_preprocess_cfg(model) | trained
    size = native["size"]
    return Built(
        module=(tower := ImageTower(model.visual)),
        embed=tower,
        build=f"open_clip:{architecture}{' with QuickGELU' if quick else ''}",
        label=architecture,
        size=size if isinstance(size, int) else size[0],
        mean=tuple(native["mean"]),
        std=tuple(native["std"]),
        tag=tag,
        library=f"open_clip {version('open_clip_torch')}",
        classifier=_TEXT,
        has_weights=spec.download,
    )
