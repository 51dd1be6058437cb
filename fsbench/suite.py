"""A suite: a TOML file that says what is measured, on what, and how every method is trained."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from fsbench.episodes.sampler import Rules
from fsbench.errors import SuiteError, UsageError, unknown
from fsbench.files.strict import StrictModel
from fsbench.files.toml import parse_toml

__all__ = [
    "MOST_EPISODES",
    "BackboneSpec",
    "BatchTraining",
    "EpisodeSpec",
    "EpisodicTraining",
    "ImageSpec",
    "PerShot",
    "Row",
    "Sources",
    "Suite",
    "TrainingSpec",
    "ValidationSpec",
    "at_shot",
    "check_number",
    "list_suites",
    "load_suite",
]

_Value = TypeVar("_Value")
MOST_EPISODES: Final = 100_000  # drawn in half a gigabyte; their interval is a thirteenth of that of 600
_ROUNDING = 1e-6  # of a sum of shares
_BETAS, _WARM_UP, _MILESTONE_FACTOR = (0.9, 0.999), 0.15, 0.1  # unless a training says otherwise
_Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
PerShot: TypeAlias = _Value | dict[int, _Value]  # one value, or one for every shot: steps = { 1 = 4000, 5 = 3000 }


class ImageSpec(StrictModel):
    """What a method sees: square images, normalised on the scale 0 to 1."""

    size: Annotated[int, Field(ge=1, le=1024)]
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]

    def identity(self) -> dict[str, Any]:
        """What of it enters identities."""
        return {"size": self.size, "channels": self.channels, "mean": list(self.mean), "std": list(self.std)}

    @model_validator(mode="after")
    def _one_for_every_channel(self) -> ImageSpec:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} values, one for every channel")
        return self


class BackboneSpec(StrictModel):
    """The backbone of a row, or of all rows of a suite that name none."""

    name: str
    width: Annotated[int, Field(ge=1, le=4096)]  # filters of the first convolution
    norm_scale: Literal["ones", "uniform"] = "ones"  # initial weights of batch normalisation

    def identity(self) -> dict[str, Any]:
        """What of it enters identities; a later field does only when it is not what was before it came."""
        later = {} if self.norm_scale == "ones" else {"norm_scale": self.norm_scale}
        return {"name": self.name, "width": self.width} | later


class Sources(StrictModel):
    """Where the images come from: source references, e.g. "omniglot" or "omniglot:original"."""

    train: Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)] = Field(
        min_length=1
    )  # several: for every episode, or every image of a batch, one is drawn uniformly
    validation: str | None = None  # the source of the validation episodes; none: the first to train on
    test: Annotated[list[str], Field(min_length=1)]
    absent: Literal["error", "leave out"] = "error"  # what happens to a source whose files are not there


class EpisodeSpec(StrictModel):
    """The test episodes, and what holds for all episodes."""

    way: Annotated[int, Field(ge=2)]
    shots: Annotated[list[PositiveInt], Field(min_length=1)]
    queries: PositiveInt  # per class
    number: Annotated[int, Field(ge=2, le=MOST_EPISODES)]  # one episode has no interval
    seed: int
    small_classes: Literal["error", "leave out"] = "error"  # those with too few images for shot + queries
    tracks: Literal["apart", "shared"] = "apart"  # whether support and query may show the same object

    @property
    def rules(self) -> Rules:
        """What samplers need to know of it."""
        return Rules(leave_out=self.small_classes == "leave out", tracks_apart=self.tracks == "apart")


class ValidationSpec(StrictModel):
    """The validation episodes, of the test's way and queries and the training's shot."""

    number: Annotated[int, Field(ge=1, le=MOST_EPISODES)]
    seed: int


_Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]


def _add_up(sizes: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if abs(sum(share for _, share in sizes) - 1) > _ROUNDING:
        raise ValueError("the shares of the sizes must add up to 1")
    return sizes


_Sizes: TypeAlias = Annotated[
    list[tuple[Annotated[int, Field(ge=8, le=1024)], Annotated[float, Field(gt=0, le=1)]]],
    Field(min_length=1),
    AfterValidator(_add_up),
]


class _Optimisation(StrictModel):
    """The optimiser, how its rate goes, how long it runs, and what images it sees."""

    steps: PerShot[PositiveInt]
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    betas: tuple[_Beta, _Beta] = _BETAS  # of adam and adamw
    momentum: _Beta = 0.0  # of sgd
    nesterov: bool = False  # of sgd
    rate: PerShot[PositiveFloat]  # learning rate; of a shape that is not constant, the highest
    rate_shape: Literal["constant", "cosine", "one-cycle"] = "constant"  # cosine: to 0; one-cycle: a rise before that
    warm_up: _Share = _WARM_UP  # of one-cycle: the rise, of the steps
    milestones: list[_Share] = Field(default_factory=list)  # of the steps; from each on, the rate is multiplied by
    milestone_factor: PositiveFloat = _MILESTONE_FACTOR
    halve_every: PerShot[PositiveInt] | None = None  # steps after which the rate is halved; none: never
    weight_decay: Annotated[float, Field(ge=0)] = 0.0  # of adamw: decoupled
    clip: PositiveFloat | None = None  # largest norm of the gradient
    clip_value: PositiveFloat | None = None  # largest absolute value in the gradient, cut before that
    validate_every: PerShot[PositiveInt]  # steps
    patience: PositiveInt | None = None  # validations without a new best before training stops; none: all steps
    augment: bool | Literal["crop"] = False  # training images: random resized crop, flip and, if true, colour jitter
    sizes: PerShot[_Sizes] | None = None  # pixels and share of the steps, in order; none: the suite's image size
    recompute_statistics: Annotated[int, Field(ge=2)] | None = None  # plain training images for new running statistics
    # before every look at the validation episodes; none: as the steps left them

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
    way: PerShot[Annotated[int, Field(ge=2)]]
    queries: PerShot[PositiveInt]  # per class
    tasks: PerShot[PositiveInt]  # per step
    # Classes, `shot` + `queries` images of each, that a step embeds once to answer all of its tasks: these are random
    # splits of the pool, each cut into `pool / way` tasks of disjoint classes. None: every task has its own images.
    pool: PerShot[Annotated[int, Field(ge=2)]] | None = None


class BatchTraining(_Optimisation):
    """Training on batches of images of all training classes; validated on 1-shot episodes."""

    kind: Literal["batches"]
    batch: PositiveInt


TrainingSpec = Annotated[EpisodicTraining | BatchTraining, Field(discriminator="kind")]


class Row(StrictModel):
    """A row of the table: a method, its hyper-parameters, and how it is trained."""

    method: str
    label: str | None = None  # in tables; none: the method's own
    params: dict[str, JsonValue] = Field(default_factory=dict)  # a value may be a table from shot to value
    training: TrainingSpec | str  # or the name of the row whose training it shares
    deviates: Annotated[str, Field(min_length=1, max_length=300)] | None = None  # from the paper's training, in a line
    start: str | None = None  # the row whose trained backbone it starts from; none: random weights
    backbone: BackboneSpec | None = None  # none: that of the row whose training it shares, or the suite's


class Suite(StrictModel):
    """A benchmark suite."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    images: ImageSpec
    backbone: BackboneSpec
    sources: Sources
    episodes: EpisodeSpec
    validation: ValidationSpec
    methods: Annotated[dict[str, Row], Field(min_length=1)]

    @model_validator(mode="after")
    def _rows_fit(self) -> Suite:
        for name, row in self.methods.items():
            shared = isinstance(row.training, str)
            for key, other in (("training", row.training if shared else None), ("start", row.start)):
                owner = None if other is None else self.methods.get(str(other))
                if other is not None and (owner is None or isinstance(owner.training, str)):
                    raise ValueError(f"methods.{name}.{key} names {other!r}, which is no row with a training")
            if row.start is not None and (shared or self.methods[row.start].start is not None):
                raise ValueError(
                    f"methods.{name}.start needs a training of its own, and a row that starts from random weights"
                )
            if shared and row.backbone is not None:
                raise ValueError(f"methods.{name}.backbone needs a training of its own; {row.training} has another")
            if row.start is not None and self.backbone_of(name) != self.backbone_of(row.start):
                raise ValueError(f"methods.{name}.start names {row.start!r}, which has another backbone")
        return self

    @model_validator(mode="after")
    def _validates_on_a_training_source(self) -> Suite:
        if self.sources.validation not in (None, *self.sources.train):
            raise ValueError(f"sources.validation is {self.sources.validation!r}, which is not in sources.train")
        return self

    def changed(self, *, backbone: str | None = None, image_size: int | None = None) -> Suite:
        """The suite with another backbone or image size, where one is given; a row's own backbone stays."""
        changes: dict[str, Any] = {}
        if backbone is not None:
            changes["backbone"] = self.backbone.model_copy(update={"name": backbone})
        if image_size is not None:
            changes["images"] = self.images.model_copy(update={"size": image_size})
        return self.model_copy(update=changes)

    def backbone_of(self, row: str) -> BackboneSpec:
        """The backbone of a row: its own, or the suite's."""
        return self.methods[self.trained_as(row)].backbone or self.backbone

    def trained_as(self, row: str) -> str:
        """The row whose training `row` uses: itself, or the one it names."""
        training = self.methods[row].training
        return training if isinstance(training, str) else row


def at_shot(value: Any, shot: int | None, name: str) -> Any:
    """The value at a shot, or at variable shots (None): of a table from shot to value its entry, else the value itself.

    Raises:
        SuiteError: The table has no entry for the shot.
    """
    if not isinstance(value, dict):
        return value
    table = {int(key): entry for key, entry in value.items()}
    if shot not in table:
        wanted = "variable shots" if shot is None else str(shot)
        remedy = "give one value for all" if shot is None else "add it to the suite"
        raise SuiteError(f"{name} is given for the shots {sorted(table)}, not for {wanted}; {remedy}.")
    return table[shot]


def check_number(episodes: int | None) -> None:
    """Check a number of episodes that is asked for instead of a suite's.

    Raises:
        UsageError: There are more than `MOST_EPISODES`.
    """
    if episodes is not None and episodes > MOST_EPISODES:
        raise UsageError(f"{episodes} episodes are more than {MOST_EPISODES:,}; ask for fewer.")


def list_suites() -> list[Suite]:
    """The suites that come with fsbench, by name."""
    return [load_suite(name) for name in _shipped()]


def load_suite(name: str) -> Suite:
    """Read a suite.

    A file may name another suite as its `base`; it then says only what differs from that.

    Args:
        name: The name of one that comes with fsbench, or the path of a TOML file.

    Raises:
        UsageError: There is no suite of this name.
        SuiteError: The file cannot be read; the text names file, line and key.
    """
    text, file = _read(name)
    content = _content(text, file)
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        found = [
            (_keys_of(content, entry["loc"], entry["type"] == "missing"), entry["msg"]) for entry in error.errors()
        ]
        keys, message = max(found, key=lambda entry: len(entry[0]))
        line = _line_of(text, keys)
        where = f"{file}, line {line}" if line else file
        raise SuiteError(f"{where}: {'.'.join(keys) or 'the suite'}: {message}.") from error


def _shipped() -> list[str]:
    folder = resources.files("fsbench") / "suites"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _read(name: str) -> tuple[str, str]:
    """The text of a suite, and what to call its file."""
    if not name.endswith(".toml"):
        if name not in _shipped():
            raise unknown("suite", name, _shipped())
        return (resources.files("fsbench") / "suites" / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml"
    try:
        return Path(name).read_text(encoding="utf-8"), name
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"the suite file {name} cannot be read ({error}).") from error


def _content(text: str, file: str) -> dict[str, Any]:
    """What a suite file says, with what its base says where it is silent."""
    content = _parsed(text, file)
    base = content.pop("base", None)
    if base is None:
        return content
    if base not in _shipped():
        raise SuiteError(f"{file}: base is {base!r}, which is no suite of fsbench; known: {', '.join(_shipped())}.")
    below = _parsed(*_read(base))
    if "base" in below:
        raise SuiteError(f"{file}: base is {base!r}, which has a base itself; name {base!r}'s.")
    return _merged(below, content)


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise SuiteError(f"{file} is not valid TOML: {error}.") from error


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables merged, at every depth; of anything else, what is above."""
    merged = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _keys_of(content: Any, location: tuple[int | str, ...], missing: bool) -> list[str]:
    """The keys of the file that lead to an error, without the names of the types that were tried on the way."""
    keys = []
    for part in location:
        if isinstance(content, dict) and part in content:
            content = content[part]
            keys.append(str(part))
    return [*keys, str(location[-1])] if missing else keys


def _line_of(text: str, keys: list[str]) -> int | None:
    """The line of a key, found by its table header and its name; of the header if the key is absent."""
    header: list[str] = []
    best: tuple[int, int] | None = None  # (how many keys match, line)
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[+([^\]]+)\]", line):
            header = [part.strip().strip("\"'") for part in match[1].split(".")]
            path = header
        elif match := re.match(r"\s*([A-Za-z0-9_.\-]+)\s*=", line):
            path = [*header, *match[1].split(".")]
        else:
            continue
        if path == keys[: len(path)] and (best is None or len(path) > best[0]):
            best = (len(path), number)
    return best[1] if best else None
