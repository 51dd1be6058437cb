from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsbench.data.pack import Pack
from fsbench.episodes.files import EpisodeFile, parts_tracks, read_episodes, write_episodes
from fsbench.episodes.fixed import SAMPLER, Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.kshot import KShotProtocol
from fsbench.episodes.pool import pool_of
from fsbench.episodes.ragged import RaggedEpisode, RaggedEpisodes
from fsbench.episodes.variable import SAMPLER as VARIABLE_SAMPLER
from fsbench.episodes.variable import VariableProtocol, draw_variable
from fsbench.errors import EpisodeError, UsageError
from helpers.tiny import write_source


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_source(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def k_shot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pack, EpisodeFile]:
    pack, protocol = write_source(tmp_path_factory.mktemp("large"), images=20), KShotProtocol("test", 2, 3, 0)
    return pack, EpisodeFile(pack.source, pack.digest, protocol, protocol.sampler, protocol.draw(pool_of(pack, "test")))


@pytest.fixture(scope="module")
def content(pack: Pack) -> EpisodeFile:
    protocol = FixedProtocol("test", 5, 2, 3, 8, 0)
    return EpisodeFile(pack.source, pack.digest, protocol, SAMPLER, draw_episodes(pool_of(pack, "test"), protocol))


@pytest.fixture(scope="module")
def variable(pack: Pack) -> EpisodeFile:
    protocol = VariableProtocol("test", 8, 0)
    drawn = draw_variable(pool_of(pack, "test", at_least=2), protocol)
    return EpisodeFile(pack.source, pack.digest, protocol, VARIABLE_SAMPLER, drawn)


@pytest.fixture(params=["fixed", "variable"])
def either(request: pytest.FixtureRequest, content: EpisodeFile, variable: EpisodeFile) -> EpisodeFile:
    return content if request.param == "fixed" else variable


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_what_is_written_is_read(tmp_path: Path, pack: Pack, either: EpisodeFile, ending: str) -> None:
    write_episodes(tmp_path / f"e.{ending}", either, pack)
    found = read_episodes(tmp_path / f"e.{ending}")
    assert found.episodes.digest == either.episodes.digest
    assert replace(found, episodes=either.episodes) == either
    found.check(pack)


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_episodes_of_all_classes_are_read_as_such(
    tmp_path: Path, k_shot: tuple[Pack, EpisodeFile], ending: str
) -> None:
    pack, content = k_shot
    write_episodes(tmp_path / f"e.{ending}", content, pack)
    found = read_episodes(tmp_path / f"e.{ending}")
    assert (found.protocol, found.sampler) == (content.protocol, "k-shot-1")
    assert found.episodes.digest == content.episodes.digest
    found.check(pack)


def test_episodes_of_all_classes_have_equal_shots(tmp_path: Path, pack: Pack, variable: EpisodeFile) -> None:
    write_episodes(tmp_path / "e.json", replace(variable, sampler="k-shot-1"), pack)
    with pytest.raises(EpisodeError, match="its classes differ in shots"):
        read_episodes(tmp_path / "e.json")


def test_episodes_that_their_sampler_would_not_draw_need_another_name(
    pack: Pack, k_shot: tuple[Pack, EpisodeFile], either: EpisodeFile
) -> None:
    for of, file in ((pack, either), k_shot):
        other = replace(file, protocol=replace(file.protocol, seed=5))  # type: ignore[type-var]
        with pytest.raises(EpisodeError, match=f"says that {file.sampler} drew it with the seed 5, which draws others"):
            other.check(of)
        replace(other, sampler="mine-1").check(of)


def test_episodes_of_one_class_are_refused(pack: Pack) -> None:
    drawn = draw_episodes(pool_of(pack, "test"), protocol := FixedProtocol("test", 1, 2, 3, 8, 0))
    with pytest.raises(EpisodeError, match="has episodes of one class, of which nothing can be asked"):
        EpisodeFile(pack.source, pack.digest, protocol, SAMPLER, drawn).check(pack)


@pytest.mark.parametrize(
    "about", [{"seed": 2**70}, {"sampler": 300 * "x"}, {"sampler": "a\nb"}, {"source": 7}], ids=str
)
def test_what_a_file_says_of_itself_is_what_a_record_takes(
    tmp_path: Path, pack: Pack, either: EpisodeFile, about: dict[str, object]
) -> None:
    write_episodes(tmp_path / "e.json", either, pack)
    whole = json.loads((tmp_path / "e.json").read_text())
    (tmp_path / "e.json").write_text(json.dumps(whole | about))
    with pytest.raises(EpisodeError, match=rf"cannot be read \({next(iter(about))}"):
        read_episodes(tmp_path / "e.json")


def test_another_ending_is_refused(tmp_path: Path, pack: Pack, content: EpisodeFile) -> None:
    with pytest.raises(UsageError, match=r"\.npz or \.json, not to 'e\.csv'"):
        write_episodes(tmp_path / "e.csv", content, pack)


def test_changed_indices_do_not_match_the_hash(tmp_path: Path, pack: Pack, either: EpisodeFile) -> None:
    path = tmp_path / "e.json"
    write_episodes(path, either, pack)
    whole = json.loads(path.read_text())
    whole["support"] = (np.array(whole["support"]) + 1).tolist()
    path.write_text(json.dumps(whole))
    with pytest.raises(EpisodeError, match="does not match its own hash"):
        read_episodes(path)


def test_pickled_arrays_are_not_loaded(tmp_path: Path, pack: Pack, either: EpisodeFile) -> None:
    path = tmp_path / "e.npz"
    write_episodes(path, either, pack)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"classes": np.array([["x", 1]], dtype=object)})
    with pytest.raises(EpisodeError, match="cannot be read"):
        read_episodes(path)


def test_a_damaged_archive_is_refused_or_unharmed(tmp_path: Path, pack: Pack, either: EpisodeFile) -> None:
    path = tmp_path / "e.npz"
    write_episodes(path, either, pack)
    whole = path.read_bytes()
    for position in range(0, len(whole), 61):
        changed = bytearray(whole)
        changed[position] ^= 0x55
        path.write_bytes(changed)
        try:
            found = read_episodes(path)
        except EpisodeError:
            continue
        assert found.episodes.digest == either.episodes.digest


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"classes": [[1]]}', '{"offsets": [[0, 0, 0]]}', '"offsets"'])
@pytest.mark.parametrize("ending", ["npz", "json"])
def test_anything_else_is_refused(tmp_path: Path, text: str, ending: str) -> None:
    path = tmp_path / f"e.{ending}"
    path.write_text(text)
    with pytest.raises(EpisodeError, match="cannot be read"):
        read_episodes(path)


def test_the_episodes_of_another_pack_are_refused(tmp_path: Path, content: EpisodeFile) -> None:
    with pytest.raises(EpisodeError, match="made for another preparation"):
        content.check(write_source(tmp_path, seed=1))


def test_an_unknown_split_is_refused(pack: Pack, either: EpisodeFile) -> None:
    with pytest.raises(EpisodeError, match="names the split 'tset'"):
        replace(either, protocol=replace(either.protocol, split="tset")).check(pack)


def test_a_file_whose_query_order_is_no_permutation_is_refused(
    pack: Pack, content: EpisodeFile, tmp_path: Path
) -> None:
    assert isinstance(content.episodes, Episodes)
    order = content.episodes.order.copy()
    order[1, 0] = 99
    write_episodes(tmp_path / "e.npz", replace(content, episodes=replace(content.episodes, order=order)), pack)
    with pytest.raises(EpisodeError, match="query order that is no permutation"):
        read_episodes(tmp_path / "e.npz")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("order", "repeats an image within an episode"),
        ("image", "repeats an image within an episode"),
        ("owner", "holds images under a class that is not theirs"),
        ("class", "repeats a class within an episode"),
        ("split", "holds classes outside its split"),
        ("bounds", "names images that tiny does not have"),
    ],
)
def test_broken_episodes_are_refused(pack: Pack, content: EpisodeFile, rule: str, sentence: str) -> None:
    drawn = content.episodes
    assert isinstance(drawn, Episodes)
    classes, support, query, order = (
        array.copy() for array in (drawn.classes, drawn.support, drawn.query, drawn.order)
    )
    match rule:
        case "order":
            order[1, 0] = order[1, 1]
        case "image":
            query[1, 0, 0] = support[1, 0, 0]
        case "owner":
            query[1, [0, 1]] = query[1, [1, 0]]
        case "class":
            classes[1, 1], support[1, 1] = classes[1, 0], support[1, 0] + 0
            query[1, 1] = query[1, 0]
        case "split":
            classes[:] = 0
        case "bounds":
            support[1, 0, 0] = len(pack.labels)
    broken = replace(content, episodes=Episodes(classes, support, query, order))
    with pytest.raises(EpisodeError, match=sentence):
        broken.check(pack)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("image", "repeats an image within an episode"),
        ("owner", "holds images under a class that is not theirs"),
        ("class", "repeats a class within an episode"),
        ("split", "holds classes outside its split"),
        ("bounds", "names images that tiny does not have"),
        ("label", "has labels of classes that are not in the episode"),
        ("shot", "has a class without support"),
    ],
)
def test_broken_episodes_of_variable_shape_are_refused(
    pack: Pack, variable: EpisodeFile, rule: str, sentence: str
) -> None:
    episodes = variable.episodes
    assert isinstance(episodes, RaggedEpisodes)
    classes, support, support_labels, query, query_labels = (array.copy() for array in episodes.blocks[3].arrays)
    match rule:
        case "image":
            query[0, 0] = query[0, query_labels[0] == query_labels[0, 0]][1]
        case "owner":
            support_labels[0, 0] = 1
        case "class":
            classes[0, 1] = classes[0, 0]
            support[support_labels == 1] = support[0, 0]
            query[query_labels == 1] = support[0, 0]
        case "split":
            classes -= 8
            support -= 8 * 12
            query -= 8 * 12
        case "bounds":
            query[0, 0] = len(pack.labels)
        case "label":
            query_labels[0, 0] = len(classes[0])
        case "shot":
            kept = support_labels[0] > 0
            support, support_labels = support[:, kept], support_labels[:, kept]
    broken = RaggedEpisode(classes, support, support_labels, query, query_labels)
    blocks = (*episodes.blocks[:3], broken, *episodes.blocks[4:])
    with pytest.raises(EpisodeError, match=sentence):
        replace(variable, episodes=RaggedEpisodes(blocks)).check(pack)


@pytest.mark.parametrize(
    "edit",
    ["start", "order", "end", "empty", "columns", "labels", "shape", "one"],
)
def test_offsets_that_do_not_fit_are_refused(tmp_path: Path, pack: Pack, variable: EpisodeFile, edit: str) -> None:
    path = tmp_path / "e.json"
    write_episodes(path, variable, pack)
    whole = json.loads(path.read_text())
    offsets = whole["offsets"]
    match edit:
        case "start":
            offsets[0] = [0, 1, 0]
        case "order":
            offsets[2], offsets[3] = offsets[3], offsets[2]
        case "end":
            offsets.pop()
        case "empty":
            offsets[2][1] = offsets[1][1]
        case "columns":
            whole["offsets"] = [row[:2] for row in offsets]
        case "labels":
            whole["query_labels"].pop()
        case "shape":
            whole["support"] = [whole["support"]]
        case "one":
            whole["offsets"] = [offsets[0], offsets[-1]]
    path.write_text(json.dumps(whole))
    with pytest.raises(EpisodeError, match="its arrays do not fit each other"):
        read_episodes(path)


@pytest.mark.parametrize("kind", ["content", "variable"])
def test_episodes_that_show_an_object_on_both_sides_are_seen(
    kind: str, pack: Pack, request: pytest.FixtureRequest
) -> None:
    drawn = request.getfixturevalue(kind).episodes
    assert parts_tracks(pack, drawn)  # which knows of no objects
    assert parts_tracks(replace(pack, tracks=np.arange(len(pack.labels))), drawn)
    assert not parts_tracks(replace(pack, tracks=np.zeros(len(pack.labels), dtype=np.int64)), drawn)
