"""Embedding a source: stopped and gone on with, in either precision."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from fsbench.backbones.features import read_features
from fsbench.backbones.pretrained import Pretrained, load_pretrained
from fsbench.backbones.specification import InputSpec, PretrainedSpec
from fsbench.cli.main import main
from fsbench.engine.store import ImageStore
from fsbench.errors import SuiteError
from fsbench.report.reading import records_of
from fsbench.run import embed
from fsbench.run.embed import embed_source
from helpers.frozen import write_backbone
from helpers.tiny import SIZE, SOURCE, write_source, write_suite

PART = 20  # images, of 96


@pytest.fixture(autouse=True)
def _cut_in_five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    monkeypatch.setattr(embed, "_IMAGES_A_PART", PART)
    monkeypatch.setattr(embed, "frozen_at_once", lambda *_: PART // 2)


def backbone(folder: Path, *, seed: int = 0) -> Pretrained:
    write_backbone(folder, seed=seed)
    spec = PretrainedSpec(build="own.py:Own", weights="weights.safetensors", images=InputSpec(size=SIZE))
    return load_pretrained("own", spec, folder)


def written(own: Pretrained, out: Path, **others: str) -> Path:
    assert embed_source(SOURCE, own, out, size=SIZE, device=torch.device("cpu"), **others) == (96, 6)  # type: ignore[arg-type]
    return out


def stopped_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the embedding stop before that many parts are finished; the images that are embedded, part by part."""
    seen: list[int] = []
    plain = embed.embed_images

    def stopping(network: object, store: ImageStore, at_once: int) -> Tensor:
        if len(seen) == parts:
            raise KeyboardInterrupt
        seen.append(len(store.indices))
        return plain(network, store, at_once)  # type: ignore[arg-type]

    monkeypatch.setattr(embed, "embed_images", stopping)
    return seen


def test_an_embedding_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, out = backbone(tmp_path), tmp_path / "b.safetensors"
    whole = written(own, tmp_path / "a.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        assert stopped_after(2, patch) == []
        with pytest.raises(KeyboardInterrupt):
            written(own, out)
    assert not out.exists()
    assert len(list((tmp_path / "b.safetensors.parts").iterdir())) == 2
    with monkeypatch.context() as patch:
        seen = stopped_after(9, patch)
        assert written(own, out).read_bytes() == whole
        assert seen == [PART, PART, 96 - 4 * PART]
    assert not (tmp_path / "b.safetensors.parts").exists()


def test_parts_that_are_damaged_or_of_another_backbone_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own, out = backbone(tmp_path), tmp_path / "b.safetensors"
    whole = written(own, tmp_path / "a.safetensors").read_bytes()
    for other in (own, backbone(tmp_path, seed=1)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stopped_after(2, patch)
            written(other, out)
        first = min((tmp_path / "b.safetensors.parts").iterdir())
        if other is own:
            first.write_bytes(first.read_bytes()[:-1])
        with caplog.at_level(logging.WARNING, "fsbench"):
            assert written(own, out).read_bytes() == whole
        assert ("This part is made again." in caplog.text) == (other is own)
        caplog.clear()


def test_features_in_bf16_are_near_and_say_so(tmp_path: Path) -> None:
    own = backbone(tmp_path)
    plain = read_features(written(own, tmp_path / "a.safetensors", precision="fp32"))
    half = read_features(written(own, tmp_path / "b.safetensors", precision="bf16"))
    assert "pooled features in fp32; pack" in plain.head.made_with
    assert "pooled features in bf16; pack" in half.head.made_with
    assert not torch.equal(plain.features, half.features)
    torch.testing.assert_close(plain.features, half.features, rtol=0.02, atol=0.02)
    assert half.identity != plain.identity


def test_a_name_that_cannot_be_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = backbone(tmp_path)
    stopped_after(0, monkeypatch)
    with pytest.raises(SuiteError, match=r"end the name in \.safetensors"):
        written(own, tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ridge", "penalty = 0.1"),
        (
            "finetune-all",
            "steps = 1, rate = 0.1, backbone_rate = 0.1, momentum = 0.0, dampening = 0.0, weight_decay = 0.0",
        ),
    ],
)
def test_rows_without_training_are_in_bf16_only_where_it_is_asked_for(
    method: str, params: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsbench.engine.precision._has_bf16", lambda _: True)
    write_backbone(tmp_path)
    suite = write_suite(tmp_path / "suite.toml", rows=("knn",))
    suite.write_text(
        suite.read_text()
        + '[backbones.own]\nbuild = "own.py:Own"\nweights = "weights.safetensors"\nimages = { size = 24 }\n'
        + f'[methods.row]\nmethod = "{method}"\nparams = {{ {params} }}\ntraining = "none"\nbackbone = "own"\n'
    )
    found = {}
    for name, words in (("plain", ()), ("half", ("--precision", "bf16"))):
        words = ("--suite", str(suite), "--methods", "row", "--shots", "1", *words, "--out", str(tmp_path / name))
        result = CliRunner().invoke(main, ["run", *words])
        assert result.exit_code == 0, result.output
        (found[name],) = records_of(tmp_path / name)
    plain, half = found["plain"], found["half"]
    assert (plain.training.precision, half.training.precision) == (None, "bf16")
    assert plain.identity.training != half.identity.training
    assert plain.identity.episode_set == half.identity.episode_set
    assert abs(plain.mean - half.mean) < 3
