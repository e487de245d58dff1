from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tutelage.errors import BudgetExceeded, DataError, ModelError, UsageError
from tutelage.labels.near import NearIndex
from tutelage.labels.synthesis import (
    Hard,
    Strategy,
    SynthesisOptions,
    SynthesisReport,
    Writer,
    WriterOptions,
    dry_run,
    plan,
    real_train,
    synthesize,
)
from tutelage.labels.synthesis import writing as room
from tutelage.labels.synthesis.running import agreement, intended
from tutelage.labels.synthesis.writing import NewInputs, build_writer
from tutelage.models.chat import Limits, Reply
from tutelage.models.scripted import Answer, ScriptedModel
from tutelage.project import Project, open_project
from tutelage.prompting import PromptedSettings
from tutelage.tasks.identity import example_id
from tutelage.types import Example, Label, Usage

TASK = """
name = "mood"
output = "label"
labels = ["happy", "sad"]
instructions = "Which mood is the writer in?"

[prices.scripted]
input = 1000
output = 1000
"""
TRAIN = (
    "I won the lottery and danced",
    "The sun is out and the birds are singing",
    "My train was cancelled for the third time",
    "Nobody came to the birthday party that I gave in the garden",
)
TEST, DEV = "The cat came home after two long weeks", "They closed the library in our street"
FRESH = (
    "We got married on a quiet beach in May",
    "Grandma baked the best apple pie of the year",
    "The new bicycle is faster than the wind",
    "My best friend moved to another country",
    "All the tomatoes in the garden are ruined",
    "Rain again, and the roof is still leaking",
    "He finally called me after so many years",
    "The exam went much worse than I feared",
    "Our team scored in the very last minute",
    "Somebody stole the radio from the kitchen",
    "The puppy learned to open the front door",
    "I burnt my hand while making breakfast",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path, TASK)


def made(folder: Path, task: str) -> Project:
    (folder / "task.toml").write_text(task)
    project = open_project(folder)
    examples = [example(text, "train") for text in TRAIN] + [example(TEST, "test"), example(DEV, "dev")]
    project.store.examples.add(examples)
    labels = [Label(one.id, "happy" if at < 2 else "sad", "import") for at, one in enumerate(examples)]
    project.store.labels.add(labels)
    return project


def example(text: str, split: str) -> Example:
    return Example(example_id({"text": text}), {"text": text}, split)  # type: ignore[arg-type]


def inputs(*texts: str) -> str:
    return json.dumps({"examples": [{"text": text} for text in texts]})


def script(answers: Callable[[str], Answer] | Sequence[Answer], concurrency: int = 1) -> ScriptedModel:
    return ScriptedModel(answers, usage=Usage(10, 5, 0.015, 0.01), limits=Limits(concurrency))


def write(
    project: Project,
    model: ScriptedModel,
    n: int = 4,
    strategy: str = "seeds",
    budget: float | None = None,
    seed: int = 0,
) -> SynthesisReport:
    writer, planned = planned_by(project, model, strategy, seed)
    return asyncio.run(synthesize(project, writer, planned, SynthesisOptions(n=n, budget=budget)))


def planned_by(
    project: Project, model: ScriptedModel, strategy: str = "seeds", seed: int = 0
) -> tuple[Writer, Strategy]:
    seeds = real_train(project)
    settings = PromptedSettings("scripted", concurrency=model.limits.concurrency)
    writer = build(project, settings, model, seed)
    hard = [Hard(one, ("happy", "sad")) for one in seeds[:3]] if strategy == "region" else []
    return writer, plan(strategy, project.task, seeds, per_call=2, seed=seed, hard=hard)


def build(project: Project, settings: PromptedSettings, model: ScriptedModel, seed: int) -> Writer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "model_of", lambda *_: model)
        return build_writer("scripted", settings, project, real_train(project), WriterOptions(per_call=2, seed=seed))


def synthetic(project: Project) -> list[Example]:
    return [one for one in project.store.examples.read() if one.synthetic]


def test_what_is_written_is_in_train_marked_and_without_a_label(project: Project) -> None:
    model = script([inputs(*FRESH[:2]), inputs(*FRESH[2:4])])
    report = write(project, model)
    assert (report.kept, report.new, report.calls, report.problem) == (4, 4, 2, None)
    found = synthetic(project)
    assert [one.input["text"] for one in found] == list(FRESH[:4])
    assert {(one.split, one.synthetic) for one in found} == {("train", report.writer)}
    assert report.writer.startswith("scripted@") and report.dollars == pytest.approx(0.03)
    assert not {one.example.id for one in project.store.labels.read("train")} & {one.id for one in found}
    assert project.store.examples.written() == {report.writer: 4}


def test_the_prompt_holds_the_task_and_real_train_alone(project: Project) -> None:
    project.store.examples.add([Example("s", {"text": "a written one"}, "train", None, "m@1")])
    for strategy in ("seeds", "label", "region", "paraphrase"):
        model = script(lambda _: inputs(*FRESH[:2]))
        write(project, model, 2, strategy)
        told = "\n".join(message.content for call in model.calls for message in call.messages)
        assert "Which mood is the writer in?" in told and "Write 2 new inputs" in told
        assert any(text in told for text in TRAIN)
        assert TEST not in told and DEV not in told and "a written one" not in told
        schema = model.calls[0].params.schema
        assert schema is not None and schema["properties"]["examples"]["items"]["required"] == ["text"]


def test_each_reason_to_drop_an_input_is_counted_and_shown(project: Project) -> None:
    answers = [
        json.dumps({"examples": [{"text": ""}, {"other": "x"}]}),
        inputs("Short", "x" * 200),
        inputs(TRAIN[0].upper(), TRAIN[2] + "!"),
        inputs(TEST, DEV + "."),
        inputs("Wir haben gestern lange im Garten gesessen", FRESH[0]),
        inputs(FRESH[0], FRESH[0] + "!"),
        inputs("sad", FRESH[1]),
    ]
    report = write(project, script(answers), 2)
    assert report.problem is None and [one.input["text"] for one in synthetic(project)] == [FRESH[0], FRESH[1]]
    assert report.dropped == {
        "incomplete": 2,
        "length": 3,
        "echo": 2,
        "leak": 2,
        "language": 1,
        "duplicate": 1,
        "near-duplicate": 1,
    }
    assert report.shown["leak"] == [TEST, DEV + "."]
    assert report.written == 14 and report.unchecked is None


def test_a_copy_of_test_never_gets_in_whatever_asks_for_it(project: Project) -> None:
    for strategy in ("seeds", "label", "region", "paraphrase"):
        report = write(project, script(lambda _: inputs(TEST, DEV)), 2, strategy)
        assert report.dropped["leak"] == report.written and report.kept == 0
        assert isinstance(report.problem, DataError) and "0 of 2 examples were kept" in str(report.problem)
    assert synthetic(project) == []


def test_a_run_that_is_done_is_not_asked_again_and_a_larger_one_goes_on(project: Project) -> None:
    answers = {0: inputs(*FRESH[:2]), 1: inputs(*FRESH[2:4]), 2: inputs(*FRESH[4:6]), 3: inputs(*FRESH[6:8])}
    model = script(list(answers.values()))
    assert write(project, model, 3).kept == 3
    assert (again := write(project, model, 3)).calls == 0 and again.new == 0 and again.kept == 3
    larger = write(project, model, 6)
    # The surplus of the second call is taken from the stored answer.
    assert (larger.reused, larger.calls, larger.new, larger.kept) == (2, 1, 3, 6)
    assert [one.input["text"] for one in synthetic(project)] == list(FRESH[:6])
    other = write(project, script([inputs(*FRESH[8:10])]), 2, seed=1)
    assert (other.kept, other.calls) == (2, 1)


def test_a_run_that_broke_off_pays_for_nothing_twice(project: Project) -> None:
    class Killed(BaseException):
        pass

    def dying(asked: str) -> str:
        if len(model.calls) == 3:
            raise Killed
        return inputs(*FRESH[2 * len(model.calls) - 2 : 2 * len(model.calls)])

    model = script(dying)
    with pytest.raises(Killed):
        write(project, model, 8)
    assert len(synthetic(project)) == 4
    assert [run.status for run in project.store.runs.read()] == ["failed"]
    after = script([inputs(*FRESH[4:6]), inputs(*FRESH[6:8])])
    report = write(project, after, 8)
    assert (report.reused, report.calls, report.kept) == (2, 2, 8)
    first, second = ({str(call.messages) + str(call.params.seed) for call in one.calls} for one in (model, after))
    assert len(first & second) == 1  # the one that was under way


def test_answers_are_looked_at_in_the_order_of_their_numbers(project: Project) -> None:
    model = script(lambda _: inputs(FRESH[len(model.calls) % 12], FRESH[(len(model.calls) + 1) % 12]), concurrency=4)
    report = write(project, model, 6)
    assert report.kept == 6 and report.problem is None
    assert len({one.id for one in synthetic(project)}) == 6


def test_the_budget_is_never_exceeded_and_counts_earlier_runs(project: Project) -> None:
    model = script([inputs(*FRESH[at : at + 2]) for at in range(0, 12, 2)])
    writer, planned = planned_by(project, model)
    most = writer.asked.dollars(writer.question(planned.request(0))) or 0.0
    report = write(project, model, 12, budget=most + 0.02)
    assert isinstance(report.problem, BudgetExceeded) and len(model.calls) == 2 and report.kept == 4
    assert project.store.spend.spent(writer.account) == pytest.approx(0.03)
    again = write(project, model, 12, budget=most + 0.02)
    assert isinstance(again.problem, BudgetExceeded) and (again.calls, len(model.calls)) == (0, 2)


def test_a_budget_needs_a_price(tmp_path: Path) -> None:
    project = made(tmp_path, TASK.partition("[prices")[0])
    with pytest.raises(UsageError, match="price of 'scripted' is not known"):
        write(project, script([inputs()]), 2, budget=1.0)


def test_failed_calls_are_counted_and_asked_again_at_the_next_run(project: Project) -> None:
    report = write(project, script(["no JSON", inputs(*FRESH[:2])]), 2)
    assert (report.failed, report.calls, report.kept) == (1, 2, 2) and "no list of inputs" in report.errors[0][0]
    again = write(project, script([inputs(*FRESH[2:4])]), 4)
    assert (again.calls, again.failed, again.kept) == (1, 0, 4)


def test_a_writer_out_of_order_ends_the_run(project: Project) -> None:
    report = write(project, script(lambda _: "nonsense"), 50)
    assert isinstance(report.problem, ModelError) and "10 answers in a row failed" in str(report.problem)
    fatal = write(project, script(lambda _: ModelError("The key is wrong.", fatal=True)), 50, seed=1)
    assert str(fatal.problem) == "The key is wrong." and fatal.calls == 0


def test_the_label_that_was_asked_for_is_kept_and_compared_with_the_teachers(project: Project) -> None:
    model = script([inputs(*FRESH[:2]), inputs(*FRESH[2:4])])
    report = write(project, model, 4, "label")
    asked = intended(project)
    assert [asked[one.id] for one in synthetic(project)] == ["happy", "happy", "sad", "sad"]
    _, before, said, text = (message.content for message in model.calls[0].messages)
    assert before == 'Write inputs for which "happy" is the right answer.' and text.startswith("Write 2 new inputs")
    assert sorted(one["text"] for one in json.loads(said)["examples"]) == sorted(TRAIN[:2])
    assert agreement(project) == []
    teacher = [Label(one.id, "sad", "teacher:big@1") for one in synthetic(project)]
    project.store.labels.add(teacher)
    assert agreement(project) == [False, False, True, True] and report.strategy == "label"


def test_a_paraphrase_shows_one_example_and_keeps_its_label_and_group(project: Project) -> None:
    grouped = Example("g", {"text": "The old clock stopped at ten past four"}, "train", "clocks")
    project.store.examples.add([grouped])
    writer, planned = planned_by(project, script([]), "paraphrase")
    requests = [planned.request(number) for number in range(5)]
    assert all(len(one.seeds) == 1 for one in requests) and len({one.seeds[0].id for one in requests}) == 5
    assert planned.request(5).seeds == requests[0].seeds and planned.request(5).text != requests[0].text
    assert {one.group for one in requests} == {None, "clocks"}
    assert {one.intended for one in requests} == {"happy", "sad", None}
    assert writer.id(requests[0]) != writer.id(requests[1])


def test_the_hard_region_shows_what_was_answered(project: Project) -> None:
    _, planned = planned_by(project, script([]), "region")
    request = planned.request(0)
    assert "easily answered wrongly (answers given: happy, sad)." in request.before
    assert TRAIN[0] in request.shown and TRAIN[3] not in request.shown


def test_a_label_without_examples_borrows_those_of_others(tmp_path: Path) -> None:
    project = made(tmp_path, TASK.replace('"sad"]', '"sad", "angry"]'))
    _, planned = planned_by(project, script([]), "label")
    request = planned.request(2)
    assert request.intended == "angry" and 'other answers than "angry"' in request.before and request.seeds


def test_labels_strategy_needs_labels_and_any_strategy_real_examples(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('name = "names"\noutput = "strings"\n')
    empty = open_project(tmp_path)
    with pytest.raises(DataError, match="no real example"):
        real_train(empty)
    empty.store.examples.add([Example("a", {"text": "Ann met Bo"}, "train")])
    with pytest.raises(UsageError, match="needs a task with labels"):
        plan("label", empty.task, real_train(empty), per_call=1)


def test_inputs_of_several_fields_are_objects_with_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('name = "sums"\noutput = "text"\nfields = ["title", "body"]\n')
    project = open_project(tmp_path)
    rows = [{"title": f"Title {at} of the day", "body": f"{text} and that was all"} for at, text in enumerate(TRAIN)]
    project.store.examples.add([Example(example_id(row), row, "train") for row in rows])
    new = {"title": "Title 9 of the day", "body": FRESH[0] + " and so on"}
    answer = json.dumps({"examples": [new, {"title": "only a title here"}]})
    report = write(project, script([answer]), 1)
    assert [dict(one.input) for one in synthetic(project)] == [new] and report.dropped == {"incomplete": 1}


def test_a_dry_run_says_what_would_be_asked(project: Project) -> None:
    model = script([inputs(*FRESH[:2])])
    writer, planned = planned_by(project, model)
    estimate = dry_run(project, writer, planned, SynthesisOptions(n=5))
    assert (estimate.calls, estimate.skipped, len(model.calls)) == (3, 0, 0)
    assert estimate.input_tokens > 0 and estimate.dollars and estimate.dollars > 0
    write(project, model, 2)
    later = dry_run(project, writer, planned, SynthesisOptions(n=5))
    assert (later.calls, later.skipped) == (1, 1)


WRITING = NewInputs("w", ("request",), "", "", ("text",), 3, {"text": 64})


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (inputs("a", "b"), ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ('{"text": "a"}', ["a"]),
        ('{"inputs": [{"text": "a"}]}', ["a"]),
        ('```json\n{"examples": [{"text": "a"}]}\n```', ["a"]),
        ('{"examples": [{"text": "a"}, {"text": "b"}, {"text": "c', ["a", "b"]),
        (inputs("a", "b", "c", "d"), ["a", "b", "c"]),
    ],
)
def test_answers_are_read_as_models_write_them(answer: str, texts: list[str]) -> None:
    found = WRITING.parse(answer)
    assert isinstance(found, dict) and [one["text"] for one in found["examples"]] == texts
    assert WRITING.parse(WRITING.render(found)) == found


def test_a_cut_answer_costs_only_what_is_cut(project: Project) -> None:
    whole = inputs(*FRESH[:2])
    cut = Reply(whole[: whole.index(FRESH[1]) + 9], Usage(10, 5, 0.015), "scripted", "length")
    report = write(project, script([cut]), 1)
    assert (report.kept, report.failed) == (1, 0)


def test_near_duplicates_are_found_among_many_and_others_are_not() -> None:
    index = NearIndex(0.7, (f"invoice number {at} of the {at * 7 % 31}. for {at * 13} dollars" for at in range(2000)))
    index.add("How do I activate my new card?")
    assert index.near("how do i activate my  new card") and index.near("So how do I activate my new card?")
    assert not index.near("Where do I activate the card that came today?") and not index.near("")


def test_of_several_labels_the_one_asked_for_must_be_among_the_teachers(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TASK.replace('output = "label"', 'output = "labels"'))
    project = open_project(tmp_path)
    examples = [example(text, "train") for text in TRAIN]
    project.store.examples.add(examples)
    project.store.labels.add([Label(one.id, ["happy", "sad"], "import") for one in examples])
    write(project, script([inputs(*FRESH[:2]), inputs(*FRESH[2:4])]), 4, "label")
    one, two, three, four = synthetic(project)
    asked = intended(project)
    assert [asked[each.id] for each in (one, two, three, four)] == [["happy"], ["happy"], ["sad"], ["sad"]]
    said: dict[str, list[str]] = {one.id: ["happy", "sad"], two.id: ["sad"], three.id: ["sad"], four.id: []}
    project.store.labels.add([Label(id, values, "teacher:big@1") for id, values in said.items()])
    assert agreement(project) == [True, False, True, False]


def test_strings_have_no_label_to_ask_for(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('name = "names"\noutput = "strings"\ngrounded = true\n')
    project = open_project(tmp_path)
    project.store.examples.add([example(text, "train") for text in TRAIN])
    assert write(project, script([inputs(*FRESH[:2])]), 2, "seeds").problem is None
    assert write(project, script([inputs(*FRESH[2:4])]), 2, "paraphrase").problem is None
    assert len(synthetic(project)) == 4 and intended(project) == {}
