"""The summarizer actor: folds older turns of chats into running summaries, and names new chats.

Owns: nothing. A summary belongs to history, where the last of two writers is refused by
compare-and-set; a fold that is lost, late or refused only makes the chat's next prompts longer,
and its session asks again. So one may be killed at any moment.

Accepts (durable stream `FOLD`, at least once): `FoldWanted` and `TitleWanted`, of the partitions
that this host owns; several hosts share them as session hosts share theirs.
Emits: `RunSpec` to `RUNS`, for the cheap model's pool, in the background class and in the name
of the chat's user; `CancelQueued` for a run that takes too long; the summary, or the
title, to history.

Invariants:
- a stored summary covers exactly the messages up to the one that it names, all of one branch: it
  was made from the summary that it replaces and the turns that follow it, or from the
  branch's beginning;
- what a turn says is data: it stands on one line, and can neither end its frame nor begin
  another speaker's;
- a text that is not a list of notes is never stored, nor one longer than its share;
- a title replaces only the one that the first prompt gave, and is one short line of text;
- a wish is acknowledged when nothing more will be done about it.

Rooms: `state` (messages, effects), `machine` (one fold, step by step), `titling` (one title),
`prompting` (what the model is asked), `background` (as which run), `checking` (what it may answer),
`noting` (notes of a small model), `actor` (the shell),
`effects` (its hands), `config`, `metrics`.
"""

from actors.summarizer.actor import SummarizerHost
from actors.summarizer.config import SummarizerConfig

__all__ = ["SummarizerConfig", "SummarizerHost"]
