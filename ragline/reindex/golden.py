"""The golden questions of a corpus: an index that answers them worse than the current one does not go live."""

import logging

from ragline.answering import Answerer
from ragline.calibration import Calibration
from ragline.embedding.embedder import Embedder
from ragline.errors import GateError, NoReleaseError
from ragline.evaluation import Question, fetch_questions, score_questions
from ragline.release import Index
from ragline.retrieval import Retriever
from ragline.serving import open_answerer

_log = logging.getLogger(__name__)

SCORES = ("source_hit@4", "answer_contained")
"""What must not fall (`ragline.evaluation.score_questions`)."""


def check_golden(
    retriever: Retriever,
    calibration: Calibration,
    index: Index,
    embedder: Embedder,
    questions_uri: str,
    max_drop: float,
) -> dict[str, float]:
    """Ask the golden questions of the new index and of the current release, and return the new scores.

    Args:
        retriever: of the new index.
        calibration: of the new index.
        index: whose current release to compare with; without one there is nothing to compare.
        embedder: of the new index.
        questions_uri: JSON Lines of `ragline.evaluation.read_questions`, a file or s3:// object.
        max_drop: how far a score may fall.

    Raises:
        GateError: a score falls by more.
        InputError: the questions cannot be read.
    """
    questions = fetch_questions(questions_uri)
    after = _scores(questions, Answerer(retriever, embedder, calibration, "new"))
    try:
        release = index.pointer().release
        with open_answerer(index.store.uri, index.name, release=release) as current:
            before = _scores(questions, current)
    except NoReleaseError:
        return after
    fallen = [key for key in after if after[key] < before.get(key, 0.0) - max_drop]
    if fallen:
        told = ", ".join(f"{key} from {before[key]:.3f} to {after[key]:.3f}" for key in fallen)
        raise GateError(
            f"the golden questions {questions_uri} are answered worse: {told}, more than the allowed {max_drop:g}; "
            f"release {release} serves on. Look at the documents that changed, or allow more with max_drop"
        )
    _log.info("golden questions: %s, before %s", after, before)
    return after


def _scores(questions: list[Question], answerer: Answerer) -> dict[str, float]:
    scores = score_questions(questions, answerer.ask)
    return {key: round(value, 4) for key in SCORES if (value := scores[key]) is not None}
