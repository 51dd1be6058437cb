"""Records that another writer wrote (tfrecord, with its own CRC32C), and what protobuf itself makes of messages."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tfrecord import TFRecordWriter
from tfrecord.example_pb2 import Example

from fsbench.data.tfrecords import index_records, parse_example, read_record
from fsbench.errors import DataError

DATUM = {"image": (b"\xff\xd8", "byte"), "label": (7, "int")}
HEADER = 12  # bytes before a payload


def write(path: Path, *data: dict[str, tuple[Any, str]]) -> Path:
    writer = TFRecordWriter(str(path))
    for datum in data:
        writer.write(datum)
    writer.close()
    return path


def read_all(path: Path) -> list[bytes]:
    return [read_record(path, offset, length) for offset, length in index_records(path)]


def masked(crc: int) -> bytes:
    """The stored form of a checksum: rotated to the right by 15 bits, plus a constant."""
    return struct.pack("<I", (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) % 2**32)


def by_protobuf(message: bytes) -> dict[str, list[Any]]:
    features = Example.FromString(message).features.feature
    kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
    return {name: list(getattr(features[name], kind).value) if kind else [] for name, kind in kinds.items()}


def field(number: int, wire: int, content: bytes) -> bytes:
    """A field of a message, written by hand; contents shorter than 128 bytes."""
    return bytes([number << 3 | wire]) + (bytes([len(content)]) if wire == 2 else b"") + content


def with_feature(feature: bytes, name: bytes = b"x") -> bytes:
    return field(1, 2, field(1, 2, field(1, 2, name) + field(2, 2, feature)))


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(),
        st.one_of(
            st.tuples(st.lists(st.binary()), st.just("byte")),
            st.tuples(st.lists(st.integers(-(2**63), 2**63 - 1)), st.just("int")),
            st.tuples(st.lists(st.floats(width=32, allow_nan=False)), st.just("float")),
        ),
    )
)
def test_what_was_written_comes_back(tmp_path_factory: pytest.TempPathFactory, datum: dict[str, Any]) -> None:
    path = write(tmp_path_factory.mktemp("written") / "0.tfrecords", datum)
    (payload,) = read_all(path)
    assert parse_example(payload, "it") == {name: values for name, (values, _) in datum.items()}


def test_every_record_is_found(tmp_path: Path) -> None:
    data = [{"image": (bytes(length), "byte")} for length in (0, 1, 127, 128, 20_000, 3)]
    payloads = read_all(write(tmp_path / "0.tfrecords", *data))
    assert [parse_example(payload, "it")["image"] for payload in payloads] == [[datum["image"][0]] for datum in data]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert index_records(write(tmp_path / "0.tfrecords")) == []


@pytest.mark.parametrize(
    ("payload", "crc"),
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (b"123456789", 0xE3069283)],
)
def test_the_checksum_is_crc32c(tmp_path: Path, payload: bytes, crc: int) -> None:  # RFC 3720, B.4
    path = tmp_path / "0.tfrecords"
    path.write_bytes(payload + masked(crc))
    assert read_record(path, 0, len(payload)) == payload


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tfrecords", DATUM, DATUM)
    whole = path.read_bytes()
    second = len(whole) // 2
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        start = 0 if bit < 8 * second else second
        complaint = "a length that" if bit // 8 - start < HEADER else "does"
        with pytest.raises(
            DataError, match=rf"0\.tfrecords: the record at byte {start} .*{complaint} .*get a new copy"
        ):
            read_all(path)


def test_every_cut_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tfrecords", DATUM, DATUM)
    whole = path.read_bytes()
    second = len(whole) // 2
    for length in set(range(len(whole))) - {0, second}:
        path.write_bytes(whole[:length])
        start = 0 if length < second else second
        with pytest.raises(DataError, match=rf"0\.tfrecords: the record at byte {start} is cut off; get a new copy"):
            index_records(path)
    path.write_bytes(whole[:second])
    assert len(index_records(path)) == 1  # whoever knows the number of records sees that


def test_a_file_cut_after_it_was_indexed_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tfrecords", DATUM)
    ((offset, length),) = index_records(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="the record at byte 0 is cut off"):
        read_record(path, offset, length)


def test_a_record_that_is_too_large_for_an_image_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "0.tfrecords"
    length = struct.pack("<Q", 2**40)
    path.write_bytes(length + TFRecordWriter.masked_crc(length))
    with pytest.raises(DataError, match="the record at byte 0 has 1,099,511,627,776 bytes, which is no image"):
        index_records(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.tfrecords cannot be read \(No such file"):
        index_records(tmp_path / "0.tfrecords")
    with pytest.raises(DataError, match=r"0\.tfrecords cannot be read \(No such file"):
        read_record(tmp_path / "0.tfrecords", 12, 3)


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (field(3, 2, field(1, 2, b"\x05\x06")), [5, 6]),  # packed
        (field(3, 2, field(1, 0, b"\x05") + field(1, 0, b"\x06")), [5, 6]),  # one by one
        (field(3, 2, field(1, 0, b"\xff" * 9 + b"\x01")), [-1]),
        (field(2, 2, field(1, 2, struct.pack("<2f", 0.5, -2))), [0.5, -2]),
        (field(2, 2, field(1, 5, struct.pack("<f", 0.5)) + field(1, 5, struct.pack("<f", -2))), [0.5, -2]),
        (field(1, 2, field(1, 2, b"a") + field(1, 2, b"")), [b"a", b""]),
        (field(1, 2, field(1, 2, b"a")) + field(1, 2, field(1, 2, b"b")), [b"a", b"b"]),  # joined
        (field(1, 2, field(1, 2, b"a")) + field(3, 2, field(1, 0, b"\x05")), [5]),  # the last kind counts
        (b"", []),
        (
            field(9, 0, b"\x01") + field(9, 1, bytes(8)) + field(9, 2, b"?") + field(9, 5, bytes(4)),
            [],
        ),  # unknown fields
    ],
)
def test_features_in_every_form(feature: bytes, values: list[Any]) -> None:
    message = field(4, 0, b"\x01") + with_feature(feature)
    assert parse_example(message, "it") == by_protobuf(message) == {"x": values}


def test_of_features_of_one_name_the_last_one_counts() -> None:
    message = b"".join(with_feature(field(3, 2, field(1, 0, bytes([label])))) for label in (1, 2))
    assert parse_example(message, "it") == by_protobuf(message) == {"x": [2]}


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\x0a", "a number is cut off"),
        (b"\x0a\x05abc", "field 1 is cut off"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "field 1 is cut off"),  # a length of nearly 2^64
        (b"\x08" + b"\xff" * 10, "has more than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "has more than 64 bits"),
        (b"\x0d\x00\x00\x00", "field 1 is cut off"),
        (b"\x09" + bytes(7), "field 1 is cut off"),
        (b"\x02\x00", "a field has the number 0"),
        (b"\x0b\x0c", "field 1 has the unknown wire type 3"),
        (b"\x0f", "field 1 has the unknown wire type 7"),
        (with_feature(b"", name=b"\xff"), "can't decode byte 0xff"),
        (with_feature(field(2, 2, field(1, 2, bytes(5)))), "a list of floats is cut off"),
        (with_feature(field(3, 2, field(1, 2, b"\x80"))), "a number is cut off"),
    ],
)
def test_a_malformed_message_is_refused(message: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=rf"^0\.tfrecords is no tf\.train\.Example \(.*{complaint}.*\); get a new copy"):
        parse_example(message, "0.tfrecords")


FEATURES = [
    field(1, 2, field(1, 2, b"abc") + field(1, 2, b"")),
    field(2, 2, field(1, 2, struct.pack("<2f", 1.5, -2)) + field(1, 5, bytes(4))),
    field(3, 2, field(1, 2, b"\xac\x02\x05") + field(1, 0, b"\x07")),
]


def spoilt(good: bytes) -> st.SearchStrategy[bytes]:
    """A good message with a part replaced, so that most of it still makes sense."""
    places = st.integers(0, len(good))
    return st.builds(lambda a, b, part: good[:a] + part + good[b:], places, places, st.binary(max_size=6))


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.binary(), spoilt(b"".join(map(with_feature, FEATURES)))))
def test_no_bytes_do_more_harm_than_a_data_error(message: bytes) -> None:
    try:
        parsed = parse_example(message, "it")
    except DataError:
        return
    assert all(isinstance(name, str) and isinstance(values, list) for name, values in parsed.items())


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.binary(max_size=60), *map(spoilt, FEATURES), spoilt(b"".join(FEATURES))))
def test_a_feature_of_any_bytes_is_what_protobuf_says(feature: bytes) -> None:
    message = with_feature(feature)
    try:
        parsed = parse_example(message, "it")
    except DataError as error:
        if "wire type" not in str(error):  # groups, which protobuf still reads
            with pytest.raises(DecodeError):
                Example.FromString(message)
    else:
        assert repr(parsed) == repr(by_protobuf(message))  # NaN is written alike
