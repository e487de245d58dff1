"""TF-IDF without scikit-learn is scikit-learn's, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from tutelage.answering.features import CHARACTERS, WORDS, Tfidf
from tutelage.students.features import as_csr, vectorizer

KNOWN = [
    "The cat sat on the mat, the cat's mat.",
    "Straße İstanbul ǅ ΣΊΣΥΦΟΣ naïve café café",
    "日本語のテキスト と 한국어 \u3000 текст",
    "a\u00a0b\tc\r\nd  e\u2003\u2003f \x1c g\x85h",
    "x_1 __ 42 4.2 don't e-mail 👩‍👩‍👧 🙂🙂",
    "\x00\ud800 a",
]
ODD = st.text(
    st.one_of(st.sampled_from("aAbtİßΣςσ \t\n\r\x0b\x1c\x85\u00a0\u2028\u3000._'-1👩\u200d\u0301"), st.characters())
)


def fitted(part: str) -> tuple[TfidfVectorizer, Tfidf]:
    theirs = vectorizer(part).fit(KNOWN)
    return theirs, Tfidf(part, [str(term) for term in theirs.get_feature_names_out()], theirs.idf_.astype(np.float32))


FITTED = {part: fitted(part) for part in (WORDS, CHARACTERS)}


@pytest.mark.parametrize("part", FITTED)
@given(texts=st.lists(ODD | st.lists(st.sampled_from(KNOWN) | ODD).map(" ".join), min_size=1, max_size=4))
@example(texts=["", " ", "the cat", *KNOWN])
def test_rows_are_those_of_scikit_learn(part: str, texts: list[str]) -> None:
    theirs, ours = FITTED[part]
    wanted, rows = theirs.transform(texts), ours.transform(texts)
    assert rows.shape == wanted.shape
    assert np.array_equal(as_csr(rows).toarray(), wanted.toarray())


@pytest.mark.parametrize("part", FITTED)
def test_a_product_is_that_of_the_full_rows(part: str) -> None:
    rows = FITTED[part][1].transform(["", *KNOWN])
    coefficients = np.random.default_rng(0).normal(size=(rows.width, 3)).astype(np.float32)
    assert np.allclose(rows @ coefficients, as_csr(rows).toarray() @ coefficients, atol=1e-5)
    assert (rows @ coefficients)[0].tolist() == [0, 0, 0]
    assert (FITTED[part][1].transform([]) @ coefficients).shape == (0, 3)
