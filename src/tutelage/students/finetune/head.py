"""A classifier's head that starts as logistic regression on the frozen transformer, so that fine-tuning only improves it.

Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution": a random head
sends large gradients into the transformer and spoils what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from tokenizers import Encoding

from tutelage.embeddings.runtime import Array, Limits, run_windows
from tutelage.students.finetune.loop import forward_of
from tutelage.students.finetune.networks import TextClassifier
from tutelage.students.several import smoothed_log_odds
from tutelage.students.soft import repeats

C = 20.0
"""Inverse strength of regularisation on features of unit length."""


def start_head(
    network: TextClassifier,
    encodings: Sequence[Encoding],
    classes: NDArray[Any],
    limits: Limits,
    counts: NDArray[np.float64] | None = None,
) -> None:
    """Set the head's weights; `classes` (texts,) holds every class number from 0 on at least once. `counts` (texts,) is how
    much each text counts, where they do not count alike.

    Of several classes it is (texts, classes), 1 where the class applies; of one that is not certain, its probability.
    """
    features = np.stack(run_windows(encodings, forward_of(network.pooled), limits))
    length = float(np.linalg.norm(features, axis=1).mean())
    if network.several:
        rows = [_one_regression(features / length, applies, counts) for applies in classes.T]
        weights, bias = np.stack([row[:-1] for row in rows]) / length, np.array([row[-1] for row in rows])
    else:
        shares = repeats(classes) if classes.ndim == 2 else None
        rows_of, numbers = (shares.example, shares.label) if shares else (slice(None), classes)
        regression = LogisticRegression(C=C, max_iter=200)
        if shares:
            counts = shares.weight if counts is None else shares.weight * counts[shares.example]
        regression.fit(features[rows_of] / length, numbers, counts)
        weights, bias = regression.coef_ / length, regression.intercept_
        if len(regression.classes_) == 2:
            weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights))
        network.head.bias.copy_(torch.from_numpy(bias))


def mixed_targets(rows: NDArray[Any], weight: float) -> NDArray[Any]:
    """Rows (1 + classes), a label's number and all probabilities -> (classes,): `weight` of these, the rest the label's."""
    labels = np.eye(rows.shape[1] - 1)[rows[:, 0].astype(int)]
    result: NDArray[Any] = weight * rows[:, 1:] + (1 - weight) * labels
    return result


def _one_regression(
    features: Array, applies: NDArray[Any], counts: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Weights and bias, (width + 1,), that tell to which texts one class applies."""
    if len(np.unique(applies)) == 1:
        return np.append(np.zeros(features.shape[1]), smoothed_log_odds(int(applies.sum()), len(applies)))
    regression = LogisticRegression(C=C, max_iter=200).fit(features, applies, counts)
    return np.append(regression.coef_[0], regression.intercept_[0])
