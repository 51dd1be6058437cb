"""TFRecord files and the `tf.train.Example` messages in them, read without TensorFlow.

A record is its payload's length (uint64), the masked CRC32C of these eight bytes (uint32), the payload and the masked
CRC32C of the payload (uint32), all little-endian, one record after the other:
<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>. An Example is a protocol buffer:
<https://protobuf.dev/programming-guides/encoding/>. It is parsed here, in 70 lines:
protobuf's own parser would be a dependency more, whose major version other packages, as TensorFlow, pin.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import google_crc32c

from fsbench.errors import DataError
from fsbench.files.reading import open_regular

__all__ = ["index_records", "parse_example", "read_record"]

_HEADER = struct.Struct("<QI")  # length, its checksum
_CHECKSUM = struct.Struct("<I")
_LARGEST = 2**28  # bytes of a payload
_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5  # wire types; groups (3, 4) are of the past
_WIDTHS = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}  # bytes


def index_records(path: Path) -> list[tuple[int, int]]:
    """Find every record of a file; payloads are passed over, not read.

    Returns:
        Offset and length of every payload, bytes.

    Raises:
        DataError: The file cannot be read, ends within a record, or the length of a record is damaged.
    """
    found = []
    try:
        with open_regular(path) as file:
            at, size = 0, os.fstat(file.fileno()).st_size
            while at < size:
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    raise _damaged(path, at, "is cut off")
                length, checksum = _HEADER.unpack(header)
                if checksum != _masked_crc32c(header[:8]):
                    raise _damaged(path, at, "has a length that does not match its checksum")
                if length > _LARGEST:
                    raise _damaged(path, at, f"has {length:,} bytes, which is no image")
                end = at + _HEADER.size + length + _CHECKSUM.size
                if end > size:
                    raise _damaged(path, at, "is cut off")
                found.append((at + _HEADER.size, length))
                at = file.seek(end)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); get a new copy of it.") from error
    return found


def read_record(path: Path, offset: int, length: int) -> bytes:
    """The payload of a record.

    Args:
        path: The file.
        offset: Where the payload begins, as `index_records` found it, bytes.
        length: Its length, bytes.

    Raises:
        DataError: The file cannot be read, or the payload is damaged.
    """
    try:
        with open_regular(path) as file:
            file.seek(offset)
            content = file.read(length + _CHECKSUM.size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); get a new copy of it.") from error
    payload, checksum = content[:length], content[length:]
    if len(checksum) < _CHECKSUM.size:
        raise _damaged(path, offset - _HEADER.size, "is cut off")
    if _CHECKSUM.unpack(checksum)[0] != _masked_crc32c(payload):
        raise _damaged(path, offset - _HEADER.size, "does not match its checksum")
    return payload


def parse_example(payload: bytes, name: str) -> dict[str, list[bytes] | list[int] | list[float]]:
    """The features of a serialised `tf.train.Example`.

    Args:
        payload: The message.
        name: What to call it in an error.

    Returns:
        Feature name to its values; an empty list for a feature without a kind.

    Raises:
        DataError: It is no such message.
    """
    try:
        entries = [entry for features in _messages(memoryview(payload), 1) for entry in _messages(features, 1)]
        return dict(_feature(entry) for entry in entries)
    except ValueError as error:
        raise DataError(f"{name} is no tf.train.Example ({error}); get a new copy of it.") from error


def _masked_crc32c(content: bytes) -> int:
    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _damaged(path: Path, at: int, problem: str) -> DataError:
    return DataError(f"{path}: the record at byte {at:,} {problem}; get a new copy of the file.")


def _feature(entry: memoryview) -> tuple[str, list[Any]]:
    """Name and values of one entry of the map of features.

    As in every protocol buffer, of a field that is there twice the last one counts, and messages and lists are joined.
    """
    names = [bytes(name).decode() for name in _messages(entry, 1)]
    kind, values = 0, list[Any]()
    for feature in _messages(entry, 2):
        for number, wire, content in _fields(feature):
            if wire == _DELIMITED and number in _KINDS:
                values = values if number == kind else []
                kind, (wires, decode) = number, _KINDS[number]
                for inner, inner_wire, inner_content in _fields(content):
                    if inner == 1 and inner_wire in wires:
                        values += decode(inner_content)
    return names[-1] if names else "", values


def _messages(message: memoryview, wanted: int) -> list[memoryview]:
    """The contents of the length-delimited fields of a number."""
    return [content for number, wire, content in _fields(message) if number == wanted and wire == _DELIMITED]


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, wire type and content of every field; ValueError where the message is malformed."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 2**29:
            raise ValueError(f"a field has the number {number}")
        if wire == _VARINT:
            end = _varint(message, at)[1]
        elif wire == _DELIMITED:
            length, at = _varint(message, at)
            end = at + length
        elif wire in _WIDTHS:
            end = at + _WIDTHS[wire]
        else:
            raise ValueError(f"field {number} has the unknown wire type {wire}")
        if end > len(message):
            raise ValueError(f"field {number} is cut off")
        yield number, wire, message[at:end]
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at a place, and where it ends."""
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at + count + 1
    raise ValueError("a number is cut off or has more than 64 bits")


def _integers(content: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(content):
        value, at = _varint(content, at)
        values.append(value - 2**64 if value >= 2**63 else value)
    return values


def _floats(content: memoryview) -> list[float]:
    if len(content) % 4:
        raise ValueError("a list of floats is cut off")
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def _strings(content: memoryview) -> list[bytes]:
    return [bytes(content)]


# By the number of a feature's field: the wire types of its list's items, single or packed, and how they are decoded.
_KINDS: dict[int, tuple[Sequence[int], Callable[[memoryview], list[Any]]]] = {
    1: ((_DELIMITED,), _strings),
    2: ((_FOUR_BYTES, _DELIMITED), _floats),
    3: ((_VARINT, _DELIMITED), _integers),
}
