"""Compile all pipelines: `python -m pipelines [--output FOLDER]`."""

import argparse
from pathlib import Path

from kfp import compiler

from pipelines.finetune_embedder import finetune_embedder
from pipelines.reindex import reindex

PIPELINES = (reindex, finetune_embedder)
COMPILED = Path(__file__).parent.parent / "ragline" / "compiled"


def main() -> None:
    """Write one KFP IR YAML per pipeline."""
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    parser.add_argument("--output", type=Path, default=COMPILED, help="folder to write to (default: ragline/compiled)")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for pipeline in PIPELINES:
        path = output / f"{pipeline.name.replace('-', '_')}.yaml"  # kfp has no underscores in names
        compiler.Compiler().compile(pipeline, str(path))
        print(path)


if __name__ == "__main__":
    main()
