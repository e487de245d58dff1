"""How far a text says the words of the gold text: ROUGE, BLEU and chrF, as the reference libraries compute them.

ROUGE is rouge-score's F-measure with Porter stemming; BLEU and chrF are sacrebleu's with its own settings, over 100.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tutelage.evaluation.metrics import Answers, Floats, Mean
from tutelage.tasks import Task
from tutelage.types import Value

ORDER = 4
ROUGE = ("rouge1", "rouge2", "rougeL")
_WORD = re.compile(r"[^\W_]+")
_WITHOUT_SPACES = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)
"""Letters of scripts that put no spaces between words (Thai, Lao, Burmese, Khmer, kana, Han): each counts as a word."""


class Words(Tokenizer):  # type: ignore[misc]
    """Words of any script in lower case: rouge-score's own tokenizer knows a-z and 0-9 alone."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(_WITHOUT_SPACES.sub(r" \1 ", unicodedata.normalize("NFKC", text).lower()))


@dataclass(frozen=True)
class CorpusBleu:
    """BLEU of all examples together: sums of their counts, then sacrebleu's formula. In [0, 1].

    `counts` (n, 10): length of the answer, of the gold text, matching n-grams of 1 to 4 words, n-grams of 1 to 4 words.
    """

    counts: NDArray[np.int64]
    scores: Floats
    """Sentence BLEU of each example: which answers are far off, never the metric's value."""

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        sums = np.stack([column[draws].sum(axis=-1) for column in self._columns], axis=-1)
        return np.array([self._of(row) for row in np.atleast_2d(sums)])

    @cached_property
    def _columns(self) -> list[NDArray[np.int64]]:
        return [np.ascontiguousarray(column) for column in self.counts.T]

    def _of(self, row: NDArray[np.int64]) -> float:
        answer, gold, *grams = row.tolist()
        score = BLEU.compute_bleu(grams[:ORDER], grams[ORDER:], answer, gold, smooth_method="exp").score
        return min(1.0, score / 100)  # 100.00000000000004 for equal texts


def rouge1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """F-measure of the words that answer and gold text share."""
    return _rouge(task, gold, predicted, "rouge1")


def rouge2(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """F-measure of the pairs of neighbouring words that answer and gold text share."""
    return _rouge(task, gold, predicted, "rouge2")


def rouge_l(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """F-measure of the longest sequence of words that both have in this order, gaps allowed."""
    return _rouge(task, gold, predicted, "rougeL")


def bleu(task: Task, gold: Sequence[Value], predicted: Answers) -> CorpusBleu:
    """Corpus BLEU; an answer that failed is an empty one, which shortens the whole and is paid for by its brevity penalty."""
    scorer = BLEU(tokenize=_tokenizer(task), effective_order=True)
    scores = [scorer.sentence_score(found, [wanted]) for wanted, found in _pairs(gold, predicted)]
    counts = [[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in scores]
    return CorpusBleu(np.array(counts, dtype=np.int64).reshape(-1, 2 + 2 * ORDER), _shares([s.score for s in scores]))


def sentence_bleu(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """BLEU of each example (n-gram orders that it is too short for left out), averaged over examples."""
    return Mean(bleu(task, gold, predicted).scores)


def chrf(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """chrF of each example: F-score with beta 2 of the n-grams of 1 to 6 characters, averaged over examples."""
    scorer = CHRF()
    return Mean(_shares([scorer.sentence_score(found, [wanted]).score for wanted, found in _pairs(gold, predicted)]))


def _rouge(task: Task, gold: Sequence[Value], predicted: Answers, kind: str) -> Mean:
    english = getattr(task, "language", None) in (None, "en")
    return Mean(np.array([_all_rouge(english, *pair)[ROUGE.index(kind)] for pair in _pairs(gold, predicted)]))


@lru_cache(1 << 16)  # three metrics of one report ask for the same pair
def _all_rouge(english: bool, wanted: str, found: str) -> tuple[float, ...]:
    scores = _scorer(english).score(wanted, found)
    return tuple(scores[kind].fmeasure for kind in ROUGE)


@cache
def _scorer(english: bool) -> RougeScorer:
    return RougeScorer(ROUGE, use_stemmer=True) if english else RougeScorer(ROUGE, tokenizer=Words())


def _tokenizer(task: Task) -> str:
    """sacrebleu's tokenizer: its default, or characters for languages that put no spaces between words."""
    return {"zh": "zh", "ja": "char", "th": "char", "lo": "char", "my": "char", "km": "char"}.get(
        getattr(task, "language", None) or "", "13a"
    )


def _pairs(gold: Sequence[Value], predicted: Answers) -> list[tuple[str, str]]:
    """(gold, answer) texts; an answer that failed is ""."""
    return [(str(wanted), "" if found is None else str(found)) for wanted, found in zip(gold, predicted, strict=True)]


def _shares(scores: Sequence[float]) -> Floats:
    return np.clip(np.array(scores, dtype=np.float64) / 100, 0.0, 1.0)
