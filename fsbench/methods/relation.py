"""RelationNet."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from fsbench.backbones.base import MakeBackbone, enlarged
from fsbench.backbones.norm import BatchNorm2d, conv_norm_pool
from fsbench.errors import SuiteError
from fsbench.methods.base import MetricMethod, one_hot, prototypes
from fsbench.tasks import PooledTasks, Tasks

__all__ = ["RelationNet", "TransductiveRelationNet"]


_UNPADDED: Final = 10  # the smallest maps whose borders the relation module does without


class RelationNet(MetricMethod):
    """Relation networks: Sung et al., CVPR 2018, equations 1 and 2 and figure 2.

    A small network scores how well the feature maps of a query and of a class belong together; it is
    trained with the mean squared error to 1 for the right class and 0 for the others.

    The network is that of the authors' code: two 3x3 convolutions with normalisation, pooling and ReLU, and two
    fully connected layers. Maps below 10x10 (Omniglot's) are padded in both convolutions, larger ones in neither
    (miniImageNet's 19x19 become 3x3), as in Chen et al.'s code. So are the initial weights: of convolutions
    N(0, 2 / n) for the n = 9 C weights that read a channel's output, of the other layers N(0, .01^2) with biases
    of 1, which keep all hidden units alive.

    The maps of smaller images than the backbone was built for are enlarged bilinearly between the two
    convolutions, where there are fewest of them, so that the layers behind fit all sizes.

    Deviations: a class is the mean, not the sum, of its support maps, so that shots may differ (as Chen
    et al., ICLR 2019, and Meta-Dataset do); support and query form one batch of the normalisation in
    training, and the running statistics serve at test, where the authors' code normalises by the test batch,
    which `TransductiveRelationNet` reproduces; one bound on the gradient's norm holds for backbone and
    relation module together, where the authors' code has one for each.

    Args:
        hidden: Units of the hidden fully connected layer.
    """

    label = "RelationNet"
    revision = 2  # 1 padded large maps too, and started from PyTorch's default weights

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, hidden: PositiveInt) -> None:
        super().__init__(partial(make_backbone, maps=True), classes)
        width, height, breadth = self.backbone.shape
        if min(height, breadth) < 4:
            raise SuiteError(
                f"RelationNet pools maps of {height}x{breadth} twice, which leaves nothing of them; "
                "raise images.size in the suite (a Conv4 needs 22 pixels, a ResNet-18 needs 97)."
            )
        padding = 0 if min(height, breadth) >= _UNPADDED else 1
        self.first = nn.Conv2d(2 * width, width, kernel_size=3, padding=padding)
        self.first_norm = BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=padding)
        self.second_norm = BatchNorm2d(width)
        self.between = _halved(height, padding), _halved(breadth, padding)
        last = [_halved(edge, padding) for edge in self.between]
        self.hidden = nn.Linear(width * math.prod(last), hidden)
        self.score = nn.Linear(hidden, 1)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * width)))
            nn.init.zeros_(layer.get_parameter("bias"))
        for linear in (self.hidden, self.score):
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.ones_(linear.bias)

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Relation scores `[B, Q, way]` between 0 and 1."""
        return self.relate(support, labels, query, way, batch_statistics=False)

    def relate(self, support: Tensor, labels: Tensor, query: Tensor, way: int, *, batch_statistics: bool) -> Tensor:
        """Relation scores `[B, Q, way]` from maps `[B, S, C, h, w]` and `[B, Q, C, h, w]`.

        The first convolution of a concatenated pair is the sum of a convolution of either half, so it is
        done once an image instead of once a pair.

        Raises:
            SuiteError: The maps are so small that pooling leaves nothing of them, or larger than it was built for.
        """
        padding = int(self.first.padding[0])
        if min(_halved(edge, padding) for edge in support.shape[-2:]) < 1:
            raise SuiteError(
                f"RelationNet pools maps of {support.shape[-2]}x{support.shape[-1]} until nothing is left of them; "
                "train it on larger images."
            )
        centres = prototypes(support.flatten(2), labels, way).view(len(support), way, *support.shape[2:])
        folds = not (self.training or batch_statistics)
        weight, bias = self.first_norm.folded(self.first) if folds else (self.first.weight, self.first.bias)
        weight_class, weight_query = weight.chunk(2, dim=1)
        of_class = F.conv2d(centres.flatten(0, 1), weight_class, bias, padding=padding)
        of_query = F.conv2d(query.flatten(0, 1), weight_query, padding=padding)
        pairs = of_class.view(len(query), 1, way, *of_class.shape[1:]) + of_query.view(
            *query.shape[:2], 1, *of_query.shape[1:]
        )
        maps = pairs.flatten(0, 2)
        leading = len(maps) if batch_statistics else None
        maps = F.relu(F.max_pool2d(maps if folds else self.first_norm(maps, leading), 2))
        maps = enlarged(maps, *self.between)
        maps = F.relu(conv_norm_pool(self.second, self.second_norm, maps, leading, pooled=True))
        scores = self.score(F.relu(self.hidden(maps.flatten(1)))).sigmoid()
        of_pairs: Tensor = scores.view(*pairs.shape[:3])
        return of_pairs

    def loss(self, tasks: Tasks | PooledTasks) -> Tensor:
        """Mean squared error of the scores."""
        scores = self.answer(tasks)
        return F.mse_loss(scores, one_hot(tasks.query_labels, tasks.way, scores))


class TransductiveRelationNet(RelationNet):
    """RelationNet as its authors ran it: batch normalisation by the statistics of the test episode itself.

    Training is that of `RelationNet`. Deviation: an episode's support and query images form one batch, as
    they do in training, where the authors' code passes them one after the other.
    """

    transductive = True

    def predict(self, tasks: Tasks) -> Tensor:
        """Relation scores `[B, Q, way]`, every task normalised by its own statistics."""
        return torch.cat([self._predict_task(tasks, index) for index in range(len(tasks))])

    def _predict_task(self, tasks: Tasks, index: int) -> Tensor:
        images = torch.cat([tasks.support[index], tasks.query[index]])
        maps = self.backbone(images, leading=len(images)).unsqueeze(0)
        shots = tasks.support.shape[1]
        labels = tasks.support_labels[index : index + 1]
        return self.relate(maps[:, :shots], labels, maps[:, shots:], tasks.way, batch_statistics=True)


def _halved(edge: int, padding: int) -> int:
    """Height or width of maps after a 3x3 convolution and 2x2 pooling."""
    return (edge + 2 * padding - 2) // 2
