"""Labels in COCO's JSON form: which category of things is seen in which image, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from fsbench.errors import DataError, first_problem
from fsbench.files.reading import read_bytes

__all__ = ["Annotation", "Category", "Label", "Picture", "read_labels"]

_LARGEST = 2**30  # bytes; those of COCO's training images have 450 million


@dataclass(frozen=True, slots=True)
class Picture:
    """An image: its file's name and its width and height, pixels."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Category:
    """A class of things."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """A thing in an image; its box is `(left, upper, width, height)`, pixels, or None if only the image is labelled."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None


class Label(NamedTuple):
    """An annotation, and what its ids stand for."""

    annotation: Annotation
    picture: Picture
    category: Category


@dataclass(frozen=True, slots=True)
class _Content:
    images: list[Picture]
    categories: list[Category]
    annotations: list[Annotation]


def read_labels(path: Path) -> list[Label]:
    """Read a file of annotations; what it says beyond ids, names and boxes is passed over.

    Raises:
        DataError: It cannot be read, is cut, lacks a key, or an annotation names an image or category that it lacks.
    """
    try:
        content = TypeAdapter(_Content).validate_json(read_bytes(path, _LARGEST))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); get a new copy of it.") from error
    except ValidationError as error:
        raise DataError(f"{path} has not COCO's form ({first_problem(error)}); get a new copy of it.") from error
    pictures = {picture.id: picture for picture in content.images}
    categories = {category.id: category for category in content.categories}
    labels = []
    for annotation in content.annotations:
        picture, category = pictures.get(annotation.image_id), categories.get(annotation.category_id)
        if picture is None or category is None:
            lacks = f"image {annotation.image_id}" if picture is None else f"category {annotation.category_id}"
            raise DataError(
                f"{path}: annotation {annotation.id} names the {lacks}, which is not there; get a new copy."
            )
        labels.append(Label(annotation, picture, category))
    return labels
