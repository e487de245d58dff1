"""tutelage calibrate: what is proved is proved again, and what cannot be proved is said in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cascades import always, careful, honest, make_project, refused, run

from tutelage.project import Project
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.types import Split


def mostly(chance: random.Random, at: int) -> tuple[bool, float]:
    """Right, but for two of which it is the surest."""
    return at not in (7, 90), 1.0 if at in (7, 90) else chance.random()


NEARLY = {"student": mostly, "teacher": always(right=True)}
SMALL: dict[Split, int] = {"dev": 150, "calibration": 170, "test": 40}


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def test_what_is_proved_is_written_and_proved_again(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.06") == 0
    out = capsys.readouterr().out
    assert "cascade: student -> teacher, PROVED" in out
    one = read_certificate(certificate_path(project, "cascade"))
    assert (one.status, one.n, one.against, one.assumes) == ("proved", 400, "gold", "exchangeable")
    assert one.reference == "gold labels (400 from human:ada)"
    assert one.losses[0].mean <= 0.06
    assert one.losses[0].p_value is not None
    assert one.losses[0].p_value <= one.level == 0.04  # of a first look
    assert 0.1 < one.answered_by["student"] < 0.95
    assert one.escalated.value == pytest.approx(one.answered_by["teacher"])
    assert one.dollars_per_1000 == pytest.approx(1000 * (0.00001 + 0.001 * one.escalated.value))
    assert run("verify", "-C", project.folder) == 0
    assert "ok: the proof is the same" in capsys.readouterr().out
    assert run("evaluate", "cascade", "-C", project.folder, "--json") == 0
    (row,) = said(capsys)["candidates"]
    assert row["role"] == "system"
    assert row["scores"]["accuracy"]["value"] > 0.88


def test_json_of_both_verbs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("calibrate", "cascade", "-C", project.folder, "--max-loss", "wrong=0.06", "--json") == 0
    found = said(capsys)["certified"]["cascade"]
    assert found["certificate"]["status"] == "proved"
    assert found["problem"] == ""
    assert found["certificate"]["threshold"] >= found["point_estimate"]
    assert found["calibrated"]["student"]["n"] == 200
    assert run("verify", certificate_path(project, "cascade"), "-C", project.folder, "--json") == 0
    (checked,) = said(capsys)["verified"]
    assert checked["status"] == "proved"
    assert any(check.startswith("calibration examples: ") for check in checked["checks"])


def test_the_same_call_gives_the_same_certificate(project: Project) -> None:
    path, found = certificate_path(project, "cascade"), []
    for _ in range(2):
        assert run("calibrate", "-C", project.folder, "--max-loss", "0.06") == 0
        facts = json.loads(path.read_text())
        found.append({key: value for key, value in facts.items() if key not in ("created", "digest")})
    assert found[0] == found[1]


def test_several_losses_are_kept_at_once(project: Project) -> None:
    limits = ["--max-loss", "wrong=0.08", "--max-loss", "metric=0.08", "--max-loss", "excess=0.2"]
    assert run("calibrate", "-C", project.folder, *limits) == 0
    one = read_certificate(certificate_path(project, "cascade"))
    assert [(loss.loss, loss.most) for loss in one.losses] == [("wrong", 0.08), ("metric", 0.08), ("excess", 0.2)]
    assert all(loss.p_value is not None and loss.p_value <= 0.05 for loss in one.losses)
    assert -0.01 <= one.losses[2].mean <= 0.08  # of the whole scale, not of the one that is tested
    assert one.bound == "exact binomial, randomised and betting, fixed sequence of thresholds"
    assert run("verify", "-C", project.folder) == 0


def test_a_metric_that_is_right_or_wrong_by_definition_is_tested_as_wrong_is(project: Project) -> None:
    found = []
    for loss in ("wrong", "metric"):
        assert run("calibrate", "-C", project.folder, "--max-loss", f"{loss}=0.06") == 0
        found.append(read_certificate(certificate_path(project, "cascade")))
    assert [one.bound for one in found] == ["exact binomial, randomised, fixed sequence of thresholds"] * 2
    assert found[0].threshold == found[1].threshold


def by_eight(at: int) -> str:
    return "letters" if at % 8 else "mails"


def test_by_group_each_group_is_proved(tmp_path: Path) -> None:
    project = make_project(tmp_path, group=by_eight)
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.15", "--by-group") == 0
    one = read_certificate(certificate_path(project, "cascade"))
    assert [(loss.group, loss.n) for loss in one.losses] == [("letters", 350), ("mails", 50)]
    assert one.assumes == "groups"
    assert run("verify", "-C", project.folder) == 0


def test_a_group_that_is_too_small_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, group=lambda at: "rare" if at % 20 == 0 else "usual")
    code, line = refused(capsys, "calibrate", "-C", project.folder, "--max-loss", "0.1", "--by-group")
    assert code == 1
    assert "The group 'rare' has 20 calibration examples, and a loss is controlled by group from 30 on." in line


def test_against_the_teacher_its_answers_are_right(project: Project) -> None:
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.06", "--against", "teacher") == 0
    one = read_certificate(certificate_path(project, "cascade"))
    assert (one.against, one.reference) == ("teacher", "the last stage's answers (400)")
    assert run("verify", "-C", project.folder) == 0


def test_without_gold_the_teacher_is_the_reference(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with project.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM labels")
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.06") == 0
    assert read_certificate(certificate_path(project, "cascade")).against == "teacher"


def test_several_cascades_share_the_level(tmp_path: Path) -> None:
    second = '[candidates.second]\nfamily = "cascade"\nstages = ["student", "teacher"]\nabstain = false\n'
    project = make_project(tmp_path, more=second)
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.08") == 0
    both = [read_certificate(certificate_path(project, name)) for name in ("cascade", "second")]
    assert [one.level for one in both] == [pytest.approx(0.02)] * 2
    assert [list(one.tried) for one in both] == [["cascade", "second"]] * 2
    assert run("verify", "-C", project.folder) == 0
    alone = both[0].threshold
    assert run("calibrate", "cascade", "-C", project.folder, "--max-loss", "0.08") == 0
    one = read_certificate(certificate_path(project, "cascade"))
    assert one.level == pytest.approx(0.04)
    assert one.threshold is not None
    assert alone is not None
    assert one.threshold <= alone


def test_three_stages_and_a_person_at_the_end(tmp_path: Path) -> None:
    more = (
        '[candidates.middle]\nfamily = "replay"\nfile = "middle.jsonl"\n'
        '[candidates.long]\nfamily = "cascade"\nstages = ["student", "middle"]\nabstain = true\n'
    )

    def better(chance: random.Random, at: int) -> tuple[bool | None, float | None]:
        confidence = chance.betavariate(20, 1)
        return (None, None) if at % 10 == 0 else (chance.random() < confidence, confidence)

    project = make_project(tmp_path, {"middle": better}, more=more)
    assert run("calibrate", "long", "-C", project.folder, "--max-loss", "0.05") == 0
    one = read_certificate(certificate_path(project, "long"))
    assert set(one.answered_by) == {"student", "middle", "a person"}
    assert sum(one.answered_by.values()) == pytest.approx(1)
    assert one.answered_by["a person"] > 0
    assert all(stage.confidence is not None for stage in one.stages)
    assert run("verify", "-C", project.folder) == 0


def test_a_student_that_is_always_right_answers_everything(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"student": always(right=True)})
    assert run("calibrate", "-C", project.folder) == 0
    one = read_certificate(certificate_path(project, "cascade"))
    assert one.answered_by == {"student": 1.0, "teacher": 0.0}
    assert one.threshold == 0.0


def test_answers_that_failed_are_the_teachers_at_every_threshold(tmp_path: Path) -> None:
    def often(chance: random.Random, at: int) -> tuple[bool | None, float | None]:
        return (None, None) if at % 4 == 0 else (True, chance.random())

    project = make_project(tmp_path, {"student": often})
    assert run("calibrate", "-C", project.folder) == 0
    assert read_certificate(certificate_path(project, "cascade")).answered_by == {"student": 0.75, "teacher": 0.25}
    assert run("evaluate", "cascade", "-C", project.folder) == 0


def test_a_student_that_is_always_wrong_answers_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, {"student": always(right=False)})
    code, line = refused(capsys, "calibrate", "-C", project.folder)
    assert code == 1
    assert "'student' is wrong in all 200 answers to dev" in line
    assert "Train it on more labels" in line
    assert not certificate_path(project, "cascade").exists()


def test_a_student_without_confidence_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capsys, "calibrate", "-C", make_project(tmp_path, {"student": careful}).folder)
    assert code == 1
    assert "'student' gives no confidence with its answers, so that no threshold can be set." in line


def test_too_few_examples_are_told_with_how_many_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, counts={"dev": 100, "calibration": 105})
    code, line = refused(capsys, "calibrate", "-C", project.folder)
    assert code == 1
    assert "calibration has 105 examples" in line
    assert "takes at least 106, even without a single error" in line
    found = np.log(0.04) / np.log(0.97)
    assert 105 < found <= 106


def test_what_a_few_more_would_do_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, NEARLY, SMALL)
    code, line = refused(capsys, "calibrate", "-C", project.folder, "--max-loss", "0.02")
    assert code == 1
    assert "Nothing that the first stage answers is proved to keep wrong <= 0.02 with confidence 0.95." in line
    assert "calibration examples would do" in line
    assert "--unproven takes a threshold without proof" in line


def test_a_last_stage_that_is_not_proved_itself_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def wrong_twice(chance: random.Random, at: int) -> tuple[bool, None]:
        return at not in (7, 90), None

    project = make_project(tmp_path, {"teacher": wrong_twice}, SMALL)
    code, line = refused(capsys, "calibrate", "-C", project.folder, "--max-loss", "0.02")
    assert code == 1
    assert "Not even the last stage alone is proved: the last stage alone loses 0.01176 (wrong)" in line
    assert "calibration examples would do" in line


def test_a_limit_under_the_teachers_own_error_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def wrong_sometimes(chance: random.Random, at: int) -> tuple[bool, None]:
        return at % 10 != 0, None

    project = make_project(tmp_path, {"teacher": wrong_sometimes})
    code, line = refused(capsys, "calibrate", "-C", project.folder, "--max-loss", "0.05")
    assert code == 1
    assert "The limit lies below the last stage's own loss: the last stage alone loses 0.1 (wrong)" in line
    assert "and the limit is 0.05" in line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--max-loss", "much"], "--max-loss 'much' is no share. Write e.g.: --max-loss 0.03"),
        (["--max-loss", "0"], "the share lies between 0 and 1"),
        (["--max-loss", "1"], "the share lies between 0 and 1"),
        (["--max-loss", "nan"], "the share lies between 0 and 1"),
        (["--max-loss", "-0.1"], "the share lies between 0 and 1"),
        (["--max-loss", "wrogn=0.1"], "'wrogn' is no loss. Known: wrong, metric, excess."),
        (["--max-loss", "=0.1"], "'' is no loss"),
        (["--max-loss", "wrong="], "is no share"),
        (["--confidence", "2"], "is not in the range"),
        (["student"], "'student' is no cascade"),
        (["cascad"], "'cascad' is not a known candidate. Did you mean 'cascade'?"),
    ],
)
def test_calls_that_make_no_sense(
    project: Project, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    code, line = refused(capsys, "calibrate", "-C", project.folder, *given)
    assert code == 2
    assert told in line


def test_a_project_without_a_cascade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "task.toml").write_text('name = "kinds"\noutput = "label"\nlabels = ["yes", "no"]\n')
    code, line = refused(capsys, "calibrate", "-C", tmp_path)
    assert code == 2
    assert "No cascade among the candidates." in line
    code, line = refused(capsys, "verify", "-C", tmp_path)
    assert code == 1
    assert "There is no certificate. Make one with: tutelage calibrate" in line


def test_no_examples_no_labels_in_dev(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, counts={"calibration": 200})
    code, line = refused(capsys, "calibrate", "-C", project.folder)
    assert code == 1
    assert "'dev' has 0 examples" in line


def test_unproven_is_carried_by_certificate_answers_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path, NEARLY, SMALL)
    hard = ["-C", project.folder, "--max-loss", "0.02"]
    assert run("calibrate", *hard) == 1
    assert not certificate_path(project, "cascade").exists()
    assert run("calibrate", *hard, "--unproven") == 0
    assert "UNPROVEN" in capsys.readouterr().out
    one = read_certificate(certificate_path(project, "cascade"))
    assert one.status == "unproven"
    assert one.losses[0].p_value is None
    assert one.losses[0].mean <= 0.02
    assert one.answered_by["student"] == 1.0
    assert run("verify", "-C", project.folder) == 0
    assert "ok: the point estimate is the same (nothing is proved)" in capsys.readouterr().out
    assert run("evaluate", "cascade", "-C", project.folder) == 0
    lines = project.folder / "asked.jsonl"
    lines.write_text('{"text": "question 303, and is it so?"}\n')
    capsys.readouterr()
    assert run("predict", "cascade", lines, "-C", project.folder, "--json") == 0
    assert "unproven" in capsys.readouterr().out
    assert run("report", "-C", project.folder) == 0
    assert "cascade: UNPROVEN" in capsys.readouterr().out
    page = (project.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "unproven" in page


def test_unproven_is_refused_where_not_even_the_point_estimate_keeps_the_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path, {"teacher": always(right=False)})
    code, line = refused(capsys, "calibrate", "-C", project.folder, "--unproven")
    assert code == 1
    assert "The limit lies below the last stage's own loss" in line
    assert not certificate_path(project, "cascade").exists()


def test_an_untrained_student_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = '[candidates.linear]\nfamily = "linear"\n[candidates.second]\nfamily = "cascade"\nstages = ["linear", "teacher"]\n'
    project = make_project(tmp_path, {"student": honest}, more=more)
    code, line = refused(capsys, "calibrate", "second", "-C", project.folder)
    assert code == 1
    assert "'linear' is not trained yet. Run: tutelage train linear" in line
