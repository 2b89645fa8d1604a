"""The names of prompt prefixes, for placing a run where its prefix is cached. Pure.

A prompt is cut into blocks of `BLOCK_TOKENS`; the key of a block is a hash of its tokens and of
the key before it, so one key names a whole prefix, and two prompts share as many keys as they
share leading blocks. The keys are ours: an engine's own hashes depend on its block size and on
a seed of its process, and are left alone.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b

BLOCK_TOKENS = 32
"""Tokens of a block: what the CPU engine has, twice what CUDA engines have by default."""

KEYS_MAX = 512
"""The most keys of one prompt: 16,384 tokens. What is shared beyond them counts as uncached."""

KEY_LENGTH = 16
"""Characters of a key: 64 bits in hexadecimal."""

ROOT = ""
"""The key before the first block."""

_BLOCK = struct.Struct(f"<{BLOCK_TOKENS}I")


def block_key(parent: str, tokens: Sequence[int]) -> str:
    """Return the key of a block of `BLOCK_TOKENS` tokens that follows the block `parent`.

    Raises:
        ValueError: not a whole block, or an id that is no 32-bit number.
    """
    try:
        packed = _BLOCK.pack(*tokens)
    except struct.error as error:
        raise ValueError(f"no block of {BLOCK_TOKENS} token ids") from error
    return blake2b(parent.encode() + packed, digest_size=KEY_LENGTH // 2).hexdigest()


def prompt_keys(tokens: Sequence[int], pictures: Sequence[tuple[int, str]] = ()) -> tuple[str, ...]:
    """Return the keys of the blocks that a cache can save this prompt, at most `KEYS_MAX`.

    `pictures` are the places of pictures' marks and the pictures' digests: the key of the block
    that has such a mark, and every one after it, depends on what the picture shows. The last
    token is always computed, so it is in none of them. An id that no model has ends the keys:
    the engine will refuse the prompt anyway.
    """
    keys: list[str] = []
    key = ROOT
    whole = max(0, len(tokens) - 1) // BLOCK_TOKENS * BLOCK_TOKENS
    for start in range(0, min(whole, KEYS_MAX * BLOCK_TOKENS), BLOCK_TOKENS):
        end = start + BLOCK_TOKENS
        shown = "".join(digest for place, digest in pictures if start <= place < end)
        try:
            key = block_key(key + shown, tokens[start:end])
        except ValueError:
            break
        keys.append(key)
    return tuple(keys)
