"""The session actor: one virtual actor a conversation.

Owns: the conversation. It is activated on demand on the owner of the chat's partition,
rebuilt from history, and passivated when idle. It decides whether a prompt is taken, builds
the context of the turn, keeps one active run a chat, and closes the run: the answer is in
history before the terminal event is in the log.

Accepts (durable stream `SESS`, at least once): `SubmitPrompt`, `CancelRun`, `RunFinished`; for
responses of the API, which its hosts keep beside chats, `SubmitResponse` (ADR 0021).
Emits: `RunSpec` to `RUNS`, `PromptAccepted` or `PromptRejected` and `CancelReply` to whoever
asked, `CancelQueued` requests to the scheduler, `EmbedInputs` requests to embedding workers, the
terminal event to the run's log, `FoldWanted` and `TitleWanted` to `FOLD`.

Invariants:
- the prompt is in history before its run is queued, the answer before its terminal event;
- a chat has at most one active run (history's compare-and-set is the fence, so that two
  owners during a hand-over can't break it);
- a command is acknowledged only when repeating it would change nothing;
- each run gets exactly one terminal event: written under a closing claim, after the log was
  searched for one;
- between two turns a prompt changes at its end alone, but for folds and what is left out for
  want of room: seldom, and in large steps.

Rooms: `state` (messages, effects, a run's progress), `machine` (the way in, failures, time),
`submitting`, `cancelling`, `watching` and `ending` (its transitions), `conversation` (what they
share), `memory` (what is remembered beyond the window), `context` (the prompt of a turn),
`exchanges` (messages as a model reads them), `retrieval` (older turns, found and quoted) with its
index `sqlite_retrieval`, or `embedded_retrieval` around it, `learning` (when vectors are asked
for), `embedding` (how), `folding` (when the summarizer is asked), `outcomes` (how an end looks),
`responses` (the keeper of a response) with its `responses_state`,
`titles` and `titling` (what a chat is called, and when the summarizer is asked for better),
`actor` (the shell of all chats of a host), `effects` (its hands), `config`, `metrics`.
"""

from actors.session.actor import SessionHost
from actors.session.config import ModelContext, SessionConfig, Shares

__all__ = ["ModelContext", "SessionConfig", "SessionHost", "Shares"]
