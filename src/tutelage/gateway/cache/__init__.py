"""Answers kept and given again: to equal requests (exact), and to requests that mean the same (semantic)."""

from __future__ import annotations

from tutelage.gateway.cache.alike import Hit, Miss, Question
from tutelage.gateway.cache.entry import Entry
from tutelage.gateway.cache.exact import Cache, Found, Stats, open_cache
from tutelage.gateway.cache.rule import ANYTHING, Asked, asked

__all__ = [
    "ANYTHING",
    "Asked",
    "Cache",
    "Entry",
    "Found",
    "Hit",
    "Miss",
    "Question",
    "Stats",
    "asked",
    "open_cache",
]
