"""About how long a run will take, from how fast the one before was."""

from ragline.release import Index

TOKENS_PER_SECOND = 20_000.0
"""The embedded default on two CPU cores (docs/benchmarks.md): the guess before the first run on this index."""

_CHUNKS_PER_SECOND = 1_500.0
"""Building, checking and publishing an index."""
_STARTING_SECONDS = 10.0
_LEAST_TOKENS = 20_000
"""With fewer, loading the model took longer than embedding."""


def expected_seconds(index: Index, tokens: int, chunks: int) -> float:
    """Return about how long it takes to embed so many tokens and to publish so many chunks."""
    return round(_STARTING_SECONDS + tokens / embedding_rate(index) + chunks / _CHUNKS_PER_SECOND, 1)


def embedding_rate(index: Index, tokens: int = 0, seconds: float = 0.0) -> float:
    """Return tokens embedded per second: of the run that took these, if they are enough to tell, else of the last."""
    if tokens >= _LEAST_TOKENS and seconds > 0:
        return round(tokens / seconds, 1)
    return float(index.last_run().get("tokens_per_second", TOKENS_PER_SECOND))


def readable_seconds(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
