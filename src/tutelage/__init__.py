"""tutelage: take a narrow text task from an expensive large model to the cheapest system that is provably as good."""

from tutelage.errors import TutelageError
from tutelage.types import Example, Label, Labelled, Prediction, Predictor, Usage

__version__ = "0.1.0"

__all__ = ["Example", "Label", "Labelled", "Prediction", "Predictor", "TutelageError", "Usage", "__version__"]
