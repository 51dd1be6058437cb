from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fsbench.backbones.specification import BackboneSpec
from fsbench.cli.main import main
from fsbench.episodes.protocol import AnyProtocol
from fsbench.forecast.cost import cost_of
from fsbench.forecast.outlook import Outlook, look_ahead
from fsbench.forecast.speeds import LONG, TIMINGS, MeasuredSpeeds
from fsbench.run.cells import Training
from fsbench.run.options import Options
from fsbench.suite_files import load_suite
from helpers.tiny import write_suite

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_cache")]

STARTED = ('method = "proto"\n', 'method = "proto"\nstart = "knn"\n')
ROWS = ("knn", "finetune", "proto", "fomaml")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite") / "tiny.toml", STARTED, rows=ROWS)


@pytest.fixture
def ahead(suite: Path) -> Outlook:
    return look_ahead(load_suite(str(suite)), Options())


class FixedSpeeds:
    """2 s a step, a quarter of a second an image, half a second an episode."""

    def step(self, training: Training) -> float:
        return 2.0

    def image(self, method: str, params: Mapping[str, Any], backbone: BackboneSpec) -> float:
        return 0.25

    def episode(self, method: str, params: Mapping[str, Any], backbone: BackboneSpec, protocol: AnyProtocol) -> float:
        return 0.5


def fsbench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def plan(*words: object) -> str:
    result = fsbench("plan", *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def lines_of(text: str, head: str) -> list[list[str]]:
    """The lines of the table whose first heads are these."""
    table = text[text.index(re.search(rf"^\| {head} .*$", text, re.M)[0]) :].partition("\n\n")[0]  # type: ignore[index]
    return [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(
    "words", [(), ("--methods", "proto", "--seeds", 2), ("--methods", "finetune", "--shots", 5)], ids=str
)
def test_a_run_does_what_was_planned(suite: Path, tmp_path: Path, words: tuple[object, ...]) -> None:
    text = plan("--suite", suite, *words)
    done = fsbench("run", "--suite", suite, "--device", "cpu", "--out", tmp_path, *words)
    assert done.exit_code == 0, done.output
    trainings, cells = (len(list(tmp_path.glob(where))) for where in ("checkpoints/*.safetensors", "records/*.json"))
    assert re.search(rf"^Total: {trainings} trainings? with ", text, re.M)
    assert re.search(rf"; {cells} cells? with {20 * cells} test episodes of 1 source\.$", text, re.M)
    lines = lines_of(text, "row")
    assert sum(int(line[2]) for line in lines) == trainings
    assert sum(int(line[6]) for line in lines) == cells


def test_the_trainings_are_those_of_the_run(suite: Path, ahead: Outlook, tmp_path: Path) -> None:
    assert fsbench("run", "--suite", suite, "--device", "cpu", "--out", tmp_path).exit_code == 0
    assert {training.name for training in ahead.trainings} == {
        path.stem for path in tmp_path.glob("checkpoints/*.safetensors")
    }


def test_a_line_says_how_a_training_goes(suite: Path) -> None:
    text = plan("--suite", suite, "--methods", "finetune,proto", "--shots", 5, "--seeds", 3)
    assert lines_of(text, "row") == [
        ["knn", "any", "3", "4", "16 images", "–", "3"],
        ["proto", "5", "3", "3", "2 tasks, 5-way 5-shot, 5 queries per class", "knn", "3"],
    ]


def test_meta_dataset_is_planned_without_its_images() -> None:
    text = plan("--suite", "metadataset-all", "--seeds", 5)
    assert "Total: 55 trainings with 57,600 steps; 800 cells with 480,000 test episodes of 10 sources.\n" in text


def test_sizes_are_those_that_cards_declare() -> None:
    ahead = look_ahead(load_suite("metadataset-all"), Options(shots=(1,)))
    assert ahead.classes == 712 + 883 + 70 + 140 + 33 + 241 + 994 + 71
    assert ahead.images("omniglot:metadataset", "test") == 659 * 20
    assert ahead.images("quickdraw", "test") == 52 * 1000  # of 50 million, no more are kept
    assert ahead.images("traffic_sign", "test") == 39_209
    assert sum(ahead.images("aircraft", split) for split in ("train", "val", "test")) == 10_000
    assert "1,000 a class kept, assumed to be spread evenly over 345 classes" in ahead.assumed["quickdraw"]
    assert set(ahead.assumed) == set(load_suite("metadataset-all").sources.test)


def test_a_source_that_is_there_has_its_own_size(ahead: Outlook) -> None:
    assert (ahead.images("tiny", "val"), ahead.images("tiny", "test"), ahead.assumed) == (6 * 12, 8 * 12, {})


def test_a_source_that_cannot_give_the_episodes_is_left_out_as_in_a_run() -> None:
    text = plan("--suite", "metadataset-all", "--methods", "knn", "--shots", 100)
    assert "vgg_flower is left out: a 5-way episode needs 5 classes" in text
    assert "Total: 1 training with 3,000 steps; 5 cells with 3,000 test episodes of 5 sources." in text


def test_costs_are_products_and_sums(ahead: Outlook) -> None:
    cost = cost_of(ahead, FixedSpeeds())
    look = 72 * 0.25 + 4 * 0.5
    features, cell = 96 * 0.25, 20 * 0.5
    seconds = {row: (part.training, part.validation, part.evaluation) for row, part in cost.rows.items()}
    assert seconds == {
        "knn": (4 * 2, 2 * look, features + 2 * cell),  # both shots, one training
        "finetune": (0, 0, 2 * cell),  # and its features
        "proto": ((4 + 3) * 2, (1 + 2 + 1 + 2) * look, 2 * (features + cell)),  # it looks at its start, too
        "fomaml": ((4 + 3) * 2, (2 + 2) * 4 * 0.5, 2 * cell),  # no features
    }
    assert cost.total == sum(sum(parts) for parts in seconds.values())


def test_how_far_the_cost_is_computed_is_told(ahead: Outlook) -> None:
    told: list[int] = []
    cost_of(ahead, FixedSpeeds(), told.append)
    assert sum(told) == len(ahead.trainings) + len(ahead.cells)


def test_a_frozen_backbone_embeds_all_images_once_before_its_training(tmp_path: Path) -> None:
    frozen = ('method = "r2d2"\n', 'method = "r2d2"\nstart = "knn"\nfreeze = true\n')
    suite = write_suite(tmp_path / "s.toml", frozen, rows=("knn", "r2d2"))
    planned = look_ahead(load_suite(str(suite)), Options(shots=(1,)))
    row = cost_of(planned, FixedSpeeds()).rows["r2d2"]
    images = planned.images("tiny", "train") + planned.images("tiny", "val")
    assert row.training == 4 * 2.0 + images * 0.25
    assert row.validation == (1 + 2) * 4 * 0.5
    (training,) = trainings_of(planned, "r2d2")
    assert MeasuredSpeeds(planned, torch.device("cpu"), "fp32").step(training) > 0


def test_what_must_wait_bounds_what_devices_can_gain(ahead: Outlook) -> None:
    cost = cost_of(ahead, FixedSpeeds())
    assert cost.chain == ("knn", "proto 1-shot", "its evaluation on tiny")
    assert cost.longest == (8 + 40) + (8 + 60) + (24 + 10)
    assert cost.at_best(1) == cost.total
    assert cost.at_best(2) == cost.total / 2 > cost.longest
    assert cost.at_best(1000) == cost.longest


def test_two_seeds_take_twice_as_long(suite: Path) -> None:
    once, twice = (cost_of(look_ahead(load_suite(str(suite)), Options(seeds=n)), FixedSpeeds()) for n in (1, 2))
    assert {row: 2 * part.total for row, part in once.rows.items()} == {
        row: part.total for row, part in twice.rows.items()
    }
    assert twice.longest == once.longest


def test_training_grows_with_the_fraction_and_nothing_else_does() -> None:
    suite = load_suite("omniglot-published")
    costs = [cost_of(look_ahead(suite, Options(fraction=part)), FixedSpeeds()) for part in (0.02, 0.2, 1.0)]
    whole = costs[-1].rows
    for part, cost in zip((0.02, 0.2, 1.0), costs, strict=True):
        for row, seconds in cost.rows.items():
            assert seconds.training == pytest.approx(part * whole[row].training)
            assert (seconds.validation, seconds.evaluation) == (whole[row].validation, whole[row].evaluation)


class Clock:
    """A clock on which every timing takes its turn's seconds."""

    def __init__(self, *durations: float) -> None:
        self._durations = itertools.cycle(durations)
        self._now, self.read = 0.0, 0

    def __call__(self) -> float:
        self.read += 1
        if self.read % 2 == 0:
            self._now += next(self._durations)
        return self._now


def trainings_of(ahead: Outlook, row: str) -> list[Training]:
    return [training for training in ahead.trainings if training.row == row]


def test_a_time_is_that_of_one_step_one_image_and_one_episode(ahead: Outlook) -> None:
    speeds = MeasuredSpeeds(ahead, torch.device("cpu"), "fp32", Clock(13.0))
    proto, fomaml = (trainings_of(ahead, row)[0] for row in ("proto", "fomaml"))
    assert speeds.step(proto) == 13.0
    # 5 classes of 13 images are the fewest with 64
    assert speeds.image("proto", proto.params, proto.backbone) == 13.0 / 65
    assert speeds.episode("proto", proto.params, proto.backbone, proto.validation) == 13.0 / 64
    assert speeds.episode("fomaml", fomaml.params, fomaml.backbone, fomaml.validation) == 13.0


def test_disturbed_timings_do_not_count(ahead: Outlook) -> None:
    clock = Clock(0.125, 0.5, 0.125, 0.75, 0.125)
    assert MeasuredSpeeds(ahead, torch.device("cpu"), "fp32", clock).step(trainings_of(ahead, "proto")[0]) == 0.125
    assert clock.read == 2 * TIMINGS == 10


def test_what_takes_long_is_timed_less_often(ahead: Outlook) -> None:
    clock = Clock(0.6 * LONG)
    speed = MeasuredSpeeds(ahead, torch.device("cpu"), "fp32", clock).step(trainings_of(ahead, "proto")[0])
    assert (speed, clock.read) == (0.6 * LONG, 2 * 2)


def test_a_shape_is_timed_once(suite: Path) -> None:
    ahead = look_ahead(load_suite(str(suite)), Options(seeds=2))
    clock = Clock(0.1)
    speeds = MeasuredSpeeds(ahead, torch.device("cpu"), "fp32", clock)
    cost_of(ahead, speeds)
    steps, images, episodes = 1 + 2 + 2, 3 - 1, 4 * 2
    assert clock.read == (steps + images + episodes) * 2 * TIMINGS
    cost_of(ahead, speeds)
    assert clock.read == (steps + images + episodes) * 2 * TIMINGS


def test_cost_is_measured_without_any_images() -> None:
    words = ("--methods", "knn", "--shots", 1, "--episodes", 2, "--cost", "--device", "cpu")
    text = plan("--suite", "glyphs", "--image-size", 16, *words)
    assert "On cpu (" in text
    known = "12,260 images declared, assumed to be spread evenly over 613 classes"
    assert lines_of(text, "source") == [["glyphs", "val", "1,980", known], ["glyphs", "test", "2,780", known]]
    (knn, everything) = lines_of(text, r"row +\| +training, h")
    assert knn[1:] == everything[1:]
    assert all(float(hours) > 0 for hours in knn[1:])
    assert float(knn[4]) == pytest.approx(sum(map(float, knn[1:4])), rel=0.02)
    assert lines_of(text, r" +devices like this") == [["1", knn[4]]]


def test_variable_shots_can_be_measured(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "tiny.toml", rows=("knn", "proto"), variable=True)
    text = plan("--suite", suite, "--methods", "proto", "--protocol", "variable", "--cost", "--device", "cpu")
    assert "differ in size, and so few of them give a rough figure" in text
    assert float(lines_of(text, r"row +\| +training, h")[-1][4]) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--suite", "metadataset-al"), "unknown suite 'metadataset-al'; did you mean 'metadataset-all'?"),
        (("--methods", "prot"), "unknown method of the suite glyphs 'prot'; did you mean 'proto'?"),
        (("--methods", "proto", "--shots", "4"), "has values for the shots 1, 5, but none for 4"),
        (("--suite", "omniglot", "--methods", "knn", "--shots", "100"), "an episode needs"),
        (("--cost", "--device", "gpu"), "unknown device 'gpu'; give auto, cpu, cuda or mps"),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    refused(said, *words)


def test_a_source_that_is_neither_known_nor_there_is_named(suite: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(suite.read_text().replace('"tiny"]', '"tinny"]'))
    refused(
        "`fsbench data prepare tinny --from FOLDER`; did you mean 'tiny'?",
        "--suite",
        str(other),
    )


def refused(said: str, *words: str) -> None:
    result = fsbench("plan", *words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    sentence = result.stderr.rpartition("Error: ")[2].strip()
    assert said in sentence
    assert len(sentence.splitlines()) == 1
