"""Students and other models that run here: one file a family, one row each."""

from tutelage.registry import Table

FAMILIES = Table(
    "students",
    "student family",
    {
        "linear": "tutelage.students.linear:FAMILY",
        "encoder": "tutelage.students.encoder:FAMILY",
        "setfit": "tutelage.students.setfit:FAMILY",
        "white-box": "tutelage.students.distilled:FAMILY",
        "tagger": "tutelage.students.tagger:FAMILY",
        "multitask-tagger": "tutelage.students.multitask:FAMILY",
        "seq2seq": "tutelage.students.seq2seq:FAMILY",
        "causal": "tutelage.students.causal:FAMILY",
        "soft-prompt": "tutelage.students.soft_prompt:FAMILY",
        "spacy": "tutelage.students.spacy_trained:FAMILY",
        "pretrained-ner": "tutelage.students.pretrained:FAMILY",
    },
)

__all__ = ["FAMILIES"]
