"""A task's operation as people read it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import proportion
from tutelage.gateway.operation.state import SHORT, State, Tally
from tutelage.routing.losses import as_given
from tutelage.store import Store
from tutelage.types import canonical_json

TEXT = 70
"""Characters of an input that are shown."""


@dataclass(frozen=True)
class Next:
    """An answer to be labelled: its trace, why, the input and what was answered (None where the trace does not hold them)."""

    trace: str
    why: str
    input: Any
    answer: Any


@dataclass(frozen=True)
class Shown:
    """The state of a task, its losses with intervals on the scale of `--max-loss`, and what to label next."""

    task: str
    state: State
    losses: dict[str, Estimate | None]
    shadow: dict[str, Estimate | None]
    label_next: Sequence[Next]
    waiting: int

    def json(self) -> dict[str, Any]:
        state = self.state
        tests = {
            name: {
                "limit": as_given(name, one.limit),
                "audited": one.audited,
                "loss": None if (found := self.losses[name]) is None else asdict(found),
                "evidence": one.evidence,
                "highest_evidence": one.peak,
                "alarm_at": 1 / one.delta,
            }
            for name, one in state.tests.items()
        }
        kept = {name: value for name, value in state.json().items() if name not in ("tests", "losses", "shadow")}
        shadow = {key: value for key, value in asdict(state.shadow).items() if key != "losses"}
        shadow["losses"] = {name: None if one is None else asdict(one) for name, one in self.shadow.items()}
        more = {"tests": tests, "shadow": shadow, "waiting": self.waiting}
        return {"task": self.task, **kept, **more, "label_next": [asdict(one) for one in self.label_next]}

    def text(self) -> str:
        state = self.state
        lines = [f"{self.task}: {state.mode}{f' ({state.why})' if state.why else ''}, since {state.changed[:19]} UTC"]
        proved = "proved" if state.proved else "UNPROVEN"
        lines.append(
            f"  {state.candidate} under certificate {state.certificate[:SHORT]}, {proved} against {state.against}"
        )
        lines += [self._audit(name) for name in state.tests]
        if state.asked:
            lines.append(
                f"  the last stage was asked about {state.asked:,} and agreed with {state.agreed / state.asked:.1%}"
            )
        if state.shadow.n:
            lines.append(self._shadowed())
        if state.alarm:
            lines.append(
                f"  ALARM {state.alarm.at[:19]} of {state.alarm.certificate[:SHORT]}; {state.told.partition(' ')[2]}"
            )
        if self.waiting:
            lines.append(f"  {self.waiting:,} audited answers wait for a person's word: POST /v1/feedback")
        if self.label_next:
            lines.append("  label next:")
            lines += [f"    {one.trace}  {one.why}  {_short(one)}" for one in self.label_next]
        return "\n".join(lines)

    def _audit(self, name: str) -> str:
        test, found = self.state.tests[name], self.losses[name]
        limit = f"certified: at most {as_given(name, test.limit):.2%}"
        if found is None:
            return f"  {name}: nothing audited yet; {limit}"
        return (
            f"  {name}: {test.audited:,} audited, {found.value:.2%} ({found.low:.2%} to {found.high:.2%}); {limit}; "
            f"evidence {test.evidence:.3g}, at its highest {test.peak:.3g}, alarm at {1 / test.delta:.3g}"
        )

    def _shadowed(self) -> str:
        shadow = self.state.shadow
        lost = "".join(
            f", {name} {one.value:.2%} ({one.low:.2%} to {one.high:.2%})" for name, one in self.shadow.items() if one
        )
        return (
            f"  in shadow: of {shadow.n:,} answers it would have given {shadow.answered / shadow.n:.1%} itself and "
            f"{shadow.agreed / shadow.n:.1%} are the last stage's{lost}"
        )


def shown(store: Store, task: str, state: State, most: int = 10) -> Shown:
    """With at most `most` traces to label next: first those with which the last stage disagrees, then those that wait for a
    person's word; nobody has said anything of them yet."""
    waiting = store.operations.audits(task, "waiting", 10_000)
    whys = dict.fromkeys(state.disagreed, "the last stage disagrees")
    whys |= {one.trace: "drawn by the audit" for one in waiting if one.trace not in whys}
    said = store.feedback.of(list(whys))
    open_ = [trace for trace in whys if trace not in said][:most]
    found = []
    for trace in open_:
        kept = store.traces.get(trace)
        found.append(Next(trace, whys[trace], kept and kept.input, kept and kept.output))
    losses = {name: _mean(name, state.losses.get(name)) for name in state.tests}
    shadow = {name: _mean(name, one) for name, one in state.shadow.losses.items()}
    return Shown(task, state, losses, shadow, found, len(waiting))


def _mean(name: str, tally: Tally | None) -> Estimate | None:
    if tally is None or not tally.n:
        return None
    found = proportion(tally.sum, tally.n)
    return Estimate(as_given(name, found.value), as_given(name, found.low), as_given(name, found.high))


def _short(one: Next) -> str:
    if one.input is None:
        return ""
    values = list(one.input.values()) if isinstance(one.input, dict) else [one.input]
    given, answer = (
        textwrap.shorten(text, TEXT, placeholder="...")
        for text in (" | ".join(map(str, values)), canonical_json(one.answer))
    )
    return f"{given} -> {answer}"
