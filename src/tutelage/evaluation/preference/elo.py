"""Online Elo: each match moves the ratings of the two that played it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.bradley_terry import CENTRE
from tutelage.evaluation.preference.matches import Match

K = 16.0
"""The most points that one match can move: a win against who was sure to win."""
_WORTH = {"a": 1.0, "tie": 0.5, "b": 0.0}


def elo(matches: Sequence[Match], models: Sequence[str]) -> Floats:
    """Ratings after the last match, shape (models,), mean `CENTRE` (Elo 1978): the last matches count most."""
    ratings = dict.fromkeys(models, CENTRE)
    for match in matches:
        expected = 1 / (1 + 10 ** ((ratings[match.b] - ratings[match.a]) / 400))
        moved = K * (_WORTH[match.winner] - expected)
        ratings[match.a] += moved
        ratings[match.b] -= moved
    return np.array(list(ratings.values()))
