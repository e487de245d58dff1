"""The pages of comparisons over HTTP: blind, escaped, and what does not fit refused with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.compared import compared_project

from tutelage.review.preferring import Kind, Preferring
from tutelage.web.app import make_app
from tutelage.web.preference_pages import address, routes

SCRIPT = "<script>alert(1)</script>"
JSON = {"accept": "application/json"}


def client(folder: Path, kind: Kind = "pair", name: str | None = "Ada") -> tuple[TestClient, Preferring]:
    answers = {"gardener": [f"Kind {at} {SCRIPT}" for at in range(4)], "locksmith": [f"Terse {at}" for at in range(4)]}
    project = compared_project(folder, answers)
    desk = Preferring(project, ["gardener", "locksmith"], "dev", kind)
    found = TestClient(make_app(project, routes(desk), {kind: address(desk)}), base_url="http://127.0.0.1:8101")
    if name:
        assert found.post("/name", data={"name": name, "next": "/"}).status_code == 200
    return found, desk


def hidden(page: str) -> dict[str, str]:
    """What the form of the question sends besides the verdict."""
    form = page.partition('id="asked"')[2].partition("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="(id|example)" value="(\w+)">', form))


def test_a_comparison_from_the_page_to_the_store_and_back(tmp_path: Path) -> None:
    web, desk = client(tmp_path)
    first = web.get("/")
    assert first.url.path == "/compare" and "0 of 4 answered" in first.text
    assert SCRIPT not in first.text and "&lt;script&gt;" in first.text
    assert not re.search("gardener|locksmith", first.text)
    asked = hidden(first.text)
    second = web.post("/compare", data={**asked, "better": "2", "seconds": "2.44", "note": " why\r\nnot "})
    assert second.url.params["after"] == asked["example"] and "1 of 4 answered" in second.text
    (stored,) = desk.project.store.preferences.stand()
    assert (stored.id, stored.scores, stored.seconds, stored.note) == (asked["id"], (0.0, 1.0), 2.4, "why\nnot")
    again = web.post("/compare", data={**asked, "better": "2"})
    assert again.status_code == 200 and "1 of 4 answered" in again.text
    other = web.post("/compare", data={**asked, "better": "1"}, headers=JSON)
    assert other.status_code == 409 and "compared elsewhere" in other.json()["error"]
    back = web.post("/compare/undo", data={"id": stored.id})
    assert back.url.params["at"] == asked["example"] and hidden(back.text)["example"] == asked["example"]
    assert hidden(back.text)["id"] != asked["id"] and desk.project.store.preferences.stand() == []


@pytest.mark.parametrize("better", ["", "3", SCRIPT])
def test_a_verdict_that_is_none_is_refused(tmp_path: Path, better: str) -> None:
    web, desk = client(tmp_path)
    refused = web.post("/compare", data={**hidden(web.get("/compare").text), "better": better}, headers=JSON)
    assert refused.status_code == 422 and "Say which answer is better: 1, 2, tie" in refused.json()["error"]
    assert web.post("/compare", data={"better": "1", "example": "x", "id": "y"}, headers=JSON).status_code == 422
    assert web.post("/compare", data={"better": better}).text.count(SCRIPT) == 0
    assert list(desk.project.store.preferences.read()) == []


@pytest.mark.parametrize(
    "scores", [{}, {"score-1": "4"}, {"score-1": "4", "score-2": "8"}, {"score-1": "4", "score-2": "x"}]
)
def test_scores_that_do_not_fit_are_refused(tmp_path: Path, scores: dict[str, str]) -> None:
    web, desk = client(tmp_path, "ranking")
    refused = web.post("/rank", data={**hidden(web.get("/rank").text), **scores}, headers=JSON)
    assert refused.status_code == 422 and "1 to 7" in refused.json()["error"]
    assert list(desk.project.store.preferences.read()) == []


def test_a_ranking_and_the_end(tmp_path: Path) -> None:
    web, desk = client(tmp_path, "ranking")
    page = web.get("/").text
    for _ in range(4):
        assert not re.search("gardener|locksmith", page)
        page = web.post("/rank", data={**hidden(page), "score-1": "7", "score-2": "1", "seconds": "nan"}).text
    assert "Everything was compared" in page and "4 of 4 answered" in page
    assert {(one.scores, one.seconds) for one in desk.project.store.preferences.stand()} == {((7.0, 1.0), None)}


def test_nobody_and_another_site_are_refused(tmp_path: Path) -> None:
    web, desk = client(tmp_path, name=None)
    assert "Who are you?" in web.get("/compare").text
    question = desk.next("Ada")
    assert question
    sent = {"id": question.id, "example": question.example.id, "better": "1"}
    assert web.post("/compare", data=sent).status_code == 401
    assert web.post("/name", data={"name": "Ada", "next": "/compare"}).status_code == 200
    assert web.post("/compare", data=sent, headers={"origin": "http://evil.example"}).status_code == 403
    assert "default-src 'none'" in web.get("/compare").headers["content-security-policy"]
    assert list(desk.project.store.preferences.read()) == []
