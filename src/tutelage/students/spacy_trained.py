"""Family `spacy`: a pipeline with one trained component, by spaCy's own training: a text classifier for `label` and
`labels`, a named-entity recogniser for grounded `strings`.

`base` is `blank:en` (or another language's code), which learns everything from the examples, or an installed pipeline,
whose `tok2vec` is trained on and whose word vectors, if it has any, are features. spaCy keeps the step that does best on
dev. Saved by `to_disk`, as JSON and MessagePack; answered by spaCy without torch.
"""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import spacy
from spacy.language import DEFAULT_CONFIG, Language
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_loop
from spacy.util import filter_spans, load_config
from thinc.api import Config

from tutelage.answering import spans
from tutelage.answering.base import Answerer
from tutelage.answering.served import MODEL_FOLDER, STUDENT
from tutelage.answering.spacy import STRING, Spacy, clean, quiet
from tutelage.answering.spans import Merge, Span
from tutelage.errors import TrainingError
from tutelage.store import Origin
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.lesson import lesson, strings_f1
from tutelage.students.several import best_threshold, kind_of, labels_to_learn
from tutelage.students.sizing import Effort, hold_out
from tutelage.tasks import Task
from tutelage.types import Labelled

EPOCHS: dict[str, int] = {"low": 5, "medium": 20, "high": 60}
LEAST_STEPS: dict[str, int] = {"low": 60, "medium": 300, "high": 600}
MOST_STEPS = 20_000
BATCH_WORDS = 500
SCORES = {
    "ner": {"ents_f": 1.0},
    "textcat": {"cats_micro_f": 1.0},
    "textcat_multilabel": {"cats_macro_auc": 0.5, "cats_micro_f": 0.5},
}
"""What decides on dev which step is kept. Of several labels F1 at a half alone is 0 for long where examples are few."""
LOGGER = "tutelage.Progress.v1"


@dataclass(frozen=True)
class SpacySettings:
    """`steps` are the most updates; None means sized from the words of train and `effort`."""

    base: str = "blank:en"
    labels: Origin = "any"
    effort: Effort = "medium"
    steps: int | None = None
    dropout: float = 0.1
    threads: int | None = None
    """spaCy computes on one thread, whatever is set."""
    seed: int = 0

    def licence_of(self, path: Callable[[str], Path]) -> str | None:
        """The licence of the pipeline to start from, None of a blank one. Raises TrainingError where there is none."""
        start = _open(self.base, path)
        return str(start.meta.get("license") or "not stated") if "source" in start.meta else None


class SpacyStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "labels", "strings")
    answers_by: ClassVar[type[Answerer]] = Spacy
    answerer: Spacy | None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; spaCy chooses the step on `dev`, and after it threshold and merge rule are chosen there."""
        if len(train) < 2:
            raise TrainingError(f"'spacy' needs at least 2 labelled examples in train, found {len(train)}. Add more.")
        learned, chosen, origin = hold_out(train, dev, context.seed, kind_of(train))
        start = _open(self.settings.base, context.path)
        facts: dict[str, Any] = {"base": _facts(start), "chosen_on": origin}
        labels: list[str] = []
        merge: Merge = "none"
        if self.task.output == "strings":
            learnt = lesson("spacy", self.task, learned)
            merge, facts = learnt.merge, facts | learnt.facts
            judged = [spans.project(*self._place(one), list(one.value)).spans for one in chosen]
            documents = [self._marked(start, *pair) for pair in zip(learned, learnt.spans, strict=True)]
            held_out = [self._marked(start, *pair) for pair in zip(chosen, judged, strict=True)]
        else:
            labels = labels_to_learn("spacy", self.task, learned)
            documents = [self._classed(start, one, labels) for one in learned]
            held_out = [self._classed(start, one, labels) for one in chosen]
        folder, scores = self._train(start, documents, held_out, labels, context)
        self.answerer = Spacy(self.task, folder, labels)
        facts |= scores | self._settle(self.answerer, chosen, bool(dev), merge)
        if labels:
            facts["labels_without_examples"] = sorted(set(getattr(self.task, "labels", ())) - set(labels))
        context.progress(1.0, {})
        return facts

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError("This pipeline is not fitted. Call fit before save.")
        shutil.copytree(self.answerer.folder, folder / MODEL_FOLDER)
        facts = {"labels": self.answerer.labels, "threshold": self.answerer.threshold, "merge": self.answerer.merge}
        (folder / STUDENT).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _place(self, one: Labelled) -> tuple[str, list[Span]]:
        return self.task.input_text(one.example.input), spans.field_spans(self.task, one.example.input)

    def _classed(self, start: Language, one: Labelled, labels: Sequence[str]) -> Doc:
        document = start.make_doc(clean(self.task.input_text(one.example.input)) or " ")
        given = one.value if isinstance(one.value, list) else [one.value]
        document.cats = {label: float(label in given) for label in labels}
        return document

    def _marked(self, start: Language, one: Labelled, places: Sequence[Span]) -> Doc:
        document = start.make_doc(clean(self.task.input_text(one.example.input)))
        found = [document.char_span(*place, label=STRING, alignment_mode="expand") for place in places]
        document.set_ents(filter_spans([place for place in found if place is not None]), default="outside")
        return document

    def _train(
        self,
        start: Language,
        documents: Sequence[Doc],
        held_out: Sequence[Doc],
        labels: Sequence[str],
        context: FitContext,
    ) -> tuple[Path, dict[str, Any]]:
        """The folder of the best pipeline, and its score on dev by step."""
        files = {}
        for name, some in (("train", documents), ("dev", held_out)):
            files[name] = context.folder / f"{name}.spacy"
            DocBin(docs=some).to_disk(files[name])
        steps = self.settings.steps or _steps(self.settings.effort, sum(map(len, documents)))
        every = max(10, steps // 25)
        config = _config(self.task, self.settings, start, files, (steps, every))
        scores: list[float] = []
        spacy.registry.loggers.register(LOGGER, func=lambda: _logger(steps, scores, context))
        out = context.folder / "out"
        out.mkdir()
        try:
            with quiet():
                pipeline = init_nlp(config)
                train_loop(pipeline, out, stdout=io.StringIO(), stderr=io.StringIO())
        except (ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise TrainingError(f"spaCy cannot train on {self.settings.base!r}: {reason}") from None
        folder = out / "model-best"
        _forget(folder)
        return folder, {"steps": steps, "checked_every": every, "spacy_dev_scores": scores}

    def _settle(
        self, answerer: Spacy, chosen: Sequence[Labelled], given: bool, merge: Merge
    ) -> dict[str, float | str | None]:
        """Choose threshold or merge rule on `chosen`; the score there."""
        gold: list[Any] = [one.value for one in chosen]
        inputs = [one.example.input for one in chosen]
        if self.task.output == "strings":
            found = [strings for strings, _ in answerer.strings(inputs)]
            scores: dict[Merge, float] = {}
            # Without given dev labels the rule follows the lesson: a held-out tenth is too little to overrule it.
            for rule in spans.MERGES if given else (merge,):
                answerer.merge = rule
                scores[rule] = strings_f1(gold, [answerer.merged(strings, 1.0)[0] for strings in found])
            answerer.merge = max(scores, key=lambda rule: scores[rule])
            return {"merge": answerer.merge, "dev_f1": round(scores[answerer.merge], 4)}
        probabilities = answerer.probabilities([self.task.input_text(one) for one in inputs])
        if self.task.output == "labels":
            answerer.threshold, score = best_threshold(gold, answerer.labels, probabilities)
            return {"threshold": answerer.threshold, "dev_f1": round(score, 4)}
        right = [answerer.labels[at] == one for at, one in zip(probabilities.argmax(-1), gold, strict=True)]
        return {"dev_accuracy": round(float(np.mean(right)), 4)}


def _open(base: str, path: Callable[[str], Path]) -> Language:
    """The pipeline to start from. Raises TrainingError where there is none."""
    try:
        if base.startswith("blank:"):
            return spacy.blank(base.removeprefix("blank:"))
        with quiet():
            pipeline = spacy.load(_source(base, path))
    except (OSError, ImportError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"base = {base!r} is no spaCy pipeline ({reason}). Install it, give its folder, or set base = 'blank:en'."
        ) from None
    if "tok2vec" not in pipeline.pipe_names:
        raise TrainingError(
            f"base = {base!r} has no component 'tok2vec' to train on (it has {', '.join(pipeline.pipe_names)}). "
            "Choose a small or middle pipeline of spaCy, or set base = 'blank:en'."
        )
    pipeline.meta["source"] = _source(base, path)
    return pipeline


def _source(base: str, path: Callable[[str], Path]) -> str:
    folder = path(base)
    return str(folder.resolve()) if folder.is_dir() else base


def _facts(start: Language) -> dict[str, Any]:
    """What the card says of the base."""
    if "source" not in start.meta:
        return {"name": f"blank:{start.lang}", "licence": "none needed"}
    licence = start.meta.get("license") or "not stated"
    return {"name": f"{start.lang}_{start.meta['name']}", "version": start.meta["version"], "licence": licence}


def _steps(effort: str, words: int) -> int:
    return min(MOST_STEPS, max(LEAST_STEPS[effort], EPOCHS[effort] * math.ceil(words / BATCH_WORDS)))


def _config(
    task: Task, settings: SpacySettings, start: Language, files: Mapping[str, Path], pace: tuple[int, int]
) -> Config:
    """The configuration as `spacy train` reads it."""
    component = {"label": "textcat", "labels": "textcat_multilabel", "strings": "ner"}[task.output]
    components: dict[str, Any] = {component: {"factory": component}}
    source = start.meta.get("source")
    listener = None
    if source is not None:
        width = start.get_pipe("tok2vec").model.get_dim("nO")
        components["tok2vec"] = {"source": source}
        listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": width, "upstream": "tok2vec"}
    components[component] |= _model(component, listener, settings.effort)
    steps, every = pace
    merged: Config = DEFAULT_CONFIG.merge(
        {
            "nlp": {"lang": start.lang, "pipeline": ["tok2vec", component] if source else [component]},
            "components": components,
            "corpora": {
                name: {"@readers": "spacy.Corpus.v1", "path": str(file), "max_length": 0, "gold_preproc": False}
                for name, file in files.items()
            },
            "training": {
                "seed": settings.seed,
                "dropout": settings.dropout,
                "max_epochs": 0,
                "max_steps": steps,
                "eval_frequency": every,
                "patience": max(10 * every, 100),
                "score_weights": SCORES[component],
                "logger": {"@loggers": LOGGER},
                "batcher": {
                    "@batchers": "spacy.batch_by_words.v1",
                    "discard_oversize": False,
                    "tolerance": 0.2,
                    "size": {"@schedules": "compounding.v1", "start": 100, "stop": 1000, "compound": 1.01},
                },
            },
            "initialize": {"vectors": source if source and start.vocab.vectors_length else None},
        }
    )
    return merged


def _model(component: str, listener: Mapping[str, Any] | None, effort: str) -> dict[str, Any]:
    """The component's network where it is not spaCy's default: on a base's tok2vec, or for low effort words alone."""
    if component == "ner":
        model = {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 64,
            "maxout_pieces": 2,
            "use_upper": True,
            "tok2vec": listener,
        }
        return {"model": model} if listener else {}
    words = {
        "@architectures": "spacy.TextCatBOW.v3",
        "exclusive_classes": component == "textcat",
        "length": 65536,
        "ngram_size": 2,
        "no_output_layer": False,
    }
    if effort == "low":
        return {"model": words}
    network = listener or {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 96,
        "depth": 2,
        "embed_size": 2000,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
    }
    return {"model": {"@architectures": "spacy.TextCatEnsemble.v2", "linear_model": words, "tok2vec": network}}


def _logger(
    steps: int, scores: list[float], context: FitContext
) -> Callable[..., tuple[Callable[[Mapping[str, Any] | None], None], Callable[[], None]]]:
    """What spaCy calls after every step, with facts where it looked at dev."""

    def setup(_pipeline: Language, _out: Any = None, _error: Any = None) -> Any:
        done = 0
        shown: dict[str, object] = {}

        def log(info: Mapping[str, Any] | None) -> None:
            nonlocal done
            done += 1
            if info is not None:
                scores.append(round(float(info["score"]), 4))
                shown.update(loss=round(sum(map(float, info["losses"].values())), 3), dev=scores[-1])
            context.progress(0.99 * min(1.0, done / steps), dict(shown))

        return log, lambda: None

    return setup


def _forget(folder: Path) -> None:
    """Take this machine's paths, and what only training needs, out of the saved configuration."""
    file = folder / "config.cfg"
    config = load_config(file)
    for section in ("paths", "corpora"):
        config[section] = {}
    config["training"] = {}
    config["initialize"] = {}
    config.to_disk(file)


FAMILY = student_family(SpacyStudent, SpacySettings)
