"""fsbench: a benchmark suite for few-shot image classification.

The names in `__all__` are the Python interface; all else is private. Each is imported when it is first used, so that
`import fsbench` takes no time and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsbench.api import evaluate, read_records, run_suite
    from fsbench.backbones.base import Backbone
    from fsbench.conformance.method import check_method
    from fsbench.errors import (
        DataError,
        DataNotFoundError,
        DeviceError,
        EpisodeError,
        ExecutorError,
        FsbenchError,
        NewerRecordError,
        OutputError,
        RecordError,
        SuiteError,
        TrainingError,
        UsageError,
    )
    from fsbench.methods.base import ClassifierMethod, FeatureMethod, Method, MetricMethod
    from fsbench.methods.gradient import GradientMethod
    from fsbench.record_files import read_record
    from fsbench.records import Record
    from fsbench.report.arrange import build_table
    from fsbench.report.frames import records_frame, table_frame
    from fsbench.report.table import Table
    from fsbench.run.evaluate import Accuracy
    from fsbench.suite import Suite
    from fsbench.suite_files import list_suites, load_suite
    from fsbench.tasks import Batch, Tasks

__all__ = [
    "Accuracy",
    "Backbone",
    "Batch",
    "ClassifierMethod",
    "DataError",
    "DataNotFoundError",
    "DeviceError",
    "EpisodeError",
    "ExecutorError",
    "FeatureMethod",
    "FsbenchError",
    "GradientMethod",
    "Method",
    "MetricMethod",
    "NewerRecordError",
    "OutputError",
    "Record",
    "RecordError",
    "Suite",
    "SuiteError",
    "Table",
    "Tasks",
    "TrainingError",
    "UsageError",
    "__version__",
    "build_table",
    "check_method",
    "evaluate",
    "list_suites",
    "load_suite",
    "read_record",
    "read_records",
    "records_frame",
    "run_suite",
    "table_frame",
]

__version__ = "0.1.0"

_HOMES = {
    "fsbench.api": ("evaluate", "read_records", "run_suite"),
    "fsbench.backbones.base": ("Backbone",),
    "fsbench.conformance.method": ("check_method",),
    "fsbench.errors": tuple(name for name in __all__ if name.endswith("Error")),
    "fsbench.methods.base": ("ClassifierMethod", "FeatureMethod", "Method", "MetricMethod"),
    "fsbench.methods.gradient": ("GradientMethod",),
    "fsbench.record_files": ("read_record",),
    "fsbench.records": ("Record",),
    "fsbench.report.arrange": ("build_table",),
    "fsbench.report.frames": ("records_frame", "table_frame"),
    "fsbench.report.table": ("Table",),
    "fsbench.run.evaluate": ("Accuracy",),
    "fsbench.suite": ("Suite",),
    "fsbench.suite_files": ("list_suites", "load_suite"),
    "fsbench.tasks": ("Batch", "Tasks"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'fsbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
