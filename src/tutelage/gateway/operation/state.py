"""The state of a task's operation, and how it changes: pure functions, whose results are kept in the table `operations`.

Modes: `shadow` (the last stage answers, and the cascade is compared with it in the background), `live` (the cascade
answers), `demoted` (the last stage answers all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from tutelage.errors import UsageError
from tutelage.routing.audit import AuditState, begin_audit, read_audit, update_audit
from tutelage.routing.certificate import Certificate
from tutelage.routing.losses import as_given, limit_of
from tutelage.store import Audit
from tutelage.store.database import now
from tutelage.store.operations import AuditStage
from tutelage.types import digest

Mode: TypeAlias = Literal["shadow", "live", "demoted"]
SHOWN = 200
"""Traces of answers with which the last stage disagrees that are remembered, the newest."""
SHORT = 12
"""Characters of a certificate's digest that people see."""


@dataclass(frozen=True)
class Tally:
    """Sums of losses in [0, 1], for a mean with an interval."""

    n: int = 0
    sum: float = 0.0
    squares: float = 0.0

    def plus(self, value: float) -> Tally:
        return Tally(self.n + 1, self.sum + value, self.squares + value * value)


@dataclass(frozen=True)
class Comparison:
    """What a cascade in shadow would have done: of `n` answers it would have given `answered` before the last stage, and of
    all `agreed` are the last stage's. `losses` are the certificate's, the last stage's answers taken as right."""

    n: int = 0
    answered: int = 0
    agreed: int = 0
    losses: Mapping[str, Tally] = field(default_factory=dict)
    since: str = ""


@dataclass(frozen=True)
class Compared:
    """One answer in shadow: the trace, whether an earlier stage would have answered, whether it says the same, its losses."""

    trace: str
    early: bool
    agrees: bool
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Alarm:
    """When the audit of which certificate found that which loss exceeds its limit, and on what evidence."""

    at: str
    certificate: str
    loss: str
    limit: float
    mean: float
    audited: int
    evidence: float


@dataclass(frozen=True, kw_only=True)
class State:
    """`certificate` is the digest of the one that is operated, `file` where it was read, `proved` whether it says so, `against`
    whose word decides.

    `tests` are the audits' by loss. Of the answers drawn `audited` have been judged; of those an earlier stage had given
    the last stage was asked about `asked` and agreed in `agreed`; `early` counts how many an earlier stage gave of all drawn.
    `told`: when the webhook was told of the alarm, or by whom it is being told. `alarmed` are certificates with an alarm.
    """

    mode: Mode
    certificate: str
    candidate: str
    proved: bool
    against: str
    tests: Mapping[str, AuditState]
    losses: Mapping[str, Tally] = field(default_factory=dict)
    drawn: int = 0
    early: int = 0
    asked: int = 0
    agreed: int = 0
    audited: int = 0
    shadow: Comparison = field(default_factory=Comparison)
    disagreed: Sequence[str] = ()
    alarm: Alarm | None = None
    alarmed: Sequence[str] = ()
    told: str = ""
    why: str = ""
    changed: str = ""
    file: str = ""

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def mode_of(self, certificate: str) -> Mode:
        """How a cascade under `certificate` is served: never live where there was an alarm of it."""
        if self.mode == "live" and certificate != self.certificate and certificate in self.alarmed:
            return "demoted"
        return self.mode


def read_state(data: Mapping[str, Any]) -> State:
    """The state that `State.json` gave. Raises DataError where an audit in it is none."""
    known = {name: data[name] for name in State.__dataclass_fields__ if name in data}
    shadow = dict(known.get("shadow") or {})
    shadow["losses"] = _tallies(shadow.get("losses", {}))
    known["shadow"] = Comparison(**shadow)
    known["tests"] = {name: read_audit(one) for name, one in known["tests"].items()}
    known["losses"] = _tallies(known.get("losses", {}))
    known |= {name: tuple(known.get(name, ())) for name in ("disagreed", "alarmed")}
    known["alarm"] = Alarm(**known["alarm"]) if known.get("alarm") else None
    return State(**known)


def _tallies(data: Mapping[str, Any]) -> dict[str, Tally]:
    return {name: Tally(**one) for name, one in data.items()}


def certificate_digest(certificate: Certificate) -> str:
    """As in the certificate's file."""
    return digest(certificate.json())


def begun(state: State | None, certificate: Certificate, delta: float, file: str = "") -> State:
    """The state with which `certificate` is operated: the same where it is operated already, else with an audit that begins.
    Without any the mode is live; one that was changed by hand or by an alarm stays until somebody promotes."""
    own = certificate_digest(certificate)
    if state is not None and state.certificate == own:
        return state
    fresh = State(
        mode="live" if state is None else state.mode,
        certificate=own,
        candidate=certificate.candidate,
        proved=certificate.status == "proved",
        against=certificate.against,
        tests=_tests(certificate, delta),
        file=file,
        why="" if state is None else state.why,
        changed=now() if state is None else state.changed,
    )
    return fresh if state is None else replace(fresh, alarm=state.alarm, alarmed=state.alarmed, told=state.told)


def _tests(certificate: Certificate, delta: float) -> dict[str, AuditState]:
    """A test of each certified loss; several share `delta`. A loss that is kept in every group is tested over all of them."""
    limits = {one.loss: limit_of(one.loss, one.most) for one in certificate.losses}  # type: ignore[arg-type]
    return {loss: begin_audit(limit, delta / len(limits)) for loss, limit in limits.items()}


def judged(state: State, moved: Sequence[tuple[Audit, AuditStage | None]]) -> State:
    """The state after audits moved forward; those of another certificate change nothing. An alarm demotes."""
    for audit, before in moved:
        if audit.certificate != state.certificate or audit.stage == "asking":
            continue
        if before != "waiting":
            state = _seen(state, audit)
        if audit.stage == "judged" and audit.losses is not None:
            state = _tested(state, audit.losses)
    return state


def _seen(state: State, audit: Audit) -> State:
    asked = audit.early and audit.agrees is not None
    disagreed = state.disagreed
    if asked and not audit.agrees:
        disagreed = (audit.trace, *(one for one in disagreed if one != audit.trace))[:SHOWN]
    return replace(
        state,
        drawn=state.drawn + 1,
        early=state.early + audit.early,
        asked=state.asked + asked,
        agreed=state.agreed + bool(asked and audit.agrees),
        disagreed=tuple(disagreed),
    )


def _tested(state: State, losses: Mapping[str, float]) -> State:
    tests, tallies = dict(state.tests), dict(state.losses)
    alarmed = any(one.alarm for one in tests.values())
    for name, loss in losses.items():
        if name in tests:
            tests[name] = update_audit(tests[name], [loss])
            tallies[name] = tallies.get(name, Tally()).plus(loss)
    state = replace(state, tests=tests, losses=tallies, audited=state.audited + 1)
    risen = next((name for name, one in tests.items() if one.alarm), None)
    if alarmed or risen is None:
        return state
    test = tests[risen]
    limit, mean = as_given(risen, test.limit), as_given(risen, test.mean_loss or 0.0)
    alarm = Alarm(now(), state.certificate, risen, limit, mean, test.audited, test.evidence)
    why = f"the audit found that the loss {risen!r} exceeds what was certified"
    state = replace(state, alarm=alarm, alarmed=(*state.alarmed, state.certificate)[-SHOWN:], told="")
    return replace(state, mode="demoted", why=why, changed=alarm.at) if state.mode == "live" else state


def compared(state: State, certificate: str, found: Sequence[Compared]) -> State:
    """The state after comparisons in shadow under `certificate`."""
    if certificate != state.certificate:
        return state
    shadow, disagreed = state.shadow, list(state.disagreed)
    for one in found:
        tallies = dict(shadow.losses)
        for name, loss in one.losses.items():
            tallies[name] = tallies.get(name, Tally()).plus(loss)
        if not one.agrees:
            disagreed.insert(0, one.trace)
        shadow = Comparison(
            shadow.n + 1,
            shadow.answered + one.early,
            shadow.agreed + one.agrees,
            tallies,
            shadow.since or now(),
        )
    return replace(state, shadow=shadow, disagreed=tuple(disagreed[:SHOWN]))


def promoted(state: State, why: str, *, force: bool = False) -> State:
    """The state, live. Raises UsageError after an alarm of its certificate, unless by force."""
    if state.certificate in state.alarmed and not force:
        alarm = state.alarm
        lost = (
            f" ({alarm.audited} answers audited lose {alarm.mean:.2%}, certified: {alarm.limit:.2%})" if alarm else ""
        )
        raise UsageError(
            f"There was an alarm of this certificate ({state.certificate[:SHORT]}){lost}. Label what `tutelage operation` "
            "names, train, and calibrate anew; --force serves under this one all the same, with a new audit."
        )
    return moved_to(state, "live", why)


def moved_to(state: State, mode: Mode, why: str) -> State:
    """The state in `mode` by somebody's word. Who goes back to live after an alarm of the same certificate begins a new audit."""
    changed = replace(state, mode=mode, why=why, changed=now())
    if mode == "shadow":
        changed = replace(changed, shadow=Comparison())
    if mode == "live" and (any(one.alarm for one in state.tests.values()) or state.certificate in state.alarmed):
        fresh = {name: begin_audit(one.limit, one.delta) for name, one in state.tests.items()}
        left = tuple(one for one in state.alarmed if one != state.certificate)
        changed = replace(changed, tests=fresh, losses={}, alarmed=left)
        changed = replace(changed, drawn=0, early=0, asked=0, agreed=0, audited=0)
    return changed
