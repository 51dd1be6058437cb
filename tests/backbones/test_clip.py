"""Image towers of open_clip: a small model of the real library where it is installed, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fsbench.backbones import clip
from fsbench.backbones.pretrained import Pretrained, load_pretrained
from fsbench.backbones.specification import InputSpec, PretrainedSpec, given_backbone
from fsbench.errors import SuiteError, UsageError

SIZE = 32
WEIGHTS = "clip.safetensors"
TINY = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


def load(folder: Path, build: str = "open_clip:tiny", **changes: Any) -> Pretrained:
    return load_pretrained("clip", PretrainedSpec(build=build, **({"weights": WEIGHTS} | changes)), folder)


class Tower(nn.Module):
    """As much of an image tower as is asked of one; a tower may give its tokens too."""

    def __init__(self, tokens: bool) -> None:
        super().__init__()
        self.conv, self.tokens = nn.Conv2d(3, 5, 8, stride=8), tokens

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps = self.conv(images)
        return (maps.mean((2, 3)), maps) if self.tokens else maps.mean((2, 3))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What fsbench calls of open_clip, with one small model and one tag."""

    def create_model(
        name: str, tag: str | None, *, force_image_size: int | None, require_pretrained: bool, **others: Any
    ) -> SimpleNamespace:
        assert require_pretrained == (tag is not None)
        if force_image_size == 13:
            raise AssertionError("13 is not divisible\nby 8")
        stand_in.asked, stand_in.tag = others, tag
        return SimpleNamespace(visual=Tower(tokens=name == "tiny-tokens"), size=force_image_size or SIZE)

    stand_in = SimpleNamespace(
        list_models=lambda: ["tiny", "tiny-tokens"],
        get_pretrained_cfg=lambda _, tag: {"mean": (0.1,) * 3, "quick_gelu": True} if tag == "openai" else {},
        list_pretrained_tags_by_model=lambda _: ["openai"],
        create_model=create_model,
        get_model_preprocess_cfg=lambda model: {"size": (model.size,) * 2, "mean": (0.5,) * 3, "std": (0.25,) * 3},
    )
    monkeypatch.setitem(sys.modules, "open_clip", stand_in)
    monkeypatch.setattr(clip, "version", lambda _: "3")
    return stand_in


@pytest.fixture
def tensors(tmp_path: Path) -> dict[str, Tensor]:
    """The file of a whole model; the towers of both models have the same tensors."""
    own = Tower(tokens=False).state_dict()
    whole = {f"visual.{name}": value for name, value in own.items()} | {
        "text.a": torch.ones(2),
        "logit_scale": torch.ones(1),
    }
    save_file(whole, tmp_path / WEIGHTS)
    return whole


@pytest.mark.parametrize("name", ["tiny", "tiny-tokens"])
def test_only_the_image_tower_counts(
    tmp_path: Path, library: SimpleNamespace, tensors: dict[str, Tensor], name: str
) -> None:
    found, images = load(tmp_path, f"open_clip:{name}"), torch.randn(2, 3, SIZE, SIZE)
    expected = nn.functional.conv2d(images, tensors["visual.conv.weight"], tensors["visual.conv.bias"], 8).mean((2, 3))
    torch.testing.assert_close(found.network(images), expected)
    assert (found.size, found.mean, found.std) == (SIZE, (0.5,) * 3, (0.25,) * 3)
    assert (found.network.label, found.library, found.corpora) == (name, "open_clip 3", ())
    assert found.identity()["name"] == f"open_clip:{name}"
    save_file(tensors | {"text.a": torch.zeros(2)}, tmp_path / WEIGHTS)
    assert load(tmp_path, f"open_clip:{name}").weights == found.weights
    assert library.asked == {"load_weights": False, "pretrained_text": False, "force_quick_gelu": False}


def test_a_tag_says_how_the_weights_were_trained(
    tmp_path: Path, library: SimpleNamespace, tensors: dict[str, Tensor]
) -> None:
    found = load(tmp_path, "open_clip:tiny.openai")
    assert (found.mean, found.corpora, found.tag, library.tag) == ((0.1,) * 3, ("openai-wit",), "openai", None)
    assert library.asked["force_quick_gelu"]
    assert found.identity()["name"] == "open_clip:tiny with QuickGELU"
    assert load(tmp_path, images=InputSpec(size=64)).size == 64


def test_weights_are_downloaded_only_where_it_is_asked_for(tmp_path: Path, library: SimpleNamespace) -> None:
    found = load(tmp_path, "open_clip:tiny.openai", weights=None, download=True)
    assert (library.tag, library.asked["load_weights"], found.network.features) == ("openai", True, 5)
    with pytest.raises(UsageError, match=r"cannot be downloaded \(AssertionError: 13 is not divisible\); get the file"):
        load(tmp_path, "open_clip:tiny.openai", weights=None, download=True, images=InputSpec(size=13))


@pytest.mark.usefixtures("library", "tensors")
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"build": "open_clip:tinny"}, UsageError, "unknown model of open_clip 'tinny'; did you mean 'tiny'"),
        (
            {"build": "open_clip:tiny.opena"},
            UsageError,
            "unknown tag of open_clip's tiny 'opena'; did you mean 'openai'",
        ),
        ({"features": "cls"}, SuiteError, "gives its own features only"),
        ({"weights": None}, SuiteError, "has no weights, and nothing is downloaded"),
        (
            {"images": InputSpec(size=13)},
            SuiteError,
            r"cannot be built \(AssertionError: 13 is not divisible\); choose",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(tmp_path, **changes)


def test_without_the_library_the_way_to_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=r"need open_clip .*pip install 'fsbench\[open_clip\]'"):
        load(tmp_path)
    given = given_backbone("open_clip:ViT-B-32", None, ())
    assert given is not None and given.build == "open_clip:ViT-B-32"


def test_a_small_model_of_the_real_library_gives_its_features(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip", reason="open_clip is an extra")
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "tiny.json")
    model = open_clip.create_model("tiny", load_weights=False).eval()
    save_file(model.state_dict(), tmp_path / WEIGHTS)
    found, images = load(tmp_path), torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(found.network(images), model.encode_image(images))
    assert (found.size, found.network.features) == (SIZE, 12)
    assert found.mean == open_clip.OPENAI_DATASET_MEAN
    del (state := model.state_dict())["visual.proj"]
    save_file(state, tmp_path / WEIGHTS)
    with pytest.raises(SuiteError, match=r"lacks the tensors visual\.proj"):
        load(tmp_path)
    with pytest.raises(UsageError, match="unknown model of open_clip 'ViT-B-33'; did you mean 'ViT-B-32'"):
        load(tmp_path, "open_clip:ViT-B-33")
    with pytest.raises(UsageError, match="unknown tag of open_clip's ViT-B-32 'openi'; did you mean 'openai'"):
        load(tmp_path, "open_clip:ViT-B-32.openi")
