"""Seeded damage to real files: what disks, editors and ill will do to them."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

__all__ = ["Mutate", "damage", "mutated", "replace_file"]

Mutate: TypeAlias = Callable[[bytes], bytes]

_TOKEN = re.compile(r'"[^"\n]*"|-?\d+(?:\.\d+)?|\w+|[][{}(),;:=]')
_HOSTILE = (
    *("", "-1", "0", "1", "0.5", "-0.5", "2147483648", "18446744073709551616", "9" * 30, "9" * 5000, "1000000000"),
    *("1e308", "1e999", "-1e308", "NaN", "nan", "Infinity", "inf", "-inf", "null", "None", "true", "false"),
    *('""', '"x"', '"../../outside"', '"/dev/zero"', '"\\u0000"', '"\\ud800"', '"\x1b[31m"', '"a\\nb"', "\x00", "é"),
    *("[]", "{}", "[[]]", "[1]", '{"a": 1}', "{ 1 = 1 }", "[" * 100_000, "[" * 3000 + "]" * 3000, "-" * 3000 + "1"),
    *('{"a":' * 3000 + "1" + "}" * 3000, '"' + "x" * 70_000 + '"', "a." * 3000 + "a = 1", "=", ",", ";", "\t", '"'),
)


def mutated(content: bytes, random: random.Random) -> bytes:
    """The content of a file with one to three things wrong with it."""
    for _ in range(random.choice((1, 1, 2, 3))):
        content = random.choice(_MUTATIONS)(content, random)
    return content


def damage(path: Path, random: random.Random, inner: Callable[[bytes, Mutate], bytes] | None) -> str:
    """Damage a file, and say how.

    Args:
        path: The file.
        random: Decides.
        inner: Changes the content within checksums or compression that would hide it; half of the time it is used.
    """
    kind = random.choices(("content", "empty", "folder", "gone", "link to itself"), (40, 1, 1, 1, 1))[0]
    if kind == "content":
        content = path.read_bytes()
        if inner is not None and random.random() < 0.5:
            kind, content = "content within", inner(content, lambda part: mutated(part, random))
        else:
            content = mutated(content, random)
        path.unlink()  # it may have other names
        path.write_bytes(content)
    else:
        replace_file(path, kind)
    return f"{path.name}: {kind}"


def replace_file(path: Path, kind: str) -> None:
    """Put something that is no file in a file's place."""
    path.unlink()
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        (path / "inside").mkdir(parents=True)
        shutil.copy(__file__, path / "inside")
    elif kind == "link to itself":
        path.symlink_to(path)


def _truncate(content: bytes, random: random.Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _flip_bits(content: bytes, random: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 2, 8, 64)) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flip_early_bits(content: bytes, random: random.Random) -> bytes:
    """Where headers are."""
    return _flip_bits(content[:200], random) + content[200:]


def _duplicate_block(content: bytes, random: random.Random) -> bytes:
    start, end = _block(content, random)
    return content[:end] + content[start:]


def _delete_block(content: bytes, random: random.Random) -> bytes:
    start, end = _block(content, random)
    return content[:start] + content[end:]


def _overwrite_block(content: bytes, random: random.Random) -> bytes:
    start, end = _block(content, random)
    filling = random.choice((bytes(end - start), b"\xff" * (end - start), random.randbytes(end - start)))
    return content[:start] + filling + content[end:]


def _replace_token(content: bytes, random: random.Random) -> bytes:
    """A number, string, word or bracket becomes something hostile, of whatever type."""
    return _edit_token(content, random, lambda token, other: random.choice(_HOSTILE))


def _swap_tokens(content: bytes, random: random.Random) -> bytes:
    """One becomes another of the same file."""
    return _edit_token(content, random, lambda token, other: other)


def _swap_type(content: bytes, random: random.Random) -> bytes:
    """A string loses its quotes, or something else gets some; or it becomes a list."""
    quoted = {True: lambda token: token.strip('"'), False: lambda token: f'"{token}"'}
    wrap = random.choice((lambda token: f"[{token}]", lambda token: quoted[token.startswith('"')](token)))
    return _edit_token(content, random, lambda token, other: wrap(token))


def _delete_line(content: bytes, random: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        lines.pop(random.randrange(len(lines)))
    return b"".join(lines)


def _duplicate_line(content: bytes, random: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"".join(lines)


def _recode(content: bytes, random: random.Random) -> bytes:
    """As a text editor of another system would save it."""
    text = content.decode("latin-1")
    return random.choice((text.encode("utf-16"), b"\xef\xbb\xbf" + content, text.replace("\n", "\r").encode("latin-1")))


_MUTATIONS = (
    *(_truncate, _flip_bits, _flip_early_bits, _duplicate_block, _delete_block, _overwrite_block, _recode),
    *(_replace_token, _replace_token, _replace_token, _swap_tokens, _swap_type, _delete_line, _duplicate_line),
)


def _block(content: bytes, random: random.Random) -> tuple[int, int]:
    start = random.randrange(len(content) + 1)
    return start, min(len(content), start + random.choice((1, 4, 16, 256, 4096)))


def _edit_token(content: bytes, random: random.Random, edit: Callable[[str, str], str]) -> bytes:
    text = content.decode("utf-8", errors="surrogateescape")
    tokens = list(_TOKEN.finditer(text[:50_000]))
    if not tokens:
        return content
    chosen = random.choice(tokens)
    new = edit(chosen[0], random.choice(tokens)[0])
    return (text[: chosen.start()] + new + text[chosen.end() :]).encode("utf-8", errors="surrogateescape")
