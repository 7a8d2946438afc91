"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# In CI the same examples each time, so that a change is judged by itself; `--hypothesis-profile search` looks for more.
settings.register_profile("ci", derandomize=True)
settings.register_profile("search", max_examples=1000, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")
