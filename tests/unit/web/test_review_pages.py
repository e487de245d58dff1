"""The review pages without a browser's script: plain forms, what is refused and what stands on the page then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.reviews import TOPICS, a_review, listed, say

from tutelage.project import Project
from tutelage.review.desk import Desk
from tutelage.types import Label
from tutelage.web.app import make_app
from tutelage.web.guard import POLICY
from tutelage.web.review_pages import LINKS, routes

URL = "http://127.0.0.1:8100"
HOSTILE = "\"><script>alert('x')</script>"
RECORD = """output = "record"
[schema]
required = ["total"]
[schema.properties]
vendor = {type = "string", description = "As printed."}
total = {type = "number", minimum = 0}
paid = {type = "boolean"}
currency = {type = "string", enum = ["EUR", "USD"]}
days = {type = "integer", enum = [14, 30]}
items = {type = "array", items = {type = "string"}}
"""


def client(project: Project, name: str | None = "ann", order: str = "file") -> TestClient:
    app = make_app(project, routes(Desk(project, "train"), order), LINKS)
    return TestClient(app, URL, cookies={"tutelage_annotator": name} if name else {}, raise_server_exceptions=False)


def fields(page: str, form: str = "decision") -> dict[str, str]:
    """What a browser would send of a form, without its buttons: hidden fields, texts, what is checked or selected."""
    found = re.search(rf'<form[^>]*id="{form}".*?</form>', page, re.DOTALL)
    assert found is not None
    sent = {}
    for tag in re.findall(r"<input[^>]*>", found.group()):
        known = {name: unescape(value) for name, value in re.findall(r'([a-z]+)="([^"]*)"', tag)}
        if "name" in known and (known.get("type") != "checkbox" or " checked" in tag):
            sent[known["name"]] = known.get("value", "on")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>', found.group(), re.DOTALL):
        sent[name] = unescape(text)
    for name, options in re.findall(r'<select[^>]*name="([^"]*)".*?>(.*?)</select>', found.group(), re.DOTALL):
        chosen = re.search(r"<option selected>([^<]*)", options)
        sent[name] = unescape(chosen.group(1)) if chosen else ""
    return sent


def post(ann: TestClient, id: str, verdict: str, changes: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Open the page of an example and send its form with these changes; the status and the page that follows."""
    sent = fields(ann.get(f"/review/{id}").text) | {"verdict": verdict} | dict(changes or {})
    answer = ann.post(f"/review/{id}", data=sent)
    return answer.status_code, answer.text


def said(project: Project) -> list[tuple[str, object]]:
    return [(one.verdict, one.value) for one in project.store.decisions.read()]


def test_a_name_is_asked_for_once(tmp_path: Path) -> None:
    ann = client(a_review(tmp_path), None)
    assert "Who are you?" in ann.get("/").text
    assert "An annotator needs a name" in ann.post("/name", data={"name": " ", "next": "/table"}).text
    answer = ann.post("/name", data={"name": "Änn O'Hara", "next": "//evil.example/"}, follow_redirects=False)
    assert answer.headers["location"] == "/"
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
    assert "Änn O&#39;Hara" in ann.get("/").text and "/review/e0?order=file" in str(ann.get("/").url)


def test_only_the_annotators_named_may_review(tmp_path: Path) -> None:
    ann = client(a_review(tmp_path, more=f"annotators = {listed(['ann', 'ben'])}\n"), "eve")
    asked = ann.get("/review").text
    assert "Who are you?" in asked and "<option>ben</option>" in asked
    assert "is not among [review] annotators" in unescape(ann.post("/name", data={"name": "eve"}).text)


def test_a_decision_without_a_name_keeps_what_was_typed(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    ann = client(project)
    sent = fields(ann.get("/review/e0").text) | {"verdict": "edit", "value": "sport", "note": "kept"}
    ann.cookies.clear()
    answer = ann.post("/review/e0", data=sent)
    assert answer.status_code == 422 and "An annotator needs a name" in answer.text
    again = fields(answer.text)
    assert (again["value"], again["note"]) == ("sport", "kept") and said(project) == []
    ann.post("/review/e0", data=again | {"verdict": "edit", "annotator": "ben"})
    assert [(one.annotator, one.value) for one in project.store.decisions.read()] == [("ben", "sport")]
    assert "ben" in ann.get("/review").text


def test_what_is_refused_stays_on_the_page(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    ann = client(project)
    status, page = post(ann, "e0", "edit", {"value": "spurt", "note": "a note", "tag": "wording"})
    assert status == 422 and "'spurt' is not a label of task 'topics'. Labels: money" in unescape(page)
    assert (fields(page)["value"], fields(page)["note"]) == ("spurt", "a note")
    assert 'value="wording" checked' in page
    assert post(ann, "e0", "accept", {"value": "sport"})[0] == 422
    assert post(ann, "e0", "accept", {"tag": "odd"})[0] == 422
    assert said(project) == []
    assert post(ann, "e0", "accept")[0] == 200
    assert said(project) == [("accept", "money")]


def test_a_stale_page_is_refused_and_shows_what_was_said(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    ann = client(project)
    old = fields(ann.get("/review/e0").text) | {"verdict": "edit", "value": "sport"}
    post(ann, "e0", "accept")
    answer = ann.post("/review/e0", data=old)
    assert answer.status_code == 409 and "decided elsewhere" in answer.text
    assert "You have decided this one: <b>Accepted</b>" in answer.text
    assert fields(answer.text)["value"] == "sport"
    asked = ann.post("/review/e0", data=old, headers={"accept": "application/json"})
    assert asked.status_code == 409 and "Nothing was stored" in asked.json()["error"]
    ann.post("/review/e0", data=fields(answer.text) | {"verdict": "edit"})  # now knowingly
    assert said(project) == [("accept", "money"), ("edit", "sport")]


def test_records_are_edited_field_by_field(tmp_path: Path) -> None:
    value = {"vendor": "Acme", "total": 1200.5, "paid": None, "currency": "EUR", "days": 30, "items": ["a", "b"]}
    project = a_review(tmp_path, RECORD, [value, value])
    ann = client(project)
    form = fields(ann.get("/review/e0").text)
    assert form["value.total"] == "1200.5" and form["value.items"] == "a\nb" and form["value.days"] == "30"
    assert "a list, one text a line" in ann.get("/review/e0").text and "As printed." in ann.get("/review/e0").text
    assert post(ann, "e0", "accept")[0] == 200
    status, page = post(ann, "e1", "edit", {"value.total": "-3", "value.paid": "true"})
    assert status == 422 and "total: -3" in page and fields(page)["value.total"] == "-3"
    assert post(ann, "e1", "edit", {"value.total": "3", "value.paid": "true", "value.items": "c\r\n\r\n"})[0] == 200
    assert said(project) == [("accept", value), ("edit", value | {"total": 3, "paid": True, "items": ["c"]})]


def test_lists_of_labels_and_strings_and_texts(tmp_path: Path) -> None:
    several = a_review(tmp_path / "labels", TOPICS.replace('"label"', '"labels"'), [["money", "sport"]])
    ann = client(several)
    sent = fields(ann.get("/review/e0").text) | {"verdict": "edit", "value": "weather"}
    ann.post("/review/e0", data=sent)
    assert said(several) == [("edit", ["weather"])]
    strings = a_review(tmp_path / "strings", 'output = "strings"\ngrounded = true\n', [["Ann"]])
    ann = client(strings)
    assert "<mark>Ann</mark>" in ann.get("/review/e0").text
    assert post(ann, "e0", "edit", {"value": "Ann\n\n Captain Flint \nFlint"})[0] == 200
    assert said(strings) == [("edit", ["Ann", "Captain Flint", "Flint"])]
    assert "<mark>Captain Flint</mark> met <mark>Ann</mark>" in ann.get("/review/e0").text
    text = a_review(tmp_path / "text", 'output = "text"\nmax_characters = 8\n', ["short"])
    ann = client(text)
    status, page = post(ann, "e0", "edit", {"value": "far too long"})
    assert status == 422 and "12 characters of at most 8" in page and fields(page)["anyway"] == "1"
    ann.post("/review/e0", data=fields(page) | {"verdict": "edit"})
    assert said(text) == [("edit", "far too long")]


def test_the_table_accepts_what_is_checked_or_all(tmp_path: Path) -> None:
    project = a_review(tmp_path, suggested=["money"] * 30)
    ann = client(project)
    sent = fields(ann.get("/table?rows=10").text, "bulk")
    answer = ann.post("/table", data=sent | {"accept": "checked", "row": ["e1", "e3"]})
    assert "2 accepted." in answer.text and answer.url.path == "/table"
    assert ann.post("/table", data=sent | {"accept": "checked"}).status_code == 422
    project.store.labels.add([Label("e0", "sport", "teacher:m@2")])
    rows = [f"e{at}" for at in range(10)]
    answer = ann.post("/table", data=sent | {"accept": "shown", "all": rows})
    assert answer.status_code == 422 and "9 accepted, 1 refused. Another answer is suggested" in answer.text
    assert [one.example_id for one in project.store.decisions.read()] == [
        "e1",
        "e3",
        "e2",
        *rows[4:],
    ]  # those sent again once
    ann.post("/table", data=fields(ann.get("/table").text, "bulk") | {"accept": "e0"})
    assert said(project)[-1] == ("accept", "sport")


def test_conflicts_are_settled_and_undone(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    ann = client(project)
    desk = Desk(project, "train")
    assert "Nobody contradicts" in ann.get("/conflicts").text
    say(desk, "e0", "d0", "ann", "edit", "sport")
    say(desk, "e0", "d1", "ben", "edit", "weather")
    assert "of 1 example." in ann.get("/conflicts").text
    page = ann.get("/conflicts/e0").text
    assert "ben is right" in page
    answer = ann.post("/conflicts/e0", data=fields(page) | {"take": "ann"})
    assert answer.url.path == "/conflicts" and "Nobody contradicts" in answer.text
    assert [(one.purpose, one.value) for one in project.store.decisions.read()][-1] == ("conflict", "sport")
    done = ann.get("/review/e5").text
    answer = ann.post("/undo", data=fields(done, "undo"))
    assert answer.url.path == "/conflicts/e0"
    assert ann.post("/undo", data=fields(done, "undo")).url.path == "/conflicts/e0"  # sent again
    assert len(list(project.store.decisions.read())) == 4


def test_doubled_examples_are_blind(tmp_path: Path) -> None:
    project = a_review(tmp_path, more="double = 1.0\n")
    say(Desk(project, "train"), "e0", "d0", "ben", "edit", "weather")
    ann = client(project)
    page = ann.get("/review/e0").text
    assert "each alone" in page and "ben" not in page and 'value="money"' in page.partition("<datalist")[2]
    assert fields(page)["value"] == "" and 'value="accept"' not in page
    assert post(ann, "e0", "accept")[0] == 422
    assert post(ann, "e0", "edit", {"value": "sport"})[0] == 200
    assert ann.get("/conflicts").text.count("<b>ben</b>") == 1
    assert "Nothing is left for you" in ann.get("/table").text


def test_the_end_progress_and_orders(tmp_path: Path) -> None:
    project = a_review(tmp_path, suggested=["money"] * 2)
    ann = client(project)
    assert "This order cannot be made" in ann.get("/review?order=threshold").text
    assert ann.get("/table?order=threshold").status_code == 422
    assert ann.get("/review?order=nonsense").url.path == "/review/e0"
    post(ann, "e0", "accept")
    assert post(ann, "e1", "skip")[1].count("Look at the 1 that you skipped") == 1
    assert ann.get("/review?order=skipped").url.path == "/review/e1"
    progress = ann.get("/progress").text
    assert "teacher:m@1" in progress and "100% <small>21% to 100%</small>" in progress


def test_everything_is_escaped_and_nothing_may_run(tmp_path: Path) -> None:
    task = f'output = "label"\nlabels = {listed([HOSTILE, "b"])}\ninstructions = {listed([HOSTILE])[1:-1]}\n'
    project = a_review(tmp_path, task, [HOSTILE] * 3, more=f"tags = {listed([HOSTILE])}\n")
    ann = client(project, "a%3Cscript%3E")
    post(ann, "e0", "accept", {"tag": HOSTILE, "note": HOSTILE})
    say(Desk(project, "train"), "e0", "d1", HOSTILE[:50], "edit", "b")
    for path in ("/review/e0", "/review/e1", "/table", "/conflicts", "/conflicts/e0", "/progress", f"/{HOSTILE}"):
        answer = ann.get(path)
        assert "<script>" not in answer.text and answer.headers["content-security-policy"] == POLICY
        assert re.findall(r"<script(?! src=\"/static/)", answer.text) == [] and " onclick" not in answer.text
    assert ann.get("/review/nothing").status_code == 422
    assert "no page at" in ann.get("/nowhere").text


def test_other_sites_are_kept_out(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    ann = client(project)
    sent = fields(ann.get("/review/e0").text) | {"verdict": "accept"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert ann.post("/review/e0", data=sent, headers=headers).status_code == 403
    assert ann.get("/review/e0", headers={"host": "evil.example"}).status_code == 400
    assert ann.post("/review/e0", content=b"x" * 4_000_001).status_code == 422
    assert ann.post("/review/e0", content=b"value=%ff").status_code == 422
    assert said(project) == []
    assert ann.post("/review/e0", data=sent, headers={"origin": URL}).status_code == 200


@pytest.mark.parametrize("asset", ["page.css", "review.css", "review.js", "editors.js"])
def test_assets_are_shipped(tmp_path: Path, asset: str) -> None:
    assert client(a_review(tmp_path)).get(f"/static/{asset}").status_code == 200
