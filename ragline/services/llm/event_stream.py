"""Server-sent events of a response: what stands after each `data:`, whole, however the bytes arrive."""

from collections.abc import AsyncGenerator

import aiohttp

from ragline.errors import ServiceError

LONGEST_EVENT = 1 << 20
"""Bytes; an event of a text that is generated has hundreds."""


async def events(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    """Yield the data of each event; a response that is JSON and no stream is one event.

    Raises:
        ServiceError: 502, an event is endless or not UTF-8.
    """
    streamed = response.content_type == "text/event-stream"
    ending = b"\n" if streamed else b""
    rest, data = b"", []
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(ending) if streamed else [rest + chunk]
        for line in lines:
            text = _text(line.rstrip(b"\r"))
            if text.startswith("data:"):
                data.append(text[5:].removeprefix(" "))
            elif not text and data:
                yield "\n".join(data)
                data = []
        if len(rest) + sum(map(len, data)) > LONGEST_EVENT:
            raise ServiceError(f"the language model's server sent an event of over {LONGEST_EVENT:,} bytes", 502)
    if not streamed and rest.strip():
        yield _text(rest)
    elif rest.startswith(b"data:"):
        data.append(_text(rest[5:]).strip())
    if data:
        yield "\n".join(data)


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ServiceError("the language model's server sent something that is not UTF-8", 502) from exc
