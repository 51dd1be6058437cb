"""Training on features that a frozen backbone made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fsbench.engine.batches import training_data
from fsbench.engine.checkpoints import load_checkpoint
from fsbench.engine.frozen import embedded_once
from fsbench.engine.schedule import Schedule
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.sampler import Rules
from fsbench.errors import SuiteError
from fsbench.methods.registry import load_methods
from fsbench.record_files import read_record
from fsbench.suite_files import load_suite
from helpers.commands import run
from helpers.small import build, write_small_pack
from helpers.tiny import write_suite

pytestmark = pytest.mark.usefixtures("tiny_cache")

FREEZE = ('method = "r2d2"\n', 'method = "r2d2"\nstart = "knn"\nfreeze = true\n')


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    pack = write_small_pack(tmp_path_factory.mktemp("pack"))
    return ImageStore(pack, "train", torch.device("cpu"), [0.5], [0.5])


def schedule(pool: int | None) -> Schedule:
    return Schedule(
        protocol=FixedProtocol("train", 5, 2, 3, 0, 0),
        size=2,
        seed=0,
        steps=3,
        rate=1e-3,
        halve_every=None,
        weight_decay=0.0,
        clip=None,
        validate_every=3,
        patience=None,
        augment=False,
        rules=Rules(),
        pool=pool,
    )


@pytest.mark.parametrize("pool", [None, 10], ids=["tasks", "pools"])
def test_a_step_on_features_has_the_loss_of_a_step_on_images(store: ImageStore, pool: int | None) -> None:
    method = build("r2d2").eval()
    data = training_data(schedule(pool), [store], 0)
    expected = [method.loss(next(data)).item() for _ in range(3)]
    before = {name: value.clone() for name, value in method.state_dict().items()}
    seen: list[int] = []
    method.backbone.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with embedded_once(method, [store]) as (featured,):
        assert sum(seen) == len(store.indices)
        method.train()
        data = training_data(schedule(pool), [featured], 0)
        losses = [method.loss(next(data)) for _ in range(3)]
        losses[0].backward()
        assert sum(seen) == len(store.indices)
    assert [loss.item() for loss in losses] == pytest.approx(expected, rel=1e-4)
    assert method.log_scale.grad is not None
    assert all(weight.grad is None for weight in method.backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert method.eval().embed(store.images(store.indices[:2])).shape == (2, method.backbone.features)


def test_what_has_nothing_but_a_backbone_is_not_frozen(store: ImageStore) -> None:
    with (
        pytest.raises(SuiteError, match="ProtoNet has nothing to train on a frozen backbone"),
        embedded_once(build("proto"), [store]),
    ):
        pass


@pytest.mark.slow
def test_a_frozen_row_has_the_backbone_that_it_starts_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsbench.engine.precision._has_bf16", lambda device: True)
    suite = write_suite(tmp_path / "s.toml", FREEZE, rows=("knn", "r2d2"))
    run(suite, tmp_path, "--shots", 1)
    weights = {file.name[:3]: load_checkpoint(file)[0] for file in tmp_path.glob("checkpoints/*.safetensors")}
    kept = {name: value for name, value in weights["r2d"].items() if name.startswith("backbone.")}
    assert kept
    assert all(torch.equal(value, weights["knn"][name]) for name, value in kept.items())
    record = next(record for record in map(read_record, tmp_path.glob("records/*")) if record.label == "R2-D2")
    assert (record.training.parameters, record.identity.initialised_from) == (1, "knn")
    assert record.training.precision == "fp32"  # its features are those of the tests
    assert record.training.frozen == sum(
        value.numel() for name, value in kept.items() if name.endswith(("weight", "bias"))
    )


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([(FREEZE[0], FREEZE[1].replace('start = "knn"\n', ""))], r"methods\.r2d2\.freeze needs a start"),
        (
            [FREEZE, ("tasks = 2", "tasks = 2\naugment = true")],
            "embeds every image once, as it is, so that augment has no",
        ),
        (
            [('method = "fomaml"\n', 'method = "fomaml"\nstart = "knn"\nfreeze = true\n')],
            "fo-MAML does not answer from",
        ),
    ],
)
def test_a_row_that_cannot_be_frozen_is_named(tmp_path: Path, edits: list[tuple[str, str]], message: str) -> None:
    path = write_suite(tmp_path / "s.toml", *edits, rows=("knn", "r2d2", "fomaml"))
    with pytest.raises(SuiteError, match=message):
        load_methods(load_suite(str(path)), ["fomaml"])
