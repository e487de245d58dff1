"""`tutelage prompts` as a user calls it, against the fake endpoint: list, show, diff, test, shown, and bad calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.answering.lines import answer
from tutelage.labels.splitting import example_id
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.types import Prediction

MOODS = ("glad", "calm", "sad", "angry")
TASK = """
name = "moods"
output = "label"
labels = ["glad", "calm", "sad", "angry"]
instructions = "Say how it feels."

[candidates.plain]
family = "prompted"
model = "small"
base_url = "{url}"
repairs = 0

[candidates.strict]
family = "prompted"
model = "small"
base_url = "{url}"
repairs = 0
user = "Think. {{text}}"

[candidates.large]
family = "prompted"
model = "large"
base_url = "{url}"
repairs = 0

[candidates.voted]
family = "self-consistency"
of = "plain"
draws = 2

[candidates.told]
family = "prompted"
model = "small"
base_url = "{url}"
repairs = 0
shots = 3
user = '''
{{% for shot in shots %}}[{{{{ shot.text }}}} is {{{{ shot.answer }}}}]{{% endfor %}}
{{{{ text }}}}'''

[candidates.searching]
family = "prompted"
model = "small"
base_url = "{url}"
repairs = 0
shots = 2
selector = "jaccard"

[candidates.recorded]
family = "replay"
file = "recorded.jsonl"
"""

Answering = Callable[[str], str]


def label(text: str) -> str:
    return json.dumps({"label": text})


def mood(message: str) -> str:
    return message.strip().splitlines()[-1].split()[-1]


def right(message: str) -> str:
    return label(mood(message))


def weak(message: str) -> str:
    """Right on three of four, and on all when told to think."""
    even = int(message.split()[-2]) % 2 == 0
    return label(mood(message) if even or "Think" in message else "calm")


@pytest.fixture
def answering() -> dict[str, Answering]:
    return {"by": weak}


@pytest.fixture
def server(answering: dict[str, Answering]) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=lambda text: answering["by"](text))) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    """24 examples of test, 12 of dev, 8 of train, "SPLIT text N MOOD", each labelled with its mood."""
    lines = [
        {"text": f"{split} text {at} {MOODS[at % 4]}", "mood": MOODS[at % 4], "split": split}
        for split, n in (("test", 24), ("dev", 12), ("train", 8))
        for at in range(n)
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "task.toml").write_text(TASK.format(url=server.base_url))
    recorded = [
        answer(example_id({"text": str(line["text"])}), Prediction("glad", source="teacher:old@abcdef01"))
        for line in lines
    ]
    (tmp_path / "recorded.jsonl").write_text("\n".join(map(json.dumps, recorded)))
    assert run("add", tmp_path / "texts.jsonl", "-C", tmp_path, "--label", "mood", "--source", "human:ada") == 0
    capsys.readouterr()
    return tmp_path


def prompts(project: Path, capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    assert run("prompts", *arguments, "-C", project, "--json") == code
    found = last_json(capsys)
    assert isinstance(found, dict)
    return found


def by_candidate(listed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: row for row in listed["versions"] for name in row["current"] or [row["candidate"]]}


def test_versions_are_listed_with_their_answers_labels_and_scores(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = prompts(project, capsys, "list")
    rows = by_candidate(listed)
    assert set(rows) == {"plain", "strict", "large", "voted", "told", "searching"} and not server.bodies
    assert {row["answers"] for row in rows.values()} == {0} and rows["plain"]["created"] is None
    assert run("evaluate", "plain", "recorded", "-C", project) == 0
    assert run("evaluate", "voted", "--split", "dev", "-C", project) == 0
    capsys.readouterr()
    rows = by_candidate(prompts(project, capsys, "list"))
    assert rows["plain"]["source"] == f"teacher:small@{rows['plain']['version']}"
    assert rows["plain"]["score"]["value"] == pytest.approx(18 / 24) and rows["plain"]["n"] == 24
    assert (rows["voted"]["answers"], rows["voted"]["n"], rows["voted"]["score"]) == (12, 0, None)
    assert rows["plain"]["version"] == rows["large"]["version"] and rows["plain"]["version"] != rows["voted"]["version"]
    old = next(row for row in prompts(project, capsys, "list")["versions"] if row["source"] == "teacher:old@abcdef01")
    assert old["n"] == 24 and old["kept"] is False and old["candidate"] is None
    assert run("prompts", "list", "-C", project) == 0
    out = capsys.readouterr().out
    assert re.search(r"small +plain\* +\d{4}-\d\d-\d\d \d\d:\d\d +24 +0 +0\.750 +0\.5\d\d to 0\.8\d\d +24", out)
    assert "against gold labels (24 from human:ada)" in out and "!" not in out


def test_a_changed_prompt_is_another_version_and_the_old_ones_answers_stay(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "plain", "-C", project) == 0
    capsys.readouterr()
    before = by_candidate(prompts(project, capsys, "list"))["plain"]["version"]
    text = (project / "task.toml").read_text().replace("Say how it feels.", "Say how it feels. Think.")
    (project / "task.toml").write_text(text)
    listed = prompts(project, capsys, "list")
    old = next(row for row in listed["versions"] if row["version"] == before)
    assert old["candidate"] == "plain" and old["current"] == [] and old["n"] == 24
    assert run("prompts", "diff", before[:5], "plain", "-C", project) == 0
    out = capsys.readouterr().out
    assert "-  Say how it feels.\n+  Say how it feels. Think.\n" in out and "\x1b" not in out
    assert run("prompts", "show", before, "-C", project) == 0
    shown = capsys.readouterr().out
    assert f"source: teacher:small@{before}\nmodel: small\n" in shown and '"enum"' in shown and "max_tokens" in shown
    asked = len(server.bodies)
    found = prompts(project, capsys, "test", before, "plain", "--limit", "4")
    assert found["n"] == 4 and len(server.bodies) == asked + 4


def test_candidates_are_described_without_a_key_and_several_answers_by_what_is_asked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project / "task.toml").read_text()
    (project / "task.toml").write_text(re.sub(r'base_url = "[^"]*"', 'api_key_env = "NO_SUCH_KEY"', text))
    found = prompts(project, capsys, "diff", "plain", "voted")
    assert "+asked several times:" in found["diff"] and "+  draws = 2" in found["diff"]
    assert "+  temperature = 0.7" in found["diff"] and "-  temperature = 0.0" in found["diff"]
    shown = prompts(project, capsys, "show", "told")["content"]
    assert [role for role, _ in shown["messages"]] == ["system", *["user", "assistant"] * 3]
    assert prompts(project, capsys, "show", "searching")["content"]["shots"]["selector"] == "jaccard"


def test_the_same_examples_under_two_candidates_show_what_changed(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    found = prompts(project, capsys, "test", "plain", "strict")
    assert (found["n"], found["improved"], found["worsened"], found["same"]) == (24, 6, 0, 18)
    assert found["asked"] == 48 == len(server.bodies)
    assert found["verdict"] == "better" and found["difference"]["low"] > 0 and found["needed"] > 1
    assert len(found["changes"]) == found["improved"] and found["changes"][0]["gold"] == "angry"
    assert prompts(project, capsys, "test", "plain", "strict")["asked"] == 0
    worse = prompts(project, capsys, "test", "strict", "plain", "--fail-under", "-0.01", code=1)
    assert worse["passed"] is False and worse["verdict"] == "worse"
    assert worse["difference"]["value"] == -found["difference"]["value"]
    assert run("prompts", "test", "strict", "plain", "--show", "1", "--fail-under", "-0.9", "-C", project) == 0
    out = capsys.readouterr().out
    assert "plain is worse by 0.250: the interval excludes 0." in out
    assert "worsened 1.000 -> 0.000" in out and "and 5 more changed examples" in out
    assert len(server.bodies) == 48


def test_what_cannot_be_told_apart_says_how_many_examples_would(
    project: Path, answering: dict[str, Answering], capsys: pytest.CaptureFixture[str]
) -> None:
    answering["by"] = lambda m: label("sad") if "Think" in m and " 1 " in m else right(m)
    found = prompts(project, capsys, "test", "plain", "strict")
    assert found["verdict"] == "cannot tell" and found["needed"] == pytest.approx((2.8 / (1 / 24)) ** 2 / 24, rel=0.05)
    assert prompts(project, capsys, "test", "plain", "large")["verdict"] == "equal"
    assert run("prompts", "test", "plain", "strict", "-C", project) == 0
    assert f"the interval includes 0, would need about {found['needed']} examples." in capsys.readouterr().out


def test_a_version_is_compared_on_the_examples_it_has_answered_and_one_that_cannot_be_asked_on_what_is_stored(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts(project, capsys, "test", "plain", "strict", "--limit", "6")
    assert len(server.bodies) == 12
    version = by_candidate(prompts(project, capsys, "list"))["strict"]["version"]
    found = prompts(project, capsys, "test", "recorded", version)
    assert found["n"] == 6 and found["asked"] == 6 and len(server.bodies) == 12
    text = (project / "task.toml").read_text()
    (project / "task.toml").write_text(text.replace(server.base_url, "http://127.0.0.1:9/v1", 1))
    assert run("prompts", "test", "strict", "plain", "-C", project, "--limit", "7") == 1
    err = capsys.readouterr().err
    assert "plain could not be asked, its stored answers are taken" in err
    assert "strict and plain: no labelled example of 'test' is answered by both" in err


def test_records_say_which_fields_changed(
    tmp_path: Path, server: FakeOpenAI, answering: dict[str, Answering], capsys: pytest.CaptureFixture[str]
) -> None:
    def read(message: str) -> str:
        name, age = message.split()[-2:]
        return json.dumps({"name": name, "age": int(age) + ("Think" not in message)})

    answering["by"] = read
    task = TASK.format(url=server.base_url).partition("[candidates.voted]")[0]
    task = re.sub(r"output = .*\nlabels = .*\n", 'output = "record"\n', task)
    schema = '[schema.properties]\nname = {type = "string"}\nage = {type = "integer"}\n'
    (tmp_path / "task.toml").write_text(task + schema)
    lines = [{"text": f"person Ann {at}", "a": {"name": "Ann", "age": at}, "split": "test"} for at in range(8)]
    (tmp_path / "people.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert run("add", tmp_path / "people.jsonl", "-C", tmp_path, "--label", "a") == 0
    capsys.readouterr()
    found = prompts(tmp_path, capsys, "test", "plain", "strict")
    assert found["fields"]["age"]["improved"] == 8 and found["fields"]["name"]["improved"] == 0
    assert run("prompts", "test", "plain", "strict", "-C", tmp_path) == 0
    assert "age: improved 8, worsened 0, exact match +1.000" in capsys.readouterr().out


def copies(message: str) -> str:
    """Knows what it is shown; else it repeats the first answer that it is shown."""
    pairs: dict[str, str] = dict(re.findall(r"\[(.*?) is (.*?)\]", message))
    asked = message.strip().splitlines()[-1]
    return pairs.get(asked, next(iter(pairs.values())))


@pytest.mark.parametrize(
    ("by", "finding", "shown", "others", "copied"),
    [
        (right, "used", 1.0, 1.0, 0),
        (copies, "copied", 1.0, 0.25, 9),
        (lambda message: label("angry"), "not used", 0.0, 0.25, 0),
    ],
)
def test_the_two_failures_of_few_shot_are_told_apart(
    project: Path,
    server: FakeOpenAI,
    answering: dict[str, Answering],
    by: Answering,
    finding: str,
    shown: float,
    others: float,
    copied: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answering["by"] = by
    found = prompts(project, capsys, "shown", "told")
    assert (found["finding"], found["shown"]["value"], found["others"]["value"]) == (finding, shown, others)
    assert (found["n_shown"], found["n_others"], found["copied"], found["n_copyable"]) == (3, 12, copied, 12)
    assert found["difference"]["low"] <= shown - others <= found["difference"]["high"]
    assert found["asked"] == 15 == len(server.bodies)
    assert prompts(project, capsys, "shown", "told")["asked"] == 0 and len(server.bodies) == 15
    rows = by_candidate(prompts(project, capsys, "list", "--split", "train"))
    assert rows["told"]["answers"] == 12 and rows["told"]["n"] == 0  # the answers of the check are none of the version
    assert run("prompts", "shown", "told", "-C", project) == 0
    out = capsys.readouterr().out
    assert "n 3: asked with their own answers in the prompt" in out and "others" in out


def test_with_a_selector_each_example_is_shown_itself_last_and_no_more_than_shots(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    found = prompts(project, capsys, "shown", "searching", "--limit", "5")
    assert (found["n_shown"], found["n_others"]) == (5, 5)
    for body in server.bodies:
        said = [message["content"] for message in body["messages"]]
        assert len(said) == 1 + 2 * 2 + 1
        assert (said[-3] == said[-1] and said[-2] == label(mood(said[-1]))) == said[-1].startswith("train")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "zzz"], 2, "'zzz' is no candidate and begins no version. Candidates: plain"),
        (["show", "recorded"], 2, "'recorded' is of family 'replay', which has no prompt"),
        (["diff", "plain", "plain"], 2, "both are teacher:small@"),
        (["test", "plain", "plain"], 2, "'teacher:small@"),
        (["test", "plain", "nix"], 2, "'nix' is no candidate"),
        (["shown", "plain"], 2, "'plain' has shots = 0: it is shown no examples"),
        (["shown", "voted"], 2, "'voted' is of family 'self-consistency'. Name one of family 'prompted'"),
        (["shown", "plian"], 2, "Did you mean 'plain'?"),
    ],
)
def test_bad_calls_get_one_line(
    project: Path, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("prompts", *arguments, "-C", project) == code
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and out == ""


def test_a_version_that_is_unclear_unanswered_or_not_kept_is_said_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = by_candidate(prompts(project, capsys, "list"))["plain"]["version"]

    def said(*arguments: str) -> str:
        assert run("prompts", *arguments, "-C", project) in (1, 2)
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    assert f"could be large@{version} or small@{version}" in said("show", version)
    assert f"No example of 'test' has an answer of teacher:small@{version}" in said("test", f"small@{version}", "large")
    assert "both are the same version" in said("test", f"small@{version}", "plain")
    assert run("evaluate", "recorded", "-C", project) == 0
    capsys.readouterr()
    assert "What teacher:old@abcdef01 was asked with is not kept" in said("show", "abcdef")
    assert "No teacher labels to score against" in said("test", "plain", "large", "--against", "teacher")


@pytest.mark.parametrize("verb", ["list", "show", "diff", "test", "shown"])
def test_every_verb_of_the_group_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prompts", verb, "--help") == 0
    out = capsys.readouterr().out
    assert f"tutelage prompts {verb}" in out and "Examples:" in out and "--json" in out
