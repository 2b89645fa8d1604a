"""The prefix cache of a simulated engine: blocks that are kept until their room is needed.

Like vLLM's: whole blocks only, known by their tokens and all before them; what a running
sequence uses stays; of the rest the one goes first that was let go of longest ago, the end of a
prompt before its beginning.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from contracts.ports.engine import BlockChange, BlocksRemoved, BlocksStored


@dataclass(slots=True)
class _Sequence:
    """What a running sequence uses: its blocks in order, and the tokens after them. `closed`:
    the cache had no room for a block, so none after it can be found either."""

    blocks: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    closed: bool = False


class SimPrefixCache:
    """`blocks_max` blocks of `block_size` tokens. `seed` is part of the blocks' hashes, as with
    real engines: two of them name the same tokens differently."""

    def __init__(self, block_size: int, blocks_max: int, seed: int) -> None:
        self._block_size = block_size
        self._blocks_max = blocks_max
        self._seed = seed.to_bytes(8, "little", signed=True)
        self._users: dict[int, int] = {}
        self._unused: OrderedDict[int, None] = OrderedDict()
        self._sequences: dict[str, _Sequence] = {}
        self._changes: list[BlockChange] = []

    def begin(self, request_id: str, prompt: Sequence[int]) -> int:
        """Begin a sequence; return how many tokens of its prompt are cached: never all."""
        sequence = self._sequences[request_id] = _Sequence()
        size = self._block_size
        last = max(0, len(prompt) - 1) // size * size
        for start in range(0, last, size):
            block = self._name(sequence, prompt[start : start + size])
            if block not in self._users:
                break
            self._use(sequence, block)
        return len(sequence.blocks) * size

    def computed(self, request_id: str, tokens: Sequence[int]) -> None:
        """The next tokens of a sequence are computed; whole blocks of them are cached."""
        sequence = self._sequences.get(request_id)
        if sequence is None or sequence.closed:
            return
        sequence.rest += tokens
        size = self._block_size
        while len(sequence.rest) >= size and not sequence.closed:
            block_tokens = tuple(sequence.rest[:size])
            del sequence.rest[:size]
            self._store(sequence, block_tokens)

    def end(self, request_id: str) -> None:
        """Let go of a sequence, which may be unknown; its blocks stay until their room is
        needed."""
        sequence = self._sequences.pop(request_id, None)
        for block in reversed(sequence.blocks if sequence else ()):
            self._users[block] -= 1
            if not self._users[block]:
                self._unused[block] = None

    def take_changes(self) -> tuple[BlockChange, ...]:
        """Return what was stored and removed since the last time, in order."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def _store(self, sequence: _Sequence, tokens: tuple[int, ...]) -> None:
        block = self._name(sequence, tokens)
        if block not in self._users:
            if len(self._users) >= self._blocks_max and not self._evict():
                sequence.closed = True
                return
            parent = sequence.blocks[-1] if sequence.blocks else None
            self._changes.append(BlocksStored((block,), parent, tokens, self._block_size))
            self._users[block] = 0
        self._use(sequence, block)

    def _use(self, sequence: _Sequence, block: int) -> None:
        self._users[block] += 1
        self._unused.pop(block, None)
        sequence.blocks.append(block)

    def _evict(self) -> bool:
        if not self._unused:
            return False
        block, _ = self._unused.popitem(last=False)
        del self._users[block]
        self._changes.append(BlocksRemoved((block,)))
        return True

    def _name(self, sequence: _Sequence, tokens: Sequence[int]) -> int:
        parent = sequence.blocks[-1] if sequence.blocks else 0
        packed = b"".join(token.to_bytes(8, "little", signed=True) for token in tokens)
        digest = blake2b(self._seed + parent.to_bytes(8, "little") + packed, digest_size=8)
        return int.from_bytes(digest.digest(), "little")
