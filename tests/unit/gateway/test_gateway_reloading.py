"""Newer artefacts and certificates take their place between two requests; what cannot be built leaves the old one serving."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cascades import run
from tests.gateways import Running, settings_of

from tutelage.gateway.opening import open_gateway
from tutelage.gateway.systems import Systems
from tutelage.project import Project, newest_artefact, open_project

TASK = """name = "topics"
output = "label"
labels = ["money", "weather"]
[candidates.first]
family = "linear"
labels = "gold"
[candidates.second]
family = "linear"
labels = "gold"
[candidates.both]
family = "cascade"
stages = ["first", "second"]
"""
WORDS = {"money": ["card", "transfer", "bank", "refund"], "weather": ["rain", "sun", "storm", "cloud"]}
SPLITS = {"train": 10, "dev": 6, "calibration": 30}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "topics"
    folder.mkdir()
    (folder / "task.toml").write_text(TASK, encoding="utf-8")
    for split, n in SPLITS.items():
        rows = [
            json.dumps({"text": f"a {word} {split} {at}", "label": label})
            for label, words in WORDS.items()
            for word in words
            for at in range(n)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(rows), encoding="utf-8")
        file = folder / f"{split}.jsonl"
        assert run("add", file, "--label", "label", "--split", split, "-C", folder) == 0
    assert run("train", "first", "second", "-C", folder) == 0
    assert run("calibrate", "both", "--max-loss", "0.1", "-C", folder) == 0
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Project:
    shutil.copytree(trained, tmp_path / "topics")
    return open_project(tmp_path / "topics")


def newer(project: Project, name: str) -> str:
    """Another artefact of the candidate, as training it again would make; its run's name."""
    folder = newest_artefact(project, name)
    assert folder is not None
    target = folder.with_name(f"29991231-000000-{name}")
    shutil.copytree(folder, project.folder / "half")
    (project.folder / "half").rename(target)
    return target.name


def serving(project: Project) -> Running:
    return Running(open_gateway(settings_of(tasks=["."]), project.folder, [project]))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_new_artefact_is_served_without_a_dropped_request(project: Project) -> None:
    running = serving(project)
    systems, statuses, stop = running.opened.systems, list[int](), threading.Event()

    def client() -> None:
        body = {"model": "first", "messages": [{"role": "user", "content": "my bank lost a card"}]}
        while not stop.is_set():
            statuses.append(running.post(body)[0])

    threads = [threading.Thread(target=client) for _ in range(4)]
    try:
        old = [key for key in systems.queues if key[1] == "first"]
        served = systems.slots["topics/first"].route.served
        for one in threads:
            one.start()
        until(lambda: len(statuses) > 50)
        run_id = newer(project, "first")
        until(lambda: systems.reloads.done == 1)
        at = len(statuses)
        until(lambda: len(statuses) > at + 50)
    finally:
        stop.set()
        for one in threads:
            one.join()
        running.stop()
    assert set(statuses) == {200}
    assert systems.slots["topics/first"].route.served is not served and served.use.count == 0
    assert systems.slots["topics/first"].signature["artefact of first"] == run_id
    new = systems.queues["topics", "first", run_id]
    assert new.counts.answered > 50 and new.plan.rate > 0  # it was warm before it was asked
    # The cascade's certificate is of the old artefact: it serves on, from memory.
    assert systems.reloads.failed == 1
    assert [key for key in old if key in systems.queues and systems.queues[key].users == 0] == old


def test_what_cannot_be_built_leaves_the_old_one_serving(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    running = serving(project)
    try:
        systems = running.opened.systems
        newer(project, "first")
        until(lambda: systems.reloads.failed == 1)
        time.sleep(0.2)
        asyncio.run(systems.look())
        assert systems.reloads.failed == 1  # it is not tried again and again
        _, headers = running.post({"model": "topics", "messages": [{"role": "user", "content": "the sun"}]})[1:]
        assert headers["x-tutelage-certificate"].endswith(" proved")
        status, body = running.get("/ready")
        said = json.loads(body)
        assert status == 200 and said["status"] == "ready"
        assert (
            len(said["problems"]) == 1
            and "topics/both is served as it was: The certificate of 'both'" in said["problems"][0]
        )
        assert sum("served as it was" in one.getMessage() for one in caplog.records) == 1
        certificate = headers["x-tutelage-certificate"]
        assert run("calibrate", "both", "--max-loss", "0.1", "-C", project.folder) == 0
        until(lambda: json.loads(running.get("/ready")[1])["problems"] == [])
        _, headers = running.post({"model": "topics", "messages": [{"role": "user", "content": "the sun"}]})[1:]
        assert headers["x-tutelage-certificate"] != certificate
    finally:
        running.stop()


def test_a_student_that_is_gone_from_disk_is_served_from_memory(project: Project) -> None:
    running = serving(project)
    try:
        shutil.rmtree(project.artefacts)
        until(lambda: json.loads(running.get("/ready")[1])["problems"] != [])
        problems = json.loads(running.get("/ready")[1])["problems"]
        assert "topics/first is served from memory: the artefact of first is gone." in problems
        assert running.ask("first", "the sun").choices[0].message.content == '{"label": "weather"}'
        assert running.opened.systems.reloads.failed == 0
    finally:
        running.stop()


def test_a_student_that_is_not_there_at_the_start_is_skipped_with_its_line(project: Project) -> None:
    folder = newest_artefact(project, "second")
    assert folder is not None
    shutil.rmtree(folder)
    opened = open_gateway(settings_of(tasks=["."]), project.folder, [project])
    assert "'second' is not trained yet" in opened.skipped["topics/second"]
    assert "topics/both" in opened.skipped and "topics/first" in opened.gateway.routes.by_name


def test_systems_share_a_students_queue(project: Project) -> None:
    systems = Systems()
    for name in ("first", "second", "both"):
        systems.add(project, name)
    assert sorted((key[1], queue.users) for key, queue in systems.queues.items()) == [("first", 2), ("second", 2)]
    asyncio.run(systems.close())
    assert {queue.users for queue in systems.queues.values()} == {0}


def test_the_students_are_warm_before_the_first_request(project: Project) -> None:
    running = serving(project)
    try:
        assert all(queue.plan.rate > 0 for queue in running.opened.systems.queues.values())
        measures = {(name, labels.get("student")): value for name, labels, value in running.opened.systems.measures()}
        assert measures["student_inputs_per_second", "first"] > 0
    finally:
        running.stop()


def test_a_hangup_makes_it_look_at_once(project: Project) -> None:
    async def serve() -> None:
        systems = Systems()
        systems.add(project, "first")
        await systems.start()
        await asyncio.sleep(0.1)
        newer(project, "first")
        start = time.monotonic()
        os.kill(os.getpid(), 1)
        while not systems.reloads.done:
            await asyncio.sleep(0.02)
            assert time.monotonic() < start + 20
        await systems.close()

    asyncio.run(serve())
