"""The vector store: a release of an index behind HTTP."""
