"""What rows share of their work, and that it changes no number."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import torch

from fsbench.data.pack import Pack
from fsbench.engine.checkpoints import load_checkpoint
from fsbench.engine.evaluation import embed_split
from fsbench.engine.store import ImageStore
from fsbench.errors import DeviceError, SuiteError
from fsbench.methods.base import FeatureMethod
from fsbench.methods.fomaml import FirstOrderMAML
from fsbench.record_files import read_record
from fsbench.records import Record
from fsbench.suite_files import load_suite
from fsbench.tasks import Tasks
from helpers.commands import fsbench, refused, run
from helpers.tiny import contents, write_suite

pytestmark = pytest.mark.usefixtures("tiny_cache")

CHAIN = {"proto": "knn", "fomaml": "proto"}  # rows, and where they start
CIRCLE = {"proto": "fomaml", "fomaml": "proto"}
MINE = '''
from fsbench.methods.proto import ProtoNet


class OneFeature(ProtoNet):
    """Shares ProtoNet's weights and looks at one feature only."""

    label = "One feature"

    def embed(self, images):
        return super().embed(images)[:, :1]
'''


OWN_NAME = '''
import torch
import torch.nn.functional as F

from fsbench.methods.base import Method, prototypes


class Mine(Method):
    """Calls its backbone something else."""

    label = "Mine"
    transductive = False

    def __init__(self, make_backbone, classes):
        super().__init__()
        self.encoder = make_backbone()

    def predict(self, tasks):
        support, query = tasks.gathered(self.encoder(tasks.images))
        return -torch.cdist(query, prototypes(support, tasks.support_labels, tasks.way))

    def loss(self, tasks):
        return F.cross_entropy(self.predict(tasks).flatten(0, 1), tasks.query_labels.flatten())


class Without(Mine):
    """Has none."""

    def __init__(self, make_backbone, classes):
        super().__init__(make_backbone, classes)
        self.encoder = torch.nn.Flatten()
'''


def records(out: Path) -> dict[tuple[str, int | None], Record]:
    found = map(read_record, (out / "records").glob("*.json"))
    return {(record.identity.row, record.identity.shot): record for record in found}


def test_rows_of_one_training_that_embed_otherwise_do_not_share_features(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    mine = f'\n[methods.mine]\nmethod = "{tmp_path / "mine.py"}:OneFeature"\ntraining = "proto"\n'
    mine += "params = { temperature = 1.0 }\n"
    text = write_suite(tmp_path / "s.toml", rows=("proto",)).read_text()
    head, proto = text.split("\n[methods.proto]", 1)
    texts = {"after": text + mine, "before": f"{head}{mine}\n[methods.proto]{proto}"}
    found = {}
    for name, words in {"after": (), "before": (), "alone": ("--methods", "mine")}.items():
        suite = tmp_path / f"{name}.toml"
        suite.write_text(texts.get(name, text + mine))
        run(suite, tmp_path / name, "--shots", 1, *words)
        found[name] = {row: list(record.correct) for (row, _), record in records(tmp_path / name).items()}
    assert found["alone"]["mine"] == found["after"]["mine"] == found["before"]["mine"]
    assert found["after"]["proto"] == found["before"]["proto"] != found["alone"]["mine"]


def test_a_look_that_adapts_to_every_episode_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsbench.pace.SECONDS_A_LINE", 0.0)
    suite = write_suite(tmp_path / "s.toml", rows=("proto", "fomaml"))
    number = load_suite(suite).validation.number
    lines = run(suite, tmp_path / "out", "--shots", 1).stderr.splitlines()
    assert any(line.startswith(f"  validating fomaml 1-shot: {number}/{number}") for line in lines)
    assert not any("validating proto" in line for line in lines)  # its images are embedded at once, in no time


def test_what_is_told_of_another_training_seed_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsbench.pace.SECONDS_A_LINE", 0.0)
    suite = write_suite(tmp_path / "s.toml", rows=("fomaml",))
    lines = run(suite, tmp_path / "out", "--shots", 1, "--seeds", 2).stderr.splitlines()
    told = {line.split(":")[0].strip() for line in lines if line.startswith("  t")}
    first = {"training fomaml 1-shot", "testing fomaml 1-shot on tiny"}
    assert told == first | {"training fomaml 1-shot (seed 1)", "testing fomaml 1-shot (seed 1) on tiny"}


def test_a_resumed_run_embeds_the_same_images_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum may be rounded otherwise in a batch of another size."""
    embedded: list[list[int]] = []

    def spying(method: FeatureMethod, store: ImageStore, *more: Any) -> torch.Tensor:
        embedded.append(store.indices.tolist())
        return embed_split(method, store, *more)

    monkeypatch.setattr("fsbench.run.images.embed_split", spying)
    suite, out = write_suite(tmp_path / "s.toml", rows=("knn", "finetune")), tmp_path / "out"
    run(suite, out, "--episodes", 2)
    assert len(embedded) == 1  # for both rows and both shots
    for path in out.glob("records/*5shot*"):
        path.unlink()
    run(suite, out, "--episodes", 2)
    assert len(embedded) == 2
    assert embedded[0] == embedded[1]


@pytest.mark.parametrize("words", [("--shots", 1), ("--protocol", "variable")], ids=["fixed", "variable"])
def test_an_evaluation_that_was_stopped_goes_on(
    words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = write_suite(tmp_path / "s.toml", rows=("fomaml",), variable=True)
    run(suite, tmp_path / "whole", *words)
    monkeypatch.setattr("fsbench.engine.tally.SECONDS_A_SAVE", 0.0)
    predict, stops, asked = FirstOrderMAML.predict, {2, 11}, 0

    def counted(method: FirstOrderMAML, tasks: Tasks) -> torch.Tensor:
        nonlocal asked
        if asked - looks in stops:
            stops.remove(asked - looks)
            raise KeyboardInterrupt
        asked += 1
        return predict(method, tasks)

    looks = 2 * 4  # of validation episodes
    monkeypatch.setattr(FirstOrderMAML, "predict", counted)
    out = tmp_path / "parts"
    while stops:
        stopped = fsbench("run", "--suite", suite, "--out", out, "--device", "cpu", *words)
        assert stopped.exit_code not in (0, 2)
        assert len(list((out / "checkpoints").glob("*.tally"))) == 1
    run(suite, out, *words)
    assert asked == looks + 20
    assert contents(out) == contents(tmp_path / "whole")
    assert not list(out.rglob("*.tally"))


def test_a_fresh_run_answers_all_episodes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, out = write_suite(tmp_path / "s.toml", rows=("fomaml",)), tmp_path / "out"
    run(suite, out, "--shots", 1)
    (path,) = out.glob("records/*.json")
    left = [out / "checkpoints" / f"{path.stem}.tally"]
    left += [checkpoint.with_suffix(".tally") for checkpoint in out.glob("checkpoints/*.safetensors")]
    for file in left:
        file.write_bytes(b"answers")
    monkeypatch.setattr("fsbench.engine.tally.Tally.discard", lambda _: None)
    assert "answered again" not in run(suite, out, "--shots", 1, "--fresh").stderr
    assert not any(file.exists() for file in left)


def test_rows_that_share_a_training_record_its_time(tmp_path: Path) -> None:
    suite, out = write_suite(tmp_path / "s.toml", rows=("knn", "finetune")), tmp_path / "out"
    run(suite, out, "--episodes", 2, "--methods", "knn")
    run(suite, out, "--episodes", 2, "--methods", "finetune")
    (seconds,) = {record.timings["training"] for record in records(out).values()}
    assert seconds > 0


def test_a_row_that_starts_from_another_records_where_it_started(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "s.toml", ('method = "proto"\n', 'method = "proto"\nstart = "knn"\n'), rows=("knn", "proto")
    )
    run(suite, tmp_path / "out", "--episodes", 2, "--shots", 1)
    found = records(tmp_path / "out")
    assert [look.step for look in found["proto", 1].training.history] == [0, 2, 4]
    assert [look.step for look in found["knn", 1].training.history] == [2, 4]
    assert found["proto", 1].training.history[0].loss is None
    start, end = found["knn", 1].training, found["proto", 1].training
    assert (start.start, end.start) == (None, start.weights)
    assert start.weights is not None and end.weights not in (None, start.weights)


def test_a_row_may_start_from_one_that_starts_from_another(tmp_path: Path) -> None:
    edits = [(f'method = "{row}"\n', f'method = "{row}"\nstart = "{start}"\n') for row, start in CHAIN.items()]
    suite, out = write_suite(tmp_path / "s.toml", *edits, rows=("knn", *CHAIN)), tmp_path / "out"
    run(suite, out, "--episodes", 2, "--shots", 1, "--methods", "fomaml")
    assert records(out)["fomaml", 1].identity.initialised_from == "proto"
    assert {path.name.split("-")[0] for path in (out / "checkpoints").glob("*.safetensors")} == {"knn", *CHAIN}


def test_a_circle_of_starts_is_refused(tmp_path: Path) -> None:
    edits = [(f'method = "{row}"\n', f'method = "{row}"\nstart = "{start}"\n') for row, start in CIRCLE.items()]
    with pytest.raises(SuiteError, match=r"leads back to 'proto': proto from fomaml from proto"):
        load_suite(str(write_suite(tmp_path / "s.toml", *edits, rows=tuple(CIRCLE))))


def test_images_that_no_work_needs_make_room_on_a_full_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: WeakSet[ImageStore] = WeakSet()
    refused: list[str] = []

    def small(pack: Pack, split: str, *given: Any, **named: Any) -> ImageStore:
        gc.collect()
        if split == "test" and any(store.split != "test" for store in alive):
            refused.append(split)
            raise DeviceError("the images do not fit")
        store = ImageStore(pack, split, *given, **named)
        alive.add(store)
        return store

    monkeypatch.setattr("fsbench.run.images.ImageStore", small)
    run(write_suite(tmp_path / "s.toml", rows=("proto",)), tmp_path / "out", "--episodes", 2, "--shots", 1)
    assert refused == ["test"]


def test_images_too_large_for_the_device_are_read_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def small(*given: Any, resident: bool) -> ImageStore:
        if resident:
            raise DeviceError("the images do not fit.")
        return ImageStore(*given, resident=resident)

    suite = write_suite(tmp_path / "s.toml", rows=("proto",))
    run(suite, tmp_path / "plain", "--episodes", 2, "--shots", 1)
    monkeypatch.setattr("fsbench.run.images.ImageStore", small)
    run(suite, tmp_path / "out", "--episodes", 2, "--shots", 1)
    said = "the images do not fit. Until then, steps read them from the file, which is slower."
    assert caplog.messages.count(said) == 1
    counts = [
        [read_record(path).correct for path in (tmp_path / out / "records").iterdir()] for out in ("plain", "out")
    ]
    assert counts[0] == counts[1]


def starting_from_knn(folder: Path, name: str) -> Path:
    """A suite in which a method of a file starts from k-NN's classifier, and hardly learns."""
    (folder / "mine.py").write_text(OWN_NAME)
    path = write_suite(folder / "s.toml", rows=("knn",))
    mine = f'\n[methods.mine]\nmethod = "mine.py:{name}"\nstart = "knn"\n'
    training = 'kind = "episodes"\nsteps = 1\nrate = 1e-30\nway = 5\nqueries = 3\ntasks = 1\nvalidate_every = 1\n'
    path.write_text(f"{path.read_text()}{mine}\n[methods.mine.training]\n{training}")
    return path


def test_a_start_is_taken_whatever_a_method_calls_its_backbone(tmp_path: Path) -> None:
    run(starting_from_knn(tmp_path, "Mine"), tmp_path / "out", "--shots", 1)
    weights = {file.name[:3]: load_checkpoint(file)[0] for file in tmp_path.glob("out/checkpoints/*.safetensors")}
    convolutions = {name: value for name, value in weights["min"].items() if "conv.weight" in name}
    assert len(convolutions) == 4
    for name, value in convolutions.items():
        torch.testing.assert_close(value, weights["knn"][name.replace("encoder.", "backbone.")], rtol=0, atol=1e-12)


def test_a_start_without_a_backbone_to_give_it_to_is_refused(tmp_path: Path) -> None:
    message = refused("run", "--suite", starting_from_knn(tmp_path, "Without"), "--out", tmp_path / "out")
    assert "methods.mine has a start, or is one, and Mine has 0 backbones, not one; leave start out of" in message
    assert not list(tmp_path.rglob("*.safetensors"))  # the start neither
