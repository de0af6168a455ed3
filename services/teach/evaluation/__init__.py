"""How well a recipe judges labelled pictures: every figure an auditor asks for, with its interval."""

from services.teach.evaluation.figures import Evaluation, Rate
from services.teach.evaluation.measure import evaluate
from services.teach.evaluation.outcomes import Outcome, Outcomes

__all__ = ["Evaluation", "Outcome", "Outcomes", "Rate", "evaluate"]
