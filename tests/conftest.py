"""Settings for all tests."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("fsbench", deadline=None, derandomize=True)  # cores may be busy
hypothesis.settings.load_profile("fsbench")
