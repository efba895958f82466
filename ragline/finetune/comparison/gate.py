"""Whether a trained model takes the champion's place: only if it is better for sure."""

from dataclasses import dataclass

from ragline.finetune.comparison.evaluation import ALL, CHALLENGER, CHAMPION, GOLDEN, Evaluation, Gain
from ragline.finetune.comparison.golden import HITS

METRIC = "ndcg@10"
GOLDEN_METRIC = f"hit@{HITS}"
_SLOWER = 0.9
"""A model below this share of the champion's speed is said to be slower."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the challenger is promoted, and why, in one sentence."""

    promote: bool
    reason: str


def verdict(evaluation: Evaluation, *, min_gain: float = 0.0, max_drop: float = 0.02) -> Verdict:
    """Judge the challenger.

    Args:
        evaluation: of the challenger beside the champion.
        min_gain: what the lower bound of the 95 % interval of its gain in nDCG@10 must exceed.
        max_drop: how far the golden questions' hit@4 may fall.
    """
    gain = evaluation.gain(CHAMPION, ALL, METRIC)
    if gain is None or not evaluation.of_kind(ALL):
        return Verdict(False, "Not promoted: there are no held-out questions to measure with.")
    if evaluation.models[CHAMPION].digest == evaluation.models[CHALLENGER].digest:
        return Verdict(False, "Not promoted: the challenger is the champion, byte for byte.")
    golden = evaluation.gain(CHAMPION, GOLDEN, GOLDEN_METRIC)
    enough = gain.low > min_gain
    kept = golden is None or golden.mean >= -max_drop - _ROUNDING
    told = [_measured(evaluation, gain, min_gain), *_golden(golden, max_drop), *_speed(evaluation)]
    return Verdict(enough and kept, f"{'Promoted' if enough and kept else 'Not promoted'}: {'; '.join(told)}.")


def _measured(evaluation: Evaluation, gain: Gain, min_gain: float) -> str:
    asked = len(evaluation.of_kind(ALL))
    change = "stays at" if gain.before == gain.after else f"{_way(gain.mean)} from {gain.before:.3f} to"
    told = f"nDCG@10 on {asked} held-out question{'s' * (asked != 1)} {change} {gain.after:.3f}"
    interval = f"{told}, by {gain.mean:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
    return interval if gain.low > min_gain else f"{interval}, all of which should lie above {min_gain:+.3f}"


def _golden(golden: Gain | None, max_drop: float) -> list[str]:
    if golden is None:
        return []
    change = "stays at" if golden.before == golden.after else f"{_way(golden.mean)} from {golden.before:.3f} to"
    refused = f", a fall of more than {max_drop:g}" if golden.mean < -max_drop - _ROUNDING else ""
    return [f"hit@{HITS} on the golden questions {change} {golden.after:.3f}{refused}"]


def _speed(evaluation: Evaluation) -> list[str]:
    champion, challenger = evaluation.models[CHAMPION], evaluation.models[CHALLENGER]
    share = challenger.texts_per_cpu_second / max(champion.texts_per_cpu_second, 1e-9)
    return [f"it embeds at {share:.2f} times the champion's speed"] if share < _SLOWER else []


def _way(difference: float) -> str:
    return "rises" if difference > 0 else "falls"
