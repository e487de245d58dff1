"""A student behind HTTP beside the same student in process.

    python -m bench.gateway_student --base PATH      # 2 minutes on 2 cores; appends its table to bench/LOG.md

An `encoder` is trained once on some of banking77 (kept in .cache/bench-gateway-student) and quantised to int8. In turn and in
one run: predict_batch in this process at the batch size that the gateway measured, and the gateway as a process of its own,
asked by wrk with 16 connections. Needs wrk (a Debian package). Both need both cores, so that rates of a busy machine are of what
was left of it, and the load before is written down; processor time per answer hardly depends on that, and is written beside.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeAlias

from bench.projects import drawn, lines, make_project, write_log
from tutelage import settings
from tutelage.evaluation.candidates import candidate
from tutelage.gateway.batching import Batched, Plan
from tutelage.gateway.warming import measured, sample_inputs
from tutelage.project import Project, newest_artefact
from tutelage.students.base import Trained
from tutelage.types import Input

CACHE = Path(__file__).parents[1] / ".cache" / "bench-gateway-student"
TRAIN, ROUNDS, SECONDS, CONNECTIONS, WANTED = 300, 10, 3, (16, 64, 1), 0.8
TICKS = os.sysconf("SC_CLK_TCK")

Rate: TypeAlias = tuple[float, float]
"""Answers a second, and milliseconds of processor time an answer, without the client's."""
TASK = """name = "banking77"
output = "label"
labels = {labels}
[candidates.student]
family = "encoder"
base = "{base}"
labels = "gold"
epochs = 2
quantise = "int8"
max_int8_loss = 1.0
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--base", default=str(settings.weights_folder() / "minilm"), help="folder of the encoder's base"
    )
    base = Path(parser.parse_args().base).expanduser().resolve()
    if not base.is_dir():
        print(f"SKIPPED: there is no {base}. Fetch it with: python scripts/weights.py minilm, or give --base PATH.")
        return 0
    if shutil.which("wrk") is None:
        print("SKIPPED: there is no wrk. Install it with: apt install wrk")
        return 0
    project = trained(base)
    inputs = sample_inputs(project)
    student = candidate(project, "student").build(project)
    assert isinstance(student, Trained)
    script = CACHE / "ask.lua"
    script.write_text(lua(inputs), encoding="utf-8")
    load = os.getloadavg()[0]
    server, url = served(project)
    try:
        plan = measured(Batched(student), inputs)
        found: dict[str, list[Rate]] = {"in process": []}
        for turn in range(ROUNDS):
            found["in process"].append(in_process(student, inputs, plan))
            for connections in CONNECTIONS:
                rate = asked(url, script, connections, server.pid)
                found.setdefault(f"HTTP, {connections} connections", []).append(rate)
            print(f"round {turn + 1} of {ROUNDS}: {found}", file=sys.stderr, flush=True)
        batch = batches(url)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    write_log("gateway: a student behind HTTP", table(found, plan, load, batch))
    return 0


def trained(base: Path) -> Project:
    train, dev = drawn(lines("banking77", "train"), TRAIN), drawn(lines("banking77", "dev"), TRAIN)
    labels = sorted({one["label"] for one in train + dev})
    text = TASK.format(labels=json.dumps(labels), base=base)
    project = make_project(CACHE, text, "label", {"train": train, "dev": dev})
    if newest_artefact(project, "student") is None:
        command = [sys.executable, "-m", "tutelage", "train", "student", "-C", str(CACHE)]
        subprocess.run(command, check=True)
    return project


def lua(inputs: list[Input]) -> str:
    """A script for wrk that asks about one input after another."""
    bodies = [
        json.dumps({"model": "student", "messages": [{"role": "user", "content": one["text"]}]}) for one in inputs
    ]
    quoted = ",\n".join(f"[==[{body}]==]" for body in bodies)
    return (
        f"local bodies = {{{quoted}}}\nlocal at = 0\n"
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        "function request() at = at % #bodies + 1 return wrk.format(nil, nil, nil, bodies[at]) end\n"
    )


def served(project: Project) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "tutelage", "serve", "--port", "0", "--json", "-C", str(project.folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = str(json.loads(server.stdout.readline())["url"])
    for _ in range(300):  # it listens once it is warm
        if subprocess.run(["curl", "-s", "-o", "/dev/null", f"{url}/models"], check=False).returncode == 0:
            return server, url
        time.sleep(0.2)
    raise SystemExit("The gateway did not come up.")


def in_process(student: Trained, inputs: list[Input], plan: Plan) -> Rate:
    """In batches of the plan's size."""
    start, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < start + SECONDS:
        at = count % len(inputs)
        batch = (inputs + inputs)[at : at + plan.size]
        student.student.predict_batch(batch)
        count += len(batch)
    return count / (time.perf_counter() - start), 1000 * (time.process_time() - used) / count


def asked(url: str, script: Path, connections: int, server: int) -> Rate:
    """By wrk. Raises where a request was not answered with 200."""
    used = processor(server)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), f"{url}/chat/completions"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(said)
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    assert rate and count
    return float(rate[1]), 1000 * (processor(server) - used) / int(count[1])


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def batches(url: str) -> str:
    """What the gateway says of its batches."""
    page = subprocess.run(
        ["curl", "-s", url.replace("/v1", "/metrics")], capture_output=True, text=True, check=True
    ).stdout
    values = {
        what: sum(float(value) for value in re.findall(rf"student_{what}(?:_total)?{{[^}}]*}} (\S+)", page))
        for what in ("answered", "batches", "batch_size", "batch_wait_seconds")
    }
    mean = values["answered"] / max(1.0, values["batches"])
    return (
        f"In the gateway: batches of at most {values['batch_size']:.0f}, {mean:.1f} in the mean, waiting "
        f"{1000 * values['batch_wait_seconds']:.2g} ms for company."
    )


def table(found: dict[str, list[Rate]], plan: Plan, load: float, batch: str) -> str:
    own = found["in process"]
    rows = [
        "| | answers a second, median of rounds (least to most) | of in process, median of rounds | processor ms an answer |",
        "|---|---|---|---|",
    ]
    ratios = {
        name: statistics.median(one / two for (one, _), (two, _) in zip(rates, own, strict=True))
        for name, rates in found.items()
    }
    for name, rates in found.items():
        each = [rate for rate, _ in rates]
        spent = statistics.median(spent for _, spent in rates)
        shown = f"{statistics.median(each):,.0f} ({min(each):,.0f} to {max(each):,.0f})"
        rows.append(f"| {name} | {shown} | {ratios[name]:.2f} | {spent:.2f} |")
    ratio = ratios["HTTP, 16 connections"]
    sizes = ", ".join(f"{size}: {rate:,.0f}" for size, rate in plan.rates.items())
    notes = [
        f"- Batches of at most {plan.size}; in process by size, as measured at warm start: {sizes}.",
        f"- Wanted at 16 connections: {WANTED} of in process; found: {ratio:.2f}{'' if ratio >= WANTED else ', MISSED'}.",
        f"- Load before: {load:.1f} on {os.cpu_count()} cores. Both the gateway and wrk run on the cores that the student uses.",
    ]
    notes.append(f"- {batch}")
    head = f"MiniLM-size encoder, int8, banking77, {ROUNDS} rounds of {SECONDS} s in turn.\n\n"
    return head + "\n".join(rows) + "\n\n" + "\n".join(notes)


if __name__ == "__main__":
    sys.exit(main())
