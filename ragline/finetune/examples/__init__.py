"""What an embedder is trained and measured with: pairs from documents, and passages that look like answers."""
