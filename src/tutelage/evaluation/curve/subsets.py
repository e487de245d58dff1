"""How many examples the points of a curve are trained on, and which."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from tutelage.errors import UsageError
from tutelage.types import Labelled, canonical_json

FIRST = 50
FEWEST = 5
POINTS = 4
"""So many sizes are wanted at least: a law with three unknowns fits any three points."""


def sizes_for(total: int, given: Sequence[int] = ()) -> list[int]:
    """The sizes of a curve over `total` examples: `given`, or 50, 100, 200, ... and all.

    Where that makes fewer than four, they are halves, quarters, ... of all, down to five examples. Raises UsageError for
    given sizes that are not there.
    """
    if given:
        if wrong := [size for size in given if not 1 <= size <= total]:
            raise UsageError(
                f"{wrong[0]} is not a size of a curve over {total} examples. Give sizes from 1 to {total}."
            )
        return sorted(set(given))
    sizes = [FIRST]
    while sizes[-1] * 2 <= total / 1.25:  # the last step, to all, is no smaller than a quarter
        sizes.append(sizes[-1] * 2)
    sizes = [size for size in sizes if size < total] + [total]
    if len(sizes) < POINTS:
        sizes = [total]
        while len(sizes) < POINTS and sizes[0] // 2 >= FEWEST:
            sizes.insert(0, sizes[0] // 2)
    return sizes


def nested(examples: Sequence[Labelled], output: str, seed: int) -> list[int]:
    """The numbers of `examples` in an order drawn with `seed`, so that the first n are a subset for every n.

    Every class has about its share in each subset: its examples, shuffled, stand at even distances from one another.
    """
    chance = random.Random(seed)
    strata: dict[str, list[int]] = defaultdict(list)
    for at, one in enumerate(examples):
        strata[_stratum(one, output)].append(at)
    places: dict[int, float] = {}
    for _, members in sorted(strata.items()):
        chance.shuffle(members)
        begin = chance.random()
        places |= {at: (rank + begin) / len(members) for rank, at in enumerate(members)}
    return sorted(places, key=lambda at: places[at])


def _stratum(one: Labelled, output: str) -> str:
    """A label, the set of labels, or whether there are any strings; records and texts are all alike."""
    if output == "label":
        return str(one.value)
    if output == "labels":
        return canonical_json(sorted(one.value))
    return str(bool(one.value)) if output == "strings" else ""


def subset(examples: Sequence[Labelled], order: Sequence[int], size: int) -> list[Labelled]:
    """The first `size` of `order`, as they stand in `examples`."""
    return [examples[at] for at in sorted(order[:size])]
