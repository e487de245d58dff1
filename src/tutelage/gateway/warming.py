"""Warm start: a student answers before it is asked, and how large its batches are to be is measured meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from tutelage.errors import TutelageError
from tutelage.gateway.batching import Batched, Plan
from tutelage.project import Project
from tutelage.types import Input

LOG = logging.getLogger("tutelage.gateway.batching")
SIZES = (1, 2, 4, 8, 16, 32)
"""A larger batch would be cut: students run 32 texts at a time."""
NEAR_BEST = 0.95
"""The smallest size is taken that reaches this share of the best throughput: a larger one only makes the first wait."""
BUDGET = 2.0
"""Seconds that measuring may take, about; each size is measured once, but none after one whose batch took a quarter of it."""
ROUNDS, BLOCK, FAR_BEHIND = 15, 32, 1.3
"""How often at most, on how many inputs, and beyond how many times the shortest time a size is given up."""
INPUTS = 256
CLIENTS, COMPANY_SECONDS, WORTH = 16, 0.15, 1.05
"""Waiting pays where as many clients as that get this much more done in a time as long; each way is tried twice in turn."""


def sample_inputs(project: Project, n: int = INPUTS) -> list[Input]:
    """Inputs of the store, else made ones."""
    found = [one.input for one in islice(project.store.examples.read(), n)]
    text = "The quick brown fox jumps over the lazy dog, and nobody knows why it does so at this hour."
    made = [{name: " ".join(text.split()[: 2 + at % 17]) for name in project.task.fields} for at in range(32)]
    return list(found) or list(made)


def measured(queue: Batched, inputs: Sequence[Input]) -> Plan:
    """The plan of a student, by asking it about `inputs`. Raises what the student raises.

    Every size answers the same inputs, in turn, and the shortest time of each counts: whatever else the machine does can only
    make it longer. Sizes that are far behind are not measured again, so that the others are measured more often.
    """
    answer = queue.student.predict_batch
    block = random.Random(0).choices(inputs, k=BLOCK)
    for _ in range(3):
        answer(block[:1])
    best: dict[int, float] = {}
    start = time.perf_counter()
    for turn in range(ROUNDS):
        for size in SIZES if not turn else _contenders(best):
            seconds, longest = _each(answer, block, size)
            best[size] = min(seconds, best.get(size, seconds))
            if not turn and longest > BUDGET / 4:
                break
        if time.perf_counter() - start > BUDGET:
            break
    rates = {size: 1 / max(seconds, 1e-9) for size, seconds in best.items()}
    size = min(size for size, rate in rates.items() if rate >= NEAR_BEST * max(rates.values()))
    return Plan(size, 0.0, rates[size], 1 / rates[1], {size: round(rate, 1) for size, rate in rates.items()})


def _contenders(best: Mapping[int, float]) -> list[int]:
    fastest = min(best.values())
    return [size for size, seconds in best.items() if seconds < FAR_BEHIND * fastest]


def _each(answer: Callable[[list[Input]], object], block: list[Input], size: int) -> tuple[float, float]:
    """Seconds an input in batches of `size`, and of the longest batch; over the block, unless that takes too long."""
    start, done, longest = time.perf_counter(), 0, 0.0
    while done < len(block) and (not done or time.perf_counter() - start < BUDGET / 4):
        begun = time.perf_counter()
        answer(block[done : done + size])
        longest = max(longest, time.perf_counter() - begun)
        done += size
    return (time.perf_counter() - start) / done, longest


async def warm(queue: Batched, project: Project) -> None:
    """Measure the student and set its queue's plan; one that cannot answer what the store holds keeps batches of one."""
    inputs = await asyncio.to_thread(sample_inputs, project)
    try:
        plan = await asyncio.to_thread(measured, queue, inputs)
    except (TutelageError, ValueError, RuntimeError) as error:
        LOG.warning("%s answers singly: it could not be measured: %s", queue.name, error)
        return
    queue.plan = plan
    wait = plan.single / 10
    if plan.size > 1 and wait * plan.rate >= 0.5:  # else hardly anybody would come
        queue.plan = replace(plan, wait=await _worth_waiting(queue, inputs, wait))
    plan = queue.plan
    rates = ", ".join(f"{size}: {rate:,.0f}" for size, rate in plan.rates.items())
    LOG.info(
        "%s: batches of %d, waiting %.2g ms, %.0f inputs a second (by size %s)",
        queue.name,
        plan.size,
        1000 * plan.wait,
        plan.rate,
        rates,
    )


async def _worth_waiting(queue: Batched, inputs: Sequence[Input], wait: float) -> float:
    """`wait` where clients that ask again as soon as they are answered get more done with it, else 0."""
    done = {0.0: 0, wait: 0}
    plan = queue.plan
    for _ in range(2):
        for one in done:
            queue.plan = replace(plan, wait=one)
            done[one] += await _answered_within(queue, inputs, COMPANY_SECONDS)
    queue.plan = plan
    return wait if done[wait] >= WORTH * done[0.0] else 0.0


async def _answered_within(queue: Batched, inputs: Sequence[Input], seconds: float) -> int:
    end, chance = time.perf_counter() + seconds, random.Random(1)

    async def client() -> int:
        count = 0
        while time.perf_counter() < end:
            await queue.predict([chance.choice(inputs)])
            count += 1
        return count

    return sum(await asyncio.gather(*(client() for _ in range(CLIENTS))))
