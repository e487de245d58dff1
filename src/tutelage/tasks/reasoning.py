"""The reasoning that led to an answer, as the last part of a prediction's or a label's note."""

from __future__ import annotations

MARK = "reasoning: "


def noted(note: str | None, reasoning: str | None) -> str | None:
    """`note` with the reasoning behind it."""
    told = f"{MARK}{' '.join(reasoning.split())}" if reasoning and reasoning.strip() else None
    return "; ".join(part for part in (note, told) if part) or None


def reasoning_in(note: str | None) -> str | None:
    """The reasoning in a note that `noted` made; None where there is none."""
    parts = f"; {note}".partition(f"; {MARK}") if note else ("", "", "")
    return parts[2] or None
