"""Images that would cost much more than they look, and images of every mode."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fsbench.data.images import decode_image, squeeze
from fsbench.errors import DataError

SECONDS, MEBIBYTES = 2, 500  # of what a file of a megabyte may cost


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # by a quarter
    return exif


def scans(number: int, side: int, **options: Any) -> bytes:
    """A progressive JPEG whose last scan is there many times."""
    jpeg = saved(Image.new("RGB", (side, side)), "JPEG", progressive=True, quality=5, **options)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * (number - jpeg.count(b"\xff\xda") + 1) + jpeg[-2:]


def decode(content: bytes, channels: int = 3) -> np.ndarray[Any, Any]:
    return decode_image(content, "it.png", size=8, channels=channels)


COSTLY: dict[str, Callable[[], bytes]] = {
    "transparency": lambda: saved(Image.new("RGBA", (4096, 4096)), "PNG", exif=turned()),
    "WebP": lambda: saved(Image.new("RGBA", (4096, 4096)), "WEBP", lossless=True, method=0, exif=turned()),
    "a large photograph": lambda: saved(Image.new("RGB", (8000, 7500)), "JPEG", quality=5, exif=turned()),
    "many scans": lambda: scans(50, 4096, subsampling=0, exif=turned()),
}


def peak() -> float:
    """The most memory that this process has held since it was forgotten, MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_the_costliest_files_that_are_read_cost_little(name: str) -> None:
    content = COSTLY[name]()
    assert len(content) < 1e6
    Path("/proc/self/clear_refs").write_text("5")
    before, started = peak(), time.process_time()
    decode(content)
    seconds, grown = time.process_time() - started, peak() - before
    print(f"{name}: {seconds:.1f} s, {grown:.0f} MiB")
    assert seconds < SECONDS
    assert grown < MEBIBYTES


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of RGB of which the head and the given chunks are there, and the pixels are not."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (head, *chunks, (b"IDAT", b""), (b"IEND", b""))
    )


def rle_bmp() -> bytes:
    """A BMP of one long row, most of which Pillow would fill in Python."""
    head = struct.pack("<IiiHHIIiiII", 40, 60_000, 200, 1, 8, 1, 4, 0, 0, 256, 0)
    pixels = bytes([0, 0, 0, 1])
    return b"BM" + struct.pack("<IHHI", 1078 + len(pixels), 0, 0, 1078) + head + bytes(1024) + pixels


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (png(4096, 4097), r"has 16,781,312 pixels, more than 16,777,216"),
        (png(1, 65_537), r"a side has 65,537 pixels, more than 65,536"),
        (png(60_000, 60_000), r"too large to decode"),
        (png(2**31 - 1, 2**31 - 1), r"too large to decode"),
        (png(1, 1, (b"tEXt", b"a\0" + bytes(2**20 - 100))) + bytes(200), r"has 1,048,\d+ bytes for 1 pixels"),
        (scans(51, 16), r"has 51 scans, more than 50"),
        (rle_bmp(), r"a number at a time; save it as PNG"),
        *((b"P%d 2 2 255 %s" % (kind, b"0 1 2 3 " * 3), r"a number at a time; save it as PNG") for kind in (2, 3)),
        (b"P1 2 2 0 1 0 1", r"a number at a time; save it as PNG"),
        (b"P6 2 2 15 " + bytes(12), r"a number at a time; save it as PNG"),
    ],
    ids=range(11),
)
def test_an_image_that_would_cost_too_much_is_refused_at_once(content: bytes, why: str) -> None:
    started = time.process_time()
    with pytest.raises(DataError, match=rf"^it\.png .*{why}.*; (shrink|replace) it or remove it\.$"):
        decode(content)
    assert time.process_time() - started < 0.5


def test_thumbnails_are_no_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsbench.data.images._MOST_PIXELS", 255)
    thumbnail = saved(Image.new("RGB", (8, 8)), "JPEG")
    content = saved(Image.new("RGB", (16, 16)), "JPEG", exif=turned().tobytes() + thumbnail)
    assert content.count(b"\xff\xda") == 2
    decode(content)
    with pytest.raises(DataError, match="it has 256 pixels, more than 255"):
        decode(scans(10, 16))


def text_bomb(kind: bytes) -> tuple[bytes, bytes]:
    """Thirty kilobytes that unpack to thirty megabytes."""
    zeros = zlib.compress(bytes(30 * 10**6))
    return kind, {
        b"iCCP": b"icc\0\0" + zeros,
        b"zTXt": b"a\0\0" + zeros,
        b"iTXt": b"a\0\1\0\0\0" + zeros,
    }[kind]


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_metadata_that_unpack_to_more_than_they_are_are_not_unpacked(kind: bytes) -> None:
    whole = saved(Image.new("RGB", (8, 8)), "PNG")
    content = png(8, 8, text_bomb(kind))[:-24] + whole[whole.index(b"IDAT") - 4 :]
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    with pytest.raises(DataError, match=r"it\.png cannot be decoded"):
        decode(content)
    assert peak() - before < 10


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\0\0\x08",  # four thousand million orientations
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" * 100,  # more tags than there are
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x08\0\0\0",  # of which the next is itself
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0",
        bytes(60_000),
    ],
    ids=range(6),
)
def test_strange_exif_is_an_image_or_a_sentence(exif: bytes) -> None:
    content = saved(Image.new("RGB", (16, 8), "red"), "JPEG", exif=exif)
    started = time.process_time()
    try:
        assert decode(content).shape == (3, 8, 8)
    except DataError as error:
        assert str(error).endswith("replace it or remove it.")
    assert time.process_time() - started < 0.5


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")
FORMS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "WEBP")


def of_mode(mode: str) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    base = Image.fromarray(pixels, "RGBA" if mode in ("LA", "PA", "RGBA") else "CMYK" if mode == "CMYK" else None)
    return base if base.mode == mode else base.convert("RGB").convert(mode)


def in_every_form() -> dict[str, bytes]:
    """Images of every mode, in every form that has it."""
    found = {}
    for mode in MODES:
        for form in FORMS:
            with suppress(OSError, ValueError, KeyError):
                found[f"{mode} {form}"] = saved(of_mode(mode), form)
    return found


@pytest.mark.parametrize("content", in_every_form().values(), ids=in_every_form())
def test_an_image_of_any_mode_is_what_pillow_makes_of_it_or_a_sentence(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        plain = opened.copy()
    deep = plain.mode.startswith(("I", "F"))
    for channels, wanted in ((1, "L"), (3, "RGB")):
        if deep:
            with pytest.raises(DataError, match="more than 8 bits"):
                decode(content, channels)
            continue
        if plain.has_transparency_data:
            over = plain.convert("RGBA")
            plain = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        np.testing.assert_array_equal(decode(content, channels), squeeze(plain.convert(wanted), size=8))


def test_a_palette_with_transparent_colours_is_white_where_it_is_transparent() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(saved(image, "PNG", transparency=1)).min() == 255
    assert decode(saved(image, "PNG"))[:, 0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_a_colour_are_read_as_pillow_reads_them() -> None:
    rows = b"".join(b"\0" + bytes([200, 1, 100, 2, 50, 3] * 4) for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )
    assert decode(content)[:, 0, 0].tolist() == [200, 100, 50]
    assert PngImagePlugin.MAX_TEXT_CHUNK <= 2**20
