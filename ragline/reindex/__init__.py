"""The steps of the `reindex` pipeline, one module each: files in, files out."""
