"""`tutelage serve` on a shipped example, used by OpenAI's clients for Python and Node and by curl, streams too."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tutelage.models.fake import FakeOpenAI, Script

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NODE = ROOT / ".cache" / "node"
"""Where `make` installs OpenAI's client for Node."""
TUTELAGE = [sys.executable, "-m", "tutelage"]
TEXT = "The printer on the second floor eats every page."

SCRIPT = """
import OpenAI from 'openai';
const client = new OpenAI({baseURL: process.argv[2], apiKey: 'none', maxRetries: 0});
const messages = [{role: 'user', content: process.argv[3]}];
const found = {models: []};
for await (const model of await client.models.list()) found.models.push(model.id);
const {data, response} = await client.chat.completions.create({model: 'desk/words', messages}).withResponse();
found.answer = data.choices[0].message.content;
found.source = response.headers.get('x-tutelage-source');
found.streamed = '';
for await (const chunk of await client.chat.completions.create({model: 'gpt', messages, stream: true}))
  found.streamed += chunk.choices[0]?.delta?.content ?? '';
found.response = (await client.responses.create({model: 'desk/words', input: process.argv[3]})).output_text;
try { await client.chat.completions.create({model: 'nobody', messages}); }
catch (error) { found.status = error.status; found.code = error.code; }
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer="It goes to printing.")) as server:
        yield server


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, upstream: FakeOpenAI) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served") / "desk"
    shutil.copytree(
        ROOT / "examples" / "desk", folder, ignore=shutil.ignore_patterns("tutelage.db*", "artefacts", "reports")
    )
    target = f'{{model = "fake", base_url = "{upstream.base_url}"}}'
    (folder / "gateway.toml").write_text(f"[upstreams.gpt]\ntargets = [{target}]\n", encoding="utf-8")
    for arguments in (["add", "messages.jsonl", "--label", "queue", "--source", "human:author"], ["train", "words"]):
        subprocess.run([*TUTELAGE, *arguments], cwd=folder, check=True, capture_output=True)
    command = [*TUTELAGE, "serve", "words", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"]
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) in (0, -signal.SIGTERM)


def test_the_python_client(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    assert {"desk", "desk/words", "words", "gpt"} <= {model.id for model in client.models.list()}
    whole = client.chat.completions.create(model="desk", messages=[{"role": "user", "content": TEXT}])
    assert json.loads(whole.choices[0].message.content or "") == {"label": "printing"}
    for model, wanted in (("desk/words", '{"label": "printing"}'), ("gpt", "It goes to printing.")):
        stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": TEXT}], stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text == wanted or json.loads(text) == json.loads(wanted)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])


def test_curl(url: str) -> None:
    body = json.dumps({"model": "desk", "messages": [{"role": "user", "content": TEXT}]})
    said = subprocess.run(
        ["curl", "-sS", "-i", f"{url}/chat/completions", "-d", body], capture_output=True, text=True, check=True
    )
    head, _, answer = said.stdout.replace("\r", "").partition("\n\n")
    assert head.startswith("HTTP/1.1 200") and "x-tutelage-confidence: " in head
    assert json.loads(json.loads(answer)["choices"][0]["message"]["content"]) == {"label": "printing"}
    inputs = json.dumps({"inputs": [TEXT, "My password has expired."]})
    said = subprocess.run(
        ["curl", "-sS", f"{url}/tasks/desk/predict", "-d", inputs], capture_output=True, text=True, check=True
    )
    assert [row["value"] for row in json.loads(said.stdout)["predictions"]] == ["printing", "access"]


def test_the_node_client(url: str) -> None:
    if shutil.which("node") is None or not (NODE / "node_modules" / "openai").is_dir():
        pytest.skip("Node or its OpenAI client is not installed. Run: npm install --prefix .cache/node openai")
    script = NODE / "ask.mjs"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(["node", str(script), url, TEXT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert json.loads(found["answer"]) == json.loads(found["response"]) == {"label": "printing"}
    assert (found["streamed"], found["source"]) == ("It goes to printing.", "words")
    assert (found["status"], found["code"]) == (404, "model_not_found")
    assert "desk" in found["models"]
