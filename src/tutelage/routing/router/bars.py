"""The rules of a router with strategy = "certified": from which predicted chance on the cheapest candidates answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.metrics import Floats
from tutelage.routing.certify import Known, Rules, Words, limits_of
from tutelage.routing.learned import learned_folder
from tutelage.routing.router.family import learnt_now
from tutelage.routing.router.settings import RouterSettings
from tutelage.routing.router.strategies import cheapest_above
from tutelage.routing.testing import thresholds

WORDS = Words(
    safest="asking whoever promises most",
    whose="the most promising candidate's",
    better="add a better candidate",
    bolder="another candidate than the last answers",
    weak="The router is too often wrong where it is surest: let it learn from more examples.",
    silent="At no bar is another candidate than the last asked.",
)


def router_rules(known: Known) -> Rules:
    """A rule for each bar. Raises TrainingError where the router has not learned what task.toml says now."""
    settings: RouterSettings = candidate(known.project, known.name).settings
    learnt = learnt_now(known.name, settings, known.project)
    chances = learnt.chances([one.example.input for one in known.calibration.examples.examples])

    def by(bar: float) -> NDArray[np.int64]:
        return cheapest_above(chances, bar)

    learned = learned_folder(known.project, known.name)
    limits = limits_of(known, by)
    return Rules(bars(chances), by, limits, settings.candidates, WORDS, in_turn=False, learned=learned)


def bars(chances: Floats) -> Floats:
    """Every bar that tells inputs apart, from the highest down; `chances` (n, k). Above all chances whoever has the highest is
    asked. The last candidate's own chances make no bars: where it alone reaches one, it has the highest anyway."""
    return thresholds(chances[:, :-1])
