"""What a fine-tuning did, as one HTML page that needs nothing else: to be looked at rather than read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ragline.finetune.comparison.evaluation import (
    ALL,
    BASE,
    CHALLENGER,
    CHAMPION,
    GOLDEN,
    ROLES,
    Evaluation,
    Gain,
    Outcome,
)
from ragline.finetune.comparison.gate import GOLDEN_METRIC, METRIC, Verdict
from ragline.finetune.comparison.plots import curve, distributions, intervals, rank_table
from ragline.finetune.comparison.report_style import STYLE
from ragline.finetune.comparison.report_tables import costs, golden_table, moves, scores
from ragline.finetune.examples.pair import KINDS
from ragline.finetune.trainers.training import Training
from ragline.html_page import bdi, byte_size, duration, escape, facts_table, number, page, section, tile_list


def write_report(evaluation: Evaluation, training: Training | None, verdict: Verdict, path: Path) -> None:
    """Write the report of a fine-tuning.

    Args:
        evaluation: of the trained model.
        training: how it was trained; what is not known is left out.
        verdict: of the gate.
        path: HTML file to write.
    """
    path.write_text(render_report(evaluation, training, verdict), encoding="utf-8")


def render_report(evaluation: Evaluation, training: Training | None, verdict: Verdict) -> str:
    """Return the report as an HTML page; arguments as for `write_report`."""
    asked = evaluation.of_kind(ALL)
    sections = (
        section("How much better, and how sure", _gains(evaluation)),
        section("Each question before and after", _ranks(evaluation, asked)),
        section("Biggest wins and losses", moves(asked)),
        section("Golden questions", golden_table(evaluation.of_kind(GOLDEN))),
        section("Can answers be told from the rest?", _separation(asked)),
        section("Training", _curves(training) if training else ""),
        section("All scores", scores(evaluation)),
        section("Speed and size", costs(evaluation)),
        section("How it was made", _origin(evaluation, training)),
    )
    return page("Fine-tuned embedder", _headline(verdict), _tiles(evaluation, training), sections, STYLE)


def _headline(verdict: Verdict) -> str:
    mark = ("yes", "Promoted") if verdict.promote else ("no", "Not promoted")
    _, _, reason = verdict.reason.partition(": ")
    return f'<span class="mark {mark[0]}">{mark[1]}</span>{escape(reason or verdict.reason)}'


def _tiles(evaluation: Evaluation, training: Training | None) -> str:
    gain, golden = evaluation.gain(CHAMPION, ALL, METRIC), evaluation.gain(CHAMPION, GOLDEN, GOLDEN_METRIC)
    models, (better, worse) = evaluation.models, _better_and_worse(evaluation.of_kind(ALL))
    speed = models[CHALLENGER].texts_per_cpu_second / max(models[CHAMPION].texts_per_cpu_second, 1e-9)
    return tile_list(
        {
            "nDCG@10, held-out questions": f"{gain.before:.3f} → {gain.after:.3f}" if gain else "",
            "questions ranked better, worse": f"{number(better)} : {number(worse)}",
            "hit@4, golden questions": f"{golden.before:.0%} → {golden.after:.0%}" if golden else "",
            "the champion's speed": f"{speed:.2f} ×",
            "trained": duration(training.seconds) if training else "",
        }
    )


def _better_and_worse(asked: Sequence[Outcome]) -> tuple[int, int]:
    pairs = [(outcome.ranks[CHAMPION], outcome.ranks[CHALLENGER]) for outcome in asked]
    return sum(new < old for old, new in pairs), sum(new > old for old, new in pairs)


def _gains(evaluation: Evaluation) -> str:
    asked = {kind: len(evaluation.of_kind(kind)) for kind in (ALL, *KINDS, GOLDEN)}
    told = {ALL: "all held-out", GOLDEN: "golden"}
    rows = [
        (
            f"{told.get(kind, kind)} ({number(count)})",
            gain.mean,
            gain.low,
            gain.high,
            f"{gain.before:.3f} → {gain.after:.3f}",
        )
        for kind, count in asked.items()
        if count and (gain := evaluation.gain(CHAMPION, kind, METRIC))
    ]
    note = (
        "<p class=note>Gain in nDCG@10 over the champion by kind of question, with 95 % intervals by resampling "
        "documents; right of 0 is better.</p>"
    )
    return intervals(rows, "Gain in nDCG@10 by kind of question") + _over_base(evaluation) + note


def _over_base(evaluation: Evaluation) -> str:
    if evaluation.models[BASE].digest == evaluation.models[CHAMPION].digest:
        return ""
    gain = evaluation.gain(BASE, ALL, METRIC)
    return f"<p>Over the base model: {_told(gain)}.</p>" if gain else ""


def _told(gain: Gain) -> str:
    return f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), {gain.before:.3f} → {gain.after:.3f}"


def _ranks(evaluation: Evaluation, asked: Sequence[Outcome]) -> str:
    pairs = [(outcome.ranks[CHAMPION], outcome.ranks[CHALLENGER]) for outcome in asked]
    better, worse = _better_and_worse(asked)
    lines = (
        f"<b class=up>{number(better)} better</b>, above the diagonal",
        f"<b class=down>{number(worse)} worse</b>, below it",
        f"<b>{number(len(pairs) - better - worse)} the same</b>",
        f"first in {_share(old == 1 for old, _ in pairs)} before, {_share(new == 1 for _, new in pairs)} after",
        f"among the first 10 in {_share(old <= 10 for old, _ in pairs)} before, "
        f"{_share(new <= 10 for _, new in pairs)} after",
    )
    listed = "".join(f"<li>{line}</li>" for line in lines)
    drawn = rank_table(pairs, "champion", "rank with the challenger")
    told = f"<p>The rank of the answer among {number(evaluation.passages)} passages.</p>"
    return f"<div class=pair><div>{drawn}</div><div>{told}<ul>{listed}</ul></div></div>"


def _share(outcomes: Iterable[bool]) -> str:
    values = list(outcomes)
    return f"{sum(values) / max(1, len(values)):.0%}"


def _separation(asked: Sequence[Outcome]) -> str:
    every = [value for o in asked for role in (CHAMPION, CHALLENGER) for value in (o.scores[role], o.others.get(role))]
    shown = [value for value in every if value is not None]
    if not shown:
        return ""
    span = (min(shown), max(shown))
    parts = "".join(
        f"<div><h3>{role.capitalize()}</h3>{_histograms(asked, role, span)}</div>" for role in (CHAMPION, CHALLENGER)
    )
    colours = (("gold", "the answer"), ("other", "the best other passage"))
    key = "".join(f"<span><i class={kind}></i>{told}</span>" for kind, told in colours)
    note = "<p class=note>Cosine to the question; the less the two overlap, the better they can be told apart.</p>"
    return f"<p class=key>{key}</p><div class=pair>{parts}</div>{note}"


def _histograms(asked: Sequence[Outcome], role: str, span: tuple[float, float]) -> str:
    groups = {
        "answer": [outcome.scores[role] for outcome in asked],
        "other": [outcome.others[role] for outcome in asked if role in outcome.others],
    }
    means = ", ".join(f"{name} {sum(values) / len(values):.2f}" for name, values in groups.items() if values)
    return distributions(groups, f"Cosines of the {role}, on average: {means}", span)


def _curves(training: Training) -> str:
    plots = (("loss", "Loss", True), ("learning_rate", "Learning rate", False))
    drawn = [(heading, curve(_points(training, key), heading, smooth=smooth)) for key, heading, smooth in plots]
    parts = "".join(f"<div><h3>{heading}</h3>{plot}</div>" for heading, plot in drawn if plot)
    return f"<div class=pair>{parts}</div>" if parts else ""


def _points(training: Training, key: str) -> list[tuple[float, float]]:
    return [(float(row["step"]), float(row[key])) for row in training.curve if row.get(key) is not None]


def _origin(evaluation: Evaluation, training: Training | None) -> str:
    rows = [
        (role, f"{bdi(model.name)}<br><code>{escape(model.digest)}</code>")
        for role in ROLES
        for model in (evaluation.models[role],)
    ]
    rows += [
        ("corpus", f"{number(evaluation.documents)} documents, {number(evaluation.passages)} passages"),
        ("weights", byte_size(evaluation.models[CHALLENGER].model_bytes)),
        ("comparison took", duration(evaluation.seconds)),
    ]
    if training:
        told = f"{number(training.pairs)} pairs, {number(training.steps)} steps, {duration(training.seconds)}"
        rows += [
            ("training", told),
            ("trainer", f"{escape(training.trainer)}, {escape(training.precision)} on {escape(training.device)}"),
        ]
        rows += [(escape(name), escape(value)) for name, value in training.environment.items()]
    return facts_table(rows)
