"""Deriving and publishing under consent."""

from __future__ import annotations
