"""Where matches come from: scores of evaluated candidates, a judge's stored verdicts, or a file of votes. One at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.errors import DataError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.costs import Cost
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.harness import ExampleSet, answers, example_set
from tutelage.evaluation.judge.asking import Judgements
from tutelage.evaluation.judge.judges import Judge, judge_named, shown
from tutelage.evaluation.judge.pairwise import Pair, Winner, verdict
from tutelage.evaluation.judge.votes import UNDECIDED
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.matches import Match, Matches
from tutelage.evaluation.scoring import statistic
from tutelage.labels.readers import BadRow, Row, read_rows
from tutelage.project import Project
from tutelage.store import Origin
from tutelage.types import Example, Input, Prediction, Split, Value, digest

WINNERS: dict[str, Winner] = {"a": "a", "b": "b", "tie": "tie", "model_a": "a", "model_b": "b"}
_EQUAL = 1e-9
"""Scores that differ by less are equal."""


def from_scores(project: Project, split: Split, against: Origin | None = None, names: Sequence[str] = ()) -> Matches:
    """Each two candidates on each labelled example: the better score by the task's metric wins, equal ones tie.

    Candidates that have not answered every example are left out. Raises DataError when fewer than two have.
    """
    examples = example_set(project, split, against)
    gold = [one.value for one in examples.examples]
    scores, absent, by = dict[str, Floats](), list[str](), project.task.metric
    for name in names or list(project.file.candidates):
        found = answers(project, candidate(project, name), examples)
        if found is None:
            absent.append(f"{name}: not evaluated on {split}; run: tutelage evaluate {name} --split {split}")
            continue
        by, scores[name] = _per_example(project, split, gold, [one.value for one in found[0]])
    if len(scores) < 2:
        raise DataError(
            f"{len(scores)} candidates have answered all {len(gold)} labelled examples of {split!r}; matches need two. "
            f"Get answers with: tutelage evaluate --split {split}"
        )
    texts = _texts(project, examples)
    matches = (
        Match(text, a, b, _better(scores[a][at], scores[b][at]))
        for at, text in enumerate(texts)
        for a, b in combinations(scores, 2)
    )
    source = f"scores: {by} on {len(texts)} examples of {split}, against {examples.reference}"
    return Matches(source, tuple(matches), absent=tuple(absent))


def _texts(project: Project, examples: ExampleSet) -> list[str]:
    return [project.task.input_text(one.example.input) for one in examples.examples]


def _better(a: float, b: float) -> Winner:
    return "tie" if abs(a - b) < _EQUAL else "a" if a > b else "b"


def _per_example(
    project: Project, split: Split, gold: Sequence[Value], given: Sequence[Value | None]
) -> tuple[str, Floats]:
    """What is compared and its values: the metric's own, or where it has none per example, whether all is right."""
    metric = project.task.metric
    scores: Floats | None = getattr(statistic(project, split, metric, gold, given), "scores", None)
    return (metric, scores) if scores is not None else ("exact match", exact_match(project.task, gold, given).scores)


def from_judge(project: Project, name: str, split: Split, names: Sequence[str] = ()) -> Matches:
    """The verdicts of a pairwise judge that `tutelage judge` has stored; nobody is asked.

    As there: an answer wins only when it wins in both orders, equal answers tie, a failed one loses. Raises DataError when no
    verdict is stored, UnknownName or TaskFileError for the judge.
    """
    judge = judge_named(project, name, "pairwise")
    chosen = [candidate(project, one) for one in names or list(project.file.candidates)]
    examples = {one.id: one for one in project.store.examples.read(split)}
    given = {one.name: project.store.predictions.read(one.fingerprint(project), list(examples)) for one in chosen}
    compared = {
        (a.name, b.name): _compared(project, examples, given[a.name], given[b.name]) for a, b in combinations(chosen, 2)
    }
    questions = [q for found in compared.values() for one in found if not one.decided for q in one.pair.questions]
    said = _stored(project, judge, questions)
    matches, failed = list[Match](), 0
    for (a, b), found in compared.items():
        for text, winner in _judged(judge, found, said):
            failed += winner is None
            if winner is not None:
                matches.append(Match(text, a, b, winner))
    if not matches:
        two = " ".join(one.name for one in chosen[:2])
        raise DataError(
            f"No verdict of judge {name!r} on {split!r} is stored. Get some with: tutelage judge {two} --by {name}"
        )
    return Matches(f"judge {name}: its stored verdicts on {split}, asked in both orders", tuple(matches), failed)


class _Compared(NamedTuple):
    """Two answers to one input; `decided` without asking where they are equal or one failed."""

    pair: Pair
    decided: Winner | None


def _compared(
    project: Project, examples: Mapping[str, Example], ours: Mapping[str, Prediction], theirs: Mapping[str, Prediction]
) -> list[_Compared]:
    """Both answers to each example that both have answered, in the order in which `tutelage judge --limit` takes them."""
    found = []
    for id in sorted(ours.keys() & theirs.keys()):
        a, b = ours[id].value, theirs[id].value
        text = project.task.input_text(examples[id].input)
        pair = Pair(project.task.instructions, text, "" if a is None else shown(a), "" if b is None else shown(b))
        decided: Winner | None = "tie" if a == b else "b" if a is None else "a" if b is None else None
        found.append(_Compared(pair, decided))
    return found


def _stored(project: Project, judge: Judge, questions: Sequence[Input]) -> Judgements:
    ids = list({digest(question): None for question in questions})
    found = project.store.predictions.read(judge.fingerprint(project), ids)
    return Judgements(found, 0, Cost(None, "stored"))


def _judged(judge: Judge, compared: Sequence[_Compared], said: Judgements) -> Iterator[tuple[str, Winner | None]]:
    """The outcome of each example, None where the judge failed, as far as all were judged in the judge's own order.

    Only so are equal answers and verdicts counted in the proportion in which they occur. A verdict holds for all candidates
    that gave the same two answers.
    """
    outcomes = list[tuple[str, Winner | None]]()
    last = 0
    for one in compared:
        if one.decided:
            outcomes.append((one.pair.input, one.decided))
        elif all(digest(question) in said.found for question in one.pair.questions):
            outcomes.append((one.pair.input, verdict(one.pair, said).outcome(judge.settings.swapped)))
            last = len(outcomes)
        else:
            break
    yield from outcomes[:last]


def from_file(path: Path, source: str | None = None) -> Matches:
    """Votes in a file of rows with input (or text), model_a, model_b and winner (or label): a, b, tie (or model_a, model_b).

    Rows without a majority (`no_majority`) are undecided, rows that cannot be used are kept apart by line. Where rows name a
    `source` (who voted), all must name the same one, or `source` says which are meant. Raises DataError when the file cannot be
    read, mixes sources or holds no match.
    """
    matches, bad, undecided, sources = list[Match](), list[BadRow](), 0, dict[str, None]()
    for row in read_rows(path):
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        who = str(row.fields.get("source") or "")
        if source and who != source:
            sources[who] = None
        elif problem := _problem(row):
            bad.append(BadRow(row.line, str(row.fields)[:200], problem))
        elif _winner(row) == UNDECIDED:
            undecided += 1
        else:
            sources[who] = None
            matches.append(_match(row))
    if not source and len(sources) > 1:
        names = ", ".join(repr(one) for one in sources)
        raise DataError(f"{path} mixes the votes of {names}, which no leaderboard may. Choose one with --source.")
    if not matches:
        why = f"; line {bad[0].line}: {bad[0].reason}" if bad else ""
        others = f" of {source!r}. It has: {', '.join(map(repr, sources))}" if source else ""
        raise DataError(f"{path} has no match that can be used{others}{why}.")
    whose = next(iter(sources)) if not source and len(sources) == 1 else source
    return Matches(
        f"votes in {path.name}" + (f", source {whose}" if whose else ""), tuple(matches), undecided, tuple(bad)
    )


def _field(row: Row, *names: str) -> Any:
    return next((row.fields[name] for name in names if row.fields.get(name) is not None), None)


def _problem(row: Row) -> str | None:
    text, a, b = _field(row, "input", "text"), row.fields.get("model_a"), row.fields.get("model_b")
    for name, value in (("input", text), ("model_a", a), ("model_b", b)):
        if not isinstance(value, str) or not value.strip():
            return f"{name} must be text, found {value!r:.60}"
    if a.strip() == b.strip():  # type: ignore[union-attr]
        return f"model_a and model_b are both {a!r}"
    if _winner(row) not in (*WINNERS, UNDECIDED):
        return f"winner must be a, b or tie, found {_field(row, 'winner', 'label')!r:.60}"
    return None


def _winner(row: Row) -> str:
    return str(_field(row, "winner", "label")).strip().lower()


def _match(row: Row) -> Match:
    names = row.fields["model_a"].strip(), row.fields["model_b"].strip()
    return Match(_field(row, "input", "text"), *names, WINNERS[_winner(row)])
