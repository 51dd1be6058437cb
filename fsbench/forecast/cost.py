"""What a run would take: arithmetic on its plan, the sizes of its sources, and speeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fsbench.backbones.specification import BackboneSpec
from fsbench.episodes.protocol import AnyProtocol
from fsbench.forecast.outlook import Outlook
from fsbench.run.cells import Training

if TYPE_CHECKING:
    from fsbench.backbones.pretrained import Pretrained

__all__ = ["Cost", "RowCost", "Speeds", "cost_of", "look_seconds", "looks"]


class Speeds(Protocol):
    """How fast a machine is, in seconds."""

    def step(self, training: Training) -> float:
        """Of a step of a training."""

    def image(self, method: str, params: Mapping[str, Any], backbone: BackboneSpec | Pretrained) -> float:
        """Of embedding an image."""

    def episode(
        self, method: str, params: Mapping[str, Any], backbone: BackboneSpec | Pretrained, protocol: AnyProtocol
    ) -> float:
        """Of answering an episode; of a method that embeds all images first, without that."""


@dataclass
class RowCost:
    """Seconds that a row takes on one device.

    A training that several rows share, or start from, is in the row that defines it. So are the features of a source,
    in the first row that needs them.
    """

    training: float = 0.0
    validation: float = 0.0
    evaluation: float = 0.0

    @property
    def total(self) -> float:
        """All together."""
        return self.training + self.validation + self.evaluation


@dataclass(frozen=True)
class Cost:
    """What a run takes.

    Attributes:
        rows: Of every row that has a part in it.
        longest: Seconds of the longest chain of work that cannot be done side by side: a training, the one that it
            starts from, and its evaluation on one source.
        chain: These, by name.
    """

    rows: Mapping[str, RowCost]
    longest: float
    chain: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds on one device."""
        return sum(row.total for row in self.rows.values())

    def at_best(self, devices: int) -> float:
        """The fewest seconds that so many devices of the same speed can take."""
        return max(self.total / devices, self.longest)


def looks(training: Training) -> int:
    """How often a training looks at the validation episodes if it takes all its steps; one that has a start, first."""
    steps, every = training.schedule.steps, training.schedule.validate_every
    return -(-steps // every) + (training.starts_from is not None)


def look_seconds(outlook: Outlook, training: Training, speeds: Speeds) -> float:
    """What one look at the validation episodes takes: images embedded, episodes answered."""
    method, params, backbone, protocol = training.method, training.params, training.backbone, training.validation
    answering = protocol.episodes * speeds.episode(method, params, backbone, protocol)
    if training.frozen or not outlook.embeds(method):
        return answering
    return outlook.asked(protocol, training.validation_source) * speeds.image(method, params, backbone) + answering


def _embedding_seconds(outlook: Outlook, training: Training, speeds: Speeds) -> float:
    """What embedding all images takes before a training on features of a frozen backbone."""
    if not training.frozen:
        return 0.0
    seen = [(source, "train") for source in training.sources] + [(training.validation_source, "val")]
    images = sum(outlook.images(source, split) for source, split in seen)
    return images * speeds.image(training.method, training.params, training.backbone)


def cost_of(outlook: Outlook, speeds: Speeds, watcher: Callable[[int], None] = lambda more: None) -> Cost:
    """What the whole run takes; a training that may stop early is taken to go on to its end.

    Args:
        outlook: The run.
        speeds: Of the machine.
        watcher: Is told how many more of its trainings and cells are computed; these may first have to be measured.
    """
    rows: dict[str, RowCost] = defaultdict(RowCost)
    chains: dict[str, tuple[float, tuple[str, ...]]] = {}
    for training in outlook.trainings:
        schedule, row = training.schedule, rows[training.row]
        stepping = schedule.steps * speeds.step(training) + _embedding_seconds(outlook, training, speeds)
        looking = looks(training) * look_seconds(outlook, training, speeds)
        row.training += stepping
        row.validation += looking
        before, names = chains[training.starts_from.id] if training.starts_from else (0.0, ())
        chains[training.id] = before + stepping + looking, (*names, training.title)
        watcher(1)

    jobs: dict[tuple[str, str], float] = {}  # of a training and a test source
    embedded: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)  # images for every protocol of a job
    for cell in outlook.cells:
        identity, protocol = cell.identity, cell.episode_set.protocol
        job = cell.training.id, identity.source
        seconds = protocol.episodes * speeds.episode(identity.method, identity.params, cell.training.backbone, protocol)
        if outlook.embeds(identity.method) and str(protocol) not in embedded[job]:
            left = outlook.images(identity.source, protocol.split) - sum(embedded[job].values())
            images = embedded[job][str(protocol)] = min(left, outlook.asked(protocol, identity.source))
            seconds += images * speeds.image(identity.method, identity.params, cell.training.backbone)
        rows[identity.row].evaluation += seconds
        jobs[job] = jobs.get(job, 0.0) + seconds
        watcher(1)

    chained = [
        (before + seconds, (*names, f"its evaluation on {source}"))
        for (training, source), seconds in jobs.items()
        for before, names in [chains.get(training, (0.0, ("no training",)))]
    ]
    longest, chain = max(chained, key=lambda entry: entry[0])
    return Cost(dict(rows), longest, chain)
