"""Methods, by name; their modules are imported only when a method is used."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fsbench.backbones.registry import load_backbone
from fsbench.errors import SuiteError, UsageError, first_problem, unknown
from fsbench.plugins import load_class, revision_of_class
from fsbench.recipe import UNTRAINED, Row
from fsbench.suite import Suite
from fsbench.text import fault_of_label

if TYPE_CHECKING:
    from fsbench.methods.base import Method

__all__ = [
    "METHODS",
    "MethodInfo",
    "check_row",
    "check_values",
    "hyper_parameters",
    "load_method",
    "load_methods",
    "revision_of",
    "value_types",
]


@dataclass(frozen=True)
class MethodInfo:
    """A method that comes with fsbench: its name in suites, where it is, and one line about it."""

    name: str
    path: str
    summary: str


METHODS = (
    MethodInfo("knn", "fsbench.methods.knn:NearestNeighbour", "1-nearest neighbour, pretrained features, cosine"),
    MethodInfo("finetune", "fsbench.methods.finetune:Finetune", "new linear head on frozen pretrained features"),
    MethodInfo(
        "finetune-all", "fsbench.methods.finetune_all:FinetuneAll", "new linear head and all of the backbone (Guo 2020)"
    ),
    MethodInfo("simpleshot", "fsbench.methods.simpleshot:SimpleShot", "nearest mean of unit features (Wang 2019)"),
    MethodInfo("logistic", "fsbench.methods.linear:LogisticHead", "logistic regression on unit features (Tian 2020)"),
    MethodInfo(
        "logistic-ensemble",
        "fsbench.methods.linear:LogisticEnsemble",
        "logistic regressions of several strengths (Luo 2026)",
    ),
    MethodInfo("ridge", "fsbench.methods.linear:RidgeHead", "ridge regression on unit features"),
    MethodInfo("cosine", "fsbench.methods.cosine:CosineClassifier", "trained cosine classifier (Chen 2019, Qi 2018)"),
    MethodInfo("matching", "fsbench.methods.matching:MatchingNet", "attention over support images (Vinyals 2016)"),
    MethodInfo("proto", "fsbench.methods.proto:ProtoNet", "distance to class means (Snell 2017)"),
    MethodInfo("r2d2", "fsbench.methods.r2d2:R2D2", "ridge regression on support features (Bertinetto 2019)"),
    MethodInfo(
        "metaoptnet-ridge", "fsbench.methods.metaoptnet:MetaOptNetRidge", "ridge regression, smoothed labels (Lee 2019)"
    ),
    MethodInfo(
        "metaoptnet-svm", "fsbench.methods.metaoptnet:MetaOptNetSVM", "support vector machine as a head (Lee 2019)"
    ),
    MethodInfo("siamese", "fsbench.methods.siamese:Siamese", "nearest image, contrastive loss (Hadsell 2006)"),
    MethodInfo("leo", "fsbench.methods.leo:LEO", "gradient steps on latent codes of linear heads (Rusu 2019)"),
    MethodInfo("relation", "fsbench.methods.relation:RelationNet", "learned comparison of feature maps (Sung 2018)"),
    MethodInfo(
        "relation-transductive",
        "fsbench.methods.relation:TransductiveRelationNet",
        "RelationNet with the statistics of the test episode, as published",
    ),
    MethodInfo("fomaml", "fsbench.methods.fomaml:FirstOrderMAML", "first-order MAML (Finn 2017)"),
    MethodInfo(
        "fomaml-transductive",
        "fsbench.methods.fomaml:TransductiveFirstOrderMAML",
        "first-order MAML with the statistics of the queries, as published",
    ),
    MethodInfo(
        "foprotomaml",
        "fsbench.methods.foprotomaml:FirstOrderProtoMAML",
        "first-order MAML from ProtoNet's head (Triantafillou 2020)",
    ),
    MethodInfo("maml", "fsbench.methods.maml:MAML", "MAML, with second-order gradients (Finn 2017)"),
    MethodInfo(
        "maml-transductive",
        "fsbench.methods.maml:TransductiveMAML",
        "MAML with the statistics of the queries, as published",
    ),
    MethodInfo("anil", "fsbench.methods.maml:ANIL", "MAML whose inner steps move the head alone (Raghu 2020)"),
)
_OWN: Final = {info.name: info.path for info in METHODS}


def load_method(name: str, beside: Path | None = None) -> type[Method]:
    """The class of a method.

    Args:
        name: A name of `METHODS`, a name registered under the entry point group "fsbench.methods", or
            "path/to/file.py:Class".
        beside: The folder in which a relative path is looked for before the working folder.

    Raises:
        UsageError: There is no such method, or it cannot be loaded.
    """
    found = cast("type[Method]", load_class("method", name, _OWN, "fsbench.methods.base:Method", beside))
    if lacking := sorted(getattr(found, "__abstractmethods__", ())):
        raise UsageError(f"{name!r} lacks {' and '.join(lacking)}; write what docs/add-a-method.md says of it.")
    if not hasattr(found, "label"):
        raise UsageError(f"{name!r} has no label; give the class one, its name in tables.")
    if fault := fault_of_label(found.label):
        raise UsageError(f"the label of {name!r} {fault}; give the class another.")
    return found


def revision_of(name: str, method: type[Method]) -> int | str:
    """What tells a method from its earlier versions: its revision, and outside fsbench the hash of its code too."""
    return revision_of_class(name, method, method.revision, _OWN)


def hyper_parameters(method: type[Method]) -> list[str]:
    """The names of a method's hyper-parameters: what it takes by keyword only."""
    taken = inspect.signature(method).parameters.values()
    return [parameter.name for parameter in taken if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def value_types(method: type[Method]) -> dict[str, Any]:
    """The annotations of a method's hyper-parameters by name; none if one of its constructor cannot be evaluated."""
    try:
        hints = get_type_hints(method.__init__, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError):  # as of what is imported for a type checker alone
        return {}
    return {name: hints[name] for name in hyper_parameters(method) if name in hints}


def check_values(where: str, params: Mapping[str, Any], method: type[Method]) -> None:
    """Check hyper-parameters against their annotations in the method's constructor, if these exist at run time.

    Args:
        where: They stand, for the message.
        params: By name; a table has a value for every shot.
        method: The class.

    Raises:
        UsageError: One is of another type or out of its range.
    """
    kinds = value_types(method)
    config = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    for name, value in params.items():
        kind = TypeAdapter[Any](kinds.get(name, Any), config=config)
        for each in value.values() if isinstance(value, dict) else [value]:
            try:
                kind.validate_python(each)
            except ValidationError as error:
                raise UsageError(f"{where}.{name} is {each!r:.200}: {first_problem(error)}.") from error


def check_row(name: str, row: Row, method: type[Method]) -> None:
    """Check that a suite's row fits its method.

    Raises:
        UsageError: A hyper-parameter does not exist, is of another type or out of its range.
        SuiteError: One is missing, or the method cannot learn from the row's kind of training.
    """
    wanted = hyper_parameters(method)
    if extra := sorted(set(row.params) - set(wanted)):
        raise unknown(f"hyper-parameter of {name}", extra[0], wanted)
    if lacking := sorted(set(wanted) - set(row.params)):
        raise SuiteError(
            f"methods.{name}.params lacks {lacking[0]!r}, which {method.label} needs; add it to the suite."
        )
    check_values(f"methods.{name}.params", row.params, method)
    if row.training == UNTRAINED and not (method.embeds_once() or method.any_backbone):
        raise SuiteError(
            f"methods.{name} has no training, but {method.label} does not answer from features of single images alone; "
            "give it a training, or choose another method."
        )
    if not isinstance(row.training, str) and row.training.kind != method.learns_from:
        raise SuiteError(
            f"methods.{name}.training.kind is {row.training.kind!r}, but {method.label} learns from "
            f"{method.learns_from!r}; change it in the suite."
        )
    if getattr(row.training, "pool", None) is not None and not method.pools:
        raise SuiteError(
            f"methods.{name}.training.pool asks for many tasks on the same images, but {method.label} does not embed "
            "images once to compare them; leave it out."
        )
    from fsbench.methods.base import FeatureMethod  # by now torch is there

    if method.embeds_once() and method.predict is not FeatureMethod.predict:
        raise SuiteError(
            f"methods.{name}: {method.label} has a `predict` of its own, which no run calls, since it answers from "
            "features of single images; write it in `embed` and `compare`, or derive from Method."
        )
    if row.freeze and not method.embeds_once():
        raise SuiteError(
            f"methods.{name}.freeze leaves the backbone as it is, but {method.label} does not answer from features of "
            "single images; leave it out."
        )


def load_methods(suite: Suite, rows: Sequence[str]) -> dict[str, type[Method]]:
    """The classes, by name, of all methods that some rows need: their own, and those whose trainings they use.

    Raises:
        UsageError: There is no such method or backbone, or the method has no such hyper-parameter.
        SuiteError: A row lacks a hyper-parameter, or its method cannot learn from its kind of training, or needs images
            where there are features alone.
    """
    needed = dict.fromkeys([*rows, *(upon for row in rows for upon in suite.trained_upon(suite.trained_as(row)))])
    methods = {suite.methods[row].method: load_method(suite.methods[row].method, suite.folder) for row in needed}
    for row in needed:
        if suite.pretrained_of(row) is None:
            load_backbone(suite.backbone_of(row).name, suite.folder)
        check_row(row, suite.methods[row], methods[suite.methods[row].method])
        _check_images(row, suite, methods[suite.methods[row].method])
    return methods


def _check_images(name: str, suite: Suite, method: type[Method]) -> None:
    own = suite.pretrained_of(name)
    if own is not None and suite.backbones[own].files is not None and not method.embeds_once():
        raise SuiteError(
            f"methods.{name} needs images, since {method.label} trains the backbone on them, and files of features "
            "hold none; name the other rows in --methods, or give it another backbone."
        )
