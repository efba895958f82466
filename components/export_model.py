"""Keeps the trained model under its digest, and exports it for the embedder service."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def export_model(
    model: dsl.Input[dsl.Model],
    pairs: dsl.Input[dsl.Dataset],
    exported: dsl.Output[dsl.Artifact],
    model_name: str,
    store_uri: str,
) -> None:
    """Store the model and its version of a Triton repository: ONNX, and the faster variants that are as good.

    Args:
        model: of `fine_tune`.
        pairs: of `make_pairs`; variants are measured with those kept out of training.
        exported: variants and what was measured of them, as JSON.
        model_name: of the registered model.
        store_uri: object store of models.
    """
    from pathlib import Path

    from ragline.finetune.conclusion import export_for_serving
    from ragline.progress import timed

    with timed(exported.metadata):
        made = export_for_serving(Path(model.path), Path(pairs.path), model_name, store_uri)
        Path(exported.path).write_text(made.to_json(), encoding="utf-8")
