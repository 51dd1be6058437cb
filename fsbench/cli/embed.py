"""`fsbench embed`: the features of a source, once, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

__all__ = ["embed"]


@click.command()
@click.argument("source")
@click.option("--backbone", required=True, help="A name in [backbones] of the suite, timm:NAME, or another builder.")
@click.option("--weights", help="Weights file of a backbone that is not in the suite (safetensors or torch.save).")
@click.option("--download", is_flag=True, help="Have timm, torchvision or open_clip get the weights of that backbone.")
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    default="test",
    show_default=True,
    help="Whose images.",
)
@click.option("--suite", "suite_name", default="frozen", show_default=True, help="Says backbones and image size.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the backbone; auto is bf16 where the processor has it.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.safetensors.")
def embed(
    source: str,
    backbone: str,
    weights: str | None,
    download: bool,
    split: str,
    suite_name: str,
    precision: Literal["auto", "fp32", "bf16"],
    device: str,
    data_root: Path | None,
    out: Path,
) -> None:
    """Write the features of the images of SOURCE to a file.

    Those of its test images serve `fsbench run --features FILE`, those of its validation images `fsbench tune`. An
    embedding that was stopped resumes.
    """
    from fsbench.backbones.specification import described, given_backbone
    from fsbench.errors import UsageError
    from fsbench.suite_files import load_suite

    suite = load_suite(suite_name)
    from fsbench.backbones.pretrained import load_pretrained
    from fsbench.engine.devices import pick_device, tune_process
    from fsbench.engine.precision import pick_precision
    from fsbench.run.embed import embed_source

    tune_process(deterministic=False)
    named = suite.backbones.get(backbone)
    if named is not None and (weights or download):
        raise UsageError(
            f"the suite {suite.name} says where the weights of {backbone} are; leave --weights and --download out."
        )
    spec = named or given_backbone(backbone, weights, (), download=download) or described(build=backbone)
    loaded = load_pretrained(backbone, spec, suite.folder)
    chosen = pick_device(device)
    number, features = embed_source(
        source,
        loaded,
        out,
        size=suite.images.size,
        split=split,
        precision=pick_precision(precision, chosen, deterministic=False),
        data_root=data_root,
        device=chosen,
    )
    click.echo(f"{features} features of {loaded.network.label} for {number:,} images of {source}, in {out}")
