"""A causal student's GGUF file, with the commands that serve it by llama.cpp, Ollama, vLLM and others."""

from __future__ import annotations

from tutelage.answering.alone.command import README
from tutelage.answering.alone.student import CARD, TASK
from tutelage.exporting.card import written
from tutelage.exporting.leaving import Files, Leaving, Target

SUFFIX = ".gguf"
MODELFILE = "Modelfile"


def _models(student: Leaving) -> list[str]:
    return [name for name in student.own_files() if name.endswith(SUFFIX)]


def _usage(student: Leaving, model: str, chat: bool) -> str:
    name = student.package.replace("_", "-")
    asked = (
        "Ask it as it was trained: the input alone as the user's message, without instructions; the answer is the task's JSON."
        if chat
        else "Ask it as it was trained (the prompt is in the artefact's JSON files) by the completions endpoint."
    )
    return f"""{asked}

```sh
llama-server -m {model} --port 8080 --temp 0        # llama.cpp: http://127.0.0.1:8080/v1
ollama create {name} -f {MODELFILE} && ollama run {name}
vllm serve ./{model} --tokenizer BASE               # BASE: the base model's folder or name, for its tokenizer
text-generation-launcher --model-gguf {model} --model-id BASE   # Text Generation Inference, its llama.cpp image
```"""


def _files(student: Leaving) -> Files:
    model = _models(student)[0]
    own: Files = {TASK: student.task_json(), CARD: student.card_json()}
    own[MODELFILE] = f"FROM ./{model}\nPARAMETER temperature 0\n".encode()
    return {**student.own_files(), **own, README: written(student, use=_usage(student, model, True)).encode()}


TARGET = Target(
    "the GGUF file with commands for llama.cpp, Ollama and vLLM", lambda s: bool(_models(s)), "no GGUF file", _files
)
