"""Files made to do harm: larger than they look, deeper than a stack, pickled, or leading out of their folder."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import pytest
import torch

from fsbench.errors import FsbenchError
from fsbench.files.atomic import sha256_json
from fuzz.guard import guarded
from fuzz.kinds import KINDS, Kind

pytestmark = pytest.mark.slow

_KINDS = {kind.name: kind for kind in KINDS}
_HUGE = 900 * 2**20  # bytes; more than anything may have

Edit: TypeAlias = Callable[[Path], object]
World: TypeAlias = Callable[[str], tuple[Kind, Path]]


class Payload:
    """Whoever unpickles it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def _numpy(payload: Payload) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([payload], dtype=object), allow_pickle=True)
    return stream.getvalue()


def _torch(payload: Payload) -> bytes:
    stream = io.BytesIO()
    torch.save(payload, stream)
    return stream.getvalue()


_PICKLED: dict[str, Callable[[Payload], bytes]] = {"pickle": pickle.dumps, "npy": _numpy, "pt": _torch}
_ANYTHING = {
    "nothing": b"",
    "zeros": bytes(1000),
    "not UTF-8": b"\xff\xfe\xfd" * 100,
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep TOML": b"a = " + b"[" * 100_000,
    "deep TOML keys": b"a." * 20_000 + b"a = 1",
    "a huge number": b"9" * 100_000,
    "a huge number in TOML": b"a = " + b"9" * 100_000,
    "infinity": b'{"schema_version": Infinity, "digest": NaN, "seed": 1e999}',
    "half a letter": b'{"train": ["\\ud800"], "source": "\\ud800", "digest": "\\ud800"}',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(made) (w) file closefile\n%%EOF\n",
}


@pytest.fixture
def world(tmp_path: Path, look_into: Callable[[Path], None]) -> World:
    """Makes the good files of a kind, where fsbench looks for them."""

    def make(name: str) -> tuple[Kind, Path]:
        folder = tmp_path / "world"
        folder.mkdir()
        _KINDS[name].make(folder)
        look_into(folder)
        return _KINDS[name], folder

    return make


def _replace(kind: Kind, folder: Path, content: bytes) -> None:
    sorted(path for pattern in kind.targets for path in folder.glob(pattern))[0].write_bytes(content)


@pytest.mark.parametrize("name", _KINDS)
def test_what_is_pickled_is_refused_and_never_unpickled(world: World, name: str, tmp_path: Path) -> None:
    kind, folder = world(name)
    for make in _PICKLED.values():
        _replace(kind, folder, make(Payload(tmp_path / "unpickled")))
        with pytest.raises(FsbenchError), guarded(folder):
            kind.read(folder)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("name", _KINDS)
def test_anything_in_the_place_of_a_file_is_refused(world: World, name: str) -> None:
    kind, folder = world(name)
    for content in _ANYTHING.values():
        _replace(kind, folder, content)
        with pytest.raises(FsbenchError), guarded(folder):
            kind.read(folder)


def test_a_pickled_payload_does_what_the_tests_look_for(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "unpickled")))
    assert (tmp_path / "unpickled").exists()


def _png(width: int, height: int) -> bytes:
    """The head of an image, and one line of it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(3 * width + 1))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _npy(shape: tuple[int, ...], dtype: str) -> bytes:
    """An array that claims more than it has."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(800)


def _put(pattern: str, content: bytes) -> Edit:
    return lambda folder: sorted(folder.glob(pattern))[0].write_bytes(content)


def _entry(name: str, content: bytes = b"", zeros: int = 0, how: int = zipfile.ZIP_DEFLATED, **lies: int) -> Edit:
    """One more entry in a zip, of which the directory tells lies."""

    def edit(folder: Path) -> None:
        with zipfile.ZipFile(folder / "birds.zip", "a", how, compresslevel=1) as archive:
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
                _write_zeros(file, zeros)
            for attribute, value in lies.items():
                setattr(archive.infolist()[-1], attribute, value)

    return edit


def _write_zeros(file: IO[bytes], number: int) -> None:
    """Piece by piece, so that the test itself takes no memory."""
    for _ in range(number // 2**20):
        file.write(bytes(2**20))


def _change(pattern: str, **values: Any) -> Edit:
    """Other values in a JSON file, with a digest that fits them."""

    def edit(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        content = json.loads(path.read_text()) | values
        content.pop("digest", None)
        path.write_text(json.dumps(content | {"digest": sha256_json(content)}))

    return edit


def _text(pattern: str, old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return edit


def _npz(head: bytes, zeros: int = 0) -> Edit:
    """Other classes in a file of episodes."""

    def edit(folder: Path) -> None:
        with zipfile.ZipFile(folder / "e.npz") as old:
            members = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(folder / "e.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name in members.keys() - {"classes.npy"}:
                archive.writestr(name, members[name])
            with archive.open("classes.npy", "w", force_zip64=True) as file:
                file.write(head)
                _write_zeros(file, zeros)

    return edit


def _pipe(folder: Path) -> None:
    path = folder / "birds" / "bird0" / "a.jpg"
    path.unlink()
    os.mkfifo(path)


def _device(folder: Path) -> None:
    path = folder / "birds" / "bird0" / "a.jpg"
    path.unlink()
    path.symlink_to("/dev/zero")


def _nested(folder: Path) -> None:
    """A chain of nodes each of which reaches all below it: two hundred million classes in all."""
    number = 20_000
    nodes = [{"wn_id": f"i{i}", "children_ids": [f"i{i + 1}", f"l{i}"]} for i in range(number - 1)]
    nodes.append({"wn_id": f"i{number - 1}", "children_ids": [f"l{number - 1}"]})
    leaves = [{"wn_id": f"l{i}", "children_ids": []} for i in range(number)]
    _change(
        "origin/*.json",
        split_subgraphs={"TRAIN": [*nodes, *leaves], "VALID": [], "TEST": []},
        images_per_class={"TRAIN": {f"l{i}": 1 for i in range(number)}, "VALID": {}, "TEST": {}},
        class_names={str(i): f"l{i}" for i in range(number)},
    )(folder)


_BOMBS: dict[str, tuple[str, Edit]] = {
    "a zip entry of zeros without end": ("zip", _entry("birds/bird0/z.png", zeros=_HUGE)),
    "a zip entry that claims terabytes": ("zip", _entry("birds/bird0/z.png", b"x", file_size=2**42)),
    "a zip entry that hides its size": ("zip", _entry("birds/bird0/z.png", zeros=_HUGE, file_size=100)),
    "a bzip2 entry": ("zip", _entry("birds/bird0/z.png", zeros=2**20, how=zipfile.ZIP_BZIP2, file_size=100)),
    "an LZMA entry": ("zip", _entry("birds/bird0/z.png", zeros=2**20, how=zipfile.ZIP_LZMA, file_size=100)),
    "a zip entry before its file": ("zip", _entry("birds/bird0/z.png", b"x", header_offset=2**33)),
    "a zip entry in the folder above": ("zip", _entry("birds/../../z.png", _png(1, 1))),
    "an absolute zip entry": ("zip", _entry("/birds/bird0/z.png", _png(1, 1))),
    "a zip entry thirty thousand folders deep": ("zip", _entry("a/" * 30_000 + "z.png", _png(1, 1))),
    "a zip entry with a name of 60,000 letters": ("zip", _entry(f"birds/bird0/{'a' * 60_000}.png", _png(1, 1))),
    "an image of 60,000 by 60,000 pixels": ("image", _put("birds/bird0/b.png", _png(60_000, 60_000))),
    "an image of more pixels than a number can count": ("image", _put("birds/bird0/b.png", _png(2**31 - 1, 2**31 - 1))),
    "a photograph of 60,000 by 60,000 pixels": ("coco", _put("origin/train2017/*", _png(60_000, 60_000))),
    "a pipe that nobody writes to": ("image", _pipe),
    "a device that never ends": ("image", _device),
    "drawings that claim to be 10^12": ("drawings npy", _put("origin/*.npy", _npy((10**12, 784), "|u1"))),
    "labels that claim to be 10^12": ("pack array", _put("cache/*/*/labels.npy", _npy((10**12,), "<i8"))),
    "images that claim to be 10^12": ("pack array", _put("cache/*/*/images.npy", _npy((10**12, 1, 24, 24), "|u1"))),
    "names of 10^9 letters": ("pack array", _put("cache/*/*/names.npy", _npy((312,), "<U1000000000"))),
    "a label of 10^12": ("pack array", lambda folder: np.save(_of(folder, "labels"), np.array([0] * 311 + [10**12]))),
    "a split of classes that are not there": ("pack.json", _change("cache/*/*/pack.json", splits={"test": [10**12]})),
    "an array outside of its pack": ("pack.json", _change("cache/*/*/pack.json", arrays={"../../../../dev/zero": ""})),
    "episodes that claim to be 10^12": ("episodes npz", _npz(_npy((10**12, 5), "<i8"))),
    "episodes that are 10^8": ("episodes npz", _npz(_npy((_HUGE // 5, 5), "|i1"), _HUGE)),
    "offsets that overflow": ("variable json", _change("e.json", offsets=[[0] * 3, [2**63 - 1] * 3, [-(2**63)] * 3])),
    "a seed of infinity": ("episodes json", _text("e.json", '"seed": 0', '"seed": 1e999')),
    "a suite of 10^9 episodes": ("suite", _text("suite.toml", "number = 20", "number = 1_000_000_000")),
    "a suite of images of 10^9 pixels": ("suite", _text("suite.toml", "size = 24", "size = 1_000_000_000")),
    "a suite with a number that is none": ("suite", _text("suite.toml", "momentum = 0.9", "momentum = nan")),
    "a suite with a day for a number": ("suite", _text("suite.toml", "momentum = 0.9", "momentum = 1979-05-27")),
    "a card of images of 10^9 pixels": ("card", _text("cards/*/card.toml", "size = 84", "size = 1_000_000_000")),
    "an interval whose square is no number": ("rank csv", _text("table.csv", "1.00", "1e200")),
    "a box wider than numbers go": ("coco", _text("origin/*.json", "20", "-1.7e308")),
    "a class 200,000 times": (
        "dataset_spec",
        _change("origin/*.json", class_names={str(i): "a" for i in range(200_000)}),
    ),
    "a graph that reaches everything": ("dataset_spec graph", _nested),
}


def _of(folder: Path, name: str) -> Path:
    return next(folder.glob(f"cache/*/*/{name}.npy"))


@pytest.mark.parametrize("bomb", _BOMBS)
def test_a_bomb_is_refused_in_time_and_space(world: World, bomb: str) -> None:
    name, edit = _BOMBS[bomb]
    kind, folder = world(name)
    edit(folder)
    with pytest.raises(FsbenchError), guarded(folder):
        kind.read(folder)
