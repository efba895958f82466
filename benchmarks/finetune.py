"""How much better an embedder gets from documents alone, and what that takes.

    python -m benchmarks.finetune

Each set runs in a process of its own: documents -> pairs -> hard negatives -> training -> comparison with the model it
started from, on held-out questions. No labels are used on the two sets of documentation. docs-determined has questions
of its own, which nothing was trained on: they must not be answered worse. SciFact gives its training judgments as a
user's own pairs; what counts is nDCG@10 of its test queries over the whole corpus, by vectors alone.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpora
from benchmarks.processes import measure
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import DEFAULT
from ragline.evaluation import read_beir, read_questions, score_run
from ragline.finetune.comparison.evaluation import GOLDEN, Evaluation, evaluate_models
from ragline.finetune.comparison.gate import GOLDEN_METRIC, verdict
from ragline.finetune.comparison.ranking import Ranking
from ragline.finetune.comparison.report import write_report
from ragline.finetune.examples.negatives import mine_negatives
from ragline.finetune.examples.pairs import make_pairs
from ragline.finetune.examples.scrubbing import passage_text
from ragline.finetune.trainers.training import TrainingPlan, train
from ragline.reindex.chunk import chunk_documents
from ragline.reindex.snapshot import snapshot_documents
from ragline.tables import read_chunks

DOCUMENTATION = {
    "docs-determined": "docs-determined/snapshot-2024-05-31",
    "docs-kubeflow": "docs-kubeflow/snapshot-2025-08-29",
}
SCIFACT = "scifact"
SETS = (*DOCUMENTATION, SCIFACT)
RELATIVE_GAIN = 0.10
SCIFACT_GAIN = 0.03
MINUTES = 10.0

_BLOCK = 1024


class Clock:
    """Seconds on the clock and of all CPUs, by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}

    def __call__(self, step: str, work: Callable[[], Any]) -> Any:
        """Do the work of a step and note what it took."""
        wall, cpu = time.monotonic(), _cpu_seconds()
        result = work()
        self.seconds[step] = {"wall": round(time.monotonic() - wall, 1), "cpu": round(_cpu_seconds() - cpu, 1)}
        return result


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def fine_tune(name: str, folder: Path, data: Path, plan: TrainingPlan, max_pairs: int) -> dict[str, Any]:
    """Run one set from documents to verdict, and return its figures.

    Args:
        name: of the set.
        folder: to work in; the report stays there.
        data: the data folder.
        plan: how to train.
        max_pairs: most pairs from the corpus.
    """
    clock, base = Clock(), plan.base_model
    files = {part: folder / f"{part}.parquet" for part in ("documents", "chunks", "pairs", "mined")}
    uri, pairs_uri, questions_uri = _inputs(name, folder, data)
    clock("snapshot", lambda: snapshot_documents(uri, files["documents"], folder / "unreadable.jsonl"))
    store_uri = str(folder / "store")
    clock("chunk", lambda: chunk_documents(files["documents"], files["chunks"], embedder=base, store_uri=store_uri))
    texts = files["documents"], files["chunks"]
    made = clock("pairs", lambda: make_pairs(*texts, files["pairs"], max_pairs=max_pairs, pairs_uri=pairs_uri))
    mined = clock("negatives", lambda: mine_negatives(files["pairs"], files["chunks"], files["mined"], embedder=base))
    training = clock("train", lambda: train(plan, files["mined"], folder / "model"))
    tuned, inputs = str(folder / "model"), (files["mined"], files["chunks"], files["documents"])
    evaluation = clock(
        "evaluate",
        lambda: evaluate_models(*inputs, base=base, champion=base, challenger=tuned, questions_uri=questions_uri),
    )
    judged = verdict(evaluation)
    write_report(evaluation, training, judged, folder / "report.html")
    figures = {"pairs": {"train": made.train, "test": made.test, "kinds": made.kinds}, "negatives": mined.negatives}
    figures |= {"training": {"steps": training.steps, "seconds": training.seconds, "precision": training.precision}}
    figures |= {**_figures(evaluation), "verdict": judged.reason, "promoted": judged.promote}
    if name == SCIFACT:
        figures["test"] = _scifact(folder / SCIFACT, files["chunks"], {"before": base, "after": tuned})
    return figures | {"steps": clock.seconds, "minutes": _minutes(clock)}


def _inputs(name: str, folder: Path, data: Path) -> tuple[str, str, str]:
    """Return the URIs of documents, of a user's own pairs and of golden questions; "" for none."""
    if name == SCIFACT:
        corpora.write_beir(SCIFACT, folder / SCIFACT, data)
        return str(folder / SCIFACT / "corpus.jsonl"), str(_judged_pairs(folder)), ""
    source = data / DOCUMENTATION[name]
    questions = data / name / "questions.jsonl"
    return str(source), "", str(_questions(questions, source.name, folder)) if questions.exists() else ""


def _judged_pairs(folder: Path) -> Path:
    """Write the training judgments as a user would give them."""
    beir, path = read_beir(folder / SCIFACT, "train"), folder / "own-pairs.jsonl"
    rows = (
        {"query": beir.queries[query], "document": f"corpus.jsonl#{document}"}
        for query, judged in beir.qrels.items()
        for document, score in judged.items()
        if score > 0
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _questions(path: Path, snapshot: str, folder: Path) -> Path:
    """Write the questions that this snapshot of the documents answers."""
    questions = [question for question in read_questions(path, snapshot) if question.answerable]
    rows = [{"id": each.id, "question": each.text, "gold_files": list(each.gold)} for each in questions]
    out = folder / "golden.jsonl"
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return out


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    gain, golden = evaluation.gain(), evaluation.gain(kind=GOLDEN, metric=GOLDEN_METRIC)
    assert gain is not None
    models = {role: asdict(model) for role, model in evaluation.models.items() if role != "base"}
    return {
        "ndcg@10": asdict(gain),
        "relative": gain.mean / gain.before,
        "kinds": {g.kind: (g.before, g.after) for g in evaluation.gains if g.metric == "ndcg@10"},
        "hit@4": asdict(golden) if golden else None,
        "models": models,
    }


def _scifact(folder: Path, chunks: Path, models: Mapping[str, str]) -> dict[str, float]:
    """Return nDCG@10 of the test queries over all documents, each at its best passage, before and after."""
    beir = read_beir(folder, "test")
    rows = [(chunk.document.rpartition("#")[2], passage_text(chunk)) for chunk in read_chunks(chunks)]
    scores = {}
    for role, model in models.items():
        embedder = Embedder.named(model)
        ranking = Ranking(embedder.embed(list(beir.queries.values())))
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            ranking.add(np.arange(start, start + len(block)), embedder.embed([text for _, text in block]))
        run = {query: [rows[at][0] for at in ranking.best(place)[0]] for place, query in enumerate(beir.queries)}
        scores[role] = score_run(run, beir.qrels)["ndcg@10"]
    return scores


def _minutes(clock: Clock) -> float:
    return round(sum(step["wall"] for step in clock.seconds.values()) / 60, 2)


def judge(name: str, figures: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return each figure that has a target: its value beside the target, and whether it is reached."""
    gain, golden = figures["ndcg@10"], figures["hit@4"]
    told = (
        f"{gain['before']:.4f} -> {gain['after']:.4f}, {gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    )
    if name == SCIFACT:
        test = figures["test"]
        difference = test["after"] - test["before"]
        shown = f"{test['before']:.4f} -> {test['after']:.4f}, {difference:+.4f} (target: +{SCIFACT_GAIN})"
        return {"nDCG@10, test queries": (shown, difference >= SCIFACT_GAIN), "nDCG@10, held out": (told, True)}
    enough = figures["relative"] >= RELATIVE_GAIN and gain["low"] > 0
    limit = f"{figures['minutes']:.1f} (target: at most {MINUTES:g})"
    lines = {
        "nDCG@10, held out": (f"{told}, {figures['relative']:+.1%} (target: {RELATIVE_GAIN:+.0%}, sure)", enough),
        "minutes": (limit, figures["minutes"] <= MINUTES),
    }
    if golden:
        shown = f"{golden['before']:.3f} -> {golden['after']:.3f} (target: no loss)"
        lines["hit@4, own questions"] = (shown, golden["after"] >= golden["before"])
    return lines


def _run_one(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one set in a process of its own."""
    command: list[object] = [sys.executable, "-m", "benchmarks.finetune", "--child", "--set", name, "--out", folder]
    for option in ("data", "base", "epochs", "batch", "learning_rate", "negatives", "max_minutes", "max_pairs", "seed"):
        command += [f"--{option.replace('_', '-')}", getattr(options, option)]
    measured = measure(command)
    return measured.last | {"cpu_seconds": round(measured.cpu, 1)}


def _options() -> argparse.Namespace:
    plan = TrainingPlan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=corpora.DATA, help="data folder (default: %(default)s)")
    parser.add_argument("--set", dest="sets", choices=SETS, action="append", help="default: all")
    parser.add_argument("--out", type=Path, help="keep models and reports here, in a folder for each set")
    parser.add_argument("--base", default=DEFAULT, help="model to start from (default: %(default)s)")
    parser.add_argument("--epochs", type=float, default=plan.epochs, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=plan.batch, help="pairs a step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=plan.learning_rate, help="(default: %(default)s)")
    parser.add_argument("--negatives", type=int, default=plan.negatives, help="of a pair (default: %(default)s)")
    parser.add_argument("--max-minutes", type=float, default=6.0, help="of training (default: %(default)s)")
    parser.add_argument("--max-pairs", type=int, default=20000, help="from the corpus (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> TrainingPlan:
    names = ("epochs", "batch", "learning_rate", "negatives", "max_minutes", "seed")
    return TrainingPlan(base_model=options.base, **{name: getattr(options, name) for name in names})


def main() -> None:
    """Run the sets, print the figures beside their targets and one JSON object at the end."""
    options = _options()
    if options.child:
        print(json.dumps(fine_tune(options.sets[0], options.out, options.data, _plan(options), options.max_pairs)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets or SETS:
            folder = (options.out or Path(scratch)) / name
            folder.mkdir(parents=True)
            results[name] = _run_one(name, options, folder)
            for figure, (told, reached) in judge(name, results[name]).items():
                print(f"{name:<16} {figure:<22} {told}{'' if reached else '  MISSED'}", flush=True)
            steps = "  ".join(f"{step} {seconds['wall']:.0f} s" for step, seconds in results[name]["steps"].items())
            print(f"{name:<16} {steps}; {results[name]['cpu_seconds']:.0f} CPU seconds", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
