"""Cards: what is declared about a source before anybody has its images.

A card is the file `cards/<name>/card.toml`, or in another package `card.toml` beside the module that the entry point
`fsbench.sources` names. Split lists lie beside it.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field, Strict, ValidationError, field_validator

from fsbench.errors import DataError, DataNotFoundError, FsbenchError, first_problem, unknown
from fsbench.files.reading import read_text
from fsbench.files.strict import StrictModel
from fsbench.files.toml import parse_toml

__all__ = [
    "BySplit",
    "Card",
    "SplitCounts",
    "Variant",
    "cards_folder",
    "list_cards",
    "load_card",
    "of_your_own",
    "plugin_error",
    "plugins",
    "read_toml",
]


_LOG = logging.getLogger("fsbench")
_Item = TypeVar("_Item")
_Form = TypeVar("_Form", bound=BaseModel)


class BySplit(StrictModel, Generic[_Item]):
    """What the lists beside a card say of every split; to iterate over it gives pairs of split and value."""

    train: _Item
    val: _Item
    test: _Item


class SplitCounts(StrictModel):
    """Classes of every split."""

    train: int = Field(ge=0)
    val: int = Field(ge=0)
    test: int = Field(ge=0)


class Variant(StrictModel):
    """One way to make classes and splits of a source's images."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    description: str
    classes: SplitCounts
    images: int = Field(ge=1)  # of the complete source, all splits together


class Card(StrictModel):
    """The declaration of a source.

    Attributes:
        folder: Where the card and its split lists lie; not part of the file.
        name: What suites and the command line call it.
        title: Its name in tables.
        description: What it shows, in a sentence.
        licence: Terms of the images, as their authors state them.
        citation: The paper to cite.
        homepage: Where the authors offer it.
        channels: 1 (grey) or 3 (RGB).
        size: Height and width that it is prepared with unless asked otherwise, pixels.
        files: What is looked for in the folder of the source; empty for an embedded source.
        obtain: How to get these files, as half a sentence that starts with a verb.
        download: Whether `fsbench data prepare <name> --download` can fetch them.
        most: Images of a class that are kept, evenly spaced over their names; None: all.
        track: Regular expression whose group tells, from the last part of an image's name, which images of a class
            show one and the same object; empty where nothing is known of that.
        overlap: What its test classes share with a corpus that weights are pretrained on, by the corpus's name: "none";
            "classes" if some are labels there; "images" if it is known to hold some of their images; "possible" if it
            is likely to hold some. Corpora that are not named are unknown. Of sources whose classes are WordNet ids
            it is computed and not declared.
        variants: The ways to prepare it; the first is the default.
    """

    folder: Path
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    description: str
    licence: str
    citation: str
    homepage: str
    channels: Literal[1, 3]
    size: int = Field(ge=8, le=1024)
    files: Annotated[tuple[str, ...], Strict(False)] = ()
    obtain: str = ""
    download: bool = False
    most: int | None = Field(default=None, ge=1)
    track: str = ""
    overlap: dict[str, Literal["none", "classes", "images", "possible"]] = Field(default_factory=dict)
    variants: Annotated[tuple[Variant, ...], Strict(False)] = Field(min_length=1)

    @field_validator("track")
    @classmethod
    def _is_expression(cls, track: str) -> str:
        try:
            groups = re.compile(track).groups
        except re.error as error:
            raise ValueError(f"{track!r} is no regular expression ({error})") from error
        if track and groups != 1:
            raise ValueError(f"{track!r} has {groups} groups instead of one")
        return track

    def variant(self, name: str | None = None) -> Variant:
        """The variant of this name, or the default one.

        Raises:
            UsageError: There is none of this name.
        """
        if name is None:
            return self.variants[0]
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise unknown(f"variant of {self.name}", name, [variant.name for variant in self.variants])

    def not_found(self, missing: str, places: tuple[Path, ...]) -> DataNotFoundError:
        """The error for a file that is not there: where it was looked for, and every way to get it.

        Args:
            missing: The file, e.g. "images_background.zip".
            places: The folders that were looked into.
        """
        prepare = f"fsbench data prepare {self.name}"
        looked = " or ".join(str(place.absolute()) for place in places)
        download = f", or run `{prepare} --download`" if self.download else ""
        where = "the first" if len(places) > 1 else looked
        return DataNotFoundError(
            f"{self.name}: {missing} is not in {looked}; {self.obtain}; "
            f"put {' and '.join(self.files)} into {where}, or run `{prepare} --from PATH`{download}."
        )


def cards_folder() -> Path:
    """The folder of the cards."""
    return Path(__file__).parent / "cards"


def load_card(name: str) -> Card:
    """Read the card of a source.

    Raises:
        UsageError: There is no such source; the nearest name is suggested.
        DataError: The card is not valid.
    """
    others = plugins()
    if name in (names := _names()):
        return _read_card(cards_folder() / name)
    if name in others:
        return _plugin_card(others[name])
    raise unknown("source", name, [*names, *others], otherwise=of_your_own(name))


def of_your_own(name: str) -> str:
    """What to do first where a name that no card has is that of somebody's own images."""
    return f"one of your own is made by `fsbench data prepare {name} --from FOLDER`"


def plugins() -> dict[str, EntryPoint]:
    """The sources of installed packages by their names: the entry points of the group "fsbench.sources"."""
    names = _names()
    return {point.name: point for point in entry_points(group="fsbench.sources") if point.name not in names}


def plugin_error(point: EntryPoint, problem: object) -> DataError:
    """The error for a source of an installed package that does not work."""
    if isinstance(problem, FsbenchError):  # which says in words what it is; the way out is said here
        problem = problem.problem
    kind = f"{type(problem).__name__}: " if isinstance(problem, Exception) else ""
    return DataError(
        f"the source {point.name!r} of an installed package cannot be used from {point.value} ({kind}{problem}); "
        "fix or uninstall it."
    )


def read_toml(path: Path, form: type[_Form], **more: Any) -> _Form:
    """Read a card, or a list beside one.

    Args:
        path: The TOML file.
        form: What it holds.
        more: What is not part of the file.

    Raises:
        DataError: It is not there, cannot be read, or holds something else.
    """
    try:
        return form.model_validate({**parse_toml(read_text(path)), **more})
    except ValidationError as error:
        raise DataError(f"{path} is not valid ({first_problem(error)}); fix it.") from error
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}; write it.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid TOML ({error}); fix it.") from error


def list_cards() -> list[Card]:
    """The cards of all sources, by name; one of an installed package that does not work is left out with a warning."""
    cards = [_read_card(cards_folder() / name) for name in _names()]
    for point in plugins().values():
        try:
            cards.append(_plugin_card(point))
        except DataError as error:
            _warn(str(error))
    return sorted(cards, key=attrgetter("name"))


def _names() -> list[str]:
    return sorted(path.parent.name for path in cards_folder().glob("*/card.toml"))


def _read_card(folder: Path) -> Card:
    return read_toml(folder / "card.toml", Card, folder=folder)


def _plugin_card(point: EntryPoint) -> Card:
    """The card beside the module of a source; the module itself is not imported."""
    try:
        spec = importlib.util.find_spec(point.module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"there is no module {point.module}")
        card = _read_card(Path(spec.origin).parent)
        if card.name != point.name:
            raise ValueError(f"its card says {card.name!r}")
    except (Exception, SystemExit) as error:  # a package raises whatever comes up
        raise plugin_error(point, error) from error
    return card


@cache
def _warn(line: str) -> None:
    """Say it once, however often the cards are listed."""
    _LOG.warning(line)
