"""The fixtures that tests of sessions share."""

from __future__ import annotations

from drivers_stage import blocking, drivers, on_demand

__all__ = ["blocking", "drivers", "on_demand"]
