"""A row of a suite and how it is trained, as the suite's file says it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    PositiveFloat,
    Strict,
    field_validator,
    model_validator,
)

from fsbench.backbones.specification import BackboneSpec
from fsbench.errors import SuiteError
from fsbench.files.strict import LongText, Number, Steps, StrictModel, Text

__all__ = [
    "UNTRAINED",
    "VARIABLE",
    "BatchTraining",
    "EpisodicTraining",
    "PerShot",
    "Row",
    "TrainingSpec",
    "at_shot",
    "shot_of",
]

_Value = TypeVar("_Value")
UNTRAINED: Final = "none"  # the training of rows whose backbone was trained elsewhere
VARIABLE: Final = "variable"  # the entry of a table from shot to value for variable shots
_SHOT: Final = re.compile(f"[1-9][0-9]{{0,5}}|{VARIABLE}")
_ROUNDING = 1e-6  # of a sum of shares
_BETAS, _WARM_UP, _MILESTONE_FACTOR = (0.9, 0.999), 0.15, 0.1  # unless a training says otherwise
_Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


def shot_of(key: object) -> int | Literal["variable"]:
    """What a key of a table from shot to value stands for, e.g. "5".

    Raises:
        ValueError: It is no number of shots; one that is written otherwise ("05") could stand beside itself.
    """
    if not _SHOT.fullmatch(str(key)):
        raise ValueError(f"{key!r} is no number of shots; write {{ 1 = ..., 5 = ..., {VARIABLE} = ... }}")
    return VARIABLE if key == VARIABLE else int(str(key))


# One value, or one for every shot, and for variable ones: steps = { 1 = 4000, 5 = 3000, variable = 2000 }.
PerShot: TypeAlias = _Value | dict[Annotated[int | Literal["variable"], BeforeValidator(shot_of)], _Value]
_Rate: TypeAlias = Annotated[float, Field(gt=0, le=1e6)]
_Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]


def _leave_a_rest(phases: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if sum(share for _, share in phases) > 1 - _ROUNDING:
        raise ValueError("the shares must leave a rest of the steps for images of the suite's own size")
    return phases


# Of pairs not even the type is asked for: TOML has lists alone.
_Phase: TypeAlias = Annotated[tuple[Annotated[int, Field(ge=8, le=1024)], _Share], Strict(False)]
_SmallFirst: TypeAlias = Annotated[list[_Phase], Field(min_length=1), AfterValidator(_leave_a_rest)]


class _Optimisation(StrictModel):
    """The optimiser, how its rate goes, how long it runs, and what images it sees."""

    steps: PerShot[Steps]
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    betas: Annotated[tuple[_Beta, _Beta], Strict(False)] = _BETAS  # of adam and adamw
    momentum: _Beta = 0.0  # of sgd
    nesterov: bool = False  # of sgd
    rate: PerShot[_Rate]  # learning rate; of a shape that is not constant, the highest
    rate_shape: Literal["constant", "cosine", "one-cycle"] = "constant"  # cosine: to 0; one-cycle: a rise before that
    warm_up: _Share = _WARM_UP  # of one-cycle: the rise, of the steps
    milestones: list[_Share] = Field(default_factory=list)  # of the steps; from each on, the rate is multiplied by
    milestone_factor: PositiveFloat = _MILESTONE_FACTOR
    halve_every: PerShot[Steps] | None = None  # steps after which the rate is halved; none: never
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0  # of adamw: decoupled
    clip: PositiveFloat | None = None  # largest norm of the gradient
    clip_value: PositiveFloat | None = None  # largest absolute value in the gradient, cut before that
    validate_every: PerShot[Steps]  # steps
    patience: Steps | None = None  # validations without a new best before training stops; none: all steps
    augment: bool | Literal["crop"] = False  # training images: random resized crop, flip and, if true, colour jitter
    # Smaller images at first: their pixels and share of the steps, in order. The rest is at the suite's image size, and
    # so is what would not be smaller than that.
    small_first: PerShot[_SmallFirst] | None = None
    recompute_statistics: Annotated[int, Field(ge=2, le=10**6)] | None = None  # plain training images for new running
    # statistics before every look at the validation episodes; none: as the steps left them

    @property
    def needs_images(self) -> str | None:
        """The name of what it says of the training images, if anything: features that are made once cannot have it."""
        changed = {name: getattr(self, name) for name in ("augment", "small_first", "recompute_statistics")}
        return next((name for name, value in changed.items() if value), None)

    @model_validator(mode="after")
    def _are_used(self) -> _Optimisation:
        unused = {
            "betas": self.betas != _BETAS and self.optimiser == "sgd",
            "momentum": self.momentum != 0 and self.optimiser != "sgd",
            "nesterov": self.nesterov and self.optimiser != "sgd",
            "warm_up": self.warm_up != _WARM_UP and self.rate_shape != "one-cycle",
            "milestone_factor": self.milestone_factor != _MILESTONE_FACTOR and not self.milestones,
        }
        if any(unused.values()):
            name = next(name for name, is_unused in unused.items() if is_unused)
            raise ValueError(
                f"{name} is given, but the optimiser {self.optimiser} with the rate_shape {self.rate_shape} and "
                f"{len(self.milestones)} milestones makes no use of it"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class EpisodicTraining(_Optimisation):
    """Training on tasks: one step is one batch of tasks."""

    kind: Literal["episodes"]
    # Of the training and validation episodes, for one model of all tests or those that a table names; else as tested.
    shot: PerShot[Number] | None = None
    way: PerShot[Annotated[Number, Field(ge=2)]]
    queries: PerShot[Number]  # per class
    tasks: PerShot[Number]  # per step
    # Classes, `shot` + `queries` images of each, that a step embeds once to answer all of its tasks: these are random
    # splits of the pool, each cut into `pool / way` tasks of disjoint classes. None: every task has its own images, as
    # at variable shots.
    pool: PerShot[Annotated[Number, Field(ge=2)]] | None = None

    def shot_for(self, test_shot: int | None) -> int | None:
        """The shot of the training for tests at a shot; None: variable shots."""
        if not isinstance(self.shot, dict):
            return test_shot if self.shot is None else self.shot
        return self.shot.get(VARIABLE if test_shot is None else test_shot, test_shot)


class BatchTraining(_Optimisation):
    """Training on batches of images of all training classes.

    Validated on 1-shot episodes of the suite's way, or, under the protocol "variable", on variable ones.
    """

    kind: Literal["batches"]
    batch: Annotated[int, Field(ge=2, le=100_000)]  # one image has no variance to normalise by where maps are one pixel

    def shot_for(self, test_shot: int | None) -> int | None:
        """The shot of the validation for tests at a shot; None: variable shots."""
        return None if test_shot is None else 1


TrainingSpec = Annotated[EpisodicTraining | BatchTraining, Field(discriminator="kind")]


def at_shot(value: Any, shot: int | None, name: str) -> Any:
    """The value at a shot, or at variable shots (None): of a table from shot to value its entry, else the value itself.

    Raises:
        SuiteError: The table has no entry for the shot, or one for what is no shot.
    """
    if not isinstance(value, dict):
        return value
    try:
        table = {shot_of(key): entry for key, entry in value.items()}
    except ValueError as error:
        raise SuiteError(f"{name}: {error}.") from error
    wanted = VARIABLE if shot is None else shot
    if wanted not in table:
        given = ", ".join(map(str, table))
        raise SuiteError(
            f"{name} has values for the shots {given}, but none for {wanted}; add {wanted} = ... there, or one "
            "value for all, in a suite file of your own (with base = the name of this one)."
        )
    return table[wanted]


class Row(StrictModel):
    """A row of the table: a method, its hyper-parameters, and how it is trained."""

    method: LongText
    label: Text | None = None  # in tables; none: the method's own
    params: dict[str, JsonValue] = Field(default_factory=dict)  # a value may be a table from shot to value
    training: TrainingSpec | str  # or the name of the row whose training it shares, or "none" for a frozen backbone
    deviates: Annotated[LongText, Field(min_length=1, max_length=300)] | None = None  # from the paper's training
    start: Text | None = None  # the row whose trained backbone it starts from; none: random weights
    freeze: bool = False  # that backbone is not trained: every image is embedded once, and training sees features
    # none: that of the row whose training it shares, or the suite's; of a row without training a name in `backbones`
    backbone: BackboneSpec | Text | None = None

    @field_validator("params")
    @classmethod
    def _tables_are_by_shot(cls, params: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name, value in params.items():
            for key in value if isinstance(value, dict) else ():
                try:
                    shot_of(key)
                except ValueError as error:
                    raise ValueError(f"{name} is a table, which gives a value for every shot, but {error}") from error
        return params
