"""The best whole choice under a budget, by mixed-integer programming (HiGHS, through scipy)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.knapsack import Numbers, spread


def exact(quality: Floats, costs: Floats, budget: float) -> Numbers:
    """(n,) the choice of highest total quality that costs at most `budget` an input on average; shapes as `upgrades`.

    Raises ValueError when there is none.
    """
    n, k = quality.shape
    one_each = csr_array((np.ones(n * k), (np.repeat(np.arange(n), k), np.arange(n * k))))
    spent = csr_array(spread(costs, n).reshape(1, -1))
    limits = LinearConstraint(vstack([one_each, spent]), [*[1] * n, -np.inf], [*[1] * n, n * budget])
    found = milp(-quality.ravel(), integrality=np.ones(n * k), bounds=Bounds(0, 1), constraints=limits)
    if found.x is None:
        raise ValueError(f"No choice costs at most {budget:.4g} an input.")
    return np.asarray(found.x.reshape(n, k).argmax(axis=1))
