"""A router of recorded models in a project: what it learns from, whom it asks, what it refuses."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tutelage.errors import DataError, StoreError, TaskFileError, TrainingError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.evaluation.page import html_page
from tutelage.evaluation.reporting import make_report
from tutelage.labels.splitting import example_id
from tutelage.project import LEARNED_FROM, Project, open_project, read_card
from tutelage.routing.router.drawing import measured, router_section
from tutelage.routing.router.features import fit_features
from tutelage.routing.router.fitting import fit_router
from tutelage.routing.router.learnt import Learnt, load_learnt
from tutelage.routing.router.predictor import Router
from tutelage.routing.router.settings import RouterSettings, rule
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Label, Split

HEAD = 'name = "kinds"\noutput = "label"\nlabels = ["yes", "no"]\n'
DOLLARS = {"small": 0.0001, "middle": 0.001, "large": 0.01}
ROUTER = '\n[candidates.router]\nfamily = "router"\ncandidates = {candidates}\n{more}\n'


def right(name: str, at: int) -> bool:
    """The small model knows questions of one kind, the middle one of two, the large one all but every 20th."""
    return {"small": at % 3 == 0, "middle": at % 3 != 2, "large": at % 20 != 7}[name]


def text(split: str, at: int) -> str:
    return f"{['How are you', 'Compute 12 + 30', 'Translate: le chat'][at % 3]}, {split} {at}"


def make(
    folder: Path,
    more: str = "bar = 0.7",
    candidates: str = '["small", "middle", "large"]',
    splits: tuple[Split, ...] = ("dev",),
) -> Project:
    """120 labelled examples in each of `splits` and in test, answered by three recorded models."""
    models = "".join(f'[candidates.{name}]\nfamily = "replay"\nfile = "{name}.jsonl"\n' for name in DOLLARS)
    (folder / "task.toml").write_text(HEAD + models + ROUTER.format(candidates=candidates, more=more))
    project = open_project(folder)
    recorded: dict[str, list[str]] = {name: [] for name in DOLLARS}
    given = [(split, at, {"text": text(split, at)}) for split in (*splits, "test") for at in range(120)]
    examples = [Example(example_id(one), one, split) for split, _, one in given]
    project.store.examples.add(examples)
    project.store.labels.add([Label(one.id, "yes", "human:ada") for one in examples])
    for (_, at, _), one in zip(given, examples, strict=True):
        for name, lines in recorded.items():
            usage = {"dollars": DOLLARS[name], "seconds": 0.1, "input_tokens": 1, "output_tokens": 1}
            answer = "yes" if right(name, at) else "no"
            lines.append(json.dumps({"id": one.id, "value": answer, "confidence": 0.4, "source": name, "usage": usage}))
    for name, lines in recorded.items():
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    for split in (*splits, "test"):
        for name in DOLLARS:
            asyncio.run(evaluate(project, candidate(project, name), example_set(project, split)))
    return project


def built(project: Project) -> Router:
    fit_router(project, "router")
    router = candidate(project, "router").build(project)
    assert isinstance(router, Router)
    return router


def test_each_input_goes_to_the_cheapest_that_knows(tmp_path: Path) -> None:
    project = make(tmp_path, 'strategy = "bar"\nbar = 0.7')
    router = built(project)
    assert [name for name, _ in router.route([{"text": text("new", at)} for at in range(6)])] == [
        "small",
        "middle",
        "large",
    ] * 2
    examples = example_set(project, "test")
    asyncio.run(evaluate(project, candidate(project, "router"), examples))
    report, _ = make_report(project, [candidate(project, name) for name in (*DOLLARS, "router")], examples)
    row = next(row for row in report.candidates if row.name == "router")
    assert row.role == "system"
    assert row.scores["accuracy"].value > 0.97
    assert row.dollars_per_1000 == pytest.approx(1000 * np.mean(list(DOLLARS.values())))


def test_an_answer_says_who_gave_it_and_how_likely_it_is_right(tmp_path: Path) -> None:
    router = built(make(tmp_path))
    one = {"text": text("test", 1)}
    [alone] = asyncio.run(router.predict([one]))
    *_, together = asyncio.run(router.predict([one, one]))
    for found in (alone, together):
        assert (found.value, found.source, found.note) == ("yes", "middle", "asked middle")
        assert found.confidence is not None
        assert found.confidence > 0.7
        assert found.signals == {"own": 0.4}
        assert found.usage.dollars == DOLLARS["middle"]
    assert asyncio.run(router.predict([])) == []
    asyncio.run(router.close())


def test_answers_come_in_the_order_of_the_inputs(tmp_path: Path) -> None:
    router = built(make(tmp_path))
    given = [{"text": text("test", at)} for at in (2, 0, 1, 1, 0, 2)]
    assert [one.source for one in asyncio.run(router.predict(given))] == [
        "large",
        "small",
        "middle",
        "middle",
        "small",
        "large",
    ]


def test_what_it_learnt_from_is_kept_and_learning_again_does_nothing(tmp_path: Path) -> None:
    project = make(tmp_path, splits=("train", "dev"))
    shares: list[float] = []
    folder = fit_router(project, "router", lambda share, shown: shares.append(share))
    card = read_card(folder)
    assert card["learned_from"] == {"n": 240, "splits": ["train", "dev"]}
    assert len((folder / LEARNED_FROM).read_text().split()) == 240
    assert card["fit"]["held_out"] == 240
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert fit_router(project, "router") == folder
    assert not list(project.artefacts.glob(".training-*"))


def test_another_strategy_needs_no_new_lesson_but_is_another_predictor(tmp_path: Path) -> None:
    project = make(tmp_path)
    folder, before = fit_router(project, "router"), candidate(project, "router").fingerprint(project)
    path = tmp_path / "task.toml"
    path.write_text(path.read_text() + 'strategy = "share"\nshare = 0.1\nstep = 0\n')
    again = open_project(tmp_path)
    assert fit_router(again, "router") == folder
    assert candidate(again, "router").fingerprint(again) != before
    inputs = [one.example.input for one in example_set(again, "test").examples]
    router = built(again)
    assert router.route(inputs) == [route for one in inputs for route in router.route([one])]


def test_at_most_a_share_goes_to_the_last(tmp_path: Path) -> None:
    project = make(tmp_path, 'strategy = "share"\nshare = 0.2\nahead = 0', '["middle", "large"]')
    routes = built(project).route([one.example.input for one in example_set(project, "test").examples])
    assert 0.15 <= np.mean([name == "large" for name, _ in routes]) <= 0.2


def test_a_budget_in_dollars_is_kept(tmp_path: Path) -> None:
    project = make(tmp_path, 'strategy = "budget"\nbudget = 2.0\nahead = 0')
    routes = built(project).route([one.example.input for one in example_set(project, "test").examples])
    spent = 1000 * np.mean([DOLLARS[name] for name, _ in routes])
    assert 1.0 < spent <= 2.0


def test_a_trained_candidate_keeps_the_router_off_train(tmp_path: Path) -> None:
    make(tmp_path, candidates='["student", "large"]', splits=("train", "dev"))
    path = tmp_path / "task.toml"
    path.write_text(path.read_text() + '[candidates.student]\nfamily = "linear"\n')
    with pytest.raises(DataError, match="'student' has not answered all 120 examples of dev"):
        fit_router(open_project(tmp_path), "router")
    alone = tmp_path / "alone"
    alone.mkdir()
    make(alone, candidates='["student", "large"]', splits=("train",))
    path = alone / "task.toml"
    path.write_text(path.read_text() + '[candidates.student]\nfamily = "linear"\n')
    with pytest.raises(TrainingError, match="learns from dev, since 'student' was trained on train"):
        fit_router(open_project(alone), "router")


def test_what_cannot_be_routed_is_refused_in_one_line(tmp_path: Path) -> None:
    project = make(tmp_path)
    with pytest.raises(TrainingError, match="Run: tutelage calibrate router"):
        candidate(project, "router").build(project)

    def refused(kind: type[Exception], match: str, **changed: object) -> None:
        settings = RouterSettings(**{"candidates": ("small", "large"), **changed})  # type: ignore[arg-type]
        with pytest.raises(kind, match=match):
            fit_router(project, "router", settings=settings)

    refused(TaskFileError, "names one twice", candidates=("small", "small"))
    refused(TaskFileError, "1 costs for 2 candidates", costs=(1.0,))
    refused(TaskFileError, "needs base", model="knn")
    refused(TaskFileError, "'router' is a router", candidates=("small", "router"))
    with pytest.raises(TaskFileError, match="at least 2"):
        candidate(project, "router", {"candidates": ["small"]})
    project.store.labels.add([Label(one.id, "no", "human:ben") for one in project.store.examples.read("dev")])
    (tmp_path / "small.jsonl").write_text((tmp_path / "large.jsonl").read_text())
    other = open_project(tmp_path)
    asyncio.run(evaluate(other, candidate(other, "small"), example_set(other, "dev")))
    with pytest.raises(TrainingError, match="right and wrong about the same 120 examples"):
        fit_router(other, "router", settings=RouterSettings(("small", "large")))


def learnt(costs: tuple[float, ...] | None) -> Learnt:
    half = np.full((4, 2), 0.5)
    features = fit_features(LabelTask("t", ("text",), "", labels=("a", "b")), [{"text": ""}])
    return Learnt(("a", "b"), "linear", features, None, half, half, costs)  # type: ignore[arg-type]


def test_a_budget_that_cannot_be_kept_is_refused() -> None:
    settings = RouterSettings(("a", "b"), strategy="budget")
    with pytest.raises(TaskFileError, match="Set: budget"):
        rule("router", settings, learnt((1.0, 2.0)))
    settings = RouterSettings(("a", "b"), strategy="budget", budget=0.5)
    with pytest.raises(TaskFileError, match="not known for all"):
        rule("router", settings, learnt(None))
    with pytest.raises(TaskFileError, match="less than the cheapest candidate, 'a'"):
        rule("router", settings, learnt((1.0, 2.0)))


def test_a_broken_or_outdated_artefact_is_said_to_be_so(tmp_path: Path) -> None:
    project = make(tmp_path)
    folder, settings = fit_router(project, "router"), candidate(project, "router").settings
    changed = candidate(project, "router", {"candidates": ["small", "large"]})
    with pytest.raises(TrainingError, match="says otherwise now"):
        changed.build(project)
    (folder / "router.npz").write_bytes(b"no archive")
    with pytest.raises(StoreError, match="Calibrate it again"):
        load_learnt(folder, settings, project)


def test_the_report_shows_its_curve(tmp_path: Path) -> None:
    project = make(tmp_path)
    examples = example_set(project, "test")
    assert router_section(project, "router", examples) is None
    fit_router(project, "router")
    section, found = router_section(project, "router", examples), measured(project, "router", examples)
    assert section is not None
    assert found is not None
    assert found.unit == "dollars per 1,000 answers"
    assert found.gain.low > 0.05
    assert [row[0] for row in section.rows][3:] == ["always small", "always middle", "always large"]
    [chart] = section.charts.values()
    assert len(chart["layer"]) == 3
    report, answered = make_report(project, [candidate(project, name) for name in DOLLARS], examples)
    assert "Cost and quality" in html_page(replace(report, sections=[section]), answered)
