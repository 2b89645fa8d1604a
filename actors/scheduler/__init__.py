"""The scheduler actor: one active a model pool, standbys ready.

Owns: which run is written by which worker, and when. Keeps the queue of accepted runs, the
credits of the workers, and the attempt number under which each run is written.

Accepts: `RunSpec` from the work queue `RUNS` (an unacknowledged message is the write-ahead
record of a run); `WorkerReport`, `PrefixChanged`, `RunBegan`, `RunRejected`, `RunSettled`,
`WorkerGone`; requests to cancel, to describe, to watch, and what a user may do.
Emits: `StartRun`, `AbortRun`, `DropRun`, `ResendPrefixes` to workers; its journal; `run.queued`
events to the log of a run that waits; `RunFinished` (or an end entry) for a run that ends
without a worker; the pool's status.

Invariants:
- a run is acknowledged in `RUNS` only when its end is durable elsewhere, and its settlement is
  in the journal;
- attempts grow: term (the lease's revision) above, a counter below, so that no read is
  needed after a restart, and the log refuses whoever was replaced;
- a worker never holds more runs than it has slots; a live worker with a free slot never
  idles while a run that fits it is queued;
- a run that lost its worker goes before all fresh runs of its tier, three attempts at most;
- budgets are conserved to the unit, and each run is settled once;
- a run of the best tier is not refused for want of a place while one of a lower tier could
  give way.

Rooms: `state` (messages, effects, a run), `machine` (submission, dispatch, deadlines),
`hearing` (what workers say), `ending` (how runs end), `readers` (runs that only a dead
edge read), `telling` (what others see), on one
`pool`; `dispatching` (which run goes where now), `order` (the seam: who is next), `fair` with
`backlog`, `accounts`, `tags`, `selection` (production's order), `fcfs` (the plain one), `costs`,
`lengths` (what answers get), `homing` with `prefixes`, `placement`, `replicas` (where prompts
are warm), `journal` and `journal_log` (what outlives a term), `workers` (who is alive),
`estimate` (how long), `places` (who goes before whom), `views` (what operators see), `gate`
(who is let in) with its own rooms `tiers`, `budgets`, `waits`, `promises`, `admission` and
`degradation`, `quarantine` (who keeps dying), `actor` (the shell), `effects` (its hands),
`config`, `metrics`.
"""

from actors.scheduler.actor import SchedulerActor
from actors.scheduler.config import SchedulerConfig, TierConfig

__all__ = ["SchedulerActor", "SchedulerConfig", "TierConfig"]
