"""What `benchmarks.chain` measures: each function runs the two sides in turns and returns figures."""

import json
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from typing import Any

from benchmarks.chain_backend import Speed, expected
from benchmarks.chain_load import Load, Run
from benchmarks.chain_processes import Processes
from ragline.answering import Answerer

PREDICT = "/v1/models/{}:predict"
CHAT = "/openai/v1/chat/completions"
DOCUMENTS = 4
_BUSY = 32


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value beside its target.

    Attributes:
        at_most: whether less is better.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True

    @property
    def reached(self) -> bool:
        """Whether the target is reached; none is always reached."""
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        line = f"{self.name:58s} {self.value:9.2f} {self.unit:6s}"
        if self.target is None:
            return line
        bound = "at most" if self.at_most else "at least"
        return f"{line} (target {bound} {self.target:g}){'' if self.reached else '   NOT REACHED'}"


@dataclass
class Urls:
    """Where the services listen."""

    embedder: str = ""
    vectorstore: str = ""
    llm: str = ""
    streaming: str = ""
    backend: str = ""
    tutorial: str = ""


@dataclass
class Bench:
    """What every measurement needs.

    Attributes:
        answerer: embeds, searches and quotes in this process.
        questions: that the documents are searched for.
        rounds: how often the sides take turns.
        seconds: of each turn under load.
        batch: questions of each turn one by one.
        version: of the embedder's model.
        details: figures without a target.
    """

    processes: Processes
    load: Load
    urls: Urls
    answerer: Answerer
    questions: Sequence[str]
    rounds: int
    seconds: float
    batch: int
    version: int
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def embed_url(self) -> str:
        """Where Triton takes one text."""
        return f"{self.urls.embedder}/v2/models/embedder/versions/{self.version}/infer"

    @property
    def retrieve_url(self) -> str:
        """Where the vector store takes questions."""
        return self.urls.vectorstore + PREDICT.format("vectorstore")

    def turns(self) -> Iterator[list[str]]:
        """Yield the questions of each turn, the first one to warm up."""
        questions = cycle(self.questions)
        for _ in range(self.rounds + 1):
            yield list(islice(questions, self.batch))

    def note(self, name: str, run: Run, cpu: dict[str, float] | None = None) -> None:
        """Keep what a run came to; CPU is in milliseconds for each good answer."""
        row: dict[str, Any] = {"rate": run.rate, "p50": run.quantile(0.5), "p99": run.quantile(0.99)}
        row["errors"] = run.errors
        if cpu:
            row["cpu_ms"] = {key: value / max(1, len(run.waits)) * 1000 for key, value in cpu.items() if value}
        self.details.setdefault(name, []).append(_rounded(row))


def instances(questions: Sequence[str], **more: Any) -> list[dict[str, Any]]:
    """Return bodies of KServe's first protocol."""
    return [{"instances": [{"input": question, **more}]} for question in questions]


def one_by_one(bench: Bench) -> list[Figure]:
    """Compare the chain with this process, one question after the other: retrieval, then quoted answers."""
    answerer = bench.answerer
    retriever, embedder = answerer.retriever, answerer.embedder

    def search(question: str) -> object:
        return retriever.search(question, embedder.embed([question])[0], DOCUMENTS)

    here, there = _in_turns(bench, search, bench.retrieve_url, {"num_docs": DOCUMENTS})
    bench.details["retrieval p50, ms"] = _rounded({"in process": here, "chain": there})
    retrieval = Figure("retrieval, p50 above that of one process", there - here, "ms", 5.0)
    here, there = _in_turns(bench, answerer.ask, bench.urls.llm + PREDICT.format("llm"), {})
    bench.details["answer p50, ms"] = _rounded({"in process": here, "chain": there})
    return [retrieval, Figure("quoted answer, p50 to that of one process", there / here, "times", 2.0)]


def _in_turns(bench: Bench, work: Callable[[str], object], url: str, options: dict[str, Any]) -> tuple[float, float]:
    """Return the medians of the waits in this process and over HTTP, in milliseconds."""
    here: list[float] = []
    there: list[float] = []
    for turn, questions in enumerate(bench.turns()):
        waits = [_timed(work, question) for question in questions]
        run = bench.load.run(url, instances(questions, **options), concurrency=1, number=len(questions))
        _refuse_errors(run, url)
        if turn:
            here += waits
            there += run.waits
    return statistics.median(here), statistics.median(there)


def _timed(work: Callable[[str], object], question: str) -> float:
    start = time.perf_counter()
    work(question)
    return (time.perf_counter() - start) * 1000


def throughput(bench: Bench) -> list[Figure]:
    """Compare retrieval of many callers with what the embedder does for as many, and note answers too."""
    retrieve = instances(bench.questions, num_docs=DOCUMENTS)
    sides: dict[str, tuple[str, Sequence[Any]]] = {
        "embedder alone": (bench.embed_url, bench.questions),
        "retrieval": (bench.retrieve_url, retrieve),
        "quoted answers": (bench.urls.llm + PREDICT.format("llm"), instances(bench.questions)),
    }
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for _ in _warmed(bench, sides, _BUSY):
        for name, (url, bodies) in sides.items():
            runs[name].append(_loaded(bench, f"{name}, {_BUSY} callers", url, bodies, _BUSY))
    shares = [ours.rate / alone.rate for ours, alone in zip(runs["retrieval"], runs["embedder alone"], strict=True)]
    errors = sum(sum(run.errors.values()) for name in ("retrieval", "quoted answers") for run in runs[name])
    tails = [run.quantile(0.99) / run.quantile(0.5) for run in runs["retrieval"]]
    slow = [run.quantile(0.99) / run.quantile(0.5) for run in runs["quoted answers"]]
    return [
        Figure(
            f"retrieval, {_BUSY} callers, share of the embedder's own rate", statistics.median(shares), "", 0.7, False
        ),
        Figure(f"errors with {_BUSY} callers", float(errors), "", 0.0),
        Figure(f"retrieval, {_BUSY} callers, p99 to p50", statistics.median(tails), "times", 10.0),
        Figure(f"quoted answers, {_BUSY} callers, p99 to p50", statistics.median(slow), "times", 10.0),
    ]


def beside_the_tutorial(bench: Bench) -> list[Figure]:
    """Compare answers of a language model that takes no time with the tutorial's way, for eight callers."""
    set_speed(bench, Speed())
    bodies = instances(bench.questions, num_docs=DOCUMENTS)
    sides: dict[str, tuple[str, Sequence[Any]]] = {
        "tutorial": (bench.urls.tutorial + PREDICT.format("model"), bodies),
        "chain": (bench.urls.streaming + PREDICT.format("llm"), bodies),
    }
    ratios = []
    for _ in _warmed(bench, sides, 8):
        runs = {side: _loaded(bench, f"{side}, 8 callers", *sides[side], 8) for side in sides}
        for side, run in runs.items():
            _refuse_errors(run, side)
        ratios.append(runs["chain"].rate / runs["tutorial"].rate)
    return [
        Figure("requests a second to the tutorial's way, 8 callers", statistics.median(ratios), "times", 4.0, False)
    ]


def _warmed(bench: Bench, sides: dict[str, tuple[str, Sequence[Any]]], concurrency: int) -> range:
    for url, bodies in sides.values():
        bench.load.run(url, bodies, concurrency=concurrency, number=4 * concurrency)
    return range(bench.rounds)


def _loaded(bench: Bench, name: str, url: str, bodies: Sequence[Any], concurrency: int) -> Run:
    with bench.processes.measured() as used:
        run = bench.load.run(url, bodies, concurrency=concurrency, seconds=bench.seconds)
    bench.note(name, run, used.seconds | {"other work on the machine": used.others})
    return run


def streaming(bench: Bench, many: int = 200) -> list[Figure]:
    """Measure what the chain adds to the first word of a backend, and whether many streams stay whole."""
    added, whole = _first_word(bench)
    set_speed(bench, Speed(first_ms=50, word_ms=20, words=50))
    bodies = [chat(question, f"tag-{number}") for number, question in enumerate(islice(cycle(bench.questions), many))]
    streams = bench.load.streams(bench.urls.streaming + CHAT, bodies)
    good = [
        stream.ended and not stream.error and stream.text.startswith(expected(f"tag-{number}", 50))
        for number, stream in enumerate(streams)
    ]
    bench.details["streams"] = {
        "first word p50, ms": round(statistics.median(stream.first for stream in streams), 1),
        "first that is not whole": next((asdict(s) for s, ok in zip(streams, good, strict=True) if not ok), None),
    }
    return [
        Figure("first word above the backend's own, texts given", added, "ms", 10.0),
        Figure("first word above the backend's own, with retrieval", whole, "ms"),
        Figure(f"streams in order and complete, of {many} at once", float(sum(good)), "", float(many), False),
    ]


def _first_word(bench: Bench) -> tuple[float, float]:
    """Return how many milliseconds later the first word comes, without and with retrieval: medians."""
    set_speed(bench, Speed(first_ms=50, word_ms=1, words=10))
    waits: dict[str, list[float]] = {"direct": [], "given": [], "retrieved": []}
    for turn, questions in enumerate(bench.turns()):
        for question in questions:
            body = chat(question, "tag-1")
            given = body | {"ragline": {"context": [question] * DOCUMENTS}}
            through = bench.urls.streaming + CHAT
            sides = {
                "direct": (f"{bench.urls.backend}/v1/chat/completions", body),
                "given": (through, given),
                "retrieved": (through, body),
            }
            for side, (url, asked) in sides.items():
                (stream,) = bench.load.streams(url, [asked])
                if turn:
                    waits[side].append(stream.first)
    direct, given_only, retrieved = (statistics.median(each) for each in waits.values())
    return given_only - direct, retrieved - direct


def cancellation(bench: Bench, times: int = 5) -> list[Figure]:
    """Measure how long a backend generates on for a client that has left, in both forms of an answer."""
    figures = []
    for stream in (True, False):
        waits = []
        for number in range(times):
            set_speed(bench, Speed(first_ms=100, word_ms=20, words=500))
            body = chat(bench.questions[number], f"tag-{number}", stream=stream)
            left = bench.load.leave(bench.urls.streaming + CHAT, body, after=1.0)
            waits.append(_stopped(bench) - left)
        form = "streamed" if stream else "whole"
        figures.append(Figure(f"generation ends after its client left, {form} answer", max(waits), "s", 1.0))
    return figures


def _stopped(bench: Bench) -> float:
    """Return when the backend noticed that nobody listens; infinity where it never does."""
    end = time.monotonic() + 11
    while time.monotonic() < end:
        left = _json(f"{bench.urls.backend}/stats")["left"]
        if left:
            return float(left[0]["at"])
        time.sleep(0.05)
    return float("inf")


def chat(question: str, tag: str, *, stream: bool = True) -> dict[str, Any]:
    """Return a body of OpenAI's chat completions, with the tag that the stand-in backend repeats."""
    return {"model": "llm", "messages": [{"role": "user", "content": f"{question} {tag}"}], "stream": stream}


def set_speed(bench: Bench, speed: Speed) -> None:
    """Tell the stand-in backend how fast to generate, and to forget what it has counted."""
    _json(f"{bench.urls.backend}/speed", asdict(speed))


def _json(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method="GET" if body is None else "PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def _refuse_errors(run: Run, name: str) -> None:
    if run.errors:
        raise SystemExit(f"{name}: {run.errors}")


def _rounded(row: Any) -> Any:
    if isinstance(row, dict):
        return {key: _rounded(value) for key, value in row.items()}
    return round(row, 2) if isinstance(row, float) else row
