"""Questions from many fields, which few corpora answer: each release asks itself all of them (ragline.calibration)."""

from collections.abc import Callable
from importlib.resources import files

import numpy as np

from ragline import digests
from ragline.vectors import Vectors


def everyday_questions() -> list[str]:
    """Return the questions."""
    text = files("ragline").joinpath("everyday_questions.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


def question_vectors(vectors: Vectors, embed: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Return the embeddings of the questions, float32 [questions, dimensions]; each model embeds them once.

    Args:
        vectors: of the model.
        embed: the model, called only if it has not embedded them before.
    """
    questions = everyday_questions()
    return vectors.kept("questions-" + digests.of_json(questions)[:16], lambda: embed(questions))
