"""Every kind of file that fsbench reads: how to make a good one, and how a user comes to read it."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.io import savemat
from tfrecord import TFRecordWriter

from fsbench.cli.main import main
from fsbench.data.pack_files import load_pack
from fsbench.engine.checkpoints import load_checkpoint, save_checkpoint
from fsbench.episodes.content import content_digest
from fsbench.episodes.files import EpisodeFile, read_episodes, write_episodes
from fsbench.episodes.fixed import SAMPLER, FixedProtocol, draw_episodes
from fsbench.episodes.pool import digest_of, pool_of
from fsbench.episodes.variable import SAMPLER as VARIABLE_SAMPLER
from fsbench.episodes.variable import VariableProtocol, draw_variable
from fsbench.errors import FsbenchError
from fsbench.files.atomic import sha256_json
from fsbench.identity import CellIdentity, cell_id
from fsbench.record_files import RecordStore
from fuzz.mutations import Mutate
from helpers.factories import make_record
from helpers.small_card import write_card
from helpers.tiny import write_source, write_suite

__all__ = ["KINDS", "Kind", "command"]

_SPLITS = {"train": ["cat", "cow"], "val": ["dog"], "test": ["emu"]}
_CLASSES = [name for names in _SPLITS.values() for name in names]
_WNIDS = {"train": ["n01532829", "n01558993"], "val": ["n01855672"], "test": ["n01930112"]}


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: In the tally.
        make: Writes good files into a folder; `cards`, `cache` and `data` in it are where fsbench looks for those.
        targets: Patterns of the files that are damaged, one at a time.
        read: Does with the folder what a user would; raises FsbenchError if it is refused.
        inner: Changes a file's content within the checksums or the compression that would hide the change.
    """

    name: str
    make: Callable[[Path], object]
    targets: tuple[str, ...]
    read: Callable[[Path], object]
    inner: Callable[[bytes, Mutate], bytes] | None = field(default=None)


def command(*arguments: object) -> None:
    """Run a command line.

    Raises:
        FsbenchError: It ends with code 2 and a sentence.
        Exception: Whatever else comes out of it.
    """
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 2:
        _, error, sentence = result.stderr.rpartition("Error: ")
        assert error, f"exit code 2 without a sentence: {result.stderr}"
        raise FsbenchError(sentence.strip())
    assert result.exit_code == 0, f"exit code {result.exit_code}: {result.stderr}"


def _suite(folder: Path) -> None:
    write_source(folder / "cache")
    write_suite(folder / "suite.toml", rows=("knn", "finetune", "proto"))


def _read_suite(folder: Path) -> None:
    command("episodes", "export", folder / "suite.toml", "--out", folder / "e.npz")
    command("episodes", "export", folder / "suite.toml", "--out", folder / "e.json", "--protocol", "variable")


def _cards(folder: Path) -> None:
    write_card("quickdraw", folder / "cards", _SPLITS, images=16)
    _drawings(folder / "origin")


def _drawings(origin: Path) -> None:
    origin.mkdir()
    for label, name in enumerate(_CLASSES):
        np.save(origin / f"{name}.npy", np.full((4, 784), 50 * label, dtype=np.uint8))


def _read_cards(folder: Path) -> None:
    command("data", "list")
    command("data", "prepare", "quickdraw", "--from", folder / "origin")


def _records(folder: Path) -> None:
    store = RecordStore(folder / "records")
    for label in ("ProtoNet", "k-NN"):
        store.write(make_record(label, features=64, absent={"fungi": "its files are not there"}))
    store.write(make_record("ProtoNet", shot=5))


def _shared(folder: Path) -> None:
    """A contribution whose episodes can be drawn again."""
    pack = write_source(folder / "cache")
    drawn = draw_episodes(pool_of(pack, "test"), FixedProtocol("test", 5, 1, 5, 4, 0))
    facts = {"source": pack.source, "pack": pack.digest, "queries": 5, "episode_set": content_digest(pack, drawn)}
    RecordStore(folder / "records").write(make_record("ProtoNet", [9, 12, 14, 20], engine=1, **facts))
    (folder / "contribution.toml").write_text('by = "A lab"\ndate = 2026-11-21\nlink = "https://example.org"\n')


def _read_shared(folder: Path) -> None:
    command("leaderboard", folder, "--out", folder / "page")  # which verifies
    command("export", folder, "--format", "every-eval-ever", "--out", folder / "logs")
    command("export", folder, "--format", "model-index", "--out", folder / "cards-of-models")


def _signed_record(content: bytes, mutate: Mutate) -> bytes:
    """With a checksum, and a name of its identity, that fit what it says now."""
    changed = json.loads(content)
    changed.pop("checksum")
    try:
        changed = json.loads(mutate(json.dumps(changed, indent=1).encode()))
        changed["cell"] = cell_id(CellIdentity.model_validate(changed["identity"]))
        changed["checksum"] = sha256_json(changed)
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    return _json(changed)


def _signed_shared(content: bytes, mutate: Mutate) -> bytes:
    """Of a record as above; of the statement beside it only what is said, so that it stays TOML."""
    return _signed_record(content, mutate) if content.startswith(b"{") else content.replace(b"A lab", mutate(b"A lab"))


def _json(content: Any) -> bytes:
    try:
        return json.dumps(content).encode()
    except RecursionError:
        return b"[" * 100_000


def _ranks(folder: Path) -> None:
    lines = [
        f"{source},5,{shot},{method},{50 + shot}.{place},1.0{place},{'' if place else 'true'},0\n"
        for source in ("Birds", "Fungi")
        for shot in (1, 5)
        for place, method in enumerate(("k-NN", "ProtoNet", "fo-MAML"))
    ]
    text = "".join(["test_source,way,shot,method,mean,ci95,transductive,train_seed\n", *lines])
    (folder / "table.csv").write_text(text, encoding="utf-8")


def _mini(folder: Path) -> None:
    write_card("miniimagenet", folder / "cards", _WNIDS, images=8)
    origin = folder / "origin"
    origin.mkdir()
    for split, names in _WNIDS.items():
        files = [f"{name}{number:08}.jpg,{name}\n" for name in names for number in (1, 2)]
        (origin / f"{split}.csv").write_text("".join(["filename,label\n", *files]))
        for line in files:
            (origin / line.partition(",")[0]).write_bytes(_image("JPEG"))


def _image(form: str, size: tuple[int, int] = (20, 12), mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def _episode_file(variable: bool, ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        pack = write_source(folder / "cache")
        protocol = FixedProtocol("test", 5, 2, 3, 8, 0)
        if variable:
            other = VariableProtocol("test", 4, 0)
            drawn = draw_variable(pool_of(pack, "test", at_least=2), other)
            content = EpisodeFile(pack.source, pack.digest, other, VARIABLE_SAMPLER, drawn)
        else:
            episodes = draw_episodes(pool_of(pack, "test"), protocol)
            content = EpisodeFile(pack.source, pack.digest, protocol, SAMPLER, episodes)
        write_episodes(folder / f"e.{ending}", content, pack)

    return make


def _read_episodes(folder: Path) -> None:
    path = folder / ("e.json" if (folder / "e.json").exists() else "e.npz")
    read_episodes(path).check(load_pack(next((folder / "cache" / "packs").glob("*px"))))


def _signed_episodes(content: bytes, mutate: Mutate) -> bytes:
    """With a hash that fits its arrays, where they still are such."""
    try:
        changed = json.loads(mutate(content))
        arrays = [np.asarray(changed[name], dtype=np.int64) for name in ("classes", "support", "query", "order")]
        changed["episode_set"] = digest_of(arrays)
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return content[:-5]
    return _json(changed)


def _in_zip(content: bytes, mutate: Mutate) -> bytes:
    """A member of a zip changed, and its checksum with it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        members = {name: old.read(name) for name in old.namelist()}
        longest = sum(map(len, members)) + len(content)
        for place, (name, member) in enumerate(members.items()):
            new.writestr(name, mutate(member) if place == longest % len(members) else member)
    return stream.getvalue()


def _birds(folder: Path) -> None:
    """Ten classes with an image in every format."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "a bird"
    files = {
        "a.jpg": _image("JPEG", exif=exif),
        "b.png": _image("PNG", mode="P", transparency=3),
        "c.gif": _image("GIF", mode="P"),
        "d.webp": _image("WEBP"),
        "e.bmp": _image("BMP"),
        "f.ppm": _image("PPM"),
        "g.png": _image("PNG", mode="RGBA", exif=exif),
        "h.pgm": b"P5 2 2 255 \x00\x01\x02\x03",
    }
    for label in range(10):
        place = folder / "birds" / f"bird{label}"
        place.mkdir(parents=True)
        for name, content in files.items():
            (place / name).write_bytes(content)


def _zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "birds.zip", "w") as archive:
        for label in range(8):
            how = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[label % 2]
            archive.writestr(f"birds/bird{label}/a.png", _image("PNG"), compress_type=how)
            archive.writestr(f"birds/bird{label}/vögel.bmp", _image("BMP"), compress_type=how)


def _prepare_birds(form: str, *options: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        given = [option.format(folder=folder) for option in options]
        command("data", "prepare", "birds", "--from", folder / form, "--size", 8, *given)

    return read


def _split_list(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        names = [f"bird{label}" for label in range(6)]
        for name in names:
            (folder / "birds" / name).mkdir(parents=True)
            (folder / "birds" / name / "a.png").write_bytes(_image("PNG"))
        listed = {"train": names[:3], "val": names[3:4], "test": names[4:]}
        lines = [f"{split} = {json.dumps(some)}\n" for split, some in listed.items()]
        text = json.dumps(listed, indent=1) if ending == "json" else "".join(lines)
        (folder / f"splits.{ending}").write_text(text)

    return make


def _pack(folder: Path) -> None:
    write_source(folder / "cache")
    write_suite(folder / "suite.toml", rows=("proto",))


def _read_pack(folder: Path) -> None:
    _read_suite(folder)
    command("data", "verify", "tiny")


def _signed_pack(content: bytes, mutate: Mutate) -> bytes:
    """`pack.json` with a digest that fits what it says; of an array, the numbers alone are changed."""
    if content.startswith(b"\x93NUMPY"):
        start = 10 + struct.unpack("<H", content[8:10])[0]
        return content[:start] + mutate(content[start:])[: len(content) - start].ljust(len(content) - start)
    changed = json.loads(content)
    changed.pop("digest")
    try:
        changed = json.loads(mutate(json.dumps(changed).encode()))
        changed["digest"] = sha256_json(changed)
    except (ValueError, TypeError, RecursionError):
        pass
    return _json(changed)


def _checkpoint(folder: Path) -> None:
    tensors = {"weight": torch.arange(64.0).view(8, 8), "half": torch.ones(3, dtype=torch.bfloat16).float()}
    save_checkpoint(folder / "a.safetensors", tensors, {"progress": {"step": 3, "history": [0.1, None]}})


def _read_checkpoint(folder: Path) -> None:
    path = folder / "a.safetensors"
    if load_checkpoint(path) is None:
        raise FsbenchError(f"there is no {path}.")


def _prepare(source: str) -> Callable[[Path], None]:
    return lambda folder: command("data", "prepare", source, "--from", folder / "origin", "--size", 8)


def _tfrecords(folder: Path) -> None:
    write_card("dtd", folder / "cards", _SPLITS, images=12)
    origin = folder / "origin"
    origin.mkdir()
    specification = {
        "name": "textures",
        "superclasses_per_split": {"TRAIN": 1, "VALID": 1, "TEST": 1},
        "classes_per_superclass": {"0": 2, "1": 1, "2": 1},
        "images_per_class": {str(label): 3 for label in range(4)},
        "superclass_names": {"0": "a", "1": "b", "2": "c"},
        "class_names": {str(label): name for label, name in enumerate(_CLASSES)},
        "path": "/path/to/records",
        "file_pattern": "{}.tfrecords",
        "__class__": "BiLevelDatasetSpecification",
    }
    (origin / "dataset_spec.json").write_text(json.dumps(specification))
    for label in range(4):
        writer = TFRecordWriter(str(origin / f"{label}.tfrecords"))
        for _ in range(3):
            writer.write({"image": (_image("JPEG"), "byte"), "label": (label, "int")})
        writer.close()


def _graph(folder: Path) -> None:
    """ImageNet's form of a specification, beside the train folder."""
    write_card("ilsvrc_2012", folder / "cards", _WNIDS, images=4)
    (folder / "cards" / "ilsvrc_2012" / "duplicates.toml").write_text('n01532829 = ["9"]\n')
    origin, graphs, counts = folder / "origin", {}, {}
    for (split, names), stored in zip(_WNIDS.items(), ("TRAIN", "VALID", "TEST"), strict=True):
        leaves = [{"wn_id": name, "children_ids": []} for name in names]
        graphs[stored] = [{"wn_id": f"all of {split}", "children_ids": names}, *leaves]
        counts[stored] = dict.fromkeys(names, 1)
        for name in names:
            (origin / "train" / name).mkdir(parents=True)
            (origin / "train" / name / f"{name}_1.JPEG").write_bytes(_image("JPEG"))
    classes = [name for names in _WNIDS.values() for name in names]
    specification = {
        "name": "ilsvrc_2012",
        "split_subgraphs": graphs,
        "images_per_class": counts,
        "class_names": {str(label): name for label, name in enumerate(classes)},
        "file_pattern": "{}.tfrecords",
        "__class__": "HierarchicalDatasetSpecification",
    }
    (origin / "dataset_spec.json").write_text(json.dumps(specification, indent=1))


def _signed_tfrecords(content: bytes, mutate: Mutate) -> bytes:
    """The first record changed, and its checksums with it."""
    length = struct.unpack("<Q", content[:8])[0]
    payload = mutate(content[12 : 12 + length])
    size = struct.pack("<Q", len(payload))
    return b"".join([size, _masked(size), payload, _masked(payload), content[16 + length :]])


def _masked(content: bytes) -> bytes:
    checksum = google_crc32c.value(content)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _quickdraw(folder: Path) -> None:
    write_card("quickdraw", folder / "cards", _SPLITS, images=16)
    _drawings(folder / "origin")


def _coco(folder: Path) -> None:
    write_card("mscoco", folder / "cards", _SPLITS, images=4)
    photographs = folder / "origin" / "train2017"
    photographs.mkdir(parents=True)
    for number in (1, 2):
        (photographs / f"{number}.jpg").write_bytes(_image("JPEG", (60, 40)))
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in (1, 2)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(_CLASSES)],
        "annotations": [
            {"id": label, "image_id": label % 2 + 1, "category_id": label, "bbox": [3, 5.5, 20, 10]}
            for label in range(4)
        ],
    }
    (folder / "origin" / "instances_train2017.json").write_text(json.dumps(content, indent=1))


def _lists(folder: Path) -> None:
    """The authors' lists of Aircraft."""
    write_card("aircraft", folder / "cards", {"test": ["Hawk T1"]}, images=100)
    data = folder / "origin" / "data"
    (data / "images").mkdir(parents=True)
    (data / "variants.txt").write_text("Hawk T1\n")
    images = [f"{number:07}" for number in range(100)]
    for image in images:
        (data / "images" / f"{image}.jpg").write_bytes(_image("JPEG"))
    for place, split in enumerate(("train", "val", "test")):
        (data / f"images_variant_{split}.txt").write_text("".join(f"{image} Hawk T1\n" for image in images[place::3]))
    (data / "images_box.txt").write_text("".join(f"{image} 3 2 10 6\n" for image in images))


def _tables(folder: Path) -> None:
    """The authors' tables of Traffic Signs."""
    write_card("traffic_sign", folder / "cards", {"test": ["00.Speed limit", "01.Ice"]}, images=4)
    for label in range(2):
        place = folder / "origin" / "Training" / f"{label:05}"
        place.mkdir(parents=True)
        head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
        lines = [f"00000_{frame:05}.ppm;12;8;1;1;11;7;{label}" for frame in range(2)]
        (place / f"GT-{label:05}.csv").write_text("\n".join([head, *lines]))
        for frame in range(2):
            (place / f"00000_{frame:05}.ppm").write_bytes(_image("PPM"))


def _flowers(folder: Path) -> None:
    write_card("vgg_flower", folder / "cards", {"train": ["001.a"], "val": ["002.b"], "test": ["003.c"]}, images=6)
    (folder / "origin" / "jpg").mkdir(parents=True)
    for number in range(1, 7):
        (folder / "origin" / "jpg" / f"image_{number:05}.jpg").write_bytes(_image("JPEG"))
    savemat(folder / "origin" / "imagelabels.mat", {"labels": np.array([[1, 2, 3] * 2], dtype=np.uint8)})


KINDS = (
    Kind("suite", _suite, ("suite.toml",), _read_suite),
    Kind("card", _cards, ("cards/quickdraw/card.toml",), _read_cards),
    Kind("class lists", _cards, ("cards/quickdraw/splits.toml",), _read_cards),
    Kind("record", _records, ("records/*.json",), lambda folder: command("table", folder), _signed_record),
    Kind("shared result", _shared, ("records/*.json", "contribution.toml"), _read_shared, _signed_shared),
    Kind("rank csv", _ranks, ("table.csv",), lambda folder: command("rank", folder / "table.csv")),
    Kind("miniImageNet csv", _mini, ("origin/*.csv",), _prepare("miniimagenet")),
    Kind("episodes npz", _episode_file(False, "npz"), ("e.npz",), _read_episodes, _in_zip),
    Kind("episodes json", _episode_file(False, "json"), ("e.json",), _read_episodes, _signed_episodes),
    Kind("variable npz", _episode_file(True, "npz"), ("e.npz",), _read_episodes, _in_zip),
    Kind("variable json", _episode_file(True, "json"), ("e.json",), _read_episodes),
    Kind("split json", _split_list("json"), ("splits.json",), _prepare_birds("birds", "--splits={folder}/splits.json")),
    Kind("split toml", _split_list("toml"), ("splits.toml",), _prepare_birds("birds", "--splits={folder}/splits.toml")),
    Kind("pack.json", _pack, ("cache/packs/*/pack.json",), _read_pack, _signed_pack),
    Kind("pack array", _pack, ("cache/packs/*/*.npy",), _read_pack, _signed_pack),
    Kind("checkpoint", _checkpoint, ("a.safetensors",), _read_checkpoint),
    Kind("zip", _zip, ("birds.zip",), _prepare_birds("birds.zip"), _in_zip),
    Kind("image", _birds, ("birds/bird0/*",), _prepare_birds("birds")),
    Kind("tfrecords", _tfrecords, ("origin/*.tfrecords",), _prepare("dtd"), _signed_tfrecords),
    Kind("dataset_spec", _tfrecords, ("origin/dataset_spec.json",), _prepare("dtd")),
    Kind("dataset_spec graph", _graph, ("origin/dataset_spec.json",), _prepare("ilsvrc_2012")),
    Kind("drawings npy", _quickdraw, ("origin/*.npy",), _prepare("quickdraw")),
    Kind("coco", _coco, ("origin/*.json",), _prepare("mscoco")),
    Kind("aircraft lists", _lists, ("origin/data/*.txt",), _prepare("aircraft")),
    Kind("sign tables", _tables, ("origin/Training/*/*.csv",), _prepare("traffic_sign")),
    Kind("labels mat", _flowers, ("origin/imagelabels.mat",), _prepare("vgg_flower")),
)
