"""A router's bar is proved as a cascade's threshold is: it holds, it is computed again, and what changed is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cascades import refused, run
from tests.routed import KINDS, ROUTER, add_question, make_routed, recorded

from tutelage.evaluation.metrics import Floats
from tutelage.project import LEARNED_FROM, Project, newest_artefact
from tutelage.routing.answered import Goal
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.routing.router.bars import bars
from tutelage.routing.router.strategies import cheapest_above
from tutelage.routing.testing import Limit, Sample, prove

LOOSE = ("--max-loss", "0.04")
CASCADE = '[candidates.cascade]\nfamily = "cascade"\nstages = ["small", "large"]\n'


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_routed(tmp_path)


def calibrated(project: Project, *more: str) -> None:
    assert run("calibrate", "router", "-C", project.folder, *LOOSE, *more) == 0


def asked(project: Project, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """The answers to an easy and a hard question of test, which both are recorded."""
    file = project.folder / "asked.jsonl"
    known = {one.example.group: one.example.input for one in project.store.labels.read("test", "gold")}
    file.write_text("\n".join(json.dumps(known[kind]) for kind in KINDS))
    capsys.readouterr()
    assert run("predict", "router", file, "-C", project.folder) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_bar_is_proved_written_verified_and_answered_under(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated(project)
    out = capsys.readouterr().out
    assert "router: small or large, PROVED" in out
    assert "asks the cheapest whose chance of being right is at least" in out
    one = read_certificate(certificate_path(project, "router"))
    folder = newest_artefact(project, "router")
    assert folder is not None
    assert (one.status, one.family, one.n, one.against, one.look) == ("proved", "router", 400, "gold", 1)
    assert one.learned is not None
    assert one.learned["artefact"] == folder.name
    assert one.losses[0].p_value is not None
    assert one.losses[0].p_value <= one.level == 0.04
    assert [(stage.name, stage.confidence) for stage in one.stages] == [("small", None), ("large", None)]
    assert 0.3 < one.answered_by["small"] < 0.7
    # Whoever is asked is paid, and nobody else.
    paid = 1000 * (0.0001 * one.answered_by["small"] + 0.01 * one.answered_by["large"])
    assert one.dollars_per_1000 == pytest.approx(paid)
    assert run("verify", "-C", project.folder) == 0
    out = capsys.readouterr().out
    assert "ok: the proof is the same" in out
    assert f"ok: what router learned: {folder.name}" in out
    easy, hard = asked(project, capsys)
    assert (easy["source"], hard["source"]) == ("small", "large")
    assert easy["note"] == "asked small"
    assert run("evaluate", "router", "-C", project.folder, "--json") == 0
    (row,) = said(capsys)["candidates"]
    assert row["scores"]["accuracy"]["value"] > 0.9


def test_the_report_shows_it(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    calibrated(project)
    assert run("evaluate", "-C", project.folder) == 0
    capsys.readouterr()
    assert run("report", "-C", project.folder, "--json") == 0
    sections = {one["title"]: one for one in said(capsys)["sections"]}
    assert sections["Certificates"]["rows"][0][:2] == ["router: small or large", "proved"]


def test_without_a_certificate_it_does_not_answer(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capsys, "predict", "router", project.folder / "task.toml", "-C", project.folder)
    assert code == 1
    assert "'router' has not learnt yet who is right. Run: tutelage calibrate router" in line
    calibrated(project)
    certificate_path(project, "router").unlink()
    code, line = refused(capsys, "predict", "router", project.folder / "task.toml", "-C", project.folder)
    assert "There is no certificate" in line


def changed(project: Project, what: str) -> None:
    folder, file = newest_artefact(project, "router"), project.folder / "task.toml"
    assert folder is not None
    if what == "its files":
        with (folder / "router.json").open("a") as own:
            own.write(" ")
    elif what == "who answers":
        with (project.folder / "small.jsonl").open("a") as own:
            own.write("\n")
    elif what == "the certificate":
        path = certificate_path(project, "router")
        path.write_text(path.read_text().replace('"threshold": 0.', '"threshold": 0.0'))
    elif what == "what it learns by":
        file.write_text(file.read_text().replace('strategy = "certified"', 'strategy = "certified"\nseed = 4'))
    elif what == "its strategy":
        file.write_text(file.read_text().replace('strategy = "certified"', 'strategy = "share"'))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("its files", "The certificate of 'router' is not of this 'router': its artefact_sha256 was"),
        ("who answers", "The certificate of 'router' is not of this 'small': its fingerprint was"),
        ("the certificate", "router.json has been edited: its digest is"),
        ("what it learns by", "The certificate of 'router' is of seed = 0, task.toml says 4."),
        ("its strategy", "'router' was certified as a router, and as task.toml describes it now"),
    ],
)
def test_what_is_not_as_certified_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str], what: str, told: str
) -> None:
    calibrated(project)
    changed(project, what)
    code, line = refused(capsys, "verify", "-C", project.folder)
    assert code == 1
    assert told in line
    if what != "its strategy":  # with another it answers without one
        code, line = refused(capsys, "predict", "router", project.folder / "task.toml", "-C", project.folder)
        assert told in line


def test_settings_that_decide_nothing_that_was_certified_may_change(project: Project) -> None:
    calibrated(project)
    file = project.folder / "task.toml"
    file.write_text(
        file.read_text().replace('strategy = "certified"', 'strategy = "certified"\nbar = 0.5\nthreads = 1')
    )
    assert run("verify", "-C", project.folder) == 0


def test_what_learns_anew_is_refused_until_it_is_proved_again(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated(project)
    before = newest_artefact(project, "router")
    id = add_question(project, {"text": "Hello, one more"}, "dev", "yes")
    for name in ("small", "large"):
        with (project.folder / f"{name}.jsonl").open("a") as file:
            file.write("\n" + recorded(id, "yes", name))
    _, line = refused(capsys, "verify", "-C", project.folder)
    assert "its fingerprint was" in line
    assert run("evaluate", "small", "large", "-C", project.folder, "--split", "dev") == 0
    calibrated(project)
    assert newest_artefact(project, "router") != before
    assert run("verify", "-C", project.folder) == 0


def test_calibration_examples_that_it_learned_from_are_refused(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated(project)
    folder = newest_artefact(project, "router")
    assert folder is not None
    seen = next(iter(project.store.examples.read("calibration"))).id
    learned = folder / LEARNED_FROM
    learned.write_text(learned.read_text() + f"{seen}\n")
    code, line = refused(capsys, "calibrate", "router", "-C", project.folder, *LOOSE)
    assert code == 1
    assert f"'router' learned from 1 of the 400 calibration examples, for instance {seen}" in line
    assert line.endswith("Make it again: tutelage calibrate router")


def test_several_losses_by_group_jointly_with_a_cascade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_routed(tmp_path, more=ROUTER.format(name="router") + CASCADE)
    limits = ["--max-loss", "wrong=0.08", "--max-loss", "excess=0.2"]
    assert run("calibrate", "-C", project.folder, *limits, "--by-group") == 0
    both = [read_certificate(certificate_path(project, name)) for name in ("router", "cascade")]
    assert [one.level for one in both] == [pytest.approx(0.02)] * 2
    assert [(loss.loss, loss.group) for loss in both[0].losses] == [
        (loss, kind) for loss in ("wrong", "excess") for kind in ("easy", "hard")
    ]
    assert both[0].assumes == "groups"
    assert run("verify", "-C", project.folder) == 0


def test_against_the_teacher_the_last_candidate_is_right(project: Project) -> None:
    calibrated(project, "--against", "teacher")
    one = read_certificate(certificate_path(project, "router"))
    assert (one.against, one.reference) == ("teacher", "the last stage's answers (400)")
    assert run("verify", "-C", project.folder) == 0


HARD = {"small": {"easy": 0.9, "hard": 0.9}, "large": {"easy": 0.96, "hard": 0.96}}


def test_where_nothing_is_proved_it_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_routed(tmp_path, HARD)
    code, line = refused(capsys, "calibrate", "router", "-C", project.folder, "--max-loss", "0.02")
    assert code == 1
    assert "The limit lies below the most promising candidate's own loss: asking whoever promises most loses" in line
    assert "Raise --max-loss, or add a better candidate." in line
    assert not certificate_path(project, "router").exists()
    code, line = refused(capsys, "calibrate", "router", "-C", project.folder, "--max-loss", "0.055")
    assert "calibration examples would do" in line


def test_unproven_is_carried_by_certificate_answers_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_routed(tmp_path, HARD)
    tight = ["router", "-C", project.folder, "--max-loss", "0.055"]
    assert run("calibrate", *tight) == 1
    assert run("calibrate", *tight, "--unproven") == 0
    assert "router: small or large, UNPROVEN" in capsys.readouterr().out
    assert run("verify", "-C", project.folder) == 0
    assert all(one["note"].endswith("; unproven") for one in asked(project, capsys))
    assert run("evaluate", "router", "-C", project.folder) == 0
    capsys.readouterr()
    assert run("report", "-C", project.folder) == 0
    assert "router: UNPROVEN" in capsys.readouterr().out


def test_what_asks_a_certified_candidate_cannot_be_certified_on_the_same_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nested = CASCADE.replace('"small", "large"', '"router", "large"')
    project = make_routed(tmp_path, more=ROUTER.format(name="router") + nested)
    assert run("evaluate", "small", "large", "-C", project.folder, "--split", "calibration") == 0
    calibrated(project)
    code, line = refused(capsys, "calibrate", "cascade", "-C", project.folder, *LOOSE)
    assert code == 1
    assert "'router' answers from a threshold that was chosen on calibration examples" in line


def test_one_that_fails_does_not_keep_the_others_from_being_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = '[candidates.same]\nfamily = "router"\ncandidates = ["small", "twin"]\nstrategy = "certified"\n'
    twin = '[candidates.twin]\nfamily = "replay"\nfile = "small.jsonl"\n'
    gated = CASCADE.replace("cascade]", "gated]") + "novelty = 0.1\n"  # and there is no train to know
    project = make_routed(tmp_path, more=twin + bad + ROUTER.format(name="router") + gated + CASCADE)
    assert run("evaluate", "twin", "-C", project.folder, "--split", "dev") == 0
    code, line = refused(capsys, "calibrate", "-C", project.folder, "--max-loss", "0.1")
    assert code == 1
    assert line.startswith("Error: 2 of 4 failed. same: 'same': small and twin are right and wrong about the same 150")
    assert "gated: A novelty gate needs" in line
    written = [read_certificate(certificate_path(project, name)) for name in ("router", "cascade")]
    assert [one.level for one in written] == [
        0.01,
        0.01,
    ]  # a fifth of the level is kept, the rest is shared by all four
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.1", "--json") == 1
    facts = said(capsys)["certified"]
    assert {name for name, one in facts.items() if one["certificate"]} == {"router", "cascade"}
    assert facts["gated"]["problem"].startswith("A novelty gate needs")


def test_looks_are_counted_for_the_same_models_and_goal(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    looked = []
    for more in ((), ("--max-loss", "0.06"), ()):
        calibrated(project, *more)
        looked.append(read_certificate(certificate_path(project, "router")).look)
    assert looked == [1, 1, 1]  # the same examples again, or another goal
    first = read_certificate(certificate_path(project, "router"))
    taken_back = next(iter(project.store.examples.read("calibration"))).id
    with project.store.database.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM labels WHERE example_id = '{taken_back}'")
    capsys.readouterr()
    calibrated(project)
    second = read_certificate(certificate_path(project, "router"))
    assert (second.look, second.n) == (2, 399)
    assert second.level == pytest.approx(first.level / 5) == pytest.approx(0.008)
    told = "look 2 at this on other calibration examples: tested at 0.008"
    assert told in capsys.readouterr().out
    assert run("verify", "-C", project.folder) == 0
    assert told in capsys.readouterr().out
    assert run("evaluate", "router", "-C", project.folder) == 0
    assert run("report", "-C", project.folder) == 0
    assert told in (project.folder / "reports" / "report.html").read_text(encoding="utf-8")


def test_looks_that_cannot_be_read_are_one_line(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    calibrated(project)
    (project.folder / "certificates" / "router.looks.jsonl").write_text('{"what": 1}\n')
    code, line = refused(capsys, "calibrate", "router", "-C", project.folder, *LOOSE)
    assert code == 1
    assert "router.looks.jsonl cannot be read" in line


def test_a_plain_bar_needs_no_certificate(tmp_path: Path) -> None:
    project = make_routed(tmp_path, more=ROUTER.format(name="router").replace("certified", "bar"))
    assert run("calibrate", "router", "-C", project.folder) == 0
    assert not (project.folder / "certificates").exists()


LIMIT, DELTA, DRAWS = 0.1, 0.05, 600


class Population:
    """Two candidates; the router's chances of the first are right on average and too bold where they are high."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.chances = np.stack([rng.beta(4, 1.2, 40_000), np.full(40_000, 0.95)], axis=1)
        truth = np.stack([np.clip(0.35 + 0.6 * self.chances[:, 0], 0, 1), np.full(40_000, 0.95)], axis=1)
        self.losses = (rng.random(truth.shape) >= truth).astype(np.float64)

    def loss(self, bar: float, at: Floats | None = None) -> float:
        rows = np.arange(len(self.chances))
        return float(self.losses[rows, cheapest_above(self.chances, bar)].mean())

    def certified(self, rng: np.random.Generator, n: int, draw: str, level: float) -> float | None:
        at = rng.integers(0, len(self.chances), n)
        return self.proved(at, draw, level)

    def proved(self, at: np.ndarray[Any, np.dtype[np.int64]], draw: str, level: float) -> float | None:
        chances, losses, rows = self.chances[at], self.losses[at], np.arange(len(at))
        limit = Limit("wrong", LIMIT, lambda bar: losses[rows, cheapest_above(chances, bar)], True)
        ids = [f"{draw} {one}" for one in range(len(at))]
        return prove([limit], bars(chances), Sample(ids), level).threshold


def test_a_certified_bar_loses_too_much_in_at_most_a_twentieth_of_calibration_sets() -> None:
    population, rng = Population(), np.random.default_rng(8)
    missed = []
    for draw in range(DRAWS):
        bar = population.certified(rng, 250, str(draw), DELTA)
        missed.append(bar is not None and population.loss(bar) > LIMIT)
    noise = 3 * np.sqrt(DELTA * (1 - DELTA) / DRAWS)
    assert DELTA - noise <= np.mean(missed) <= DELTA + noise  # nor is more given away than that


def test_looks_share_the_level_so_that_any_number_of_them_errs_no_more_often_than_one() -> None:
    levels = [Goal({"wrong": LIMIT}, 1 - DELTA, look=look).level for look in range(1, 40)]
    assert sum(levels) == pytest.approx(DELTA)
    assert levels[0] == pytest.approx(0.8 * DELTA)
    assert Goal({"wrong": LIMIT}, 1 - DELTA).level == DELTA
    population, rng = Population(), np.random.default_rng(9)
    honest: list[bool] = []
    naive: list[bool] = []
    for draw in range(DRAWS // 2):
        every = rng.integers(0, len(population.chances), 700)
        for spent, missed in ((levels, honest), ([DELTA] * 8, naive)):
            looks = [
                population.proved(every[:n], str(draw), level)
                for n, level in zip(range(60, 700, 80), spent, strict=False)
            ]
            missed.append(any(bar is not None and population.loss(bar) > LIMIT for bar in looks))
    noise = 3 * np.sqrt(DELTA * (1 - DELTA) / len(honest))
    assert np.mean(honest) <= DELTA + noise
    assert np.mean(naive) > 2 * DELTA
