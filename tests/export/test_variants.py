"""Variants are served when they find what float32 finds, and refused, with their figures, when they do not."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ragline.export.exported as exporting
from ragline.embedding.model import EmbeddingModel
from ragline.errors import GateError, InputError
from ragline.export.checks import CheckTexts, Limits, ndcg
from ragline.export.exported import Exported, export_model
from ragline.export.onnx import export_onnx
from ragline.export.triton_model import Encoder, read_description, start_encoder
from ragline.export.triton_repository import describe, join_repositories, version_of
from ragline.export.variants import Checker
from tests.export.conftest import PAIRS, TEXTS

LOOSE = Limits(mean_cosine=0.9, least_cosine=0.8, ndcg_loss=1.0)
"""What tiny models of random weights keep in eight bits."""


def version_folder(repository: Path, model: EmbeddingModel) -> Path:
    """Return where a model's version is."""
    return repository / "embedder" / str(version_of(model.digest))


def test_good_variants_are_served(m3: EmbeddingModel, tmp_path: Path) -> None:
    """All three, float32 last, with figures for the heads too."""
    exported = export_model(m3.folder, PAIRS, tmp_path, limits=LOOSE)
    assert (exported.digest, exported.heads) == (m3.digest, ("sparse", "multi_vector"))
    assert exported.agreement >= 0.9999
    variants = {variant.name: variant for variant in exported.variants}
    assert variants["fp32"].accepted
    assert variants["fp32"].mean_cosine == pytest.approx(1)
    assert variants["int8"].accepted, variants["int8"].reason
    assert 0.9 < variants["int8"].mean_cosine < 1
    assert set(variants["int8"].heads or {}) == {"token_weights", "multi_vectors"}
    assert exported.served[-1] == "fp32"
    names = {path.name for path in version_folder(tmp_path, m3).iterdir()}
    assert names == {"model.py", "model.onnx", "model.int8.onnx", "tokenizer.json", "embedder.json"}


def test_a_bad_variant_is_refused_with_its_figures(m3: EmbeddingModel, tmp_path: Path) -> None:
    """Nothing is dropped silently, and its file is not shipped."""
    strict = Limits(mean_cosine=0.9999999, least_cosine=0.9999999, ndcg_loss=0.0)
    exported = export_model(m3.folder, PAIRS, tmp_path, limits=strict, variants=["int8"])
    fp32, int8 = exported.variants
    assert (fp32.accepted, int8.accepted, exported.served) == (True, False, ("fp32",))
    assert int8.reason == f"mean cosine {int8.mean_cosine:.5f} is below 0.9999999"
    assert int8.bytes > 0
    assert int8.texts_per_cpu_second > 0
    assert not list(version_folder(tmp_path, m3).glob("*int8*"))


def test_a_variant_that_does_not_run_here_is_refused(
    m3: EmbeddingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export on a processor without bfloat16 says so and goes on."""
    import ragline.export.triton_model as triton_model

    def none(*_: Any) -> Any:
        raise RuntimeError("this processor has no bfloat16")

    monkeypatch.setattr(triton_model, "_openvino", none)
    exported = export_model(m3.folder, PAIRS, tmp_path, limits=LOOSE, variants=["bf16"])
    assert exported.variants[1].reason == "cannot be run here: this processor has no bfloat16"
    assert exported.served == ("fp32",)


@pytest.mark.parametrize(
    ("cosine", "found", "reason"),
    [
        ([1.0, 0.999], 0.80, ""),
        ([0.99, 0.99], 0.80, "mean cosine 0.99000 is below 0.995"),
        ([1.0] * 9 + [0.97], 0.80, "least cosine 0.97000 is below 0.98"),
        ([1.0], 0.79, "nDCG@10 falls from 0.8000 to 0.7900, by more than 0.005"),
        ([float("nan")], 0.80, "mean cosine nan is below 0.995"),
    ],
)
def test_limits(cosine: list[float], found: float, reason: str) -> None:
    """Each limit by itself; no number is never good enough."""
    assert Limits(0.995, 0.98, 0.005).broken(np.array(cosine), found, 0.80) == reason


def test_ndcg_of_known_ranks() -> None:
    """First is 1, second 0.63, beyond the tenth 0; equal scores count for the text that stands first."""
    texts = np.eye(12)
    first, second = texts[[3]], np.array([[0.9, 1.0] + [0.0] * 10])
    assert ndcg(first, texts, [3]) == 1
    assert ndcg(second, texts, [0]) == pytest.approx(1 / np.log2(3))
    assert ndcg(texts[[0]], texts, [11]) == 0
    assert ndcg(texts[[0]], texts, [1]) == pytest.approx(1 / np.log2(3))


def test_pairs_with_one_answer_share_its_text() -> None:
    """A corpus has each text once, or a right answer would count as wrong."""
    check = CheckTexts.from_pairs([("a", "x"), ("b", "y"), ("c", "x"), ("d", "z")], most=3)
    assert check == CheckTexts(("a", "b", "c"), ("x", "y"), (0, 1, 0))


def test_no_pairs_are_an_input_error(m3: EmbeddingModel, tmp_path: Path) -> None:
    """Nothing is served unmeasured."""
    with pytest.raises(InputError, match="no pairs to check the variants with"):
        export_model(m3.folder, [], tmp_path)


def test_an_export_that_is_not_the_model_is_refused(
    bert: EmbeddingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate, since the code that writes the graph is our own; nothing is left behind."""
    monkeypatch.setattr(exporting, "AGREEMENT", {"f32": 1.1, "bf16": 1.1})
    with pytest.raises(GateError, match="its ONNX file does not give its vectors"):
        export_model(bert.folder, PAIRS, tmp_path)
    assert list((tmp_path / "embedder").iterdir()) == []


def test_figures_are_json(bert: EmbeddingModel, tmp_path: Path) -> None:
    """What a pipeline step writes, the next one reads."""
    exported = export_model(bert.folder, PAIRS, tmp_path, limits=LOOSE)
    assert Exported.from_json(exported.to_json()) == exported
    assert json.loads(exported.to_json())["check"] == {"queries": 5, "texts": 5}


def test_exporting_again_replaces_the_version(bert: EmbeddingModel, tmp_path: Path) -> None:
    """The same digest, the same folder; another variant may be in it."""
    export_model(bert.folder, PAIRS, tmp_path, limits=LOOSE)
    export_model(bert.folder, PAIRS, tmp_path, variants=[])
    assert [variant["name"] for variant in read_description(version_folder(tmp_path, bert))["variants"]] == ["fp32"]


def test_a_server_falls_back_to_what_works(bert: EmbeddingModel, tmp_path: Path) -> None:
    """A variant that gives other vectors than at its export is not served; the reason is told."""
    export_model(bert.folder, PAIRS, tmp_path, limits=LOOSE, variants=["int8"])
    folder = version_folder(tmp_path, bert)
    description = read_description(folder)
    description["variants"][0]["least_cosine"] = 0.99999999
    told: list[str] = []
    encoder = start_encoder(folder, description, 1, told.append)
    assert encoder.variant == "fp32"
    assert len(told) == 1
    assert f"embedder {bert.digest[:12]} does not run as int8: cosine 0." in told[0]


def test_a_server_refuses_a_damaged_model(bert: EmbeddingModel, tmp_path: Path) -> None:
    """No variant is right: the version is not served, and Triton shows why."""
    export_model(bert.folder, PAIRS, tmp_path, variants=[])
    folder = version_folder(tmp_path, bert)
    (folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match="no variant works here: fp32: "):
        start_encoder(folder, read_description(folder), 1, lambda _: None)


def test_repositories_join(bert: EmbeddingModel, m3: EmbeddingModel, tmp_path: Path) -> None:
    """Two models side by side under their own numbers; joining again adds nothing and breaks nothing."""
    for model in (bert, m3):
        export_model(model.folder, PAIRS, tmp_path / model.name, variants=[])
    parts, joined = [tmp_path / "tiny-bert", tmp_path / "tiny-m3"], tmp_path / "joined"
    numbers = [version_of(bert.digest), version_of(m3.digest)]
    assert join_repositories(parts, joined) == numbers
    assert join_repositories(parts, joined) == numbers
    assert {path.name for path in (joined / "embedder").iterdir()} == {"config.pbtxt", *map(str, numbers)}
    shutil.rmtree(parts[0])
    folder = version_folder(joined, bert)
    assert isinstance(start_encoder(folder, read_description(folder), 1, print), Encoder)


def test_a_text_has_one_vector_whatever_the_threads(bert: EmbeddingModel, tmp_path: Path) -> None:
    """Runs side by side do not mix their rows."""
    export_model(bert.folder, PAIRS, tmp_path, variants=[])
    folder = version_folder(tmp_path, bert)
    texts = [*TEXTS, *("the release " * (number % 9) for number in range(120))]
    one, four = (start_encoder(folder, read_description(folder), threads, print).embed(texts) for threads in (1, 4))
    np.testing.assert_allclose(one, four, atol=2e-6)


def test_large_models_have_an_eight_bit_variant_too(m3: EmbeddingModel, tmp_path: Path) -> None:
    """With weights beside the graph, the quantised ones may be beside theirs."""
    onnx_model = export_onnx(m3, tmp_path / "model.onnx", inline_bytes=0)
    shutil.copy(m3.tokenizer, tmp_path)
    int8 = Checker(onnx_model, describe(m3), CheckTexts.from_pairs(PAIRS), LOOSE).variant("int8")
    assert int8.accepted, int8.reason
    assert 0 < int8.bytes < onnx_model.bytes
