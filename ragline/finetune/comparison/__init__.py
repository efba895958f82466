"""Whether a trained embedder is better than the one in use, and the page that shows it."""
