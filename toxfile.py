"""tox plugin: environments that name the same `env_dir` are one, whatever they are called.

tox builds a folder again when another environment used it last. Here the environments that need torch
agree on everything that is installed, so that the rebuilding would only cost gigabytes and minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


class SharedInfo(Info):
    """What tox remembers about a folder, without the name of the environment that made it."""

    @contextmanager
    def compare(self, value: Any, section: str, sub_section: str | None = None) -> Iterator[tuple[bool, Any]]:
        """See `Info.compare`."""
        if section == ToxEnv.__name__:
            value = {**value, "name": "shared"}
        with super().compare(value, section, sub_section) as result:
            yield result


class SharedRunner(VirtualEnvRunner):
    """A virtual environment that other environments may use too: `runner = shared`."""

    @staticmethod
    def id() -> str:
        """The name of the runner in tox.ini."""
        return "shared"

    @property
    def cache(self) -> Info:
        """What tox remembers about the folder."""
        return SharedInfo(self.env_dir)


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Make the runner known to tox."""
    register.add_run_env(SharedRunner)
