"""A causal student's GGUF file, with the commands that serve it by llama.cpp, Ollama, vLLM and Text Generation Inference.

What stood around a text in training is kept with the student as tokens; others get it as text: Ollama as the template of
its Modelfile, whoever asks a completions endpoint as the two ends of the prompt.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import NamedTuple

from tokenizers import Tokenizer

from tutelage.answering.alone.command import README
from tutelage.answering.alone.student import CARD, TASK
from tutelage.answering.served import STUDENT, read_facts
from tutelage.embeddings.runtime import TOKENIZER
from tutelage.exporting.card import written
from tutelage.exporting.leaving import Files, Leaving, Target

SUFFIX, MODELFILE = ".gguf", "Modelfile"


class Around(NamedTuple):
    """What stands before and after a text in the prompt."""

    before: str
    after: str


def _models(student: Leaving) -> list[str]:
    return [name for name in student.own_files() if name.endswith(SUFFIX)]


def around(student: Leaving, model: str) -> Around | None:
    """The ends of the prompt as text, where the student keeps them."""
    tokenizer = student.folder / PurePosixPath(model).parent / TOKENIZER
    facts = read_facts(student.folder) if (student.folder / STUDENT).is_file() else {}
    if not tokenizer.is_file() or not {"before", "after"} <= facts.keys():
        return None
    decode = Tokenizer.from_file(str(tokenizer)).decode
    return Around(*(decode(facts[end], skip_special_tokens=False) for end in ("before", "after")))


def _usage(student: Leaving, model: str, ends: Around | None) -> str:
    name = student.package.replace("_", "-")
    body = json.dumps(
        {"prompt": f"{ends.before}...{ends.after}" if ends else "...", "temperature": 0, "n_predict": 256}
    )
    return f"""```sh
llama-server -m {model} --port 8080                    # llama.cpp
curl -d {_quoted(body)} http://127.0.0.1:8080/completion     # "..." stands for the text
ollama create {name} -f {MODELFILE} && ollama run {name} "..."
vllm serve ./{model} --tokenizer BASE                  # BASE: the base model's folder or name, for its tokenizer
text-generation-launcher --model-gguf {model} --model-id BASE   # Text Generation Inference, its llama.cpp image
```

It learned exactly this prompt, without instructions. Served so, nothing binds its answers to the task's form: what it writes may
have to be refused. The wheel (`tutelage export --to wheel`) binds, reads and checks them, with confidences."""


def _quoted(text: str) -> str:
    """For a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _files(student: Leaving) -> Files:
    model = _models(student)[0]
    ends = around(student, model)
    own: Files = {TASK: student.task_json(), CARD: student.card_json()}
    template = f'TEMPLATE """{ends.before}{{{{ .Prompt }}}}{ends.after}"""\n' if ends else ""
    own[MODELFILE] = f"FROM ./{model}\n{template}PARAMETER temperature 0\n".encode()
    return {**student.own_files(), **own, README: written(student, use=_usage(student, model, ends)).encode()}


TARGET = Target(
    "the GGUF file with commands for llama.cpp, Ollama and vLLM", lambda s: bool(_models(s)), "no GGUF file", _files
)
