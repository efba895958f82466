"""Chance from content: the same text and seed give the same draw, whatever the order, the thread and the machine."""

import hashlib


def draw(seed: int, *parts: str) -> int:
    """Return a number from 0 to 2**64 - 1."""
    text = "\0".join((str(seed), *parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def chosen(seed: int, share: float, *parts: str) -> bool:
    """Tell whether these parts belong to a share (0 to 1) of all."""
    return draw(seed, *parts) < share * 2**64
