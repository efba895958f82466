"""Asks services over HTTP from a process of its own, so that the asking is told apart from the answering.

`Load` starts the process and talks to it: one JSON object a line each way.
"""

import asyncio
import json
import math
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Self

import aiohttp

_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a number of requests came to.

    Attributes:
        seconds: from the first request to the last answer.
        waits: of each good answer, in milliseconds.
        errors: what went wrong, and how often.
        cpu: CPU seconds of the asking process.
    """

    seconds: float
    waits: list[float]
    errors: dict[str, int]
    cpu: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.waits) / self.seconds

    def quantile(self, share: float) -> float:
        """Return a quantile of the waits, in milliseconds; not a number without any."""
        waits = sorted(self.waits)
        return waits[min(len(waits) - 1, int(share * len(waits)))] if waits else math.nan


@dataclass(frozen=True, slots=True)
class Stream:
    """One streamed answer.

    Attributes:
        first: milliseconds until its first word.
        text: all of it.
        finish: why it ended.
        ended: whether the stream closed itself with `[DONE]`.
        error: what went wrong.
    """

    first: float
    text: str
    finish: str
    ended: bool
    error: str


class Load:
    """The asking process; a context manager that ends it."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.chain_load"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def run(
        self,
        url: str,
        bodies: Sequence[Any],
        *,
        concurrency: int,
        seconds: float = 0.0,
        number: int = 0,
        headers: dict[str, str] | None = None,
    ) -> Run:
        """Ask in turn, so many requests at once, for some time or some number.

        Args:
            url: of the service.
            bodies: JSON objects; a text is asked as a binary tensor, the way that Triton takes it.
            concurrency: connections that are kept open.
            seconds: no request begins later.
            number: of requests, where no seconds are given.
            headers: of every request.
        """
        limits = {"concurrency": concurrency, "seconds": seconds, "number": number}
        return Run(**self._do("requests", url=url, bodies=bodies, headers=headers or {}, **limits))

    def streams(self, url: str, bodies: Sequence[Any]) -> list[Stream]:
        """Ask for streamed chat completions, all at once; return them in the order of the bodies."""
        return [Stream(**each) for each in self._do("streams", url=url, bodies=bodies)]

    def leave(self, url: str, body: Any, *, after: float) -> float:
        """Ask, close the connection after so many seconds whatever has come, and return when that was."""
        left: float = self._do("leave", url=url, body=body, after=after)
        return left

    def _do(self, what: str, **options: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the load generator ended")
        return json.loads(line)


class _Asker:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def requests(
        self,
        url: str,
        bodies: Sequence[Any],
        concurrency: int,
        seconds: float,
        number: int,
        headers: dict[str, str],
    ) -> dict[str, Any]:
        requests = [_request(body, headers) for body in bodies]
        waits: list[float] = []
        errors: Counter[str] = Counter()
        turn = count()
        cpu, begun = time.process_time(), time.perf_counter()
        open_for = _clock(begun + seconds) if seconds else _counter(number)

        async def ask() -> None:
            while open_for():
                data, head = requests[next(turn) % len(requests)]
                start = time.perf_counter()
                error = await self._once(url, data, head)
                if error:
                    errors[error] += 1
                else:
                    waits.append((time.perf_counter() - start) * 1000)

        await asyncio.gather(*(ask() for _ in range(concurrency)))
        taken = time.perf_counter() - begun
        return {"seconds": taken, "waits": waits, "errors": errors, "cpu": time.process_time() - cpu}

    async def _once(self, url: str, data: bytes, headers: dict[str, str]) -> str:
        """Return what went wrong; "" for a good answer."""
        try:
            async with self._session.post(url, data=data, headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as exc:
            return f"{type(exc).__name__}: {exc}"[:200]
        return "" if answer.status == 200 else f"{answer.status}: {body.decode(errors='replace')}"[:200]

    async def streams(self, url: str, bodies: Sequence[Any]) -> list[dict[str, Any]]:
        return await asyncio.gather(*(self._stream(url, body) for body in bodies))

    async def _stream(self, url: str, body: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"first": math.inf, "text": "", "finish": "", "ended": False, "error": ""}
        start = time.perf_counter()
        try:
            async with self._session.post(url, json=body) as answer:
                if answer.status != 200:
                    return found | {"error": f"{answer.status}: {(await answer.text())[:200]}"}
                async for line in answer.content:
                    if line.startswith(b"data: ") and _read(line[6:].strip(), found):
                        found["first"] = min(found["first"], (time.perf_counter() - start) * 1000)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as exc:
            found["error"] = f"{type(exc).__name__}: {exc}"[:200]
        return found

    async def leave(self, url: str, body: Any, after: float) -> float:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            task = asyncio.create_task(self._drain(session, url, body))
            await asyncio.sleep(after)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return time.monotonic()

    async def _drain(self, session: aiohttp.ClientSession, url: str, body: Any) -> None:
        async with session.post(url, json=body) as answer:
            async for _ in answer.content:
                pass


def _read(data: bytes, found: dict[str, Any]) -> bool:
    """Take what an event says; tell whether it holds text."""
    if data == b"[DONE]":
        found["ended"] = True
        return False
    event = json.loads(data)
    if "error" in event:
        found["error"] = json.dumps(event["error"])[:200]
        return False
    text = ""
    for choice in event["choices"]:
        text += choice["delta"].get("content") or ""
        found["finish"] = choice.get("finish_reason") or found["finish"]
    found["text"] += text
    return bool(text)


def _request(body: Any, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    if not isinstance(body, str):
        return json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    text = body.encode()
    tensor = struct.pack("<I", len(text)) + text
    binary = {"binary_data_size": len(tensor)}
    head = {
        "inputs": [{"name": "text_input", "shape": [1, 1], "datatype": "BYTES", "parameters": binary}],
        "outputs": [{"name": "embeddings", "parameters": {"binary_data": True}}],
    }
    header = json.dumps(head).encode()
    kinds = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))}
    return header + tensor, {**kinds, **headers}


def _clock(end: float) -> Callable[[], bool]:
    return lambda: time.perf_counter() < end


def _counter(number: int) -> Callable[[], bool]:
    turns = iter(range(number))
    return lambda: next(turns, None) is not None


async def _serve() -> None:
    timeout = aiohttp.ClientTimeout(total=_LONGEST)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        asker = _Asker(session)
        for command in _commands():
            result = await getattr(asker, command.pop("do"))(**command)
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


def _commands() -> Iterator[dict[str, Any]]:
    """Yield what is asked for; nothing else runs meanwhile, so waiting for a line may block."""
    for line in sys.stdin:
        yield json.loads(line)


if __name__ == "__main__":
    asyncio.run(_serve())
