"""Fine-tuning an embedder on a corpus: training pairs, hard negatives, trainers, evaluation."""
