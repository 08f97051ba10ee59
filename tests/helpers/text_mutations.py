"""Damaged copies of a file's bytes, the same ones at every call."""

import random
from collections.abc import Iterator

SPLICED = [
    b"5", b"null", b"[1]", b"{}", b"\xff", b"\x00", b"\n", b'"', b"-1", b"NaN", b"Infinity",
    b"1e999", b"1" * 400, b"9" * 5000, b"[" * 200, b"[" * 100_000,
    b'{"a":' * 50_000, b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"\\ud800"', b"true", b"\xff\xfe",
]  # fmt: skip


def of(content: bytes, count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Yields `count` mutations: bits flipped, parts cut, doubled, swapped or replaced."""
    generator = random.Random(seed)
    for _ in range(count):
        mutated = bytearray(content)
        for _ in range(generator.choice([1, 1, 1, 2, 5])):
            begin = generator.randrange(len(mutated) + 1)
            end = min(len(mutated), begin + generator.choice([0, 1, 1, 4, 16, 64]))
            kind = generator.randrange(5)
            if kind == 0 and begin < len(mutated):
                mutated[begin] ^= 1 << generator.randrange(8)
            elif kind == 1:
                del mutated[begin:end]
            elif kind == 2:
                mutated[begin:begin] = mutated[begin:end]
            elif kind == 3:
                mutated[begin:end] = generator.choice(SPLICED)
            else:
                del mutated[generator.choice([begin, end]) :]
        yield bytes(mutated)
