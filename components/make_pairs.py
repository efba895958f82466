"""Makes training pairs from the documents, from users' own pairs, and from a language model where one is named."""

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("train"), packages_to_install=[], install_kfp_package=False)
def make_pairs(
    documents: dsl.Input[dsl.Dataset],
    chunks: dsl.Input[dsl.Dataset],
    pairs: dsl.Output[dsl.Dataset],
    pairs_uri: str = "",
    llm_url: str = "",
    llm_model: str = "",
    questions_uri: str = "",
    test_share: float = 0.1,
    max_pairs: int = 20000,
    seed: int = 0,
) -> str:
    """Write training pairs, divided by document into those to train on and those to measure with; return their digest.

    Args:
        documents: of the snapshot.
        chunks: of the documents.
        pairs: query, passage, kind and split, as Parquet.
        pairs_uri: users' own pairs as JSON Lines (file or s3:// object), empty for none.
        llm_url: OpenAI-compatible endpoint that writes questions, empty for none.
        llm_model: name of its model.
        questions_uri: golden questions, which nothing is trained with.
        test_share: share of the chunks to measure with.
        max_pairs: most pairs from the documents.
        seed: of all that is drawn.
    """
    from dataclasses import asdict
    from pathlib import Path

    from ragline.finetune.examples.pairs import make_pairs as run
    from ragline.finetune.examples.questions import QuestionWriter
    from ragline.progress import timed

    with timed(pairs.metadata):
        made = run(
            Path(documents.path),
            Path(chunks.path),
            Path(pairs.path),
            seed=seed,
            test_share=test_share,
            max_pairs=max_pairs,
            pairs_uri=pairs_uri,
            questions_uri=questions_uri,
            questions=QuestionWriter(llm_url, llm_model) if llm_url else None,
        )
    pairs.metadata["pairs"] = asdict(made)
    return made.digest
