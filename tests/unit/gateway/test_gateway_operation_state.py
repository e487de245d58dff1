"""The state of an operation: what an alarm does, what a new certificate does, who may promote, and nothing counted twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from tests.cascades import make_project, refused, run

from tutelage.errors import UnknownName, UsageError
from tutelage.gateway.operation.changing import demote, promote
from tutelage.gateway.operation.shown import shown
from tutelage.gateway.operation.state import (
    Compared,
    State,
    begun,
    certificate_digest,
    compared,
    judged,
    moved_to,
    promoted,
    read_state,
)
from tutelage.project import Project
from tutelage.routing.certificate import Certificate, certificate_path, read_certificate
from tutelage.store import Audit, Feedback, Store, Trace, open_store
from tutelage.store.operations import AuditStage, Moved
from tutelage.store.operations import State as Kept


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    found = make_project(tmp_path_factory.mktemp("operated"))
    assert run("evaluate", "student", "teacher", "-C", found.folder, "--split", "dev") == 0
    assert run("calibrate", "cascade", "--max-loss", "0.1", "--against", "teacher", "-C", found.folder) == 0
    return found


@pytest.fixture(scope="module")
def certificate(project: Project) -> Certificate:
    return read_certificate(certificate_path(project, "cascade"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    found = open_store(database_url)
    yield found
    found.close()


def audit(number: int, loss: float | None, certificate: Certificate, stage: AuditStage = "judged") -> Audit:
    losses = None if loss is None else {"wrong": loss}
    agrees = None if stage == "asking" else loss == 0.0
    own = certificate_digest(certificate)
    return Audit(trace=f"{number:032x}", task="kinds", certificate=own, stage=stage, agrees=agrees, losses=losses)


def after(state: State, losses: Sequence[float], certificate: Certificate, start: int = 0) -> State:
    return judged(state, [(audit(start + n, one, certificate), None) for n, one in enumerate(losses)])


def test_it_begins_live_under_an_audit_of_what_was_certified(certificate: Certificate) -> None:
    state = begun(None, certificate, 0.05)
    assert (state.mode, state.candidate, state.proved, state.against) == ("live", "cascade", True, "teacher")
    assert {name: (one.limit, one.delta, one.audited) for name, one in state.tests.items()} == {"wrong": (0.1, 0.05, 0)}
    assert begun(state, certificate, 0.05) is state
    assert read_state(json.loads(json.dumps(state.json()))) == state


def test_right_answers_raise_no_alarm_and_wrong_ones_demote(certificate: Certificate) -> None:
    state = after(begun(None, certificate, 0.05), [0.0] * 300 + [1.0] * 3, certificate)
    assert (state.mode, state.audited, state.alarm) == ("live", 303, None)
    state = after(state, [1.0] * 40, certificate, 400)
    assert state.mode == "demoted" and state.alarm is not None and "wrong" in state.why
    assert (state.alarm.certificate, state.alarm.loss, state.alarm.limit) == (state.certificate, "wrong", 0.1)
    assert state.alarm.mean == pytest.approx(state.tests["wrong"].loss / state.tests["wrong"].audited, abs=0.1)
    assert state.disagreed[0] == f"{439:032x}" and len(state.disagreed) == 43  # the newest first
    assert read_state(json.loads(json.dumps(state.json()))) == state
    later = after(state, [1.0], certificate, 500)
    assert later.alarm == state.alarm and later.audited == state.audited + 1  # told once


def test_an_alarm_in_shadow_leaves_the_mode(certificate: Certificate) -> None:
    state = moved_to(begun(None, certificate, 0.05), "shadow", "by hand")
    state = after(state, [1.0] * 40, certificate)
    assert state.alarm is not None and state.mode == "shadow"


def test_after_an_alarm_only_another_certificate_or_force_promotes(certificate: Certificate) -> None:
    state = after(begun(None, certificate, 0.05), [1.0] * 40, certificate)
    with pytest.raises(UsageError, match=r"alarm of this certificate .*100.00%, certified: 10.00%.*--force"):
        promoted(state, "")
    forced = promoted(state, "I know", force=True)
    assert (forced.mode, forced.audited, forced.why) == ("live", 0, "I know")
    assert not forced.tests["wrong"].alarm and forced.mode_of(forced.certificate) == "live"
    other = replace(certificate, threshold=0.9)
    fresh = begun(state, other, 0.05)
    assert fresh.mode == "demoted" and fresh.audited == 0 and not fresh.tests["wrong"].alarm and fresh.disagreed == ()
    live = promoted(fresh, "")
    assert live.mode == "live"
    # A worker that still answers under the old one never does so live.
    assert live.mode_of(certificate_digest(certificate)) == "demoted"
    assert live.mode_of(certificate_digest(other)) == "live"


def test_evidence_of_another_certificate_changes_nothing(certificate: Certificate) -> None:
    state = begun(None, replace(certificate, threshold=0.9), 0.05)
    assert after(state, [1.0] * 100, certificate) == state
    assert compared(state, certificate_digest(certificate), [Compared("t", True, False, {"wrong": 1.0})]) == state


def test_several_losses_share_delta(certificate: Certificate) -> None:
    facts = [*certificate.losses, replace(certificate.losses[0], loss="excess", most=0.02)]
    state = begun(None, replace(certificate, losses=facts), 0.05)
    assert {name: (one.limit, one.delta) for name, one in state.tests.items()} == {
        "wrong": (0.1, 0.025),
        "excess": (0.51, 0.025),
    }


def test_an_answer_that_waits_for_a_person_is_counted_once(certificate: Certificate) -> None:
    state = begun(None, certificate, 0.05)
    waiting = replace(audit(1, 1.0, certificate, "waiting"), losses=None)
    moved: list[Moved] = [(waiting, "asking")]
    state = judged(state, moved)
    assert (state.drawn, state.asked, state.audited) == (1, 1, 0)
    state = judged(state, [(audit(1, 0.0, certificate), "waiting")])
    assert (state.drawn, state.asked, state.audited) == (1, 1, 1)


def test_comparisons_in_shadow_are_summed(certificate: Certificate) -> None:
    state = begun(None, certificate, 0.05)
    found = [
        Compared("a", True, True, {"wrong": 0.0}),
        Compared("b", True, False, {"wrong": 1.0}),
        Compared("c", False, True, {"wrong": 0.0}),
    ]
    state = compared(state, state.certificate, found)
    shadow = state.shadow
    assert (shadow.n, shadow.answered, shadow.agreed, shadow.losses["wrong"].sum) == (3, 2, 2, 1.0)
    assert state.disagreed == ("b",)
    assert moved_to(state, "shadow", "").shadow.n == 0  # a new comparison


def test_nothing_is_counted_twice(store: Store, certificate: Certificate) -> None:
    seen: list[list[str | None]] = []

    def change(kept: Kept | None, moved: Sequence[Moved]) -> Kept:
        seen.append([before for _, before in moved])
        return judged(read_state(kept) if kept else begun(None, certificate, 0.05), moved).json()

    asked, answered = audit(1, None, certificate, "asking"), audit(1, 1.0, certificate)
    for batch in ([asked], [answered, audit(2, 0.0, certificate)], [answered], [asked], [answered, answered]):
        kept = store.operations.keep("kinds", batch, change)
    assert kept is not None and read_state(kept).audited == 2
    assert seen == [[None], ["asking", None]]
    assert [one.trace for one in store.operations.audits("kinds", "judged")] == [f"{2:032x}", f"{1:032x}"]
    assert store.operations.audits("kinds", "asking") == []


def test_workers_share_one_state(store: Store, certificate: Certificate) -> None:
    def change(kept: Kept | None, moved: Sequence[Moved]) -> Kept:
        return judged(read_state(kept) if kept else begun(None, certificate, 0.05), moved).json()

    def work(worker: int) -> None:
        for n in range(25):
            # Every second one is another worker's too.
            number = n if n % 2 else 1000 * (worker + 1) + n
            store.operations.keep("kinds", [audit(number, 0.0, certificate)], change)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    kept = store.operations.get("kinds")
    assert kept is not None and read_state(kept).audited == 4 * 13 + 12 == read_state(kept).tests["wrong"].audited


def test_what_was_broken_off_is_given_to_one(store: Store, certificate: Certificate) -> None:
    begun_at = replace(audit(1, None, certificate, "asking"), created="2026-01-01T00:00:00+00:00")
    recent = audit(2, None, certificate, "asking")
    store.operations.keep("kinds", [begun_at, recent], lambda kept, moved: {})
    found = store.operations.adopt("kinds", "2026-02-01T00:00:00+00:00")
    assert [one.trace for one in found] == [begun_at.trace]
    assert store.operations.adopt("kinds", "2026-02-01T00:00:00+00:00") == []
    store.operations.forget([begun_at.trace])
    assert [one.trace for one in store.operations.audits("kinds", "asking")] == [recent.trace]


def test_old_judgements_are_forgotten(store: Store, certificate: Certificate) -> None:
    stages: list[AuditStage] = ["judged", "waiting"]
    old = [replace(audit(n, 0.0, certificate, stage), created="2026-01-01") for n, stage in enumerate(stages, 1)]
    store.operations.keep("kinds", [*old, audit(3, 0.0, certificate)], lambda kept, moved: {})
    store.operations.forget_judged("2026-02-01")
    assert [one.trace[-1] for one in store.operations.audits("kinds", "judged")] == ["3"]
    assert [one.trace[-1] for one in store.operations.audits("kinds", "waiting")] == ["2"]


def test_what_people_said_is_found(store: Store, certificate: Certificate) -> None:
    waiting = [audit(n, None, certificate, "waiting") for n in (1, 2, 3)]
    store.operations.keep("kinds", waiting, lambda kept, moved: {})
    store.feedback.add(Feedback(trace=waiting[1].trace, verdict="wrong", who="ada"))
    store.feedback.add(Feedback(trace=waiting[2].trace, verdict="preferred", who="ada", value="no"))
    assert [one.trace for one in store.operations.spoken("kinds")] == [waiting[1].trace]


def test_people_change_the_mode(project: Project, store: Store, certificate: Certificate) -> None:
    with pytest.raises(UsageError, match="No cascade has been served yet"):
        promote(store, None, "")
    state = after(begun(None, certificate, 0.05), [1.0] * 40, certificate)
    store.operations.change("kinds", lambda kept: state.json())
    with pytest.raises(UnknownName, match="'kind' is not a known operated task"):
        demote(store, "kind", "shadow", "")
    with pytest.raises(UsageError, match="alarm of this certificate"):
        promote(store, "kinds", "")
    # The file holds another one by now, which no gateway has read yet.
    path = certificate_path(project, "cascade")
    older = replace(state, certificate="0" * 32, alarmed=("0" * 32,), file=str(path))
    store.operations.change("kinds", lambda kept: older.json())
    task, found = promote(store, None, "calibrated anew")
    assert (task, found.mode, found.audited, found.why) == ("kinds", "live", 0, "calibrated anew")
    assert found.certificate == certificate_digest(certificate)
    assert demote(store, None, "shadow", "let us see")[1].mode == "shadow"
    store.operations.change("other", lambda kept: state.json())
    with pytest.raises(UsageError, match=r"2 tasks are operated. Name one of: kinds, other"):
        promote(store, None, "")


def test_it_is_shown_with_intervals_and_what_to_label_next(store: Store, certificate: Certificate) -> None:
    state = after(begun(None, certificate, 0.05), [0.0, 1.0, 1.0], certificate)
    store.operations.change("kinds", lambda kept: state.json())
    waiting = audit(9, None, certificate, "waiting")
    store.operations.keep("kinds", [waiting], lambda kept, moved: dict(kept or {}))
    store.traces.add(
        [Trace(id=f"{2:032x}", created="2026-01-01", model="kinds", input={"text": "is it so?"}, output="yes")]
    )
    store.feedback.add(Feedback(trace=f"{1:032x}", verdict="wrong", who="ada"))
    found = shown(store, "kinds", state)
    assert [(one.trace[-1], one.why) for one in found.label_next] == [
        ("2", "the last stage disagrees"),
        ("9", "drawn by the audit"),
    ]
    text = found.text()
    assert 'is it so? -> "yes"' in text and "3 audited, 66.67% (9.43% to 99.16%); certified: at most 10.00%" in text
    assert "kinds: live" in text and "agreed with 33.3%" in text and "1 audited answers wait" in text
    facts = found.json()
    assert facts["tests"]["wrong"]["alarm_at"] == pytest.approx(20) and facts["waiting"] == 1
    assert [one.trace[-1] for one in shown(store, "kinds", state, 1).label_next] == ["2"]


def test_the_verbs(project: Project, certificate: Certificate, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("-C", project.folder)
    assert run("operation", *at) == 0
    assert "No cascade has been served yet" in capsys.readouterr().out
    code, said = refused(capsys, "promote", *at)
    assert code == 2 and "No cascade has been served yet. Run: tutelage serve" in said
    state = after(begun(None, certificate, 0.05), [1.0] * 40, certificate)
    project.store.operations.change("kinds", lambda kept: state.json())
    code, said = refused(capsys, "promote", "kinds", *at)
    assert code == 2 and "There was an alarm of this certificate" in said
    assert run("promote", "--force", "--why", "a test", *at) == 0
    capsys.readouterr()
    assert run("operation", "kinds", "--json", *at) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["mode"], facts["why"]) == ("live", "a test")
    assert run("demote", "--shadow", *at) == 0
    assert run("operation", *at) == 0
    assert "kinds: shadow (by hand)" in capsys.readouterr().out
    assert "Did you mean 'kinds'" in refused(capsys, "operation", "kind", *at)[1]
