"""A cascade in operation behind HTTP: who answers in which mode, what is audited, and an alarm that everybody sees."""

from __future__ import annotations

import http.server
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cascades import careful, honest, make_project, run
from tests.gateways import Running, settings_of

from tutelage.gateway.opening import open_gateway
from tutelage.gateway.operation.state import State, certificate_digest, read_state
from tutelage.project import Project, open_project
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.store import Audit, Feedback
from tutelage.store.traces import Trace

SHIFTED = 600
"""After the examples of dev and calibration, the student of these projects is sure and wrong."""


def shifted(folder: Path, against: str) -> Project:
    """A project whose cascade is certified, and whose test examples are of another kind than what it was certified on."""
    count = 0

    def student(chance: random.Random, at: int) -> tuple[bool | None, float | None]:
        nonlocal count
        count += 1
        return honest(chance, at) if count <= SHIFTED else (False, 0.99)

    folder.mkdir(parents=True)
    project = make_project(folder, {"student": student, "teacher": careful})
    assert run("evaluate", "student", "teacher", "-C", folder, "--split", "dev") == 0
    assert run("calibrate", "cascade", "--max-loss", "0.1", "--against", against, "-C", folder) == 0
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return shifted(tmp_path / "kinds", "teacher")


class Serving(Running):
    """The project's gateway at work."""

    def __init__(self, project: Project, **operation: Any) -> None:
        self.project = project
        settings = settings_of(tasks=["."], operation=operation)
        super().__init__(open_gateway(settings, project.folder, [open_project(project.folder)]))

    def say(self, text: str, model: str = "kinds") -> tuple[int, str, Mapping[str, str]]:
        """The status, the label and the headers."""
        message = {"role": "user", "content": text}
        status, body, headers = self.post({"model": model, "messages": [message]})
        content = json.loads(body["choices"][0]["message"]["content"])["label"] if status == 200 else str(body)
        return status, content, headers

    def state(self) -> State:
        return read_state(self.project.store.operations.get("kinds") or {})

    def until(self, holds: Callable[[State], bool]) -> State:
        """The state once it is so."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            state = self.state()
            if holds(state):
                return state
            time.sleep(0.05)
        raise AssertionError(f"It never came to that: {self.state()}")

    def texts(self, split: str) -> list[str]:
        return [one.input["text"] for one in self.project.store.examples.read(split)]  # type: ignore[arg-type]


class Hook:
    """A webhook on loopback, which fails `faults` times first."""

    def __init__(self, faults: int = 0) -> None:
        self.told: list[dict[str, Any]] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.told.append(json.loads(body))
                self.send_response(500 if len(hook.told) <= faults else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook(faults=1)
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_live_answers_say_under_what_they_were_given(project: Project) -> None:
    served = Serving(project, audit=0.0)
    try:
        certificate = read_certificate(certificate_path(project, "cascade"))
        seen = set()
        for text in served.texts("calibration")[:60]:
            status, _, headers = served.say(text)
            assert status == 200
            assert headers["x-tutelage-mode"] == "live"
            assert headers["x-tutelage-certificate"] == f"{certificate_digest(certificate)[:12]} proved"
            assert float(headers["x-tutelage-threshold"]) == pytest.approx(certificate.threshold, abs=1e-4)
            escalated = headers["x-tutelage-escalated"] == "true"
            assert headers["x-tutelage-source"] == ("teacher" if escalated else "student")
            if not escalated:
                assert float(headers["x-tutelage-confidence"]) >= (certificate.threshold or 1) - 1e-4
            seen.add(escalated)
        assert seen == {True, False}
        _, _, headers = served.say(served.texts("dev")[0], "student")
        assert "x-tutelage-mode" not in headers and "x-tutelage-certificate" not in headers
        trace = served.traces(60)[-1]
        assert trace.mode == "live" and trace.steps[0].name == "student"
        assert served.state().drawn == 0
    finally:
        served.stop()


def test_a_share_is_audited_without_an_alarm_while_all_is_well(project: Project) -> None:
    served = Serving(project, audit=0.5)
    try:
        texts = served.texts("calibration")
        for text in texts[:200]:
            served.say(text)
    finally:
        served.stop()  # what is under way is finished and kept
    state = served.state()
    assert 70 <= state.drawn == state.audited <= 130
    assert state.mode == "live" and state.alarm is None
    assert 0 < state.asked == state.early < state.drawn  # nobody is asked about what the last stage said itself
    audits = [trace for trace in project.store.traces.read() if trace.mode == "audit"]
    assert len(audits) == state.asked
    assert {trace.accounts for trace in audits} == {("audit:kinds",)}
    assert {(step.name, step.role) for trace in audits for step in trace.steps} == {("teacher", "audit")}
    audited = {(trace.note or "").rpartition(" ")[2] for trace in audits}
    served_ids = {trace.id for trace in project.store.traces.read() if trace.mode == "live"}
    assert audited <= served_ids and len(served_ids) == 200
    # Steps of the audit are not among those of the answer.
    assert all(
        [step.name for step in trace.steps] == ["student"]
        for trace in project.store.traces.read()
        if trace.id in audited
    )


def test_a_shift_demotes_for_everybody(project: Project, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    served = Serving(project, audit=1.0, webhook=hook.url)
    other = Serving(project, audit=0.0)
    try:
        texts = served.texts("test")
        assert served.say(texts[0])[2]["x-tutelage-source"] == "student"
        for text in texts:
            served.say(text)
            if served.state().alarm:
                break
        state = served.until(lambda state: state.mode == "demoted")
        assert state.alarm is not None and state.alarm.mean > 0.5
        _, _, headers = served.say(texts[0])
        assert headers["x-tutelage-mode"] == "demoted" and headers["x-tutelage-source"] == "teacher"
        assert "x-tutelage-certificate" not in headers and "x-tutelage-threshold" not in headers
        deadline = time.monotonic() + 10
        while other.say(texts[0])[2]["x-tutelage-mode"] != "demoted":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        state = served.until(lambda state: state.told.endswith("the webhook was told"))
        assert len(hook.told) == 2  # the first answer was 500
        told = hook.told[-1]
        assert (told["event"], told["task"], told["candidate"], told["mode"]) == (
            "demoted",
            "kinds",
            "cascade",
            "demoted",
        )
        assert told["limit"] == 0.1 and told["mean_loss"] > 0.5
        wrong = {trace.id for trace in project.store.traces.read() if trace.source == "student"}
        assert told["label_next"] and set(told["label_next"]) <= wrong
        errors = [
            one for one in caplog.records if one.levelname == "ERROR" and one.name == "tutelage.gateway.operation"
        ]
        assert len(errors) == 1 and "tutelage promote" in errors[0].getMessage()
        measures = {(name, labels.get("mode")): value for name, labels, value in served.opened.systems.measures()}
        assert measures["operation_alarms_total", None] == 1
        assert measures["operation_mode", "demoted"] == 1 and measures["operation_mode", "live"] == 0
        assert [trace.mode for trace in project.store.traces.read() if trace.mode == "shadow"] == []
    finally:
        served.stop()
        other.stop()
    # It stays so after a start.
    served = Serving(project, audit=1.0)
    try:
        assert served.say(texts[1])[2]["x-tutelage-mode"] == "demoted"
    finally:
        served.stop()


def test_in_shadow_the_last_stage_answers_and_is_asked_once(project: Project) -> None:
    served = Serving(project, audit=0.0)
    try:
        assert run("demote", "kinds", "--shadow", "-C", project.folder) == 0
        texts = served.texts("calibration")
        deadline = time.monotonic() + 10
        while served.say(texts[0])[2]["x-tutelage-mode"] != "shadow":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        before = served.state().shadow.n
        for text in texts[:100]:
            _, _, headers = served.say(text)
            assert (headers["x-tutelage-source"], headers["x-tutelage-mode"]) == ("teacher", "shadow")
    finally:
        served.stop()
    shadow = served.state().shadow
    assert shadow.n in (before + 100, before + 101)  # the first of them was answered while we looked
    assert 0.5 < shadow.answered / shadow.n < 0.95 and 0.8 < shadow.agreed / shadow.n < 1
    assert shadow.losses["wrong"].sum == pytest.approx(shadow.n - shadow.agreed)
    assert served.state().drawn == 0
    shadowed = [trace for trace in project.store.traces.read() if trace.mode == "shadow"]
    assert {tuple(step.name for step in trace.steps) for trace in shadowed} == {("teacher",)}
    assert not [trace for trace in project.store.traces.read() if trace.mode == "audit"]


def test_against_gold_a_persons_word_decides(tmp_path: Path) -> None:
    project = shifted(tmp_path / "kinds", "gold")
    served = Serving(project, audit=1.0)
    try:
        texts = served.texts("test")[:12]
        ids = []
        for text in texts:
            ids.append(served.say(text)[2]["x-tutelage-trace"])
        state = served.until(lambda state: state.drawn == len(texts))
        assert state.asked == len(texts) and state.agreed < 2  # counted, no more
        assert (state.mode, state.audited) == ("live", 0)
        served.traces(len(texts))
        for id in ids[:3]:
            assert served.post({"trace": id, "verdict": "right"}, "/v1/feedback")[0] == 200
        state = served.until(lambda state: state.audited == 3)
        assert state.losses["wrong"].sum == 0
        said = {"yes": "no", "no": "yes"}
        for trace in [one for one in served.traces(len(texts)) if one.id in ids[3:6]]:
            project.store.feedback.add(
                Feedback(trace=trace.id, verdict="corrected", value=said[str(trace.output)], who="ada")
            )
        state = served.until(lambda state: state.audited == 6)
        assert state.losses["wrong"].sum == 3
        for id in ids[6:]:
            project.store.feedback.add(Feedback(trace=id, verdict="wrong", who="ada"))
        state = served.until(lambda state: state.audited == 12)
        assert state.mode == "demoted" and state.drawn == 12
        assert project.store.operations.audits("kinds", "judged")[0].facts == {}
    finally:
        served.stop()


def test_an_audit_that_was_broken_off_is_taken_up(project: Project) -> None:
    certificate = certificate_digest(read_certificate(certificate_path(project, "cascade")))
    (first, *_) = [one.input for one in project.store.examples.read("test")]
    lost = [
        Trace(id=f"{1:032x}", created="2026-01-01", model="kinds", input=dict(first), output="yes"),
        Trace(id=f"{2:032x}", created="2026-01-01", model="kinds"),  # its input was not kept
        Trace(id=f"{3:032x}", created="2026-01-01", model="kinds", input={"text": "[redacted]"}, output="yes"),
    ]
    project.store.traces.add(lost)
    asking = [
        Audit(trace=f"{n:032x}", task="kinds", certificate=certificate, stage="asking", created="2026-01-01")
        for n in (1, 2, 3, 4)
    ]
    project.store.operations.keep("kinds", asking, lambda kept, moved: {})
    with project.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM operations")
    served = Serving(project, audit=0.0)
    try:
        state = served.until(lambda state: state.audited == 1)
        assert state.asked == 1
    finally:
        served.stop()
    assert project.store.operations.audits("kinds", "asking") == []
    assert [one.trace for one in project.store.operations.audits("kinds", "judged")] == [f"{1:032x}"]
