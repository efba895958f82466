"""What a running service says of its index to Prometheus."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ragline.live import LiveIndex


class LiveMetrics(Collector):
    """Reads the status of an index whenever metrics are asked for.

    Example:
        >>> REGISTRY.register(LiveMetrics(live))  # doctest: +SKIP
    """

    def __init__(self, live: LiveIndex) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each thing an operator watches, each with the name of the index."""
        status, labels, index = self._live.status(), ["index"], [self._live.name]
        info = InfoMetricFamily("ragline_release", "The release that is served, and its embedder.", labels=labels)
        info.add_metric(index, {"release": status.release, "model": status.model, "refused": status.refused})
        yield info
        gauges = {
            "ready": ("Whether questions can be answered.", status.ready),
            "problem": ("Whether the current release is not served, or not known.", bool(status.problem)),
            "problem_since_seconds": ("When that began; 0 without a problem.", _unix(status.problem_since)),
            "release_since_seconds": ("When the release went live here.", _unix(status.since)),
            "swap_seconds": ("From seeing the pointer to serving, the last time.", status.swap_seconds),
            "draining": ("Questions in flight on releases that were served before.", status.draining),
        }
        for name, (meaning, value) in gauges.items():
            gauge = GaugeMetricFamily(f"ragline_index_{name}", meaning, labels=labels)
            gauge.add_metric(index, float(value))
            yield gauge
        swaps = CounterMetricFamily("ragline_index_swaps", "Releases exchanged for another.", labels=labels)
        swaps.add_metric(index, status.swaps)
        yield swaps


def _unix(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() if time else 0.0
