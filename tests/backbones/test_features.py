"""Files of features: read back as written, and refused by name when they are damaged or of something else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from fsbench.backbones.features import read_features, write_features
from fsbench.backbones.pretrained import load_pretrained
from fsbench.backbones.specification import PretrainedSpec
from fsbench.errors import DataError, DataNotFoundError, SuiteError

IMAGES = [("cat", "a"), ("cat", "b"), ("dog", "a")]
FEATURES = torch.arange(12.0).view(3, 4)


def write(folder: Path, name: str = "f.safetensors", **changes: Any) -> Path:
    facts: dict[str, Any] = {"source": "tiny", "images": IMAGES, "label": "Own"}
    features = changes.pop("features", FEATURES)
    write_features(folder / name, features, **(facts | changes))
    return folder / name


def by_hand(folder: Path, features: torch.Tensor = FEATURES, **changes: Any) -> Path:
    """What somebody writes without fsbench, as docs/pretrained.md shows it."""
    head = {
        "source": "tiny",
        "images": IMAGES,
        "label": "Own",
        "sha256": hashlib.sha256(features.numpy().tobytes()).hexdigest(),
    }
    save_file({"features": features}, folder / "f.safetensors", metadata={"fsbench": json.dumps(head | changes)})
    return folder / "f.safetensors"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_features_are_found_by_class_and_name(tmp_path: Path, kind: torch.dtype) -> None:
    found = read_features(write(tmp_path, features=FEATURES.to(kind)))
    assert found.features.dtype == torch.float32
    torch.testing.assert_close(found.of(["dog", "cat"], np.array(["a", "b"])), FEATURES[[2, 1]])
    with pytest.raises(DataError, match=r"has no features of 1 of the 2 images of tiny .* as 'b' of the class 'dog'"):
        found.of(["dog", "cat"], np.array(["b", "b"]))


def test_they_can_be_written_without_fsbench(tmp_path: Path) -> None:
    hand, ours = read_features(by_hand(tmp_path)), read_features(write(tmp_path, "g.safetensors"))
    assert hand.identity == ours.identity
    assert torch.equal(hand.features, ours.features)


def test_the_identity_is_of_numbers_and_images(tmp_path: Path) -> None:
    first = read_features(write(tmp_path)).identity
    assert read_features(write(tmp_path, label="Other")).identity == first
    for change in ({"features": FEATURES + 1}, {"images": IMAGES[::-1]}, {"source": "other"}):
        assert read_features(write(tmp_path, **change)).identity != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "are damaged"),
        ({"images": IMAGES[:2]}, r"shape \(3, 4\) for 2 images"),
        ({"images": [IMAGES[0]] * 3}, "has an image twice"),
        ({"label": ""}, "cannot be used"),
        ({"colour": "red"}, "cannot be used"),
        ({"features": torch.full((3, 4), torch.nan)}, "not finite"),
        ({"features": torch.tensor([[1.0], [torch.nan], [2.0]])}, "not finite"),
        ({"features": torch.tensor([[1.0], [-torch.inf], [2.0]])}, "not finite"),
        ({"features": torch.zeros(3, 0)}, r"shape \(3, 0\)"),
        ({"features": torch.zeros(3, 4, dtype=torch.int64)}, "type torch.int64"),
        ({"features": torch.zeros(3, 2, 2)}, r"shape \(3, 2, 2\)"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_features(by_hand(tmp_path, **change))


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    with pytest.raises(DataNotFoundError, match="write them with `fsbench embed "):
        read_features(path)
    for tensors, metadata, missing in (({"x": FEATURES}, None, "fsbench"), ({"x": FEATURES}, {"a": "b"}, "fsbench")):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(DataError, match=f"it has no '{missing}'"):
            read_features(path)
    with pytest.raises(SuiteError, match=r"end the name in \.safetensors"):
        write(tmp_path, "f.npz")


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_no_damage_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    path = write(tmp_path_factory.mktemp("features"))
    data = bytearray(path.read_bytes())
    whole = read_features(path)
    place %= len(data)
    changed = data[place] != value
    data[place] = value
    path.write_bytes(data)
    try:
        found = read_features(path)
    except DataError:
        assert changed
    else:
        assert torch.equal(found.features, whole.features)


def test_files_of_one_model_are_one_backbone(tmp_path: Path) -> None:
    write(tmp_path, "a.safetensors")
    write(tmp_path, "b.safetensors", source="other")
    spec = PretrainedSpec(build="features", files=["a.safetensors", "b.safetensors"])
    found = load_pretrained("mine", spec, tmp_path)
    assert (found.network.features, found.network.label, found.size, found.parameters) == (4, "Own", None, 0)
    assert set(found.files) == {"tiny", "other"}
    with pytest.raises(SuiteError, match="cannot embed images"):
        found.network(torch.zeros(1, 3, 8, 8))
    write(tmp_path, "b.safetensors", source="other", label="Another")
    with pytest.raises(SuiteError, match=r"has 4 features of 'Another', and .* 4 of 'Own'"):
        load_pretrained("mine", spec, tmp_path)
    write(tmp_path, "b.safetensors")
    with pytest.raises(SuiteError, match="two files of tiny"):
        load_pretrained("mine", spec, tmp_path)
    with pytest.raises(ValueError, match="files belong to build = 'features'"):
        PretrainedSpec(build="features")
    with pytest.raises(ValueError, match="files belong to build = 'features'"):
        PretrainedSpec(build="timm:vit", files=["a"])


@pytest.mark.parametrize(
    "given",
    [
        {"sha256": "0" * 64},
        {"weights": "a.pth"},
        {"match": "order"},
        {"features": "cls"},
        {"width": 8},
        {"images": {"size": 99}},
        {"download": True},
    ],
)
def test_what_is_of_a_network_is_refused_beside_files(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(given))} is of a network"):
        PretrainedSpec(build="features", files=["a"], **given)
