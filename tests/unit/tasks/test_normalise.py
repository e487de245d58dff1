"""Normalisers: what is written differently and means the same, and what cannot be read."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import UnknownName
from tutelage.tasks.normalise import NORMALISERS, case, date, date_dmy, date_mdy, exact, number, tokens, words


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.651,15", 1651.15),
        ("PLN 1,651.15", 1651.15),
        ("2,270.30 USD", 2270.3),
        ("1 651,15 zł", 1651.15),
        ("5\u00a0000,00", 5000),
        ("1'234.50", 1234.5),
        ("1,23,456.70", 123456.7),
        ("1.234.567", 1234567),
        ("€ 1.234,5", 1234.5),
        ("EUR 0.125", 0.125),
        ("-$3.20", -3.2),
        ("$-3.20", -3.2),
        ("−5", -5),
        ("9.5 %", 9.5),
        ("½", 0.5),
        ("2½", 2.5),
        ("2 1/2", 2.5),
        ("-1/4", -0.25),
        ("12.5", 12.5),
        ("1.234", 1.234),
        ("1,234", 1234),
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("1e3", 1000),
        (3541.0, 3541),
        (7, 7),
    ],
)
def test_numbers_are_read_as_they_are_written(written: str | float, value: float) -> None:
    assert number(written) == pytest.approx(value)
    assert isinstance(number(written), int) == float(value).is_integer()


@pytest.mark.parametrize(
    "written",
    [
        "",
        "about 12",
        "12 or 13",
        "3 items",
        "Invoice 12",
        "2-3",
        "1/0",
        "1,234,5",
        "1.651.15",
        "12,34,5",
        "--5",
        "-$-5",
        "5-",
        "9" * 400,
        math.nan,
        math.inf,
        10**400,
        True,
        None,
        [1],
    ],
)
def test_what_is_no_number_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="number"):
        number(written)


def test_a_number_that_can_be_read_in_two_ways_is_refused() -> None:
    with pytest.raises(ValueError, match="two ways"):
        number("EUR 1.234")


@given(st.decimals(-(10**9), 10**9, places=2, allow_nan=False, allow_infinity=False))
def test_every_amount_is_read_in_every_spelling(amount: object) -> None:
    english = f"{amount:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    french = english.translate(str.maketrans(",.", " ,"))
    for written in (english, german, french, f"USD {english}", f"{german} €"):
        assert number(written) == pytest.approx(float(str(amount)))


@pytest.mark.parametrize(
    "written",
    [
        "2026-05-17",
        "17 May 2026",
        "May 17th, 2026",
        "17.05.2026",
        "17-05-2026",
        "17/05/2026",
        "05/17/2026",
        "2026/5/17",
        "17-May-26",
        "17.05.26",
        "20260517",
        "Sun, 17 May 2026 11:33",
        "2026-05-17T11:33:00+02:00",
        " 17  may 2026 ",
    ],
)
def test_dates_are_read_as_they_are_written(written: str) -> None:
    assert date(written) == "2026-05-17"


@pytest.mark.parametrize(
    "written", ["", "May", "2026", "May 2026", "17 May", "11:33", "tomorrow", "2026-02-30", "2026-13-01"]
)
def test_what_is_no_whole_date_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        date(written)


def test_who_writes_the_month_first_must_be_known() -> None:
    with pytest.raises(ValueError, match="two ways; write YYYY-MM-DD"):
        date("03/04/2026")
    assert date_dmy("03/04/2026") == "2026-04-03" and date_mdy("03/04/2026") == "2026-03-04"
    assert date("03/03/2026") == date_mdy("03.03.2026") == "2026-03-03"
    assert date_dmy("2026-03-04") == date_mdy("2026-03-04") == "2026-03-04"


@given(st.dates())
def test_iso_dates_are_themselves(day: datetime.date) -> None:
    assert date(day.isoformat()) == date_dmy(day.isoformat()) == date_mdy(day.isoformat()) == day.isoformat()


def test_text_is_compared_as_its_normaliser_says() -> None:
    assert case("Mrs.  FINCH") == case("mrs. finch") != case("Mrs Finch")
    assert words("PO-05183-A") == words("po 05183 a") != words("PO05183A")
    assert exact("e\u0301") == exact("é") != exact("É")
    assert (exact(True), exact(3), case(12)) == (True, 3, "12")


def test_tokens_are_the_words_of_a_key() -> None:
    assert tokens("finch, mrs. (old) -") == ["finch", "mrs", "old", "-"]
    assert (tokens(12.5), tokens(True), tokens("2026-05-17")) == (["12.5"], ["true"], ["2026-05-17"])


@pytest.mark.parametrize("name", NORMALISERS.rows())
@given(value=st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.booleans()))
def test_every_normaliser_gives_a_key_or_says_why_not(name: str, value: object) -> None:
    try:
        key = NORMALISERS.load(name)(value)
    except ValueError as error:
        assert str(error).startswith(("is not", "can be read"))
    else:
        assert hash(key) is not None and all(isinstance(word, str) and word for word in tokens(key))


def test_an_unknown_normaliser_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"'numbr' is not a known normaliser. Did you mean 'number'\?"):
        NORMALISERS.load("numbr")
