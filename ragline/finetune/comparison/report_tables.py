"""Tables of a fine-tuning report: wins and losses, golden questions, scores, costs."""

import math
from collections.abc import Callable, Iterable, Sequence

from ragline.finetune.comparison.contender import Model
from ragline.finetune.comparison.evaluation import (
    ALL,
    BASE,
    CHALLENGER,
    CHAMPION,
    GOLDEN,
    METRICS,
    ROLES,
    Evaluation,
    Outcome,
)
from ragline.finetune.comparison.golden import GOLDEN_METRICS
from ragline.finetune.examples.pair import KINDS
from ragline.html_page import and_more, bdi, byte_size, escape, fold, number

_MOVES = 8
_GOLDEN_ROWS = 40
_KINDS = {ALL: "all held-out questions", GOLDEN: "golden questions"}
_BEYOND = 101


def moves(asked: Sequence[Outcome]) -> str:
    """Show the questions whose answer moved most: wins beside losses."""
    ordered = sorted(asked, key=_moved)
    wins, losses = [o for o in ordered if _moved(o) < 0][:_MOVES], [o for o in ordered[::-1] if _moved(o) > 0][:_MOVES]
    columns = (("Wins", wins, "up"), ("Losses", losses, "down"))
    parts = "".join(
        f"<div><h3>{heading}</h3><ul class=moves>{''.join(_move(o, kind) for o in some) or '<li>none</li>'}</ul></div>"
        for heading, some, kind in columns
    )
    return f"<div class=pair>{parts}</div>" if asked else ""


def _moved(outcome: Outcome) -> float:
    """Return how far an answer moved, as a reader feels it: from 30 to 1 is far, from 900 to 700 is not."""
    return _weight(outcome.ranks[CHALLENGER]) - _weight(outcome.ranks[CHAMPION])


def _weight(rank: int) -> float:
    return math.log2(1 + min(rank or _BEYOND, _BEYOND))


def _move(outcome: Outcome, kind: str) -> str:
    ranks = f"{_rank(outcome.ranks[CHAMPION])} → {_rank(outcome.ranks[CHALLENGER])}"
    document = f"{bdi(outcome.document)}, " if outcome.document else ""
    return (
        f'<li><span class="ranks {kind}">{ranks}</span><b>{bdi(outcome.query)}</b>'
        f"<p class=gold>{bdi(' '.join(outcome.gold.split()))}</p><small>{document}{escape(outcome.kind)}</small></li>"
    )


def _rank(rank: int) -> str:
    return number(rank) if rank else "none"


def golden_table(golden: Sequence[Outcome]) -> str:
    """Show the golden questions, those that changed first."""
    if not golden:
        return ""
    changed = sorted((o for o in golden if _moved(o)), key=_moved)
    same = [o for o in golden if not _moved(o)]
    note = "<p class=note>Rank of the first passage of a right document, among the first 100.</p>"
    told = "" if changed else "<p>No question changed its rank.</p>"
    return told + _golden_rows("changed", changed) + _golden_rows("the same", same) + note


def _golden_rows(heading: str, golden: Sequence[Outcome]) -> str:
    rows = [
        (bdi(o.query), _rank(o.ranks[CHAMPION]), f"<span class={_way(-_moved(o))}>{_rank(o.ranks[CHALLENGER])}</span>")
        for o in golden[:_GOLDEN_ROWS]
    ]
    body = _table(("question", "champion", "challenger"), rows) + and_more(len(golden) - len(rows))
    return fold(heading, len(golden), body) if golden else ""


def scores(evaluation: Evaluation) -> str:
    """Show every mean and difference: one folded table for each kind of question, that of all open."""
    kinds = [kind for kind in (ALL, GOLDEN, *KINDS) if kind in evaluation.means[CHALLENGER]]
    return "".join(_fold(kind, evaluation, opened=kind in (ALL, GOLDEN)) for kind in kinds)


def _fold(kind: str, evaluation: Evaluation, *, opened: bool) -> str:
    rows = [_scores(metric, kind, evaluation) for metric in (GOLDEN_METRICS if kind == GOLDEN else METRICS)]
    heading = f"{escape(_KINDS.get(kind, kind))} <i>{number(len(evaluation.of_kind(kind)))}</i>"
    body = _table(("", *ROLES, "gain", "95 % interval"), rows)
    return f"<details{' open' * opened}><summary>{heading}</summary>{body}</details>"


def _scores(metric: str, kind: str, evaluation: Evaluation) -> tuple[str, ...]:
    means = [f"{evaluation.means[role][kind][metric]:.3f}" for role in ROLES]
    gain = evaluation.gain(CHAMPION, kind, metric)
    if gain is None:
        return (escape(metric), *means, "", "")
    told = f"<span class={_way(gain.mean)}>{gain.mean:+.3f}</span>"
    return escape(_named(metric)), *means, told, f"{gain.low:+.3f} to {gain.high:+.3f}"


def _named(metric: str) -> str:
    return metric.replace("ndcg", "nDCG").replace("mrr", "MRR")


def costs(evaluation: Evaluation) -> str:
    """Show what each model costs to run."""
    models = [evaluation.models[role] for role in ROLES]
    roles = [BASE, CHAMPION, CHALLENGER]
    if models[0].digest == models[1].digest:
        models, roles = models[1:], [f"{BASE} and {CHAMPION}", CHALLENGER]
    facts: tuple[tuple[str, Callable[[Model], str]], ...] = (
        ("passages embedded per CPU second", lambda m: f"{m.texts_per_cpu_second:,.1f}"),
        ("passages embedded per second", lambda m: f"{m.texts_per_second:,.1f}"),
        ("milliseconds to embed a question", lambda m: f"{m.query_ms:.1f}"),
        ("numbers in a vector", lambda m: number(m.dimensions)),
        ("vectors of this corpus", lambda m: byte_size(m.vector_bytes * max(1, evaluation.passages) // 1000)),
        ("weights", lambda m: byte_size(m.model_bytes)),
        ("precision", lambda m: escape(m.precision)),
    )
    rows = [(name, *(told(model) for model in models)) for name, told in facts]
    note = "<p class=note>All models in one process, in turns; speed is that of the machine that compared them.</p>"
    return _table(("", *roles), rows) + note


def _way(difference: float) -> str:
    return "up" if difference > 0 else "down" if difference < 0 else "even"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a heading for each column; cells are HTML."""
    top = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope=row>{first}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for first, *cells in rows
    )
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
