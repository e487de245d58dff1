"""Named-entity models off the shelf, on a blank spaCy pipeline with rules and a tiny token classifier trained here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tutelage.errors import UsageError
from tutelage.project import Project, open_project
from tutelage.students import FAMILIES
from tutelage.students.pretrained import EMPTY_CONFIDENCE, PretrainedNerSettings, build, clean, fingerprint
from tutelage.types import Prediction

spacy = pytest.importorskip("spacy")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FILLERS = ["the", "dog", "ran", "to", "a", "house", "and", "sang", "while", "it", "saw", "red", "boats"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text('name = "characters"\noutput = "strings"\ngrounded = true\n')
    return open_project(tmp_path)


@pytest.fixture
def rules(project: Project) -> str:
    """A pipeline that calls two names PERSON and one place GPE."""
    pipeline = spacy.blank("en")
    names = ["Mia", "Tom", "Mary Jane", "Robert Brown Jr."]
    patterns = [{"label": "PERSON", "pattern": name} for name in names] + [{"label": "GPE", "pattern": "Paris"}]
    pipeline.add_pipe("entity_ruler").add_patterns(patterns)
    pipeline.to_disk(project.folder / "rules")
    return "rules"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer token classifier with a window of 32 tokens that has learnt which words are names."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "os", "##kar", ".", "'", "s", *FILLERS, "mia", "tom", "ada"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=34, num_labels=3, id2label={0: "O", 1: "B-PER", 2: "I-PER"},
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = transformers.BertForTokenClassification(config)
    firsts = torch.tensor([words.index(name) for name in ("os", "mia", "tom", "ada")])
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(80):
        ids = torch.randint(5, len(words), (16, 24))
        gold = torch.isin(ids, firsts).long() + 2 * (ids == words.index("##kar")).long()
        model(input_ids=ids, labels=gold).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def _ask(project: Project, settings: PretrainedNerSettings, *texts: str) -> list[Prediction]:
    predictor = build("ner", settings, project)
    assert predictor.name == "ner"
    return asyncio.run(predictor.predict([{"text": text} for text in texts]))


def test_spacy_lists_each_name_once_in_order(project: Project, rules: str) -> None:
    answers = _ask(
        project, PretrainedNerSettings(rules), "Tom's dog met Mary\nJane. TOM, Tom: Mia in Paris.", "", "Paris"
    )
    assert [answer.value for answer in answers] == [["Tom", "Mia"], [], []]
    assert all(answer.confidence is None and answer.source == "ner" and not answer.error for answer in answers)
    assert answers[0].usage.seconds > 0


def test_spacy_types_can_be_chosen(project: Project, rules: str) -> None:
    (answer,) = _ask(project, PretrainedNerSettings(rules, entities=("GPE",)), "Tom in Paris")
    assert answer.value == ["Paris"]


def test_spacy_reads_a_text_of_any_length(project: Project, rules: str) -> None:
    (answer,) = _ask(project, PretrainedNerSettings(rules), "so it was " * 120_000 + "Mia")
    assert answer.value == ["Mia"]


def test_transformers_joins_pieces_and_scores(project: Project, classifier: Path) -> None:
    settings = PretrainedNerSettings(str(classifier), "transformers", threads=1)
    found, none, empty = _ask(project, settings, "Oskar saw the dog. Mia 's boats, oskar", "the dog ran", "")
    assert found.value == ["Oskar", "Mia"]
    assert found.confidence is not None and 0.5 < found.confidence <= 1
    assert (none.value, none.confidence) == ([], EMPTY_CONFIDENCE)
    assert (empty.value, empty.confidence) == ([], EMPTY_CONFIDENCE)


def test_transformers_reads_past_its_window(project: Project, classifier: Path) -> None:
    settings = PretrainedNerSettings(str(classifier), "transformers", threads=1)
    filler = "the dog ran to a house and sang while it saw red boats . " * 5
    (answer,) = _ask(project, settings, f"ada {filler} tom {filler} mia")
    assert answer.value == ["ada", "tom", "mia"]


def test_empty_batch(project: Project, rules: str) -> None:
    assert _ask(project, PretrainedNerSettings(rules)) == []


@pytest.mark.parametrize("library", ["spacy", "transformers"])
def test_a_model_that_does_not_exist_says_how_to_install(project: Project, library: str) -> None:
    settings = FAMILIES.load("pretrained-ner").settings(model="/no/such model", library=library)
    with pytest.raises(UsageError, match=r"/no/such model.*(Install|hf download)") as caught:
        build("ner", settings, project)
    assert "\n" not in str(caught.value)


def test_an_unreadable_pipeline(project: Project) -> None:
    (project.folder / "broken").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        build("ner", PretrainedNerSettings("broken"), project)


def test_another_kind_of_model_is_refused(project: Project, classifier: Path) -> None:
    body = transformers.BertModel.from_pretrained(classifier)
    body.save_pretrained(project.folder / "body")
    with pytest.raises(UsageError, match="not a token-classification model"):
        build("ner", PretrainedNerSettings("body", "transformers"), project)


def test_entities_the_model_does_not_know(project: Project, rules: str) -> None:
    with pytest.raises(UsageError, match=r"none of the entities ANIMAL.*GPE, PERSON"):
        build("ner", PretrainedNerSettings(rules, entities=("ANIMAL",)), project)


def test_other_outputs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('name = "mood"\noutput = "label"\nlabels = ["good", "bad"]\n')
    with pytest.raises(UsageError, match="not 'label'"):
        build("ner", PretrainedNerSettings("any"), open_project(tmp_path))


def test_fingerprint_changes_with_the_model(project: Project, rules: str) -> None:
    before = fingerprint("ner", PretrainedNerSettings(rules), project)
    assert before == fingerprint("ner", PretrainedNerSettings(rules), project)
    (project.folder / rules / "meta.json").write_text("{}")
    assert before != fingerprint("ner", PretrainedNerSettings(rules), project)
    absent = fingerprint("ner", PretrainedNerSettings("no-such-package"), project)
    assert absent == {"library": spacy.__version__, "model": "no-such-package", "version": None}


@pytest.mark.parametrize(
    ("mention", "name"),
    [
        (" “Tom's,” ", "Tom"),
        ("Tom’s", "Tom"),
        ("Robert Brown Jr.,", "Robert Brown Jr."),
        ("Mr. A.", "Mr. A."),
        ("James'", "James"),
        ("Mary\n  Jane", "Mary Jane"),
        ("-- _Bob_ --", "Bob"),
        ("Mary-Jane O'Neil", "Mary-Jane O'Neil"),
        ("...", ""),
    ],
)
def test_clean(mention: str, name: str) -> None:
    assert clean(mention) == name
