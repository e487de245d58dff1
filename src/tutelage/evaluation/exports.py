"""The report as files: one HTML page, JSON, CSV, and the charts as PNG and SVG."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import vl_convert

from tutelage.errors import StoreError
from tutelage.evaluation.charts import charts
from tutelage.evaluation.fieldtable import field_csv
from tutelage.evaluation.page import html_page
from tutelage.evaluation.results import Answered, Report


def write_report(report: Report, answered: Sequence[Answered], folder: Path) -> dict[str, Path]:
    """Write everything into `folder` and return the paths by kind. Each file is replaced whole or not at all.

    Raises StoreError when the folder cannot be written.
    """
    # A lone surrogate cannot be UTF-8; "backslashreplace" writes it as JSON's own escape, and only JSON can hold one.
    files: dict[str, bytes] = {
        "report.html": html_page(report, answered).encode(errors="backslashreplace"),
        "report.json": (json.dumps(report.json(), indent=2, ensure_ascii=False) + "\n").encode(
            errors="backslashreplace"
        ),
        "report.csv": csv_text(report).encode(),
    }
    if any(row.fields for row in report.candidates):
        files["fields.csv"] = field_csv(report.candidates).encode()
    for name, chart in charts(report).items():
        files[f"{name}.svg"] = vl_convert.vegalite_to_svg(chart).encode()
        files[f"{name}.png"] = vl_convert.vegalite_to_png(chart, scale=2)
    write_files(files, folder)
    kinds = {"html": "report.html", "json": "report.json", "csv": "report.csv"}
    kinds |= {name: name for name in files if name.endswith((".png", ".svg")) or name == "fields.csv"}
    return {kind: folder / name for kind, name in kinds.items()}


def write_files(files: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """Write files by name into `folder`, each whole or not at all, and return their paths. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(folder / name, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"The report cannot be written to {folder}: {reason}. Choose another folder with --out."
        ) from None
    return {name: folder / name for name in files}


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def csv_text(report: Report) -> str:
    """One line a candidate; an unknown cost is an empty cell."""
    metrics = list(report.candidates[0].scores) if report.candidates else []
    out = io.StringIO()
    writer = csv.writer(out)
    scores = [f"{metric}{part}" for metric in metrics for part in ("", "_low", "_high")]
    ends = ["failures", "p50", "p75", "p90", "p99", "items_per_second", "dollars_per_1000", "cost_basis"]
    writer.writerow(["name", "family", "role", "n", *scores, *ends, "input_tokens", "output_tokens", "on_pareto_front"])
    for row in report.candidates:
        values = [v for metric in metrics for s in (row.scores[metric],) for v in (s.value, s.low, s.high)]
        speed = row.latency
        measured = [row.failures, speed.p50, speed.p75, speed.p90, speed.p99, speed.items_per_second]
        cost = ["" if row.dollars_per_1000 is None else row.dollars_per_1000, row.cost_basis]
        last = [row.input_tokens, row.output_tokens, row.on_pareto_front]
        writer.writerow([row.name, row.family, row.role, report.n, *values, *measured, *cost, *last])
    return out.getvalue()
