"""DSPy's side of bench.search, run by an interpreter that has `dspy`: it reads a JSON file and writes one.

    python bench/search_dspy.py ASKED.json ANSWERED.json

It knows nothing of tutelage: DSPy's provider library pins an OpenAI client that is too old to be installed beside ours.
BootstrapFewShotWithRandomSearch chooses shots, MIPROv2 shots and instructions; both on dev. Their calls cannot be bounded
beforehand, so the dev set is cut to what should fit, and the calls made are counted and told.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Literal

import dspy

PROGRAMS, SHOTS = 4, 4
"""Sets of shots that are tried besides none and the first ones, and shots of each kind."""


class Counted(dspy.LM):  # type: ignore[misc]
    """A model that counts its calls."""

    calls = 0

    def forward(self, *arguments: Any, **options: Any) -> Any:
        Counted.calls += 1
        return super().forward(*arguments, **options)


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lm = Counted(
        f"openai/{asked['model']}",
        api_base=asked["address"],
        api_key="none",
        temperature=0.0,
        max_tokens=64,
        cache=False,
    )
    dspy.configure(lm=lm)
    labels = tuple(asked["labels"])
    signature = dspy.Signature({"text": (str, dspy.InputField()), "label": (Literal[labels], dspy.OutputField())})
    program = dspy.Predict(signature.with_instructions(asked["instructions"]))
    found: dict[str, Any] = {"version": dspy.__version__, "plain": answers(program, asked["test"], 0, 0.0)}
    for name in asked["optimisers"]:
        Counted.calls, start = 0, time.perf_counter()
        try:
            better = optimised(name, program, asked)
        except Exception as error:  # whatever the library throws is a result of the bench
            found[name] = {"problem": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
            continue
        found[name] = answers(better, asked["test"], Counted.calls, time.perf_counter() - start)
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


def optimised(name: str, program: Any, asked: dict[str, Any]) -> Any:
    train, dev = examples(asked["train"]), examples(asked["dev"])
    random.Random(asked["seed"]).shuffle(dev)
    if name == "BootstrapFewShotWithRandomSearch":
        dev = dev[: max(2, asked["calls"] // (PROGRAMS + 3))]  # every set of shots is judged on all of it
        search = dspy.BootstrapFewShotWithRandomSearch(
            metric=right,
            max_bootstrapped_demos=SHOTS,
            max_labeled_demos=SHOTS,
            num_candidate_programs=PROGRAMS,
            num_threads=1,
        )
        return search.compile(program, trainset=train, valset=dev)
    trials = PROGRAMS * 2
    dev = dev[: max(2, asked["calls"] // (trials + 3))]
    search = dspy.MIPROv2(
        metric=right, auto=None, num_candidates=PROGRAMS, max_bootstrapped_demos=SHOTS, max_labeled_demos=SHOTS,
        num_threads=1, seed=asked["seed"],
    )  # fmt: skip
    return search.compile(program, trainset=train, valset=dev, num_trials=trials, minibatch=False)


def examples(given: list[dict[str, str]]) -> list[Any]:
    return [dspy.Example(text=one["text"], label=one["label"]).with_inputs("text") for one in given]


def right(example: Any, prediction: Any, _trace: Any = None) -> bool:
    return bool(example.label == getattr(prediction, "label", None))


def answers(program: Any, test: list[dict[str, str]], calls: int, seconds: float) -> dict[str, Any]:
    labels = []
    for one in test:
        try:
            labels.append(program(text=one["text"]).label)
        except Exception:  # an answer that DSPy cannot read is wrong
            labels.append(None)
    return {"labels": labels, "calls": calls, "seconds": seconds, "instructions": program.signature.instructions}


if __name__ == "__main__":
    main()
