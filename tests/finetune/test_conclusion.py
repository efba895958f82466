"""How a training ends when somebody else was quicker."""

from dataclasses import replace
from pathlib import Path

from ragline.finetune.comparison.evaluation import CHALLENGER, Evaluation
from ragline.finetune.comparison.gate import Verdict
from ragline.finetune.conclusion import Conclusion, standing_verdict
from ragline.finetune.trainers.training import Training
from tests.finetune.comparison.comparisons import comparison
from tests.registry_shelf import Shelf

BETTER = Verdict(True, "Promoted: better.")


def conclusion(name: str, evaluation: Evaluation, champion: str) -> Conclusion:
    """Return a training that the gate lets pass, compared with a champion."""
    training = Training(Path("model"), 1, 1, 2, 0.0, [], "sentence-transformers", "f32", "cpu", 256)
    return Conclusion(name, Path("model"), training, evaluation, BETTER, champion, "c", "run", Path("r"), {}, {})


def test_a_champion_that_came_meanwhile_is_not_replaced(shelf: Shelf, two_models: tuple[Path, Path]) -> None:
    """Nothing was compared with it; but a run that is tried again after its own promotion stays promoted."""
    number = shelf.register(two_models[0])
    shelf.registry.promote(shelf.name, str(number))
    champion = shelf.registry.version(shelf.name, "champion")
    evaluation = comparison([(5, 1)] * 20)
    late = standing_verdict(conclusion(shelf.name, evaluation, "all-MiniLM-L6-v2"))
    assert not late.promote
    assert f"{champion.reference} became the champion during the run" in late.reason
    assert standing_verdict(conclusion(shelf.name, evaluation, champion.reference)) == BETTER
    ours = replace(evaluation.models[CHALLENGER], digest=champion.digest)
    again = replace(evaluation, models={**evaluation.models, CHALLENGER: ours})
    assert standing_verdict(conclusion(shelf.name, again, "all-MiniLM-L6-v2")) == BETTER
