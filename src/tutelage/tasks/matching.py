"""When are two strings the same answer? The one place that says so.

**Strict** (the default, `same`): equal after Unicode NFKC, straight quotes and dashes, case folding, and collapsing of
white space. "mrs.  Finch" is "Mrs. Finch"; "Mrs Finch" is not (a full stop is a character), nor is "Finch".

**Alias-aware** (`same_person`): two names of one bearer. Full stops, quotation marks around a name and a space behind
an apostrophe do not matter ("J.K. Rowling" / "J. K Rowling", "O'Loughlin" / "O' Loughlin"), a leading title may be
missing ("Mr. Thompson" / "Thompson"), an epithet may be missing ("Oliver the Owl" / "Oliver"), a name may be shortened
to its first or last words ("Chef Mario" / "Mario", "Detective Jamie Williams" / "Jamie Williams"). Not the same are
titles that contradict ("Mr. Bennet" / "Mrs. Bennet", "Father Bear" / "Mother Bear"), epithets that contradict ("Jack
the Red" / "Jack the Blue"), possessives ("Timmy's father" / "Timmy"), the place after "of" ("Duke of York" / "York"),
and one of several ("Tom and Jerry" / "Tom").

Lists are compared one to one: each gold string meets at most one predicted string (maximum bipartite matching).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

_MALE, _FEMALE = "male", "female"

TITLES: dict[str, frozenset[str]] = {
    title: frozenset(kinds.split())
    for kinds, titles in {
        "male": "mr mister master sir lord king prince duke count emperor",
        "female": "mrs ms miss mistress madam madame lady queen princess duchess countess empress",
        "male father": "father papa dad daddy",
        "female mother": "mother mama mom mommy mum mummy",
        "male brother": "brother",
        "female sister": "sister",
        "male uncle": "uncle",
        "female aunt": "aunt auntie",
        "male grandfather": "grandpa grandfather grandad granddad",
        "female grandmother": "grandma grandmother granny nana",
        "baby": "baby",
        "": "mx dr doctor prof professor captain capt chef officer detective mayor judge general colonel major sergeant "
        "teacher coach old little saint st reverend rev president principal farmer representative",
    }.items()
    for title in titles.split()
}
"""Leading words that are not part of the bare name, each with what it says of the bearer (see `_contradict`)."""

_PUNCTUATION = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-"})


def normal(text: str) -> str:
    """The strict form of `text`: NFKC, straight quotes and dashes, case folded, single spaces, no spaces at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_PUNCTUATION).casefold().split())


def same(a: str, b: str) -> bool:
    """Strict equality, see the module's text."""
    return normal(a) == normal(b)


def same_person(a: str, b: str) -> bool:
    """Alias-aware equality, see the module's text. Symmetric; two strings that are `same` always match."""
    if same(a, b):
        return True
    (title_a, name_a, epithet_a), (title_b, name_b, epithet_b) = _parts(a), _parts(b)
    if not name_a or not name_b or _contradict(title_a, title_b):
        return False
    return _shortened(name_a, name_b) and (not epithet_a or not epithet_b or _shortened(epithet_a, epithet_b))


def _contradict(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether titles cannot be of one bearer: one says man and the other woman, or they are different relatives."""
    if {_MALE, _FEMALE} <= a | b:
        return True
    relation_a, relation_b = a - {_MALE, _FEMALE}, b - {_MALE, _FEMALE}
    return bool(relation_a and relation_b and relation_a != relation_b)


def _shortened(a: list[str], b: list[str]) -> bool:
    """Whether the shorter list of words begins or ends the longer one."""
    short, long = sorted((a, b), key=len)
    if short == long:
        return True
    if {"and", "&"} & set(long):
        return False
    last_words = long[-len(short) :] == short and "of" not in long[: -len(short)]
    return last_words or long[: len(short)] == short


def _parts(text: str) -> tuple[frozenset[str], list[str], list[str]]:
    """What the leading titles say, the words of the bare name, the words of the epithet after "the"."""
    spaced = re.sub(r"(?<=\w)' (?=\w)", "'", normal(text)).replace(".", " ")
    words = [stripped for word in spaced.split() if (stripped := word.strip(',;:!?"()'))]
    if words[:1] == ["the"]:
        words = words[1:]
    kinds: frozenset[str] = frozenset()
    while len(words) > 1 and words[0] in TITLES and words[1] != "of":
        kinds = kinds or TITLES[words[0]]
        words = words[1:]
    if "the" in words[1:]:
        at = words.index("the", 1)
        return kinds, words[:at], words[at + 1 :]
    return kinds, words, []


def matches(gold: Sequence[str], predicted: Sequence[str], equal: Callable[[str, str], bool] = same) -> int:
    """How many gold strings can be paired one to one with predicted strings under `equal`."""
    if not gold or not predicted:
        return 0
    if equal is same:
        left, right = [normal(text) for text in gold], [normal(text) for text in predicted]
        return sum(min(left.count(text), right.count(text)) for text in set(left))
    table = np.array([[equal(g, p) for p in predicted] for g in gold], dtype=np.int8)
    return int((maximum_bipartite_matching(csr_array(table), perm_type="column") >= 0).sum())


def find(text: str, name: str) -> tuple[int, int] | None:
    """Character offsets [start, end) of the first occurrence of `name` in `text` as whole words, or None.

    Case, kinds of quote and dash, and amounts of white space do not matter; the exact spelling is preferred.
    """
    spans = find_all(text, name)
    return spans[0] if spans else None


def find_all(text: str, name: str) -> list[tuple[int, int]]:
    """Every occurrence of `name` in `text`, as `find`; occurrences in the exact spelling alone, where there are any."""
    words = name.split()
    if not words:
        return []
    exact = _whole(r"\s+".join(re.escape(word) for word in words))
    loose = _whole(r"\s+".join(_loose(word) for word in words), re.IGNORECASE)
    for pattern in (exact, loose):
        if spans := [match.span() for match in pattern.finditer(text)]:
            return spans
    return []


def _whole(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){pattern}(?!\w)", flags)


def _loose(word: str) -> str:
    quotes, doubles, dashes = "['‘’]", '["“”]', "[-–—]"
    forms = {"'": quotes, "‘": quotes, "’": quotes, '"': doubles, "“": doubles, "”": doubles}
    forms |= {dash: dashes for dash in "-–—"}
    return "".join(forms.get(character) or re.escape(character) for character in word)
