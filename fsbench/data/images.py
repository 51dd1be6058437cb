"""From the bytes of an image file to a square uint8 array: the one place where images are decoded and resized."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError, features
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from fsbench.errors import DataError

__all__ = ["RESAMPLING", "Box", "decode_image", "decoder_versions", "squeeze"]

RESAMPLING = "bilinear, antialiased"
_MOST_PIXELS = 2**24  # with transparency they take 24 bytes each
_MOST_OF_A_PHOTOGRAPH = 60_000_000  # pixels of a JPEG that is read in one go: 8 bytes each, where it is turned
_LONGEST_SIDE = 2**16  # pixels; Pillow's filter takes 24 bytes for each
_MOST_SCANS = 50  # of a progressive JPEG, in each of which all pixels are visited; ten are usual
_MOST_BYTES, _METADATA = 8, 2**20  # of a file: for a pixel, and beside
_SCAN = b"\xff\xda"  # marks where one begins
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "WEBP")  # of others Pillow hands some, as EPS, to another program
Box = tuple[int, int, int, int]  # left, upper, right, lower: pixels, as Pillow counts them


def decode_image(
    content: bytes, name: str, *, size: int, channels: int, box: Box | None = None
) -> npt.NDArray[np.uint8]:
    """Decode an image and squeeze it, or a part of it, to a square.

    The orientation that a camera noted is applied and transparent parts become white, as a viewer shows them.

    Args:
        content: The file.
        name: What to call it in an error.
        size: Height and width of the result, pixels.
        channels: 1 (grey) or 3 (RGB).
        box: The part to take, cut off at the image's edges; None: all of it.

    Returns:
        uint8 `[channels, size, size]`, 0 is black.

    Raises:
        DataError: It is no image that can be decoded, it would take too much time or memory, or the box lies outside
            of it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                _check_cost(opened, content)
                part = opened if box is None else opened.crop(_within(box, opened))  # of the pixels as they are stored
                ImageOps.exif_transpose(part, in_place=True)
                image = _plain(part, "L" if channels == 1 else "RGB")
    except (_Costly, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name} is too large to decode ({error}); shrink it or remove it.") from error
    except Exception as error:  # decoders raise whatever comes up
        unknown = isinstance(error, UnidentifiedImageError)  # whose text is an address in memory
        why = f"it is none of {', '.join(_FORMATS)}, or damaged" if unknown else error
        raise DataError(f"{name} cannot be decoded as an image ({why}); replace it or remove it.") from error
    return squeeze(image, size=size)


def squeeze(image: Image.Image, *, size: int) -> npt.NDArray[np.uint8]:
    """A grey or RGB image as a square: uint8 `[channels, size, size]`.

    Pillow's bilinear filter widens with the scale, so that shrinking averages instead of skipping pixels.
    """
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels[None] if image.mode == "L" else pixels.transpose(2, 0, 1)


def decoder_versions(*codecs: str) -> dict[str, str]:
    """What decodes and resizes, with versions: equal versions give equal packs.

    Args:
        codecs: Libraries that Pillow decodes with and that change pixels, as `PIL.features` calls them.
    """
    return {"pillow": PIL.__version__, **{codec: str(features.version(codec)) for codec in codecs}}


class _Costly(Exception):
    """An image that would take too much time or memory."""


def _check_cost(image: Image.Image, content: bytes) -> None:
    """Refuse an opened image whose pixels would take too much time or memory to decode."""
    scans = 0
    if isinstance(image, JpegImageFile):
        scans = content.count(_SCAN) - sum(part.count(_SCAN) for _, part in image.applist)  # thumbnails have some
    pixels, most = image.width * image.height, _MOST_OF_A_PHOTOGRAPH if scans == 1 else _MOST_PIXELS
    if pixels > most:
        raise _Costly(f"it has {pixels:,} pixels, more than {most:,}")
    if max(image.size) > _LONGEST_SIDE:
        raise _Costly(f"a side has {max(image.size):,} pixels, more than {_LONGEST_SIDE:,}")
    if scans > _MOST_SCANS:
        raise _Costly(f"it has {scans:,} scans, more than {_MOST_SCANS}")
    if len(content) > _MOST_BYTES * pixels + _METADATA:
        raise _Costly(f"it has {len(content):,} bytes for {pixels:,} pixels")
    if isinstance(image, ImageFile) and any(tile.codec_name in Image.DECODERS for tile in image.tile):
        raise ValueError("this form of it is decoded slowly, a number at a time; save it as PNG")


def _within(box: Box, image: Image.Image) -> Box:
    left, upper, right, lower = max(box[0], 0), max(box[1], 0), min(box[2], image.width), min(box[3], image.height)
    if left >= right or upper >= lower:
        raise ValueError(f"the box {box} lies outside of its {image.width}x{image.height} pixels")
    return left, upper, right, lower


def _plain(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{image.mode} pixels have more than 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
