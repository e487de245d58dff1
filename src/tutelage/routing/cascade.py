"""Family `cascade`: stages from the cheapest to the best, each answers what it is sure enough of, the last all that is left.

[candidates.cascade]
family = "cascade"
stages = ["student", "teacher"]     # candidates; `tutelage calibrate cascade` says from which confidence the student answers

How sure a stage is, is its calibrated confidence (`routing.confidence`), and one threshold holds for all stages: they are
probabilities of being right, so that they compare. Without a certificate a cascade does not answer, unless it is `unproven`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from tutelage.errors import CertificateError
from tutelage.evaluation.candidates import candidate, close
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project
from tutelage.registry import Family, load
from tutelage.routing.certificate import (
    PROVED,
    Certificate,
    certificate_facts,
    certificate_path,
    check_certified,
    folder_hash,
    read_certificate,
)
from tutelage.routing.confidence import Confidence
from tutelage.routing.parts import check_parts
from tutelage.types import Input, Prediction, Predictor, Usage

BY_FIELD = "tutelage.routing.fields:field_cascade"
ASKED = "Nobody was sure enough of an answer: a person is to answer."


@dataclass(frozen=True)
class CascadeSettings:
    """`stages` are candidates, the cheapest first. `novelty` is the share of usual inputs that a novelty gate may pass on to
    the last stage for being unlike the training examples (None: no gate; see docs/shift.md). With `abstain` the last stage
    is not trusted below the threshold either, and a person is to answer. With `escalate` = "fields" only the doubtful fields
    of a record are asked of the last stage."""

    stages: Annotated[list[str], Field(min_length=2)]
    novelty: Annotated[float, Field(gt=0, lt=1)] | None = None
    abstain: bool = False
    escalate: Literal["answer", "fields"] = "answer"

    def under_certificate(self) -> dict[str, Any]:
        """A certificate holds for all of them."""
        return asdict(self)


class Gate(Protocol):
    """Tells what is unlike the training examples."""

    def p_values(self, texts: Sequence[str]) -> Floats:
        """For each text the p-value of its being like the training examples, shape (n,)."""


@dataclass(frozen=True)
class Stage:
    """A predictor and how its confidence is read; None: its answers are taken as they are."""

    predictor: Predictor
    confidence: Confidence | None


@dataclass(frozen=True)
class Rule:
    """What decides: the threshold (None: never), the gate and its false-alarm rate, and whether it was proved."""

    threshold: float | None
    gate: Gate | None = None
    rate: float = 0.0
    abstain: bool = False
    status: str = PROVED


class Cascade:
    """Answers by the first stage that is sure enough; see the module's text."""

    def __init__(self, name: str, stages: Sequence[Stage], rule: Rule, text_of: Callable[[Input], str]) -> None:
        self._name, self.stages, self.rule, self._text_of = name, tuple(stages), rule, text_of

    @property
    def name(self) -> str:
        return self._name

    def through(self, wrap: Callable[[str, Predictor], Predictor]) -> Cascade:
        stages = [replace(one, predictor=wrap(one.predictor.name, one.predictor)) for one in self.stages]
        return Cascade(self._name, stages, self.rule, self._text_of)

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order; usage is the sum of the stages asked, `source` names the one that answered, `confidence` is
        calibrated. Raises ModelError when no call can succeed."""
        settled: dict[int, Prediction] = {}
        spent = [Usage(dollars=0.0)] * len(inputs)
        waiting, novel = list(range(len(inputs))), novel_inputs(self.rule, self._text_of, inputs)
        for number, stage in enumerate(self.stages):
            if not waiting:
                break
            found = await stage.predictor.predict([inputs[at] for at in waiting])
            sure = None if stage.confidence is None else stage.confidence.of(found)
            last = number == len(self.stages) - 1
            left = []
            for place, at in enumerate(waiting):
                one, confidence = found[place], None if sure is None else float(sure[place])
                spent[at] += one.usage
                trusted = confidence is not None and self._trusts(confidence) and not (novel[at] or one.value is None)
                if trusted or (last and not (self.rule.abstain and confidence is not None)):
                    settled[at] = self._answer(stage, one, confidence)
                elif last:
                    settled[at] = Prediction(None, confidence, source=stage.predictor.name, error=ASKED)
                else:
                    left.append(at)
            waiting = left
        return [replace(settled[at], usage=spent[at]) for at in range(len(inputs))]

    def _trusts(self, confidence: float) -> bool:
        return self.rule.threshold is not None and confidence >= self.rule.threshold

    def _answer(self, stage: Stage, one: Prediction, confidence: float | None) -> Prediction:
        sure = one.confidence if confidence is None else confidence
        return noted(replace(one, source=stage.predictor.name, confidence=sure), self.rule)

    async def close(self) -> None:
        for stage in self.stages:
            await close(stage.predictor)


def noted(one: Prediction, rule: Rule) -> Prediction:
    """The answer with a note where the rule was not proved."""
    note = "; ".join(part for part in (one.note, "" if rule.status == PROVED else rule.status) if part)
    return replace(one, note=note or None)


def novel_inputs(rule: Rule, text_of: Callable[[Input], str], inputs: Sequence[Input]) -> Sequence[bool]:
    """Which inputs the rule's gate finds unlike the training examples; none without a gate."""
    if rule.gate is None or not inputs:
        return [False] * len(inputs)
    return [bool(p <= rule.rate) for p in rule.gate.p_values([text_of(one) for one in inputs])]


def build_cascade(name: str, settings: CascadeSettings, project: Project) -> Predictor:
    """The cascade under its certificate. Raises CertificateError when there is none, or it is not of these stages."""
    certificate = read_certificate(certificate_path(project, name))
    return certified(project, name, settings, certificate)


def certified(project: Project, name: str, settings: CascadeSettings, certificate: Certificate) -> Predictor:
    """The cascade that `certificate` describes. Raises CertificateError where it is not of what is there now."""
    check_certified(project, certificate)
    stages = [
        Stage(
            candidate(project, one.name).build(project),
            None if one.confidence is None else Confidence.of_json(one.confidence),
        )
        for one in certificate.stages
    ]
    gate, rate = gate_of(project, certificate.gate)
    rule = Rule(certificate.threshold, gate, rate, settings.abstain, certificate.status)
    if settings.escalate == "fields":
        made: Predictor = load(BY_FIELD)(name, (stages[0], stages[1]), rule, project)
        return made
    return Cascade(name, stages, rule, project.task.input_text)


def gate_of(project: Project, facts: Mapping[str, Any] | None) -> tuple[Gate | None, float]:
    """The novelty gate that a certificate names, and its rate. Raises CertificateError when its file has changed."""
    if facts is None:
        return None, 0.0
    folder = project.folder / facts["folder"]
    if not folder.is_dir() or folder_hash(folder) != facts["sha256"]:
        raise CertificateError(
            f"The novelty gate in {folder} is not the certified one (sha256 {facts['sha256'][:16]}). Calibrate again."
        )
    found: Gate = load("tutelage.routing.novelty:load_gate")(folder)
    return found, float(facts["rate"])


def _fingerprint(name: str, settings: CascadeSettings, project: Project) -> object:
    check_parts(project, name)
    return [
        [candidate(project, stage).fingerprint(project) for stage in settings.stages],
        asdict(settings),
        certificate_facts(project, name),
    ]


def _hosted(name: str, settings: CascadeSettings, project: Project) -> bool:
    check_parts(project, name)
    return any(candidate(project, stage).hosted(project) for stage in settings.stages)


FAMILY = Family("system", CascadeSettings, build_cascade, _fingerprint, hosted=_hosted)
