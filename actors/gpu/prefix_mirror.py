"""What the engine's prefix cache holds, in block keys, and what of it is news. Pure.

The engine speaks of its own blocks, whose size and hashes are its affair; the scheduler knows
prompts by keys of 32 tokens (`contracts.block_keys`). A key counts as cached while every engine
block that has a part of it is, whatever the two sizes are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from contracts.block_keys import BLOCK_TOKENS, ROOT, block_key
from contracts.ports.engine import (
    BlockChange,
    BlockId,
    BlocksCleared,
    BlocksRemoved,
    BlocksStored,
)
from contracts.scheduling import PrefixChanged


@dataclass(frozen=True, slots=True)
class _Prefix:
    """Where a chain of engine blocks ends: the last whole key, the tokens after it, and the
    engine blocks that these are in."""

    key: str = ROOT
    rest: tuple[int, ...] = ()
    blocks: tuple[BlockId, ...] = ()


@dataclass(slots=True)
class _Block:
    """An engine block. `copies` counts how often the engine holds it: it may compute one twice
    at once. `completes` are the keys that end in it, each with the blocks that it needs."""

    end: _Prefix
    completes: tuple[tuple[str, tuple[BlockId, ...]], ...]
    copies: int = 1


class PrefixMirror:
    """The cache of one life of a worker.

    Args:
        blocks_max: the most engine blocks that are followed; further ones are not, and are no
            news: their prefixes count as uncached.
        message_keys_max: the most keys in one message.
    """

    def __init__(
        self,
        worker: str,
        incarnation: int,
        *,
        blocks_max: int = 131_072,
        message_keys_max: int = 2_048,
    ) -> None:
        self.number = 0
        self._worker = worker
        self._incarnation = incarnation
        self._blocks_max = blocks_max
        self._message_keys_max = message_keys_max
        self._blocks: dict[BlockId, _Block] = {}
        self._needed_by: dict[BlockId, dict[BlockId, None]] = {}
        self._held: dict[str, None] = {}
        self._told: set[str] = set()
        self._touched: dict[str, None] = {}

    def __len__(self) -> int:
        """Return the number of keys that are cached."""
        return len(self._held)

    def warm_tokens(self, block_keys: Sequence[str]) -> int:
        """Return how many leading tokens of the prompt of these keys are cached."""
        count = 0
        for key in block_keys:
            if key not in self._held:
                break
            count += 1
        return count * BLOCK_TOKENS

    def changed(self, changes: Iterable[BlockChange]) -> None:
        """Take in what the engine stored and removed, in its order."""
        for change in changes:
            match change:
                case BlocksStored():
                    self._store(change)
                case BlocksRemoved(blocks):
                    for block_id in blocks:
                        self._remove(block_id)
                case BlocksCleared():
                    self._touched.update(self._held)
                    self._held.clear()
                    self._blocks.clear()
                    self._needed_by.clear()

    def news(self) -> list[PrefixChanged]:
        """Return what has changed since this was asked last, in as many messages as it takes;
        none if nothing has."""
        touched, self._touched = self._touched, {}
        stored = [key for key in touched if key in self._held and key not in self._told]
        removed = [key for key in touched if key not in self._held and key in self._told]
        self._told.update(stored)
        self._told.difference_update(removed)
        messages = [self._message(removed=part) for part in self._parts(removed)]
        messages += [self._message(stored=part) for part in self._parts(stored)]
        return messages

    def everything(self) -> list[PrefixChanged]:
        """Return all that is cached: the first message says to forget what was said before."""
        self._touched = {}
        self._told = set(self._held)
        parts = list(self._parts(list(self._held))) or [()]
        first = self._message(stored=parts[0], cleared=True)
        return [first, *(self._message(stored=part) for part in parts[1:])]

    def _store(self, change: BlocksStored) -> None:
        size = change.block_size
        if size < 1 or len(change.tokens) != size * len(change.blocks):
            return
        end: _Prefix | None = _Prefix()
        if change.parent is not None:
            parent = self._blocks.get(change.parent)
            end = None if parent is None else parent.end
        for place, block_id in enumerate(change.blocks):
            known = self._blocks.get(block_id)
            if known is not None:
                known.copies += 1
                end = known.end
                continue
            if end is None or len(self._blocks) >= self._blocks_max:
                return
            tokens = change.tokens[place * size : (place + 1) * size]
            try:
                end = self._add(block_id, end, tokens)
            except ValueError:
                return

    def _add(self, block_id: BlockId, before: _Prefix, tokens: tuple[int, ...]) -> _Prefix:
        """Follow a new block; raise ValueError if an id in it is none."""
        tokens = before.rest + tokens
        key, needs = before.key, (*before.blocks, block_id)
        completes = []
        while len(tokens) >= BLOCK_TOKENS:
            key = block_key(key, tokens[:BLOCK_TOKENS])
            tokens = tokens[BLOCK_TOKENS:]
            completes.append((key, needs))
            needs = (block_id,)
        block = _Block(_Prefix(key, tokens, needs if tokens else ()), tuple(completes))
        self._blocks[block_id] = block
        for other in _others(block):
            self._needed_by.setdefault(other, {})[block_id] = None
        self._judge(block_id, block)
        return block.end

    def _remove(self, block_id: BlockId) -> None:
        block = self._blocks.get(block_id)
        if block is None:
            return
        block.copies -= 1
        if block.copies > 0:
            return
        del self._blocks[block_id]
        for other in _others(block):
            dependents = self._needed_by[other]
            del dependents[block_id]
            if not dependents:
                del self._needed_by[other]
        self._judge(block_id, block)

    def _judge(self, block_id: BlockId, block: _Block) -> None:
        """See whether the keys are cached that end in a block or need it."""
        dependents = self._needed_by.get(block_id, ())
        for each in (block, *(self._blocks[other] for other in dependents)):
            for key, needs in each.completes:
                held = all(needed in self._blocks for needed in needs)
                if held == (key in self._held):
                    continue
                self._touched[key] = None
                if held:
                    self._held[key] = None
                else:
                    del self._held[key]

    def _parts(self, keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
        for start in range(0, len(keys), self._message_keys_max):
            yield tuple(keys[start : start + self._message_keys_max])

    def _message(
        self,
        stored: tuple[str, ...] = (),
        removed: tuple[str, ...] = (),
        *,
        cleared: bool = False,
    ) -> PrefixChanged:
        self.number += 1
        return PrefixChanged(
            worker=self._worker,
            incarnation=self._incarnation,
            number=self.number,
            stored=stored,
            removed=removed,
            cleared=cleared,
        )


def _others(block: _Block) -> list[BlockId]:
    """Return the blocks that a block's keys need besides itself."""
    return [other for _, needs in block.completes for other in needs[:-1]]
