"""First step of `finetune_embedder`: prove that the registry can be written, and say which model is to be beaten."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def find_champion(model_name: str, base_model: str, store_uri: str) -> str:
    """Return the reference of the model that carries the alias `champion`, or the base model if none does.

    Args:
        model_name: of the registered model.
        base_model: model folder, hub id, or the embedded default's name.
        store_uri: object store that will keep the model.
    """
    from ragline.finetune.champion import find_champion as run

    return run(model_name, base_model, store_uri)
