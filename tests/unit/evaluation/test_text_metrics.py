"""ROUGE, BLEU and chrF are the reference libraries', limits are counted, and failed answers score 0."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from tests.reports import make_row

from tutelage.errors import AnswerError, UsageError
from tutelage.evaluation.metrics import METRICS, Mean
from tutelage.evaluation.overlap import CorpusBleu, bleu, chrf, rouge1, rouge_l, sentence_bleu
from tutelage.evaluation.results import broken_limits
from tutelage.evaluation.text import bertscore_f1, violations, within_limits
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask
from tutelage.types import Prediction, Value

TASK = TextTask("title", ("text",), "")
OVERLAP = ("rouge1", "rouge2", "rougeL", "bleu", "sentence_bleu", "chrf")
WORDS = st.sampled_from(["the", "fox", "foxes", "and", "grapes", "it's", "U.S.", "naïve", "3.5%", "Running"])
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, st.none() | TEXTS), min_size=1, max_size=12)
GOLD = ["The Fox and the Grapes", "The Young Crab and His Mother", "Belling the Cat"]
FOUND = ["A Fox and Grapes", None, "Belling the Cat"]


def split(pairs: list[tuple[str, str | None]]) -> tuple[list[Value], list[Value | None], list[str]]:
    return [g for g, _ in pairs], [p for _, p in pairs], [p or "" for _, p in pairs]


@settings(max_examples=30)
@given(PAIRS)
def test_each_score_is_the_librarys(pairs: list[tuple[str, str | None]]) -> None:
    gold, found, texts = split(pairs)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    for name in ("rouge1", "rouge2", "rougeL"):
        wanted = [scorer.score(str(g), p)[name].fmeasure for g, p in zip(gold, texts, strict=True)]
        assert METRICS.load(name)(TASK, gold, found).scores == pytest.approx(wanted)
    wanted = [sacrebleu.sentence_bleu(p, [str(g)]).score / 100 for g, p in zip(gold, texts, strict=True)]
    assert sentence_bleu(TASK, gold, found).scores == pytest.approx(wanted)
    wanted = [sacrebleu.sentence_chrf(p, [str(g)]).score / 100 for g, p in zip(gold, texts, strict=True)]
    assert chrf(TASK, gold, found).scores == pytest.approx(wanted)


@settings(max_examples=30)
@given(PAIRS, st.integers(0, 2**32 - 1))
def test_bleu_of_a_resample_is_the_librarys_on_the_drawn_texts(pairs: list[tuple[str, str | None]], seed: int) -> None:
    gold, found, texts = split(pairs)
    n = len(pairs)
    draws = np.vstack([np.arange(n), np.random.default_rng(seed).integers(0, n, (3, n))])
    wanted = [sacrebleu.corpus_bleu([texts[at] for at in row], [[str(gold[at]) for at in row]]) for row in draws]
    assert bleu(TASK, gold, found)(draws) == pytest.approx([min(1.0, one.score / 100) for one in wanted])


@pytest.mark.parametrize("name", OVERLAP)
def test_scores_are_shares_and_a_failed_answer_scores_0(name: str) -> None:
    statistic = METRICS.load(name)(TASK, GOLD, FOUND)
    assert isinstance(statistic, Mean | CorpusBleu)
    assert ((statistic.scores >= 0) & (statistic.scores <= 1)).all()
    assert statistic.scores[1] == 0
    assert statistic.scores[2] == pytest.approx(1)
    assert METRICS.load(name)(TASK, GOLD, [None] * 3)(np.arange(3)[None, :]).tolist() == [0.0]


def test_words_of_other_scripts_count_where_the_language_is_set() -> None:
    text, other = "Der Müßiggänger übt", "Der Müßiggänger schläft"
    german = TextTask("title", ("text",), "", language="de")
    assert rouge1(german, [text], [other]).scores.tolist() == pytest.approx([2 / 3])
    chinese = TextTask("title", ("text",), "", language="zh")
    assert rouge_l(chinese, ["狐狸和葡萄"], ["狐狸与葡萄"]).scores.tolist() == pytest.approx([0.8])
    assert 0 < sentence_bleu(chinese, ["狐狸和葡萄"], ["狐狸与葡萄"]).scores[0] < 1
    # The library's own tokenizer, which English and tasks without a language get, knows a-z only.
    assert rouge1(TASK, ["狐狸和葡萄"], ["狐狸和葡萄"]).scores.tolist() == [0.0]


def test_texts_are_equal_under_strict_matching() -> None:
    assert METRICS.load("exact_match")(TASK, ["It’s here", "b", "c"], ["it's  HERE", "B.", None]).scores.tolist() == [
        1,
        0,
        0,
    ]


def test_limits_are_counted_by_candidate() -> None:
    task = TextTask("title", ("text",), "", max_characters=12, forbidden_openings=("Title",))
    _, empty = TASK.canonical("x"), _empty()
    answers = ["A fox", "Title: a fox and grapes", "A fox and grapes", None, None]
    errors = [None, None, None, empty, "The model did not answer."]
    predictions = [Prediction(value, error=error) for value, error in zip(answers, errors, strict=True)]
    assert violations(task, predictions) == {"max_characters": 2, "forbidden_openings": 1, "empty": 1}
    assert within_limits(task, ["g"] * 5, answers).scores.tolist() == [1, 0, 0, 0, 0]
    assert violations(TASK, predictions[:1]) == {"empty": 0}
    assert violations(StringsTask("t", ("text",), ""), [Prediction(["a"])]) == {}


def _empty() -> str:
    with pytest.raises(AnswerError) as raised:
        TASK.parse(" ")
    return str(raised.value)


def test_the_notes_say_which_limits_were_broken() -> None:
    assert broken_limits(make_row()) == ""
    row = make_row(violations={"max_characters": 3, "language": 0, "empty": 1})
    assert broken_limits(row) == "limits broken: max_characters 3, empty 1"


def test_bertscore_without_an_encoder_says_what_to_set() -> None:
    with pytest.raises(UsageError, match='encoder = "FOLDER OR HUGGING FACE NAME"'):
        bertscore_f1(TASK, GOLD, FOUND)
    with pytest.raises(UsageError, match="goes with output = 'text', not 'strings'"):
        within_limits(StringsTask("t", ("text",), ""), [["a"]], [["a"]])
