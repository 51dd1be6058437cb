"""From a model of your own to a table: `python own_model.py FOLDER`, in an empty folder, within a minute.

The model stands beside rows that fsbench trains, on the same episodes. It is a size to try: few episodes and short
trainings, which the table says.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import fsbench


class Net(nn.Module):
    """Stands for your model: a module without required arguments, from images [N, 3, 28, 28] to features [N, D]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Features of images that are normalised as the suite below says."""
        return self.layers(images)


# A suite says what stands in the table. This one adds two rows to those of `glyphs`: the same model with two heads.
SUITE = """
base = "glyphs"
name = "own-model"
title = "Our model on letters of scripts that it has not seen, 5-way"

[backbones.ours]
build = "{code}:Net"
weights = "ours.pt"
label = "Ours"
images = {{ size = 28, mean = [0.0, 0.0, 0.0], std = [1.0, 1.0, 1.0] }}
# pretrained_on = ["our-corpus"] says what it has seen. Left out, it is unknown, and the rows are of track C.

[methods.ours-mean]
method = "proto"
label = "Nearest class mean"
training = "none"
backbone = "ours"
params = {{ temperature = 1.0 }}

[methods.ours-ridge]
method = "ridge"
label = "Ridge regression"
training = "none"
backbone = "ours"
params = {{ penalty = 1.0 }}
"""


def main(folder: Path) -> None:
    """Save the weights, write the suite, run some of its rows, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = Net()  # your trained model

    # A first number needs no suite: features, and the nearest class mean.
    for accuracy in fsbench.evaluate(lambda images: model(images.expand(-1, 3, -1, -1)), "glyphs", episodes=20):
        print(accuracy)

    torch.save(model.state_dict(), folder / "ours.pt")
    suite = folder / "own-model.toml"
    suite.write_text(SUITE.format(code=Path(__file__).resolve().as_posix()), encoding="utf-8")
    fsbench.run_suite(
        suite,
        folder / "run",
        methods=["ours-mean", "ours-ridge", "proto"],  # left out: all rows
        episodes=20,  # left out: the 200 of the suite
        training_fraction=0.02,  # of the row that fsbench trains; left out: all of it
    )
    print((folder / "run" / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
