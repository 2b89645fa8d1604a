"""The gpu actor: one an engine; prompts in, tokens into the run's log.

Owns: the engine and its processes, the sequences that it decodes, and, while its claim
holds, the log of each run given to it.
Accepts: `StartRun`, `AbortRun`, `DropRun`, `ResendPrefixes`, `Drain` on `gpu.<worker>.cmd`.
Emits: log entries and snapshots, `RunFinished` to the chat's session, `RunBegan`,
`RunSettled`, `RunRejected`, `PrefixChanged`, `WorkerReport` and `WorkerGone` to the pool's
scheduler.

Apart from that, an embedding worker (`embedding_actor`) has an embedder (`vllm_embedder`,
`sim_embedder`; `contracts.ports.embedder`) and answers requests for vectors on `embed.<pool>`.

Invariants
- Nothing is written before the run's log is claimed under the attempt of the command.
- One append a run is in flight; what the engine produced meanwhile rides in the next.
- The text of a run is a pure function of its tokens: a successor rebuilds it exactly.
- After the entry with `end` nothing is written, and the engine holds nothing of the run
  once its cancellation is settled.
- A dead engine ends no run: the actor dies, and the scheduler moves its runs.
- What it says of its prefix cache is numbered; a report names the last number, so that a loss
  shows.
- Every queue is bounded: runs by `slots`, a run's unwritten tokens by the context length,
  commands by the mailbox (the oldest is dropped; reports repair what was lost).
"""
