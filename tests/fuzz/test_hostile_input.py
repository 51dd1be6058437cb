"""Two hundred damaged files, or as many as `FSBENCH_BAD_INPUTS` says: each is refused in one sentence, or still valid.

What a kind's number 17 is depends on the kind and 17 alone, so a larger run begins with the inputs of a smaller one.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fsbench.errors import FsbenchError
from fuzz.guard import Trespass, guarded
from fuzz.kinds import KINDS, Kind
from fuzz.mutations import damage

pytestmark = pytest.mark.slow

_INPUTS = int(os.environ.get("FSBENCH_BAD_INPUTS", "200"))
_LONGEST = 2000  # characters of a sentence
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def good(kind: Kind, tmp_path: Path, look_into: Callable[[Path], None]) -> Path:
    """A folder with good files, whose copy is where fsbench looks for them."""
    folder = tmp_path / "good"
    folder.mkdir()
    kind.make(folder)
    shutil.copytree(folder, tmp_path / "copy")
    look_into(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    return folder


def numbers() -> range:
    """The numbers of the inputs of every kind."""
    return range(-(-_INPUTS // len(KINDS)))


def attempt(kind: Kind, folder: Path) -> bool:
    """Whether what lies in a folder is refused, as it should be if it is."""
    try:
        with guarded(folder):
            kind.read(folder)
    except FsbenchError as error:
        sentence = str(error)
        assert sentence.endswith((".", "?")), f"no sentence: {sentence[-80:]}"
        assert not _CONTROL.search(sentence), f"it would garble a terminal: {sentence!r}"
        assert len(sentence) <= _LONGEST, f"{len(sentence)} characters: {sentence[:200]}"
        return True
    return False


def test_good_files_are_accepted(kind: Kind, good: Path) -> None:
    copy = good.with_name("copy")
    shutil.copytree(good, copy)
    with guarded(copy):
        kind.read(copy)


def test_bad_files_are_refused_in_a_sentence_or_still_valid(kind: Kind, good: Path, tally: Counter[str]) -> None:
    copy, refused, wrong = good.with_name("copy"), 0, []
    for number in numbers():
        shutil.copytree(good, copy, copy_function=os.link)
        dice = random.Random(f"{kind.name}:{number}")
        targets = sorted(path for pattern in kind.targets for path in copy.glob(pattern))
        done = damage(dice.choice(targets), dice, kind.inner)
        try:
            refused += attempt(kind, copy)
        except (Exception, Trespass) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            wrong.append(f"{kind.name}:{number} ({done}) {type(error).__name__}: {str(error)[:300]} at {where}")
        shutil.rmtree(copy)
    tally[f"{kind.name}: damaged, refused"] += refused
    tally[f"{kind.name}: damaged, still valid"] += len(numbers()) - refused
    assert not wrong, "\n".join(wrong)
    assert refused, f"no bad input of {len(numbers())} was refused"
