"""Asking several times: what comes out, what it costs, and what cannot be asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tutelage.errors import ModelError, TaskFileError, UnknownName
from tutelage.evaluation.candidates import candidate
from tutelage.labels.teach import TeachOptions, dry_run, source_of, teach
from tutelage.models.chat import Limits, Reply, Token
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.models.scripted import Answers, ScriptedModel
from tutelage.project import Project, open_project
from tutelage.prompting import Asked, Prompted, PromptedSettings
from tutelage.prompting.sampling import BestOfN, SelfConsistency
from tutelage.prompting.verifying import Verifier, probability_of_yes, verification
from tutelage.tasks.file import Price
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Prediction, Usage

LABEL = LabelTask("tone", ("text",), "Is the text happy or sad?", "accuracy", labels=("happy", "sad"))
STRINGS = StringsTask("characters", ("text",), "List the characters.", "f1")
INPUT = {"text": "Oliver the Owl met Mrs. Finch."}
PRICE = Price(input=3, output=6)
USAGE = Usage(10, 5, 0.25, 0.5)


def scripted(answers: Answers, concurrency: int = 8) -> ScriptedModel:
    return ScriptedModel(answers, usage=USAGE, limits=Limits(concurrency=concurrency))


def asked(model: ScriptedModel, **settings: object) -> Prompted:
    given = PromptedSettings("scripted", temperature=0.7, repairs=0, **settings)  # type: ignore[arg-type]
    return Prompted(model, LABEL, given, price=PRICE)


def sure(answer: str, logprob: float) -> Reply:
    return Reply(answer, USAGE, "scripted", tokens=(Token(answer, logprob),))


def test_the_draws_differ_in_their_seed_alone_and_the_majority_wins() -> None:
    model = scripted(["sad", "happy", "sad", "sad", "happy"])
    prediction = asyncio.run(SelfConsistency(asked(model), 5, 7, name="voted").predict_one(INPUT))
    assert prediction.value == "sad" and prediction.confidence == 3 / 5
    assert dict(prediction.signals) == {"agreement": 3 / 5}
    assert sorted(call.params.seed or 0 for call in model.calls) == [7, 8, 9, 10, 11]
    assert {call.params.temperature for call in model.calls} == {0.7}
    usage = prediction.usage
    assert (usage.input_tokens, usage.output_tokens, usage.dollars) == (50, 25, 1.25)
    assert 0 < usage.seconds < 2.5  # of the wall, not the sum


def test_strings_are_voted_one_by_one() -> None:
    model = scripted(['["Tom"]', '["Tom", "Ann"]', "[]"])
    prompted = Prompted(model, STRINGS, PromptedSettings("scripted", repairs=0))
    prediction = asyncio.run(SelfConsistency(prompted, 3, name="voted").predict_one(INPUT))
    assert (prediction.value, dict(prediction.parts)) == (["Tom"], {"Tom": 2 / 3})
    assert dict(prediction.signals) == {"agreement": 2 / 3, "exact_agreement": 1 / 3}


def test_failed_draws_disagree_and_are_said() -> None:
    model = scripted(["sad", "angry", ModelError("The endpoint is busy."), "sad"])
    prediction = asyncio.run(SelfConsistency(asked(model), 4, name="voted").predict_one(INPUT))
    assert (prediction.value, prediction.confidence) == ("sad", 1 / 2)
    assert prediction.note and prediction.note.startswith("2 of 4 draws failed: 'angry' is not a label")
    assert prediction.usage.dollars == 0.75


def test_nothing_drawn_is_one_failed_prediction() -> None:
    prediction = asyncio.run(SelfConsistency(asked(scripted(["angry"] * 3)), 3, name="v").predict_one(INPUT))
    assert prediction.value is None and prediction.confidence is None
    assert prediction.error and prediction.error.startswith("All 3 draws failed, the first one: 'angry'")
    assert prediction.usage.dollars == 0.75


def test_a_model_that_cannot_answer_at_all_is_an_error_and_one_that_went_down_is_not() -> None:
    down = ModelError("down", fatal=True)
    with pytest.raises(ModelError, match="down"):
        asyncio.run(SelfConsistency(asked(scripted([down] * 3)), 3, name="v").predict([INPUT]))
    prediction = asyncio.run(SelfConsistency(asked(scripted(["sad", down, down])), 3, name="v").predict_one(INPUT))
    assert (prediction.value, prediction.confidence, prediction.usage.dollars) == ("sad", 1 / 3, 0.25)


def test_what_is_too_long_is_not_asked() -> None:
    model = scripted([])
    voted = SelfConsistency(asked(model), 3, name="v")
    prediction = asyncio.run(voted.predict_one({"text": "x" * 5_000_000}))
    assert prediction.error and "5,000,000 characters" in prediction.error and model.calls == []
    assert voted.dollars({"text": "x" * 5_000_000}) == 0


def test_it_is_asked_for_labels_like_a_single_model_at_n_times_the_price() -> None:
    once = asked(scripted([], concurrency=10))
    voted = SelfConsistency(once, 4, name="voted")
    assert isinstance(voted, Asked) and voted.name == "voted"
    assert voted.concurrency == 3 and voted.at_most(4).concurrency == 1
    assert voted.estimate(INPUT) == tuple(4 * tokens for tokens in once.estimate(INPUT))
    assert voted.dollars(INPUT) == pytest.approx(4 * (once.dollars(INPUT) or 0))
    assert voted.source.startswith("teacher:scripted@") and source_of(voted) == voted.source == voted.at_most(1).source
    assert len({once.source, voted.source, SelfConsistency(once, 5, name="v").source}) == 3
    assert SelfConsistency(once, 4, 1, name="v").source != voted.source != BestOfN(once, 4, name="b").source


def test_the_best_by_log_probability() -> None:
    model = scripted([sure("sad", -0.5), sure("happy", -0.1), sure("sad", -0.9)])
    prediction = asyncio.run(BestOfN(asked(model), 3, name="best").predict_one(INPUT))
    assert prediction.value == "happy"
    assert prediction.confidence == pytest.approx(prediction.signals["mean_probability"])
    assert prediction.signals["agreement"] == 1 / 3


def test_without_probabilities_the_first_is_taken_and_it_is_said() -> None:
    prediction = asyncio.run(BestOfN(asked(scripted(["sad", "happy"])), 2, name="best").predict_one(INPUT))
    assert (prediction.value, prediction.confidence) == ("sad", None)
    assert prediction.note == "the model gave no probabilities, so the first draw was taken"


def test_the_best_by_a_scorer() -> None:
    model = scripted(['["Tom", "Mrs. Finch"]', '["Mrs. Finch"]', "[]x"])
    prompted = Prompted(model, STRINGS, PromptedSettings("scripted", repairs=0))
    prediction = asyncio.run(BestOfN(prompted, 3, name="best", scorer="grounded").predict_one(INPUT))
    assert (prediction.value, prediction.confidence, prediction.signals["scorer"]) == (["Mrs. Finch"], 1.0, 1.0)
    with pytest.raises(UnknownName, match="'longest' is not a known scorer"):
        BestOfN(prompted, name="best", scorer="longest")


def verifying(model: ScriptedModel) -> Verifier:
    return Verifier(Prompted(model, verification(LABEL), PromptedSettings("judge", repairs=0), price=PRICE), LABEL)


def test_the_best_by_a_verifier_which_sees_every_answer_once() -> None:
    def verdict(shown: str) -> Reply:
        assert INPUT["text"] in shown
        return sure("no", -0.2) if "sad" in shown else sure("yes", -0.5)

    judge = scripted(verdict)
    best = BestOfN(asked(scripted(["sad", "happy", "sad"])), 3, name="best", verifier=verifying(judge))
    prediction = asyncio.run(best.predict_one(INPUT))
    assert len(judge.calls) == 2 and "Is the text happy or sad?" in judge.calls[0].messages[0].content
    assert prediction.value == "happy" and prediction.confidence == prediction.signals["verifier"]
    assert prediction.confidence == pytest.approx(0.6065, abs=1e-3)
    assert prediction.usage.dollars == 5 * 0.25
    alone = BestOfN(asked(scripted([])), 3, name="best")
    assert (best.dollars(INPUT) or 0) > 1.5 * (alone.dollars(INPUT) or 0) and best.source != alone.source
    asyncio.run(best.close())
    assert judge.closed


@pytest.mark.parametrize(
    ("verdict", "confidence", "probability"),
    [("yes", 0.9, 0.9), ("no", 0.9, 0.1), ("yes", 0.1, 0.5), ("no", 0.1, 0.5), ("yes", None, 1.0), (None, None, None)],
)
def test_the_likelier_of_two_words_has_at_least_a_half(
    verdict: str | None, confidence: float | None, probability: float | None
) -> None:
    assert probability_of_yes(Prediction(verdict, confidence)) == pytest.approx(probability)


def test_a_verdict_that_failed_comes_last_and_is_said() -> None:
    judge = scripted(lambda shown: "perhaps" if "sad" in shown else "no")
    best = BestOfN(asked(scripted(["sad", "happy"])), 2, name="best", verifier=verifying(judge))
    prediction = asyncio.run(best.predict_one(INPUT))
    assert (prediction.value, prediction.confidence) == ("happy", 0.0)
    assert prediction.note and prediction.note.startswith("1 of 2 verdicts failed: 'perhaps' is not a label")


TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
teacher = "voted"
[prices.m]
input = 3.0
output = 6.0
[candidates.llm]
family = "prompted"
model = "m"
base_url = "{url}"
[candidates.mute]
family = "prompted"
model = "m"
logprobs = false
[candidates.words]
family = "linear"
[candidates.voted]
family = "self-consistency"
of = "llm"
draws = 3
"""


def project_at(folder: Path, url: str, more: str = "") -> Project:
    (folder / "task.toml").write_text(TASK.format(url=url) + more)
    return open_project(folder)


def test_labels_come_from_a_vote_within_a_budget(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer='{"label": "sad"}')) as server:
        project = project_at(tmp_path, server.base_url)
        examples = [Example(str(at), {"text": f"text {at}"}, "train") for at in range(4)]
        project.store.examples.add(examples)
        voted = candidate(project, "voted")
        predictor = voted.build(project)
        estimate = dry_run(project, predictor, examples)
        assert isinstance(predictor, Asked) and estimate.most_dollars
        budget = 2.5 * estimate.most_dollars / 4
        report = asyncio.run(teach(project, predictor, examples, TeachOptions(budget=budget)))
        asyncio.run(predictor.close())
    assert report.answered >= 2 and report.dollars is not None and 0 < report.dollars <= budget
    assert len(server.bodies) == 3 * report.asked and {body["seed"] for body in server.bodies} == {0, 1, 2}
    assert {label.source for label in project.store.labels.read("train", "teacher")} == {predictor.source}


def test_the_fingerprint_follows_the_candidate_that_is_asked(tmp_path: Path) -> None:
    project = project_at(tmp_path, "http://127.0.0.1:1/v1")
    before = candidate(project, "voted").fingerprint(project)
    text = (tmp_path / "task.toml").read_text()
    (tmp_path / "task.toml").write_text(text.replace('model = "m"', 'model = "m"\nmax_tokens = 9'))
    changed = open_project(tmp_path)
    assert candidate(changed, "voted").fingerprint(changed) != before


def test_it_is_hosted_where_the_candidate_that_is_asked_is(tmp_path: Path) -> None:
    local, hosted = project_at(tmp_path, "http://127.0.0.1:1/v1"), project_at(tmp_path, "https://api.example.org/v1")
    assert [candidate(project, "voted").hosted(project) for project in (local, hosted)] == [False, True]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            'of = "odd"',
            "[candidates.odd]: of = 'odd' is the candidate itself. Name a candidate of family 'prompted': llm, mute.",
        ),
        ('of = "lm"', "[candidates.odd]: of = 'lm' is no candidate. Name a candidate of family 'prompted': llm, mute."),
        ('of = "words"', "[candidates.odd]: of = 'words' is of family 'linear'. Name a candidate of family"),
        ('of = "voted"', "of = 'voted' is of family 'self-consistency'."),
        ('of = "llm"\nby = "scorer"', 'by = "scorer" needs a scorer. Set: scorer = one of grounded, shorter.'),
        ('of = "llm"\nby = "verifier"', 'by = "verifier" needs a verifier.'),
        ('of = "llm"\nby = "verifier"\nverifier = "words"', "verifier = 'words' is of family 'linear'."),
        ('of = "mute"', "by = \"logprob\" needs probabilities, and 'mute' has logprobs = false."),
        ('of = "llm"\nby = "luck"', "by: input should be 'logprob', 'scorer' or 'verifier'"),
        ('of = "llm"\ntemperature = 0', "temperature: input should be greater than 0"),
        ("draws = 5", "of: field required"),
    ],
)
def test_what_cannot_be_drawn_from_is_one_line(tmp_path: Path, settings: str, said: str) -> None:
    project = project_at(tmp_path, "http://127.0.0.1:1/v1", f'[candidates.odd]\nfamily = "best-of-n"\n{settings}\n')
    with pytest.raises(TaskFileError) as error:
        candidate(project, "odd").build(project)
    assert said in str(error.value) and "\n" not in str(error.value)
