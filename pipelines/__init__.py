"""One KFP pipeline per file: wiring only. `python -m pipelines` compiles them all."""
