"""Orders in which people look at examples: what comes first, why, and what happens to examples that come later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cascades import make_project, run
from tests.panels import recorded_project

from tutelage.errors import UnknownName, UsageError
from tutelage.labels.splitting import example_id
from tutelage.project import Project
from tutelage.review.orders import audit_order, order
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.store import Queued, open_store
from tutelage.types import Example, Label


def added(project: Project, text: str) -> str:
    given = {"text": text}
    project.store.examples.add([Example(example_id(given), given, "dev")])
    return example_id(given)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Ten examples of dev; `a` is less sure of each, `b` says no to every fifth."""
    models = {
        "a": lambda at: ("yes", 1 - at / 10),
        "b": lambda at: ("no" if at % 5 == 0 else "yes", None),
    }
    return recorded_project(tmp_path, models, "", 10, ["dev"])


def ids(project: Project) -> list[str]:
    return project.store.examples.ids("dev")


def test_as_they_came_and_new_ones_at_the_end(project: Project) -> None:
    before = ids(project)
    assert [one.example_id for one in order(project, "file", "dev")] == before
    new = added(project, "later")
    assert [one.example_id for one in order(project, "file", "dev")] == [*before, new]


def test_the_least_confident_first(project: Project) -> None:
    found = order(project, "doubtful", "dev")
    assert [one.example_id for one in found] == ids(project)[::-1]
    assert found[0].reason == "a is 0.10 sure"
    new = added(project, "later")
    again = order(project, "doubtful", "dev")
    assert (again[:-1], again[-1].example_id, again[-1].score) == (found, new, None)


def test_those_on_which_answers_differ_first(project: Project) -> None:
    found = order(project, "disagree", "dev")
    assert {one.example_id for one in found[:2]} == {ids(project)[0], ids(project)[5]}
    assert found[0].reason == "the label and a: yes; b: no"
    assert len({one.example_id for one in found}) == 10


def test_an_audit_is_drawn_at_random_and_new_examples_fall_into_it_anywhere(project: Project) -> None:
    found = order(project, "audit", "dev")
    assert [one.example_id for one in found] == audit_order(ids(project), "audit") != ids(project)
    for number in range(20):
        added(project, f"later {number}")
    again = [one.example_id for one in order(project, "audit", "dev")]
    assert again == audit_order(ids(project), "audit")
    assert again[:10] != [one.example_id for one in found]


def test_an_order_is_kept_until_it_is_made_anew(project: Project) -> None:
    first = order(project, "disagree", "dev")
    project.store.queues.put("disagree", "dev", first[::-1])
    assert order(project, "disagree", "dev") == first[::-1]
    assert order(project, "disagree", "dev", refresh=True) == first


def test_what_has_nothing_to_go_by_says_what_to_do(project: Project) -> None:
    with pytest.raises(UnknownName, match="not a known order"):
        order(project, "doubtfull", "dev")
    with pytest.raises(UsageError, match="tutelage evaluate NAME --split train --unlabelled"):
        order(project, "doubtful", "train")
    with pytest.raises(UsageError, match="Fewer than two have answered"):
        order(project, "disagree", "train")


def test_the_least_like_what_is_labelled_first(project: Project) -> None:
    with pytest.raises(UsageError, match="No example of train has a label"):
        order(project, "novel", "dev")
    for text in ("question 1 of train", "question 22 of train", "question 7 of train"):
        given = {"text": text}
        project.store.examples.add([Example(example_id(given), given, "train")])
        project.store.labels.add([Label(example_id(given), "yes", "human:ada")])
    odd = added(project, "where did my parcel go")
    first = order(project, "novel", "dev")[0]
    assert (first.example_id, first.reason) == (odd, "1.00 from the nearest labelled text")
    # What is labelled itself is compared with the others.
    assert all(0 < (one.score or 0) < 1 for one in order(project, "novel", "train"))


def test_the_nearest_to_a_certified_threshold_first(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with pytest.raises(UsageError, match="tutelage calibrate NAME"):
        order(project, "threshold", "test")
    assert run("calibrate", "cascade", "-C", tmp_path, "--max-loss", "0.1") == 0
    at = read_certificate(certificate_path(project, "cascade")).threshold
    assert at is not None
    found = order(project, "threshold", "calibration")
    far = [abs((one.score or 0.0) - at) for one in found]
    assert far == sorted(far) and f"cascade asks from {at:.2f} down" in (found[0].reason or "")
    with pytest.raises(UsageError, match="'student', the first stage of 'cascade', has not answered 'train'"):
        order(project, "threshold", "train")


def test_an_order_made_by_several_at_once_is_whole(database_url: str) -> None:
    stores = [open_store(database_url) for _ in range(4)]
    queue = [Queued(f"{at:032x}", float(at)) for at in range(300)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda store: store.queues.put("errors", "train", queue), stores))
    assert stores[0].queues.read("errors", "train") == queue
    for store in stores:
        store.close()
