"""How the answer of one run is written: claim, read, generate, append, end.

Pure. The engine may start while the claim is under way, so the first token does not wait for
it; nothing is written before it. One entry is in flight; what comes meanwhile rides in the
next.
"""

from msgspec.structs import replace

from actors.gpu.config import GpuConfig
from actors.gpu.prefix_mirror import PrefixMirror
from actors.gpu.protocol import (
    AbortEngine,
    Append,
    Appended,
    Claimed,
    Denied,
    Effect,
    Fenced,
    FinishStored,
    Freed,
    LogLost,
    LogRead,
    Output,
    PublishFinished,
    ReadLog,
    StartEngine,
    Tell,
    WriteSnapshot,
)
from actors.gpu.rates import Rates
from actors.gpu.roster import Roster
from actors.gpu.state import Phase, Run, Sequence, finish_without_engine, must_replay
from contracts.errors import IllegalMessage, InvariantBroken, Problem
from contracts.ports.engine import EngineOutput
from contracts.ports.text import TextCodec
from contracts.ports.token_log import LogState
from contracts.runs import FinishReason, RunOutcome
from contracts.scheduling import RunBegan, RunRejected, RunSettled
from contracts.session import RunFinished


class Answering:
    """The transitions of a run; `context_length` is the engine's, set once it is known."""

    def __init__(
        self,
        config: GpuConfig,
        codec: TextCodec,
        roster: Roster,
        rates: Rates,
        mirror: PrefixMirror,
    ) -> None:
        self.context_length = 0
        self._config = config
        self._codec = codec
        self._roster = roster
        self._rates = rates
        self._mirror = mirror

    # the log

    def claimed(self, message: Claimed, now_ms: int) -> list[Effect]:
        """The log is ours: write, or read first what others wrote."""
        run = self._roster.current(message)
        if run is None:
            return []
        if run.phase is not Phase.CLAIMING:
            raise IllegalMessage("the run is claimed already")
        run.epoch = message.epoch
        begun = run.sequence is not Sequence.NONE or run.received > 0
        if begun or run.outcome is not None:
            run.phase = Phase.WRITING
            return self.advance(run, now_ms)
        run.phase = Phase.READING
        return [ReadLog(*run.key)]

    def log_read(self, message: LogRead, now_ms: int) -> list[Effect]:
        """Go on from what is committed; repeat the report of an end that is committed."""
        run = self._roster.current(message)
        if run is None:
            return []
        if run.phase is not Phase.READING:
            raise IllegalMessage("the run is not being read")
        log = message.log
        if log.terminal is not None:
            return self._settle(run, None)
        run.phase = Phase.WRITING
        if log.end is not None:
            run.outcome = log.end
            run.committed.next_seq = log.next_seq
            run.committed.text = [log.text]
            return self._finish(run)
        return self._continue(run, log, now_ms)

    def _continue(self, run: Run, log: LogState, now_ms: int) -> list[Effect]:
        """Go on where the log ends."""
        adopted = run.adopt(log, self._codec)
        if adopted is None:
            return self._end(run, "error", now_ms, _cannot_resume("its text and tokens differ"))
        owed, stopped = adopted
        if owed:
            run.unwritten.text.append(owed)
        if run.cancelled:
            return self.advance(run, now_ms)
        room = self.context_length - run.prompt_length
        reason = finish_without_engine(run.tokens, run.spec.sampling, room, stopped=stopped)
        if reason is not None and run.tokens:
            return self._end(run, reason, now_ms)
        return self.engage(run, now_ms)

    def engage(self, run: Run, now_ms: int) -> list[Effect]:
        """Give the engine what is known of the answer, and ask for the rest."""
        spec, done = run.spec, run.committed.tokens
        sampling = replace(spec.sampling, stop=())
        prompt = spec.prompt_tokens
        if done and must_replay(sampling):
            run.replay = len(done)
        elif done:
            prompt = (*prompt, *done)
            sampling = replace(
                sampling,
                max_tokens=sampling.max_tokens - len(done),
                min_tokens=max(0, sampling.min_tokens - len(done)),
            )
        run.sequence = Sequence.RUNNING
        run.engine_started_ms = now_ms
        length = run.prompt_length + len(prompt) - len(spec.prompt_tokens)
        run.prefill = max(1, length - self._mirror.warm_tokens(spec.block_keys))
        return [StartEngine(*run.key, prompt, sampling, spec.pictures)]

    def _pace_ms(self) -> int:
        """Return how far apart two entries of a run are at the least: 100 a second when alone,
        10 where a hundred run, which share the processor that writes them."""
        config = self._config
        return min(config.entry_max_ms, config.entry_ms + len(self._roster.runs))

    def flush(self, now_ms: int) -> list[Effect]:
        """Write what waited for its time while the engine said nothing more."""
        runs = list(self._roster.runs.values())
        return [effect for run in runs for effect in self.advance(run, now_ms)]

    def advance(self, run: Run, now_ms: int) -> list[Effect]:
        """Write what can be written and is due; end a cancelled run once the engine has let go
        of it."""
        if run.phase is not Phase.WRITING:
            return []
        if run.cancelled and run.outcome is None:
            if run.sequence is Sequence.NONE:
                return self._end(run, "cancelled", now_ms)
            return []
        if run.in_flight is not None:
            return []
        unwritten = run.unwritten
        if run.outcome is None:
            if not unwritten.tokens and not unwritten.text:
                return []
            if run.announced and now_ms < run.committed.last_at_ms + self._pace_ms():
                return []
        run.in_flight = run.next_entry(now_ms, message_id=run.spec.message_id)
        return [Append(*run.key, run.in_flight)]

    def appended(self, message: Appended, now_ms: int) -> list[Effect]:
        """The entry in flight is committed: send what has come meanwhile."""
        run = self._roster.current(message)
        if run is None:
            return []
        entry = run.in_flight
        if entry is None:
            raise IllegalMessage("no entry is in flight")
        run.in_flight = None
        run.committed.add(entry, message.stream_seq)
        effects: list[Effect] = []
        if entry.tokens and not run.began:
            run.began = True
            began = RunBegan(
                run_id=run.spec.run_id,
                attempt=run.attempt,
                worker=self._config.worker,
                cached_tokens=run.usage().cached_tokens,
            )
            effects.append(Tell(began))
        if entry.end is not None:
            return [*effects, *self._finish(run)]
        if entry.events and now_ms - run.snapshot_ms >= self._config.snapshot_ms:
            run.snapshot_ms = now_ms
            run.committed.mark(entry.seq, message.stream_seq)
            snapshot = run.committed.snapshot(message.stream_seq, now_ms)
            effects.append(WriteSnapshot(*run.key, snapshot))
        effects += self.advance(run, now_ms)
        return effects

    # the engine

    def output(self, message: Output, now_ms: int) -> list[Effect]:
        """Take in tokens: check those of a replay, keep the rest for the next entry."""
        run = self._roster.current(message)
        if run is None or run.outcome is not None or run.cancelled:
            return []
        output = message.output
        tokens, logprobs = output.tokens, output.logprobs
        if output.start is not None and output.start != run.received:
            if output.start > run.received:
                raise InvariantBroken("the engine left out tokens")
            tokens = tokens[run.received - output.start :]
            logprobs = logprobs[run.received - output.start :]
        if not run.received:
            self._first_output(run, output, now_ms)
        run.received += len(tokens)
        if run.replay:
            known = len(run.committed.tokens) - run.replay
            again = tokens[: run.replay]
            expected = tuple(run.committed.tokens[known : known + len(again)])
            run.replay -= len(again)
            if again != expected or (run.replay and output.finish):
                problem = _cannot_resume("the engine does not draw the same tokens again")
                return [*self._free(run, output.finish), *self._end(run, "error", now_ms, problem)]
            tokens, logprobs = tokens[len(again) :], logprobs[len(again) :]
        step = run.answer.push(tokens)
        self._rates.decoded(step.accepted)
        run.tokens += step.accepted
        run.unwritten.tokens += tokens[: step.accepted]
        run.unwritten.logprobs += logprobs[: step.accepted]
        if step.text:
            run.unwritten.text.append(step.text)
        if step.stopped:
            return [*self._free(run, output.finish), *self._end(run, "stop", now_ms)]
        if output.finish:
            run.sequence = Sequence.NONE
            return self._end(run, output.finish, now_ms)
        return self.advance(run, now_ms)

    def _first_output(self, run: Run, output: EngineOutput, now_ms: int) -> None:
        run.prefill = 0
        cached_tokens = output.cached_tokens or 0
        if not run.successor:
            run.cached_tokens = cached_tokens
        if output.prompt_tokens is not None:
            known = 0 if run.replay else len(run.committed.tokens)
            run.prompt_length = output.prompt_tokens - known
        fresh = run.prompt_length - cached_tokens
        self._rates.prefilled(fresh, now_ms - run.engine_started_ms)

    def _free(self, run: Run, finish: str | None) -> list[Effect]:
        """Return what frees the sequence, unless the engine has finished it by itself."""
        if finish or run.sequence is not Sequence.RUNNING:
            run.sequence = Sequence.NONE
            return []
        run.sequence = Sequence.FREEING
        return [AbortEngine(*run.key)]

    def freed(self, message: Freed, now_ms: int) -> list[Effect]:
        """The sequence is gone: a cancelled run may end now."""
        run = self._roster.current(message)
        if run is None:
            return []
        run.sequence = Sequence.NONE
        return self.advance(run, now_ms)

    def denied(self, message: Denied, now_ms: int) -> list[Effect]:
        """The engine refuses the request: the run fails openly."""
        run = self._roster.current(message)
        if run is None or run.outcome is not None:
            return []
        run.sequence = Sequence.NONE
        if run.cancelled:
            return self.advance(run, now_ms)
        problem = Problem(code="engine_error", detail=message.reason)
        return self._end(run, "error", now_ms, problem)

    # the end

    def _end(
        self, run: Run, reason: FinishReason, now_ms: int, error: Problem | None = None
    ) -> list[Effect]:
        rest = run.answer.finish(cut=reason == "cancelled")
        if rest and error is None:
            run.unwritten.text.append(rest)
        run.outcome = RunOutcome(finish_reason=reason, usage=run.usage(), error=error)
        return self.advance(run, now_ms)

    def _finish(self, run: Run) -> list[Effect]:
        """The end entry is committed: hand the result to the session, if there is one."""
        run.phase = Phase.FINISHING
        outcome, chat_id = run.outcome, run.spec.chat_id
        if outcome is None:
            raise InvariantBroken("a run without an outcome can't finish")
        if chat_id is None:
            return self._settle(run, outcome)
        finished = RunFinished(
            run_id=run.spec.run_id,
            chat_id=chat_id,
            epoch=run.epoch,
            next_seq=run.committed.next_seq,
            text="".join(run.committed.text),
            outcome=outcome,
            model=run.spec.model,
            message_id=run.spec.message_id,
            worker=self._config.worker,
        )
        return [PublishFinished(*run.key, finished)]

    def finish_stored(self, message: FinishStored) -> list[Effect]:
        """The session has the result: the scheduler may forget the run."""
        run = self._roster.current(message)
        if run is None:
            return []
        if run.phase is not Phase.FINISHING:
            raise IllegalMessage("the run is not finishing")
        return self._settle(run, run.outcome)

    def _settle(self, run: Run, outcome: RunOutcome | None) -> list[Effect]:
        settled = RunSettled(
            run_id=run.spec.run_id,
            attempt=run.attempt,
            worker=self._config.worker,
            outcome=outcome,
        )
        effects = self._roster.discard(run)
        self._roster.close(run.spec.run_id, run.attempt, settled)
        return [*effects, Tell(settled)]

    def fenced(self, message: Fenced) -> list[Effect]:
        """The run is another's now."""
        run = self._roster.current(message)
        return [] if run is None else self._settle(run, None)

    def log_lost(self, message: LogLost) -> list[Effect]:
        """The story so far is gone: hand the run back, a new attempt begins a new log."""
        run = self._roster.current(message)
        if run is None:
            return []
        effects = self._roster.discard(run)
        self._roster.close(run.spec.run_id, run.attempt, None)
        rejected = RunRejected(
            run_id=run.spec.run_id,
            attempt=run.attempt,
            worker=self._config.worker,
            reason="the run's log is gone",
        )
        return [*effects, Tell(rejected)]


def _cannot_resume(why: str) -> Problem:
    return Problem(
        code="cannot_resume", detail=f"The answer could not be continued exactly: {why}."
    )
