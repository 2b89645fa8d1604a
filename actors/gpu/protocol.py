"""What the gpu machine hears from its shell, and what it has the shell do.

A message names the run and the attempt that it is about: an answer to something that the
machine has given up since is recognised and ignored.
"""

import msgspec

from contracts.log import LogEntry, LogSnapshot
from contracts.ports.engine import BlockChange, EngineInfo, EngineLoad, EngineOutput
from contracts.ports.token_log import LogState
from contracts.runs import Picture, Sampling
from contracts.scheduling import WorkerCommand, WorkerMessage
from contracts.session import RunFinished

# --- heard ----------------------------------------------------------------------------------


class EngineReady(msgspec.Struct, frozen=True):
    """The engine has started."""

    info: EngineInfo


class Claimed(msgspec.Struct, frozen=True):
    """The run's log is ours under `epoch`."""

    run_id: str
    attempt: int
    epoch: int


class LogRead(msgspec.Struct, frozen=True):
    """All that is committed of the run."""

    run_id: str
    attempt: int
    log: LogState


class Fenced(msgspec.Struct, frozen=True):
    """A newer claim exists; nothing of ours is stored any more."""

    run_id: str
    attempt: int


class LogLost(msgspec.Struct, frozen=True):
    """The run's log is gone or has lost entries."""

    run_id: str
    attempt: int


class Output(msgspec.Struct, frozen=True):
    """The engine produced something."""

    run_id: str
    attempt: int
    output: EngineOutput


class Denied(msgspec.Struct, frozen=True):
    """The engine refuses this request."""

    run_id: str
    attempt: int
    reason: str


class Freed(msgspec.Struct, frozen=True):
    """The engine confirmed that it holds nothing of the request any more."""

    run_id: str
    attempt: int


class Appended(msgspec.Struct, frozen=True):
    """The entry in flight is committed at `stream_seq`."""

    run_id: str
    attempt: int
    stream_seq: int


class FinishStored(msgspec.Struct, frozen=True):
    """`RunFinished` is stored for the session."""

    run_id: str
    attempt: int


class Tick(msgspec.Struct, frozen=True):
    """Time for a report; `load` is the engine's."""

    load: EngineLoad


class BlocksChanged(msgspec.Struct, frozen=True):
    """The engine's prefix cache has stored and removed blocks."""

    changes: tuple[BlockChange, ...]


class HandBack(msgspec.Struct, frozen=True):
    """Stop at once: free every sequence, end no run; the scheduler moves them."""

    reason: str


Message = (
    Output
    | Appended
    | WorkerCommand
    | Claimed
    | LogRead
    | Fenced
    | LogLost
    | Denied
    | Freed
    | FinishStored
    | Tick
    | EngineReady
    | BlocksChanged
    | HandBack
)

# --- effects --------------------------------------------------------------------------------


class ClaimLog(msgspec.Struct, frozen=True):
    """Claim the log; answered by `Claimed` or `Fenced`."""

    run_id: str
    attempt: int
    expect_epoch: int | None


class ReadLog(msgspec.Struct, frozen=True):
    """Read the log to its end; answered by `LogRead` or `LogLost`."""

    run_id: str
    attempt: int


class StartEngine(msgspec.Struct, frozen=True):
    """Generate; answered by `Output`s, the last with a finish, or by `Denied`."""

    run_id: str
    attempt: int
    prompt: tuple[int, ...]
    sampling: Sampling
    pictures: tuple[Picture, ...] = ()


class AbortEngine(msgspec.Struct, frozen=True):
    """Free the sequence; answered by `Freed`."""

    run_id: str
    attempt: int


class Append(msgspec.Struct, frozen=True):
    """Commit an entry, retrying while the bus is away; answered by `Appended`, `Fenced` or
    `LogLost`."""

    run_id: str
    attempt: int
    entry: LogEntry


class WriteSnapshot(msgspec.Struct, frozen=True):
    """Commit a snapshot, before the next entry; not answered, and not retried."""

    run_id: str
    attempt: int
    snapshot: LogSnapshot


class PublishFinished(msgspec.Struct, frozen=True):
    """Store the result for the chat's session, retrying; answered by `FinishStored`."""

    run_id: str
    attempt: int
    finished: RunFinished


class Tell(msgspec.Struct, frozen=True):
    """Send a message to the pool's scheduler."""

    message: WorkerMessage


class Forget(msgspec.Struct, frozen=True):
    """The machine knows this attempt no more: let go of what belongs to it."""

    run_id: str
    attempt: int


class Stop(msgspec.Struct, frozen=True):
    """Nothing runs and nothing will: end the actor."""


Effect = (
    Append
    | Tell
    | ClaimLog
    | ReadLog
    | StartEngine
    | AbortEngine
    | WriteSnapshot
    | PublishFinished
    | Forget
    | Stop
)
