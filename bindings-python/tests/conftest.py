"""Fixtures of all tests: the drivers that a story is told for."""

from __future__ import annotations

from drivers_stage import blocking, drivers

__all__ = ["blocking", "drivers"]
