"""New inputs that a model writes for train: asked for, filtered, kept, and always marked as its own."""

from tutelage.labels.synthesis.running import SynthesisOptions, SynthesisReport, dry_run, synthesize
from tutelage.labels.synthesis.strategies import STRATEGIES, Hard, Seed, Strategy, plan, real_train
from tutelage.labels.synthesis.writing import Writer, WriterOptions, build_writer

__all__ = [
    "STRATEGIES",
    "Hard",
    "Seed",
    "Strategy",
    "SynthesisOptions",
    "SynthesisReport",
    "Writer",
    "WriterOptions",
    "build_writer",
    "dry_run",
    "plan",
    "real_train",
    "synthesize",
]
