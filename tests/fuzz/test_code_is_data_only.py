"""Nothing in the package can run or unpickle what a file says: read off its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsbench

_MODULES = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "subprocess")
_CALLS = (
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
)  # as plain names; `model.eval()` and `re.compile()` are others
_METHODS = ("extractall", "extract", "unpack_archive", "read_pickle", "literal_eval")
_LOADERS = {"np.load": "allow_pickle=False", "numpy.load": "allow_pickle=False", "torch.load": "weights_only=True"}


def offences(source: str) -> Iterator[str]:
    """What a module does that it must not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {name}" for name in names if name.partition(".")[0] in _MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {f"{keyword.arg}={ast.unparse(keyword.value)}" for keyword in node.keywords}
            if called in _CALLS or called.rpartition(".")[2] in _METHODS:
                yield f"calls {called}"
            if called in _LOADERS and _LOADERS[called] not in given:
                yield f"calls {called} without {_LOADERS[called]}"
            if "allow_pickle=True" in given or "weights_only=False" in given or "shell=True" in given:
                yield f"calls {called} with {', '.join(sorted(given))}"


def test_no_module_can_run_or_unpickle_data() -> None:
    package = Path(fsbench.__file__).parent
    modules = sorted(package.rglob("*.py"))
    assert len(modules) > 50
    found = {str(path.relative_to(package)): some for path in modules if (some := [*offences(path.read_text("utf-8"))])}
    assert found == _KNOWN


_KNOWN = {
    "files/code.py": ["calls exec", "calls compile"],  # of the method and backbone files that a suite names
    "files/pickled.py": ["imports pickle"],  # to make arrays, and nothing else
    "run/environment.py": ["imports subprocess"],  # asks git for the commit
}


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads", "import yaml", "eval('1')", "exec(text)", "a.extractall('x')"),
        *("np.load(path)", "np.load(path, allow_pickle=True)", "torch.load(path)", "os.system('ls')"),
        *("torch.load(path, weights_only=False)", "run(['ls'], shell=True)", "shutil.unpack_archive(path)"),
    ],
)
def test_an_offence_is_found(source: str) -> None:
    assert list(offences(source))


def test_what_is_no_offence_is_not() -> None:
    assert not list(offences("model.eval(); re.compile('x'); np.load(p, allow_pickle=False); json.load(file)"))
