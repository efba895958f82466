"""Training an embedder on pairs."""
