"""People's comparisons as files of preference pairs, for reward models and for direct preference optimisation (DPO)."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tutelage.errors import DataError, StoreError
from tutelage.evaluation.preference.people import Compared, pairs
from tutelage.labels.formats.files import opened
from tutelage.labels.formats.prompts import Prompt
from tutelage.project import Project
from tutelage.store import Answer, Preference
from tutelage.types import Example, Split, canonical_json

Line: TypeAlias = Callable[[Prompt, Example, Compared], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class PairsReport:
    """What was written. `ties` are left out: nothing was preferred; `contradicted` counts the pairs of answers of which
    annotators said the opposite of one another; they are written as each said it."""

    path: str
    format: str
    pairs: int
    ties: int
    contradicted: int
    examples: int
    annotators: Mapping[str, int]


def write_pairs(
    project: Project, path: Path, style: str, split: Split | None = None, force: bool = False
) -> PairsReport:
    """Write every comparison that stands as a line of a JSON Lines file, whole or not at all; a ranking of k answers as up to
    k (k - 1) / 2 lines.

    Answers of candidates' earlier versions are written as well. Raises DataError where something stands at `path` or nothing was
    preferred, StoreError where it cannot be written.
    """
    if path.exists() and (not force or path.is_dir()):
        raise DataError(f"{path} is there already. Choose another --out, or overwrite a file with: --force")
    found = [pair for one in project.store.preferences.stand() for pair in _distinct(one)]
    examples = project.store.examples.pick(list({one.preference.example_id for one in found}))
    there = [one for one in found if _in(examples.get(one.preference.example_id), split)]
    kept = [one for one in there if one.winner != "tie"]
    if not kept:
        where = f"of the split {split!r} " if split else ""
        raise DataError(
            f"No comparison {where}prefers an answer ({len(there)} ties). Make some with: tutelage prefer A B"
        )
    line, prompt = STYLES[style], Prompt(project)
    part = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened(part) as file:
            for one in kept:
                written = line(prompt, examples[one.preference.example_id], one)
                file.write(json.dumps(written, ensure_ascii=False) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}. Free or unlock its folder.") from None
    finally:
        part.unlink(missing_ok=True)
    annotators: dict[str, int] = {}
    for one in kept:
        annotators[one.preference.annotator] = annotators.get(one.preference.annotator, 0) + 1
    return PairsReport(
        path=str(path),
        format=style,
        pairs=len(kept),
        ties=len(there) - len(kept),
        contradicted=_contradicted(kept),
        examples=len({one.preference.example_id for one in kept}),
        annotators=annotators,
    )


def describe_pairs(report: PairsReport) -> str:
    """The report as lines for people."""
    lines = [
        f"{report.pairs} preference pairs on {report.examples} examples, {report.ties} ties left out: {report.path}"
    ]
    lines.append("by " + ", ".join(f"{name} {count}" for name, count in report.annotators.items()))
    if report.contradicted:
        lines.append(
            f"{report.contradicted} pairs of answers on which annotators contradict one another are written as each said it"
        )
    return "\n".join(lines)


def _distinct(preference: Preference) -> list[Compared]:
    """The pairs of unequal answers; where two candidates gave the same answer, once."""
    found: dict[tuple[str, str], Compared] = {}
    for one in pairs(preference):
        a, b = canonical_json(one.a.value), canonical_json(one.b.value)
        if a != b:
            found.setdefault((min(a, b), max(a, b)), one)
    return list(found.values())


def _in(example: Example | None, split: Split | None) -> bool:
    return example is not None and split in (None, example.split)


def _contradicted(kept: list[Compared]) -> int:
    said = {(one.preference.example_id, *map(canonical_json, (one.better.value, one.worse.value))) for one in kept}
    return sum((id, worse, better) in said for id, better, worse in said) // 2


def _dpo(prompt: Prompt, example: Example, pair: Compared) -> Mapping[str, Any]:
    """TRL's conversational preference format with an explicit prompt (its `DPOTrainer` and `RewardTrainer`)."""
    return {
        "prompt": prompt.messages(example.input),
        "chosen": _said(prompt, pair.better),
        "rejected": _said(prompt, pair.worse),
    }


def _openai(prompt: Prompt, example: Example, pair: Compared) -> Mapping[str, Any]:
    """OpenAI's format for fine-tuning by preference."""
    return {
        "input": {"messages": prompt.messages(example.input)},
        "preferred_output": _said(prompt, pair.better),
        "non_preferred_output": _said(prompt, pair.worse),
    }


def _plain(prompt: Prompt, example: Example, pair: Compared) -> Mapping[str, Any]:
    """All that is known of a comparison: answers as values, who compared them and when, whose they are, and their scores."""
    one = pair.preference
    scores = dict(zip([answer.candidate for answer in one.answers], one.scores, strict=True))
    return {
        "id": one.id,
        "example_id": example.id,
        "input": dict(example.input),
        "split": example.split,
        "chosen": pair.better.value,
        "rejected": pair.worse.value,
        "chosen_by": pair.better.candidate,
        "rejected_by": pair.worse.candidate,
        "chosen_score": scores[pair.better.candidate],
        "rejected_score": scores[pair.worse.candidate],
        "kind": one.kind,
        "annotator": one.annotator,
        "created": one.created,
        "note": one.note,
        "seconds": one.seconds,
    }


def _said(prompt: Prompt, answer: Answer) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": prompt.answer(answer.value)}]


STYLES: Mapping[str, Line] = {"dpo": _dpo, "openai-dpo": _openai, "preferences": _plain}
"""Formats of preference pairs -> what a line of them is."""
