"""First step of `reindex`: read the documents as they are now."""

from typing import NamedTuple

from kfp import dsl

from ragline.images import reference


@dsl.component(base_image=reference("local"), packages_to_install=[], install_kfp_package=False)
def snapshot_documents(
    documents_uri: str,
    documents: dsl.Output[dsl.Dataset],
    unreadable: dsl.Output[dsl.Artifact],
    text_field: str = "",
    max_file_megabytes: float = 64.0,
) -> NamedTuple("Outputs", [("digest", str)]):  # type: ignore[valid-type]  # the form that kfp reads
    """Read all documents of a folder or bucket, and name every file that cannot be read.

    Args:
        documents_uri: folder, S3 prefix (s3://bucket/prefix) or single file.
        documents: the documents' text, as Parquet.
        unreadable: what cannot be indexed and why, as JSON Lines.
        text_field: for JSON, the field that holds the text; empty for the usual names.
        max_file_megabytes: larger files are reported, not read.

    Returns:
        digest: of the corpus; equal for equal documents.
    """
    from pathlib import Path

    from ragline.progress import timed
    from ragline.reindex.snapshot import snapshot_documents as run

    with timed(documents.metadata):
        found = run(
            documents_uri,
            Path(documents.path),
            Path(unreadable.path),
            text_field=text_field,
            max_megabytes=max_file_megabytes,
        )
    documents.metadata["documents"] = found.documents
    return (found.digest,)
