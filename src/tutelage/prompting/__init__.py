"""Language models as predictors: prompts, bounded repair, confidence, cost."""

from tutelage.prompting.family import FAMILY, build_prompted
from tutelage.prompting.prompted import Prompted, PromptedSettings

__all__ = ["FAMILY", "Prompted", "PromptedSettings", "build_prompted"]
