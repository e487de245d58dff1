"""What was proved of a cascade or a router, and how to check it again: a small JSON file that a person can read.

A certificate says: inputs as those of the calibration examples, answered by these models with these thresholds, have a mean loss
of at most `max_loss`, unless something happened in the drawing of the calibration examples that has a probability of at most
1 - `confidence`. It holds while the models are those whose hashes it names and inputs come as the calibration examples did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tutelage.errors import CertificateError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.project import Project, newest_artefact
from tutelage.routing.parts import everyone, parts_of
from tutelage.types import digest

FOLDER = "certificates"
VERSION = 1

DIGEST = "digest"
"""The key in the file with the hash of all others: a threshold that somebody changed is not answered under."""

PROVED = "proved"
UNPROVEN = "unproven"


@dataclass(frozen=True)
class StageFacts:
    """A stage, or one of a router's candidates, as it was certified: its name, its fingerprint, its artefact's run and the
    SHA-256 of its files ("" where it has none), and how its confidence is read (None for the last stage, which answers what is
    left, and for all that a router asks)."""

    name: str
    fingerprint: str
    artefact: str
    artefact_sha256: str
    confidence: Mapping[str, Any] | None


@dataclass(frozen=True)
class LossFacts:
    """A loss that is kept under `most`: its mean on the calibration examples, its p-value (None: unproven), of which `group`."""

    loss: str
    most: float
    mean: float
    n: int
    p_value: float | None
    group: str = ""


@dataclass(frozen=True)
class Certificate:
    """See the module's text. `threshold` is a cascade's of calibrated confidence (a stage answers at or above it, and None
    answers never) or a router's bar (the cheapest is asked whose chance is at least that).

    `status` is "proved", or "unproven" for a threshold that was taken without proof. `bound` names the test, `level` is what each
    certificate of the same choice may err: 1 - confidence over the number of candidates tried, at the `look` for the how-manieth
    time (`routing.looks`; 0: not counted). `settings` are the candidate's in task.toml, `learned` the artefact of what it learned
    itself. `escalated` is the share of calibration examples that the last stage answers, `reference` whose labels are right, with
    counts. `assumes` says under which of the two it holds: inputs as a whole as in calibration ("exchangeable"), or each group by
    itself ("groups").
    """

    task: str
    candidate: str
    status: str
    threshold: float | None
    max_loss: float
    confidence: float
    level: float
    bound: str
    losses: Sequence[LossFacts]
    against: str
    reference: str
    n: int
    stages: Sequence[StageFacts]
    settings: Mapping[str, Any]
    answered_by: Mapping[str, float]
    escalated: Estimate
    dollars_per_1000: float | None
    cost_basis: str
    assumes: str
    calibration_fingerprint: str
    dev_fingerprint: str
    curve: Sequence[Mapping[str, float]] = ()
    """Threshold, share answered before the last stage and mean loss, on the calibration examples; for a chart, not a proof."""
    gate: Mapping[str, Any] | None = None
    tried: Sequence[str] = ()
    family: str = "cascade"
    learned: Mapping[str, str] | None = None
    look: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    version: int = VERSION

    def json(self) -> dict[str, Any]:
        return asdict(self)


def certificate_path(project: Project, name: str) -> Path:
    return project.folder / FOLDER / f"{name}.json"


def write_certificate(path: Path, certificate: Certificate) -> None:
    """Write it, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    facts = {**certificate.json(), DIGEST: digest(certificate.json())}
    half.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)


def read_certificate(path: Path) -> Certificate:
    """The certificate at `path`. Raises CertificateError in one line when there is none, it cannot be one, or it is not as it
    was written."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CertificateError(
            f"There is no certificate {path}. Make one with: tutelage calibrate {path.stem}"
        ) from None
    except (OSError, ValueError) as error:
        raise CertificateError(f"The certificate {path} cannot be read: {error}.") from None
    if not isinstance(facts, dict) or "version" not in facts:
        raise CertificateError(f"{path} is no certificate: it has no version. Make one with: tutelage calibrate")
    if facts["version"] != VERSION:
        raise CertificateError(f"{path} has version {facts['version']}, this tutelage reads {VERSION}. Make it again.")
    written, found_digest = facts.pop(DIGEST, None), digest(facts)
    if written != found_digest:
        raise CertificateError(
            f"{path} has been edited: its {DIGEST} is {written}, its content's {found_digest}. "
            f"Make it again: tutelage calibrate {path.stem}"
        )
    try:
        found: Certificate = TypeAdapter(Certificate).validate_python(facts)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CertificateError(f"{path} is no certificate: {place}: {first['msg'].lower()}. Make it again.") from None
    return found


def stage_facts(project: Project, name: str, confidence: Mapping[str, Any] | None) -> StageFacts:
    """The hashes of candidate `name` as it is now; of one that is made of others the artefacts of them all."""
    one = candidate(project, name)
    names = everyone(project, [name]) if one.family.role == "system" else [name]
    families = {part: candidate(project, part).family for part in names}
    learned = [part for part, family in families.items() if family.student or family.role == "system"]
    folders = [folder for part in learned if (folder := newest_artefact(project, part))]
    hashes = [folder_hash(folder) for folder in folders]
    sha = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else ""
    return StageFacts(name, one.fingerprint(project), ", ".join(folder.name for folder in folders), sha, confidence)


def folder_hash(folder: Path) -> str:
    """SHA-256 of the names and contents of all files in the folder."""
    total = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def certified_settings(one: Candidate) -> dict[str, Any] | None:
    """What a certificate of this candidate holds for, of its settings; None where it answers without a certificate."""
    facts = getattr(one.settings, "under_certificate", None)
    return None if facts is None or (found := facts()) is None else dict(found)


def learned_facts(folder: Path) -> dict[str, str]:
    """What a certificate says of an artefact."""
    return {"artefact": folder.name, "artefact_sha256": folder_hash(folder)}


def certificate_facts(project: Project, name: str) -> Mapping[str, Any] | str | None:
    """What of the certificate of `name` decides its answers, for its fingerprint; None where there is none."""
    path = certificate_path(project, name)
    try:
        if not path.is_file():
            return None
        kept = read_certificate(path).json()
    except CertificateError as error:  # what cannot be read answers nothing, and others are still compared
        return str(error)
    return {key: value for key, value in kept.items() if key not in ("created", "versions")}


def check_certified(project: Project, certificate: Certificate) -> None:
    """Raises CertificateError where the candidate's settings, its parts or what it learned are no longer the certified ones."""
    name = certificate.candidate
    one = candidate(project, name)
    settings = certified_settings(one)
    if settings is None or one.family_name != certificate.family:
        raise CertificateError(
            f"{name!r} was certified as a {certificate.family}, and as task.toml describes it now that says nothing of it."
        )
    was = dict(certificate.settings)
    for setting, value in settings.items():
        if json.dumps(was.get(setting)) != json.dumps(value):
            raise CertificateError(
                f"The certificate of {name!r} is of {setting} = {json.dumps(was.get(setting))}, task.toml says "
                f"{json.dumps(value)}. Certify what is there now: tutelage calibrate {name}"
            )
    if [stage.name for stage in certificate.stages] != parts_of(project, name):
        raise CertificateError(f"The certificate of {name!r} names other candidates than task.toml. Calibrate again.")
    for stage in certificate.stages:
        _same(certificate, stage.name, asdict(stage), asdict(stage_facts(project, stage.name, stage.confidence)))
    if certificate.learned is not None:
        folder = newest_artefact(project, name)
        _same(certificate, name, certificate.learned, {} if folder is None else learned_facts(folder))


def _same(certificate: Certificate, name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises CertificateError naming the first hash that is no longer the certified one."""
    for what in ("artefact", "artefact_sha256", "fingerprint"):
        then, found = was.get(what, ""), now.get(what, "")
        if then != found:
            raise CertificateError(
                f"The certificate of {certificate.candidate!r} is not of this {name!r}: its {what} was "
                f"{then[:16] or 'none'} and is {found[:16] or 'none'}. "
                f"Certify what is there now: tutelage calibrate {certificate.candidate}"
            )
