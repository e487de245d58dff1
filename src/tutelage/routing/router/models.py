"""How routers answer: the chance that each of k candidates is right about each of n inputs, without scikit-learn.

linear      a logistic regression for each candidate
boosting    gradient-boosted trees for each candidate, on what is dense (counts, values, embedding)
knn         how right each candidate was about the learnt inputs that are nearest
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tutelage.answering.several import sigmoid
from tutelage.embeddings.index import ExactIndex
from tutelage.embeddings.runtime import Array
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.features import Seen


class Model(Protocol):
    """What predicts who is right."""

    def chances(self, seen: Seen) -> Floats:
        """(n, k) in [0, 1]: the expected quality of each candidate's answer, for right or wrong the chance of right."""
        ...


@dataclass(frozen=True)
class Linear:
    """sigmoid(terms @ sparse + dense @ solid + intercept): (BUCKETS, k), (d, k) and (k,), float32."""

    sparse: Array
    solid: Array
    intercept: Array

    def chances(self, seen: Seen) -> Floats:
        return sigmoid(seen.terms @ self.sparse + seen.dense @ self.solid + self.intercept).astype(np.float64)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        used = np.flatnonzero(np.abs(self.sparse).max(axis=1))
        return {"used": used, "sparse": self.sparse[used], "solid": self.solid, "intercept": self.intercept}

    @classmethod
    def of(cls, arrays: Mapping[str, Array], buckets: int) -> Self:
        sparse = np.zeros((buckets, arrays["sparse"].shape[1]), np.float32)
        sparse[arrays["used"]] = arrays["sparse"]
        return cls(sparse, arrays["solid"], arrays["intercept"])


@dataclass(frozen=True)
class Trees:
    """All trees of all candidates, padded to one number of nodes: arrays (trees, nodes); a leaf is its own child.

    `owner` (trees,) is the candidate of each tree, `intercept` (k,) the log-odds that the trees add to; `depth` is the
    longest way from a root to a leaf.
    """

    feature: NDArray[np.int32]
    threshold: Array
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Array
    owner: NDArray[np.int32]
    intercept: Array
    depth: int

    def chances(self, seen: Seen) -> Floats:
        k = len(self.intercept)
        found = np.empty((len(seen.dense), k), np.float32)
        trees = np.arange(len(self.owner))
        for row, dense in enumerate(seen.dense):
            node = np.zeros(len(trees), np.int32)
            for _ in range(self.depth):
                down = dense[self.feature[trees, node]] <= self.threshold[trees, node]
                node = np.where(down, self.left[trees, node], self.right[trees, node])
            found[row] = np.bincount(self.owner, self.value[trees, node], k)
        return np.asarray(sigmoid(found + self.intercept), np.float64)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        names = ("feature", "threshold", "left", "right", "value", "owner", "intercept")
        return {name: getattr(self, name) for name in names} | {"depth": np.array(self.depth)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], buckets: int) -> Self:
        return cls(**{**arrays, "depth": int(arrays["depth"])})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Neighbours:
    """The mean quality (n, k) of the `count` nearest of `vectors` (n, d), with the overall mean as `prior` more neighbours."""

    vectors: Array
    quality: Floats
    count: int
    prior: ClassVar[float] = 5.0

    def __post_init__(self) -> None:
        index = ExactIndex()
        index.add(self.vectors)
        object.__setattr__(self, "_index", index)

    def chances(self, seen: Seen) -> Floats:
        index: ExactIndex = self._index  # type: ignore[attr-defined]
        near = self.quality[index.search(seen.dense, self.count).numbers]
        mean = self.quality.mean(axis=0)
        return np.asarray((near.sum(axis=1) + self.prior * mean) / (near.shape[1] + self.prior))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {"vectors": self.vectors, "quality": self.quality, "count": np.array(self.count)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], buckets: int) -> Self:
        return cls(arrays["vectors"], arrays["quality"], int(arrays["count"]))  # type: ignore[arg-type]


KINDS: dict[str, type[Linear] | type[Trees] | type[Neighbours]] = {
    "linear": Linear,
    "boosting": Trees,
    "knn": Neighbours,
}
"""The models that are nothing but arrays; `encoder` has a file of its own."""
