"""The bare model for ONNX Runtime: model, tokenizer and names, with twenty lines that use them from numpy."""

from __future__ import annotations

from tutelage.answering.alone.command import README
from tutelage.answering.alone.student import CARD, TASK
from tutelage.answering.served import MODEL_FOLDER, STUDENT, read_facts
from tutelage.embeddings.runtime import MODEL
from tutelage.exporting.card import written
from tutelage.exporting.leaving import Files, Leaving, Target

_START = """```python
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

names = json.load(open("{student}", encoding="utf-8"))
tokenizer = Tokenizer.from_file("{folder}/tokenizer.json")
session = onnxruntime.InferenceSession("{folder}/model.onnx", providers=["CPUExecutionProvider"])
text = {text!r}
found = tokenizer.encode(text)
given = {{"input_ids": [found.ids], "attention_mask": [found.attention_mask], "token_type_ids": [found.type_ids]}}
{marks}wanted = [one.name for one in session.get_inputs()]
(output,) = session.run(None, {{name: np.array(given[name], np.int64) for name in wanted}})
"""
_MARKS = """words = {}  # how each word is written goes in as its pieces' type: 2 in capitals, 1 with a capital first, else 0
for word, (start, end) in zip(found.word_ids, found.offsets):
    words[word] = words.get(word, "") + text[start:end].strip()
kinds = {word: (2 if len(t) > 1 and t.isupper() else 1) if t[:1].isupper() else 0 for word, t in words.items()}
given["token_type_ids"] = [[0 if word is None else kinds[word] for word in found.word_ids]]
"""
_LABELS = """scores = np.exp(output[0] - output[0].max())
label = names["labels"][int(output[0].argmax())]
print(json.dumps({"label": label, "confidence": round(float(scores.max() / scores.sum()), 4)}))
```"""
_SEVERAL = """shares = 1 / (1 + np.exp(-output[0]))
print(json.dumps({"labels": [n for n, share in zip(names["labels"], shares) if share >= names["threshold"]]}))
```"""
_TAGS = """tags = output[0].argmax(-1)  # 0 outside, 1 begins a string, 2 goes on; a word has its first piece's
print(json.dumps([[piece, int(tag)] for piece, tag in zip(found.tokens, tags)]))
```"""
_VECTOR = """print(json.dumps({"output shape": list(output.shape)}))
```

This is the transformer alone; what the student makes of its output is in the wheel (`tutelage export --to wheel`)."""
_LONG = """

Texts longer than `max_length` of `{folder}/runtime.json` must be cut into windows, as the wheel does by itself."""


def usage(student: Leaving) -> str:
    """A program that answers one text, for the README."""
    facts = read_facts(student.folder) if (student.folder / STUDENT).is_file() else {}
    several = isinstance(facts.get("threshold"), float)
    end, marks = (_SEVERAL if several else _LABELS, "") if "labels" in facts else (_VECTOR, "")
    if "merge" in facts:
        end, marks = _TAGS, _MARKS
    text = "\n\n".join(f"{field}: ..." for field in student.task.fields) if len(student.task.fields) > 1 else "..."
    start = _START.format(student=STUDENT, folder=MODEL_FOLDER, text=text, marks=marks)
    return start + end + _LONG.format(folder=MODEL_FOLDER)


def _files(student: Leaving) -> Files:
    own: Files = {TASK: student.task_json(), CARD: student.card_json()}
    return {**student.own_files(), **own, README: written(student, use=usage(student)).encode()}


def _fits(student: Leaving) -> bool:
    return f"{MODEL_FOLDER}/{MODEL}" in student.artefact()


TARGET = Target(
    "the ONNX model, its tokenizer and names, with a program of twenty lines", _fits, "no ONNX model", _files
)
