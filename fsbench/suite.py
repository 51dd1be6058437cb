"""A suite: a TOML file that says what is measured, on what, and how every method is trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from fsbench.backbones.specification import BackboneSpec, PretrainedSpec
from fsbench.errors import UsageError, hint
from fsbench.files.strict import StrictModel, Text
from fsbench.recipe import UNTRAINED, Row
from fsbench.suite_sections import MOST_EPISODES, EpisodeSpec, ImageSpec, Sources, ValidationSpec

__all__ = ["MOST_SEEDS", "Suite", "check_number"]

MOST_SEEDS: Final = 1000  # of training; every one is a whole run

_SUITE_NAME: Final = re.compile(r"^[a-z0-9][a-z0-9-]*$")


def _is_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(
            f"{name!r} cannot be a name here, which names files; use up to 64 letters, digits, '-' and '_', and a "
            "label for any other"
        )
    return name


def _is_suite_name(name: str) -> str:
    if not _SUITE_NAME.fullmatch(name):
        raise ValueError(f"a name has small letters, digits and hyphens, unlike {name!r:.80}")
    return name


_RowName: TypeAlias = Annotated[str, AfterValidator(_is_name)]


class Suite(StrictModel):
    """A benchmark suite."""

    name: Annotated[Text, AfterValidator(_is_suite_name), Field(json_schema_extra={"pattern": _SUITE_NAME.pattern})]
    title: Text
    images: ImageSpec
    backbone: BackboneSpec
    sources: Sources
    episodes: EpisodeSpec
    validation: ValidationSpec
    backbones: dict[_RowName, PretrainedSpec] = Field(default_factory=dict)  # trained elsewhere
    methods: Annotated[dict[_RowName, Row], Field(min_length=1)]
    _folder: Path | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path | None:
        """The folder of the file that it was read from, where its relative paths are looked for first."""
        return self._folder

    def read_from(self, folder: Path) -> Suite:
        """The suite, as one whose file lies in a folder."""
        found = self.model_copy()
        found._folder = folder
        return found

    @model_validator(mode="after")
    def _frozen_rows_fit(self) -> Suite:
        for name, row in self.methods.items():
            frozen, named = row.training == UNTRAINED, isinstance(row.backbone, str)
            if name == UNTRAINED:
                raise ValueError(f"methods.{name} cannot be called so, which stands for rows without a training")
            if frozen != named:
                raise ValueError(
                    f"methods.{name} has the training {UNTRAINED!r} without the name of a pretrained backbone"
                    if frozen
                    else f"methods.{name}.backbone names {row.backbone!r}, which needs training = {UNTRAINED!r}"
                )
            if named and row.backbone not in self.backbones:
                known = ", ".join(self.backbones) or "none"
                raise ValueError(f"methods.{name}.backbone names {row.backbone!r}; known in backbones: {known}")
            if frozen and row.start is not None:
                raise ValueError(f"methods.{name}.start needs a training of its own")
        return self

    @model_validator(mode="after")
    def _starts_begin_somewhere(self) -> Suite:
        for name, row in self.methods.items():
            upon = [name]
            while row.start in self.methods:
                upon.append(row.start)
                if row.start in upon[:-1]:
                    raise ValueError(f"methods.{name}.start leads back to {row.start!r}: {' from '.join(upon)}")
                row = self.methods[row.start]
        return self

    @model_validator(mode="after")
    def _rows_fit(self) -> Suite:
        for name, row in self.methods.items():
            if row.training == UNTRAINED:
                continue
            shared = isinstance(row.training, str)
            for key, other in (("training", row.training if shared else None), ("start", row.start)):
                owner = None if other is None else self.methods.get(str(other))
                if other is not None and (owner is None or isinstance(owner.training, str)):
                    trained = [each for each, entry in self.methods.items() if not isinstance(entry.training, str)]
                    raise ValueError(
                        f"methods.{name}.{key} names {other!r}, which is no row with a training; "
                        + hint(str(other), [each for each in trained if each != name])
                    )
            if row.start is not None and shared:
                raise ValueError(f"methods.{name}.start needs a training of its own")
            if shared and row.backbone is not None:
                raise ValueError(f"methods.{name}.backbone needs a training of its own; {row.training} has another")
            if row.start is not None and not self.backbone_of(name).has_weights_of(self.backbone_of(row.start)):
                raise ValueError(f"methods.{name}.start names {row.start!r}, which has another backbone")
            if row.freeze and row.start is None:
                raise ValueError(f"methods.{name}.freeze needs a start, the row whose backbone is left as it is")
            if row.freeze and not isinstance(row.training, str) and (used := row.training.needs_images):
                raise ValueError(
                    f"methods.{name}.freeze embeds every image once, as it is, so that {used} has no use; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _validates_on_a_training_source(self) -> Suite:
        if self.sources.validation not in (None, *self.sources.train):
            raise ValueError(f"sources.validation is {self.sources.validation!r}, which is not in sources.train")
        return self

    def changed(
        self, *, backbone: str | None = None, image_size: int | None = None, given: PretrainedSpec | None = None
    ) -> Suite:
        """The suite with another backbone or image size, where one is given; a row's own backbone stays.

        Args:
            backbone: Of the rows that are trained here.
            image_size: Of these too.
            given: Of all rows without training.

        Raises:
            UsageError: The suite has no row without training.
        """
        changes: dict[str, Any] = {} if given is None else self._with_pretrained(given)
        if backbone is not None:
            changes["backbone"] = self.backbone.model_copy(update={"name": backbone})
        if image_size is not None:
            changes["images"] = self.images.model_copy(update={"size": image_size})
        return self.model_copy(update=changes)

    def _with_pretrained(self, spec: PretrainedSpec) -> dict[str, Any]:
        """What changes if all rows without training have a certain backbone."""
        if all(row.training != UNTRAINED for row in self.methods.values()):
            raise UsageError(
                f"the suite {self.name} trains all of its rows and has none for {spec.build}; run --suite frozen, or "
                "write a suite with such rows."
            )
        given = {"backbone": "given"}
        rows = {
            name: row.model_copy(update=given) if row.training == UNTRAINED else row
            for name, row in self.methods.items()
        }
        return {"methods": rows, "backbones": {"given": spec}}

    def backbone_of(self, row: str) -> BackboneSpec:
        """The backbone of a row that is trained here: its own, or the suite's."""
        own = self.methods[self.trained_as(row)].backbone
        assert not isinstance(own, str)  # the suite's own validation
        return own or self.backbone

    def pretrained_of(self, row: str) -> str | None:
        """The name, in `backbones`, of the frozen backbone of a row without training; None for any other row."""
        own = self.methods[row].backbone
        return own if isinstance(own, str) else None

    def trained_as(self, row: str) -> str:
        """The row whose training `row` uses: itself, or the one it names."""
        training = self.methods[row].training
        return training if isinstance(training, str) and training != UNTRAINED else row

    def trained_upon(self, row: str) -> list[str]:
        """The rows whose trainings a training of `row` builds upon, and `row`; each starts from the one before."""
        start = self.methods[row].start
        return [row] if start is None else [*self.trained_upon(start), row]


def check_number(episodes: int | None) -> None:
    """Check a number of episodes that is asked for instead of a suite's.

    Raises:
        UsageError: There are more than `MOST_EPISODES`.
    """
    if episodes is not None and episodes > MOST_EPISODES:
        raise UsageError(f"{episodes} episodes are more than {MOST_EPISODES:,}; ask for fewer.")
