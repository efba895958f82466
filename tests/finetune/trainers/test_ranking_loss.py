"""The loss in groups of one length is sentence-transformers' loss."""

from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="trains models: pip install 'ragline[train]'")

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from ragline.finetune.trainers import ranking_loss as module
from tests.embedding.conftest import tiny_model

pytestmark = pytest.mark.filterwarnings("default")
TEXTS = (
    ["the release", "roll", "abc def", "a"],
    ["the release rolling back abc def", "roll the release", "abc def ghi jkl mno pqr stu", "a b c"],
    ["x", "y z", "the back", "release"],
)


@pytest.mark.parametrize("dimensions", [(), (32, 8)])
def test_same_value_and_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dimensions: tuple[int, ...]) -> None:
    """Also with groups of few texts, mined negatives and shorter vectors."""
    monkeypatch.setattr(module, "GROUP_TOKENS", 32)
    model = SentenceTransformer(str(tiny_model(tmp_path / "model")), device="cpu").eval()
    reference = MultipleNegativesRankingLoss(model, scale=10)
    expected = _step(model, MatryoshkaLoss(model, reference, list(dimensions)) if dimensions else reference)
    ours = module.ranking_loss(
        model, scale=10, mini_batch=0, dimensions=dimensions, padding=1, device="cpu", bf16=False
    )
    loss, gradients = _step(model, ours)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert gradients.keys() == expected[1].keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[1][name], rtol=1e-3, atol=1e-5)


def _step(model: SentenceTransformer, loss: torch.nn.Module) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    value = loss([model.preprocess(texts) for texts in TEXTS], None)
    value.backward()
    return value.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
