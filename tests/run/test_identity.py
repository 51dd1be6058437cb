"""What identifies trainings and cells: frozen, so that checkpoints and records made today are found tomorrow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsbench.data.pack import Pack
from fsbench.episodes.content import content_digest
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.variable import VariableProtocol
from fsbench.errors import SuiteError
from fsbench.identity import cell_id
from fsbench.methods.registry import load_method
from fsbench.run.cells import Cell, EpisodeSet
from fsbench.run.options import Options
from fsbench.run.plan import make_plan
from fsbench.suite import Suite
from fsbench.suite_files import load_suite
from helpers.factories import make_record
from helpers.small import write_small_pack
from helpers.tiny import SOURCE, write_suite

PROTOCOL = FixedProtocol("test", 5, 1, 5, 4, 0)


def pack_of(folder: Path, *, size: int = 24, seed: int = 0) -> Pack:
    """A pack whose digest depends on no library's pixels."""
    return replace(write_small_pack(folder, source=SOURCE, size=size, seed=seed, images=12), digest="0" * 64)


def planned(suite: Suite, pack: Pack) -> dict[str, Cell]:
    """The cells of a plan at one shot, by row."""
    methods = {row.method: load_method(row.method) for row in suite.methods.values()}
    columns = [(SOURCE, EpisodeSet.drawn(pack, PROTOCOL, Rules()))]
    plan = make_plan(suite, Options(), methods, {SOURCE: pack}, columns)
    return {cell.identity.row: cell for cell in plan}


def cells_of(folder: Path, *edits: tuple[str, str]) -> dict[str, Cell]:
    suite = load_suite(str(write_suite(folder / "suite.toml", *edits, rows=("knn", "proto", "fomaml"))))
    return planned(suite, pack_of(folder / "pack"))


START = ('method = "fomaml"\n', 'method = "fomaml"\nstart = "proto"\n')


def test_the_identities_of_a_plan_are_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for target in (
        *("fsbench.run.plan.ENGINE", "fsbench.backbones.conv4.Conv4.revision"),
        *("fsbench.methods.proto.ProtoNet.revision", "fsbench.methods.fomaml.FirstOrderMAML.revision"),
    ):
        monkeypatch.setattr(target, 1)
    (tmp_path / "frozen.toml").write_text(FROZEN)
    found = planned(load_suite(str(tmp_path / "frozen.toml")), pack_of(tmp_path / "pack"))
    assert {row: (cell.training.id, cell_id(cell.identity)) for row, cell in found.items()} == GOLDEN


def test_a_renamed_or_added_attribute_changes_no_identity() -> None:
    """The keys that are hashed are written out: those of the files stay, whatever a class calls its attributes."""
    identity = make_record().identity

    class Renamed(type(identity)):  # type: ignore[misc]
        added: str = "anything"

    assert cell_id(Renamed(**identity.model_dump())) == cell_id(identity)


@pytest.mark.parametrize(
    "change",
    [{"engine": 2}, {"backbone_revision": 2}, {"episode_set": "other"}, {"pack": "other"}],
    ids=str,
)
def test_every_revision_changes_the_cell(change: dict[str, Any]) -> None:
    identity = make_record().identity
    assert cell_id(identity.model_copy(update=change)) != cell_id(identity)


def test_the_revisions_of_engine_and_backbone_change_trainings_and_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cells_of(tmp_path)
    for target, value in (
        ("fsbench.run.plan.ENGINE", 1000),
        ("fsbench.backbones.conv4.Conv4.revision", 1000),
        ("fsbench.methods.proto.ProtoNet.revision", 1000),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, value)
            after = cells_of(tmp_path)
        assert after["proto"].training.id != before["proto"].training.id
        assert cell_id(after["proto"].identity) != cell_id(before["proto"].identity)
        assert (after["knn"].training.id == before["knn"].training.id) == ("ProtoNet" in target)


def test_a_row_may_have_a_backbone_of_its_own(tmp_path: Path) -> None:
    own = '[methods.proto.backbone]\nname = "resnet18"\nwidth = 4\n\n[methods.proto.training]'
    before, after = cells_of(tmp_path), cells_of(tmp_path, ("[methods.proto.training]", own))
    assert after["proto"].training.backbone.name == after["proto"].identity.backbone["name"] == "resnet18"
    assert after["proto"].training.id != before["proto"].training.id
    for row in ("knn", "fomaml"):
        assert after[row].training.id == before[row].training.id
        assert after[row].identity == before[row].identity


def test_a_frozen_start_is_another_training(tmp_path: Path) -> None:
    frozen = (START[0], START[1] + "freeze = true\n")
    started, kept = cells_of(tmp_path, START), cells_of(tmp_path, frozen)
    assert kept["fomaml"].training.frozen
    assert kept["fomaml"].training.id != started["fomaml"].training.id
    assert kept["proto"].training.id == started["proto"].training.id


@pytest.mark.parametrize("kind", ["training", "start"])
def test_rows_that_share_weights_share_their_backbone(tmp_path: Path, kind: str) -> None:
    own = '[methods.{}.backbone]\nname = "resnet18"\nwidth = 4\n\n[methods.{}.{}]'
    row, table = ("finetune", "params") if kind == "training" else ("fomaml", "training")
    edits = [(f"[methods.{row}.{table}]", own.format(row, row, table))]
    edits += [] if kind == "training" else [START]
    suite = write_suite(tmp_path / "s.toml", *edits, rows=("knn", "finetune", "proto", "fomaml"))
    with pytest.raises(SuiteError, match="backbone"):
        load_suite(str(suite))


@pytest.mark.parametrize("protocol", [PROTOCOL, VariableProtocol("test", 3, 0)], ids=["fixed", "variable"])
def test_the_content_of_episodes_is_that_of_the_images_not_of_the_pixels(tmp_path: Path, protocol: Any) -> None:
    small, large = pack_of(tmp_path / "small"), pack_of(tmp_path / "large", size=40, seed=1)
    digests = {content_digest(pack, Sampler(pack, protocol, Rules()).draw()) for pack in (small, large)}
    assert len(digests) == 1
    other = replace(small, classes=tuple(reversed(small.classes)))
    assert content_digest(other, Sampler(small, protocol, Rules()).draw()) not in digests
    again = Sampler(small, replace(protocol, seed=1), Rules()).draw()
    assert content_digest(small, again) not in digests


def test_the_content_of_episodes_is_frozen(tmp_path: Path) -> None:
    pack = pack_of(tmp_path)
    assert content_digest(pack, Sampler(pack, PROTOCOL, Rules()).draw()) == CONTENT


def test_where_images_stand_in_the_pack_is_no_part_of_the_content(tmp_path: Path) -> None:
    """Two images of a class change places, and the episodes with them."""
    pack = pack_of(tmp_path)
    episodes = Sampler(pack, PROTOCOL, Rules()).draw()
    before = content_digest(pack, episodes)
    turn = np.arange(len(pack.labels)).reshape(-1, 12)[:, ::-1].ravel()
    turned = replace(episodes, support=turn[episodes.support], query=turn[episodes.query])
    assert content_digest(pack, turned) != before
    names = pack.names[turn]
    np.save(tmp_path / "names.npy", names)
    assert content_digest(replace(pack, opened={}), turned) == before


FROZEN = """
name = "frozen"
title = "Two rows"
images = { size = 24, channels = 1, mean = [0.5], std = [0.25] }
backbone = { name = "conv4", width = 8 }
sources = { train = "tiny", test = ["tiny"] }
episodes = { way = 5, shots = [1], queries = 5, number = 4, seed = 0 }
validation = { number = 3, seed = 1 }

[methods.proto]
method = "proto"

[methods.proto.training]
kind = "episodes"
way = 6
queries = 5
tasks = 2
steps = 4
rate = 1e-3
halve_every = 3
weight_decay = 5e-4
clip = 10.0
validate_every = 2
patience = 2
augment = true

[methods.fomaml]
method = "fomaml"
start = "proto"

[methods.fomaml.params]
inner_rate = 0.05
train_steps = 1
test_steps = 2

[methods.fomaml.training]
kind = "episodes"
way = 5
queries = 5
tasks = 2
steps = 4
rate = 1e-3
validate_every = 2
"""
GOLDEN = {  # of the training, of the cell
    "proto": (
        "bbd3423bcd9c89891de156f70b50cc338b7aff0c5d0504e1ccf3159309e76cd6",
        "ec32969d912156b8eb013b87a084eda9ece8622caf4afa5043042b9a3ba2a8d7",
    ),
    "fomaml": (
        "7ed78e6c78c2c53090e5190941d69d42f8e91c17625094aba938e2be650a32fb",
        "34ddf4c5ee9fdd3ff84fe64d85c1a444444c0ca908eb54aee9d89ddf10823863",
    ),
}
CONTENT = "b0c26cc917edc8f19f493eedf41eebee141e3493d7e97ed736a18973779fb754"
