"""What a conversation remembers beyond what the window holds. Pure (ADR 0016, ADR 0017).

Its summary is history's, written by the summarizer; here it is read, judged and asked for. What
the prompt no longer shows word for word is in the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from actors.session.config import ModelContext, SessionConfig
from actors.session.context import (
    Context,
    Material,
    build_context,
    first_shown,
    summary_within,
)
from actors.session.exchanges import (
    NOTHING_SEEN,
    Exchange,
    TurnCache,
    content_of,
    cut_attachments,
    exchanges_of,
    is_on,
    pictures_of,
    place_of,
    seen_of,
)
from actors.session.retrieval import FOUND_MAX, Meaning, Passage, Retrieval, chosen, terms_of
from contracts.branches import ROOT
from contracts.memory import FoldWanted
from contracts.records import Attachment, Message, SessionRecord, Summary
from contracts.runs import Sampling, Sight

_FOLD_EXCHANGES_MAX = 200
"""Of one fold; what is left is folded next time."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A message of a path."""

    message_id: str
    position: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """The new message: its text, its pictures, and what the model sees of any."""

    text: str
    pictures: tuple[Attachment, ...]
    sight: Sight | None


class Memory:
    """The memory of one chat, rebuilt from `record`.

    Losing it costs nothing but a longer prompt: it is made again from history.
    """

    def __init__(
        self, config: SessionConfig, record: SessionRecord, index: Retrieval | None
    ) -> None:
        self._config = config
        self._summary = record.summary
        self._index = index
        self._indexed: _Place | None = None
        self._shown_from: _Place | None = None
        self._wished: tuple[int, int] | None = None
        self._part: Summary | None = None
        self._turns = TurnCache()
        self._beginning: str | None = None
        self._seen = NOTHING_SEEN

    # what history has to tell

    def reads_older(self, model: ModelContext, path: Sequence[Message]) -> bool:
        """Whether history has older messages than those of `path`, and they are needed."""
        if not path or path[0].position == 0 or path[0].parent_id == ROOT:
            return False
        if path[0].message_id == self._beginning or len(path) >= self._config.messages_max:
            return False
        shares = model.shares
        return bool((shares.retrieved and self._index) or shares.summary)

    @property
    def awaits_summary(self) -> bool:
        """Whether a fold was asked for that has not been seen in history."""
        return self._wished is not None

    def read(self, summary: Summary | None, *, beginning: str | None = None) -> None:
        """History has been read: its summary, and where the path begins now (None: where it did),
        beyond which there is nothing more to read.

        A summary that reaches only a part of the turns that were to be folded is put by: each
        part would cost the warm prefix (ADR 0016)."""
        if beginning is not None:
            self._beginning = beginning
            self._forget_index()
        if summary is None:
            return
        if self._wished is not None and summary.position < self._wished[0]:
            self._part = summary
            return
        self._wished = self._part = None
        self._summary = summary

    # the prompt of a turn

    def context(
        self,
        model: ModelContext,
        path: Sequence[Message],
        content: str,
        attachments: Sequence[Attachment],
        sampling: Sampling,
        user_prompt: str = "",
        meaning: Meaning | None = None,
        sight: Sight | None = None,
    ) -> Context:
        """Return the prompt of the turn that follows `path` (oldest first). `meaning` is that of
        `content`, where it is known; `sight` what the model sees of pictures.

        Raises:
            Refused: `prompt_too_long`, when the new message does not fit.
        """
        self._forget_other_paths(path)
        new = pictures_of(attachments) if sight is not None else ()
        asked = _Asked(content_of(model, content, attachments, seen=bool(new)), new, sight)
        material = self._material(model, path, asked, user_prompt)
        quotes = model.tokens(model.shares.retrieved) if self._index is not None else 0
        first = first_shown(model, material, model.room - quotes)
        if first > material.first and _covers(path, self._part):
            self._take_part()
            material = self._material(model, path, asked, user_prompt)
            first = first_shown(model, material, model.room - quotes)
        exchanges = material.exchanges
        older = path[: place_of(path, exchanges[first].position)] if exchanges[first:] else path
        passages = self._passages(model, older, terms_of(content), meaning, material, quotes)
        material = replace(material, first=first, passages=passages)
        context = build_context(model, material, sampling)
        self._note_shown(exchanges, context.first)
        cut = cut_attachments(model, attachments)
        unseen = self._seen.left_out
        left_out = msgspec.structs.replace(context.left_out, attachments=cut, pictures=unseen)
        return replace(context, left_out=left_out)

    def shown_pictures(self, path: Sequence[Message], sight: Sight | None) -> tuple[str, ...]:
        """Return the files of the pictures of `path` that its next prompt may show."""
        since = self._since(path, self._valid(path))
        seen = seen_of(since, sight, 0)
        return tuple(file.file_id for message in since for file in seen.of(message))

    def _material(
        self, model: ModelContext, path: Sequence[Message], asked: _Asked, user_prompt: str
    ) -> Material:
        """Return what there is to show but for the passages."""
        summary = self._valid(path)
        since = self._since(path, summary)
        self._turns.forget_but(since)
        self._seen = seen_of(since, asked.sight, len(asked.pictures))
        exchanges = exchanges_of(model, since, self._turns, self._seen)
        prompts = (model.system_prompt, user_prompt)
        return Material(
            content=asked.text,
            exchanges=exchanges,
            first=self._first(exchanges),
            system_prompt="\n\n".join(part for part in prompts if part),
            summary=summary_within(model, summary.text) if summary else "",
            pictures=asked.pictures,
            picture_tokens=self._seen.tokens,
        )

    def _take_part(self) -> None:
        """Go by the summary of a part of what was to be folded."""
        if self._part is not None:
            self._summary, self._part = self._part, None

    def _valid(self, path: Sequence[Message]) -> Summary | None:
        """Return the summary if what it covers is what `path` begins with."""
        return self._summary if _covers(path, self._summary) else None

    @staticmethod
    def _since(path: Sequence[Message], summary: Summary | None) -> Sequence[Message]:
        return path if summary is None else path[place_of(path, summary.position + 1) :]

    def _first(self, exchanges: Sequence[Exchange]) -> int:
        """Return the first exchange that earlier prompts have not left out."""
        shown = self._shown_from
        if shown is None:
            return 0
        return next((i for i, x in enumerate(exchanges) if x.position >= shown.position), 0)

    def _note_shown(self, exchanges: Sequence[Exchange], first: int) -> None:
        if first < len(exchanges):
            exchange = exchanges[first]
            self._shown_from = _Place(exchange.message_ids[0], exchange.position)

    def _forget_other_paths(self, path: Sequence[Message]) -> None:
        """Another branch is shown: what was made of this one is made anew."""
        shown, indexed = self._shown_from, self._indexed
        if shown is not None and not is_on(path, shown.message_id, shown.position):
            self._shown_from = None
        if indexed is not None and not is_on(path, indexed.message_id, indexed.position):
            self._forget_index()

    def _forget_index(self) -> None:
        self._indexed = None
        if self._index is not None:
            self._index.clear()

    # older turns

    def understands(self, model: ModelContext) -> bool:
        """Whether older turns are better found if it is known what the message means."""
        return bool(self._index is not None and self._index.embeds and model.shares.retrieved)

    def unlearned(self, limit: int) -> Sequence[Passage]:
        """Return up to `limit` older turns of which it would know what they mean."""
        return () if self._index is None else self._index.unlearned(limit)

    def learn(self, meanings: Sequence[tuple[Passage, Meaning]]) -> None:
        """Take what older turns mean."""
        if self._index is not None:
            self._index.learn(meanings)

    def _passages(
        self,
        model: ModelContext,
        older: Sequence[Message],
        terms: Sequence[str],
        meaning: Meaning | None,
        material: Material,
        limit: int,
    ) -> tuple[Passage, ...]:
        if self._index is None or not limit:
            return ()
        self._add_to_index(older)
        found = self._index.search(terms, FOUND_MAX, meaning)
        known = "" if model.quotes_known else material.summary
        return chosen(found, known, limit, lambda text: len(model.codec.encode(text)))

    def _add_to_index(self, older: Sequence[Message]) -> None:
        """Index the exchanges of `older`, the beginning of a path, that are not yet in it."""
        assert self._index is not None
        start = 0 if self._indexed is None else place_of(older, self._indexed.position + 1)
        new = older[start:]
        if not new:
            return
        self._index.add(_passages_of(new))
        self._indexed = _Place(new[-1].message_id, new[-1].position)

    # folding

    def fold_wish(
        self, model: ModelContext, path: Sequence[Message], run_id: str, user_id: str, now_ms: int
    ) -> FoldWanted | None:
        """Return what is to be folded into the summary now that a turn has ended, if anything.

        `run_id`, the turn's, names the fold: asked for twice, it is the same.
        """
        shares = model.shares
        if not shares.summary:
            return None
        if self._wished is not None:
            if now_ms < self._wished[1] + self._config.fold_again_ms:
                return None
            self._take_part()
        summary = self._valid(path)
        exchanges = exchanges_of(model, self._since(path, summary), self._turns, self._seen)
        if sum(x.cost for x in exchanges) <= model.tokens(shares.verbatim_high):
            return None
        left, kept = model.tokens(shares.verbatim_low), 0
        for exchange in reversed(exchanges):
            left -= exchange.cost
            if left < 0 and kept:
                break
            kept += 1
        folded = exchanges[: len(exchanges) - kept][:_FOLD_EXCHANGES_MAX]
        if not folded:
            return None
        last = folded[-1].last
        self._wished = (last.position, now_ms)
        return FoldWanted(
            fold_id=f"{run_id}-fold",
            chat_id=last.chat_id,
            user_id=user_id,
            message_ids=tuple(i for exchange in folded for i in exchange.message_ids),
            first_position=folded[0].position,
            position=last.position,
            replaces=self._summary.position if self._summary else None,
            based_on=summary.upto_id if summary else None,
            tokens_max=model.tokens(shares.summary),
            wanted_at_ms=now_ms,
        )

    def close(self) -> None:
        """Give back what the index holds."""
        if self._index is not None:
            self._index.close()


def _covers(path: Sequence[Message], summary: Summary | None) -> bool:
    """Whether what the summary covers is what `path` begins with, as far as can be seen."""
    if summary is None:
        return False
    before = bool(path) and path[0].position > summary.position
    return before or is_on(path, summary.upto_id, summary.position)


def _passages_of(messages: Sequence[Message]) -> list[Passage]:
    """Return the exchanges of messages for the index, whole. Their numbers count two messages a
    turn, as chats without branches have them."""
    found: list[Passage] = []
    for message in messages:
        if message.role == "user":
            number = message.position // 2 + 1
            found.append(Passage(message.position, number, message.content, ""))
        elif found and message.status != "pending" and message.content:
            last = found[-1]
            answer = f"{last.assistant}\n{message.content}" if last.assistant else message.content
            found[-1] = Passage(last.position, last.number, last.user, answer)
    return found
