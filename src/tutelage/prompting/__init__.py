"""Language models as predictors: prompts, bounded repair, confidence, cost."""

from tutelage.prompting.family import FAMILY, build_prompted
from tutelage.prompting.prompted import Asked, Estimate, Prompted
from tutelage.prompting.settings import PromptedSettings

__all__ = ["FAMILY", "Asked", "Estimate", "Prompted", "PromptedSettings", "build_prompted"]
