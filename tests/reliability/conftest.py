"""Fixtures of the reliability tests."""

from __future__ import annotations

from tests.test_durable import strace

__all__ = ["strace"]
