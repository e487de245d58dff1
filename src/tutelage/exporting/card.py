"""The model card that travels with a student: what it answers, what it learned from, how good it is, its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tutelage.evaluation.latency import readable
from tutelage.evaluation.results import Report, Row
from tutelage.exporting.leaving import Leaving

UNKNOWN = "not stated"
FEW = 100
"""Below so many test examples the card says that they are few."""
_PIPELINES = {
    "label": "text-classification",
    "labels": "text-classification",
    "strings": "token-classification",
    "record": "token-classification",
    "text": "text-generation",
}
_OUTPUTS = {
    "label": "one of {n} labels",
    "labels": "any of {n} labels",
    "strings": "a list of strings",
    "record": "a record of {n} fields",
    "text": "a text",
}


def summary(student: Leaving) -> str:
    """One line: what the student does."""
    kind = _OUTPUTS.get(student.task.output, student.task.output).format(n=_size(student))
    return f"{student.task.name}: answers {', '.join(student.task.fields)} with {kind} (family {student.family})"


def _size(student: Leaving) -> int:
    return len(getattr(student.task, "labels", ()) or getattr(student.task, "answer_fields", ()))


def base_of(student: Leaving) -> tuple[str, str]:
    """The pretrained base that the student was made from, and its licence; "" where there is none."""
    fit = student.card.get("fit", {})
    for found in (student.card.get("licence"), fit.get("base"), fit.get("encoder")):
        if isinstance(found, Mapping):
            name = found.get("name") or found.get("base") or student.card["settings"].get("base") or ""
            return str(name).rstrip("/").rpartition("/")[2], str(found.get("licence") or UNKNOWN)
    base = student.card["settings"].get("base") or ""
    return str(base).rstrip("/").rpartition("/")[2], str(fit.get("licence") or UNKNOWN) if base else ""


def written(student: Leaving, requires: Sequence[str] = (), use: str = "") -> str:
    """The card as Markdown with Hugging Face's front matter. `use` replaces the section on the command."""
    base, licence = base_of(student)
    parts = [
        f"# {student.task.name}",
        f"{summary(student)[len(student.task.name) + 2 :].capitalize()}, trained by tutelage.",
        *([f"> {' '.join(student.task.instructions.split())}"] if student.task.instructions else []),
        "## Use",
        use or _command(student, requires),
        "## What it learned from",
        _data(student),
        "## How good it is",
        _quality(student),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(student)),
        "## Licences",
        "\n".join(
            [
                f"- This student: {student.licence or UNKNOWN}",
                f"- Base model: {f'{base}, {licence}' if base else 'none'}",
                f"- Training data: {student.data_licence or UNKNOWN}",
            ]
        ),
        "## Reproduce",
        _origin(student),
    ]
    return f"{_front(student)}\n" + "\n\n".join(parts) + "\n"


def _front(student: Leaving) -> str:
    base, licence = base_of(student)
    lines = ["---", f"license: {_word(student.licence or (licence if base else '') or 'other')}"]
    lines += [f"base_model: {_word(base)}"] if base else []
    lines += [f"pipeline_tag: {_PIPELINES.get(student.task.output, 'other')}"]
    lines += ["tags:", "- tutelage", f"- {_word(student.family)}"]
    if student.report is not None:
        main = student.report.candidates[0].scores[student.report.metric]
        lines += ["model-index:", f"- name: {_word(student.task.name)}", "  results:", "  - task:"]
        lines += [f"      type: {_PIPELINES.get(student.task.output, 'other')}", "    dataset:"]
        lines += [f"      name: test split of {student.task.name}", f"      type: {_word(student.task.name)}"]
        lines += ["    metrics:", f"    - type: {student.report.metric}", f"      value: {main.value:.4f}"]
    return "\n".join([*lines, "---", ""])


def _word(text: str) -> str:
    """`text` as a YAML scalar."""
    return text if text.replace("-", "").replace(".", "").isalnum() and not text[0].isdigit() else json.dumps(text)


def _command(student: Leaving, requires: Sequence[str]) -> str:
    command = student.command
    line = json.dumps({name: "..." for name in student.task.fields})
    chat = line if len(student.task.fields) > 1 else "..."
    body = json.dumps({"model": student.name, "messages": [{"role": "user", "content": chat}]})
    batch = json.dumps({"inputs": [{name: "..." for name in student.task.fields}]})
    return f"""```sh
pip install {student.package}-{student.version}-py3-none-any.whl    # needs: {", ".join(requires) or "Python alone"}
{command} predict inputs.jsonl > answers.jsonl    # a line: {line}
{command} serve --port 8000                       # http://127.0.0.1:8000/v1, as OpenAI's API
curl -d '{body}' http://127.0.0.1:8000/v1/chat/completions
curl -d '{batch}' http://127.0.0.1:8000/v1/tasks/{student.task.name}/predict
{command} card                                    # this page
```

`python -m {student.package}` is the same command; in Python: `{student.package}.load().predict([{line}])`."""


def _data(student: Leaving) -> str:
    lines = ["| split | examples | labels by | sources |", "|---|---|---|---|"]
    for split in ("train", "dev"):
        if counts := student.card.get(split):
            origins = ", ".join(f"{origin} {n}" for origin, n in sorted(counts.get("origins", {}).items())) or "-"
            sources = ", ".join(f"`{source}` {n}" for source, n in sorted(counts.get("sources", {}).items())) or "-"
            lines.append(f"| {split} | {counts['n']} | {origins} | {sources} |")
    text = (
        "\n".join(lines)
        + "\n\n`gold` labels are a person's or imported with the data, `teacher` labels a model's answers, `weak` pseudo-labels."
    )
    if synthetic := student.card.get("train", {}).get("synthetic"):
        text += f" Inputs in train that a model wrote: {synthetic if isinstance(synthetic, int) else json.dumps(synthetic)}."
    return text


def _quality(student: Leaving) -> str:
    if student.report is None:
        return "It was not evaluated on test examples."
    report, row = student.report, student.report.candidates[0]
    lines = [
        f"On {report.n} test examples that no choice was made on, scored against {report.reference} "
        f"(data fingerprint `{report.fingerprint}`):",
        "",
        "| metric | value | 95 % interval |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {one.value:.4f} | {one.low:.4f} to {one.high:.4f} |" for name, one in row.scores.items()]
    return "\n".join(lines) + "\n\n" + _speed(report, row)


def _speed(report: Report, row: Row) -> str:
    failed = f"{row.failures} of {report.n} inputs got no answer. " if row.failures else ""
    seconds = f"p50 {readable(row.latency.p50)}, p99 {readable(row.latency.p99)}"
    return f"{failed}Time to answer one input: {seconds} ({row.latency.how})."


def _limits(student: Leaving) -> list[str]:
    card, report, fit = student.card, student.report, student.card.get("fit", {})
    found = ["It answers this one task; whatever it is sent, it answers in this form."]
    if card.get("train", {}).get("origins", {}).get("teacher"):
        found.append("It imitates a model's labels, their mistakes included; the terms of that model's provider apply.")
    if card.get("train", {}).get("origins", {}).get("weak"):
        found.append("It imitates pseudo-labels, which rules or small models gave, their mistakes included.")
    if report is not None and report.n < FEW:
        found.append(f"{report.n} test examples are few: see how wide the intervals are.")
    if report is not None and report.reference.startswith("teacher"):
        found.append("It was scored against a model's labels, not a person's.")
    if missing := fit.get("labels_without_examples"):
        found.append(f"Labels without an example in train are never answered: {', '.join(missing)}.")
    if clashes := card.get("train", {}).get("contradictory"):
        found.append(f"{clashes} training examples have another label elsewhere for the same text.")
    if lost := fit.get("strings_not_in_text"):
        found.append(f"{lost} labelled strings that stand nowhere in their text were not learned.")
    if precision := fit.get("precision"):
        loss = f", at a loss of {fit['int8_loss']:.4f} on dev" if "int8_loss" in fit else ""
        found.append(f"Weights are {precision}{loss}.")
    if not any("certificate" in name for name in student.artefact()):
        found.append("Its confidence is raw: no certificate says above which confidence it can be trusted.")
    found.append("Inputs unlike those it was trained on may be answered wrongly, with high confidence.")
    return found


def _origin(student: Leaving) -> str:
    card = student.card
    settings = json.dumps(json.loads(student.card_json())["settings"], ensure_ascii=False, sort_keys=True)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(card.get("versions", {}).items()))
    return (
        f"Candidate `{student.name}` of family `{student.family}`, run `{student.folder.name}`, trained in "
        f"{card.get('seconds', 0):.0f} s with {versions}. Data fingerprint `{card.get('data_fingerprint')}`. "
        f"Settings: `{settings}`."
    )
