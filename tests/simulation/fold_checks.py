"""What must hold of summaries: a lost or late one only makes prompts longer, none reaches
beyond its turn, and no turn is told twice."""

from collections.abc import Sequence

from actors.runtime.byte_codec import TURN
from actors.runtime.notes import SUMMARY_HEADING, notes_of
from contracts.records import Message
from contracts.runs import RunSpec
from tests.simulation.checks import Records, check_log, undisturbed
from tests.simulation.clients import Person
from tests.simulation.verdict import require
from tests.simulation.witness import Folded
from tests.simulation.world import World


async def check_folds(world: World, records: Records, person: Person) -> None:
    """Check the summaries of one chat, the runs that made them, and the prompts."""
    chat_id = person.chat_id
    messages = await world.history.messages(chat_id, start=0, limit=1_000, ascending=True)
    folded = [it for it in world.history.folded if it.summary.chat_id == chat_id]
    reached: list[int] = []
    for fold in folded:
        _check_summary(fold, reached[-1] if reached else -1, messages)
        _check_made(world, records, fold, reached, messages)
        reached.append(fold.summary.position)
    for spec in records.specs.values():
        if spec.chat_id == chat_id:
            _check_prompt(world, spec, folded, messages)


async def check_background(world: World, records: Records) -> None:
    """Runs of no chat are told as exactly as others, to their end."""
    for run_id, spec in records.specs.items():
        if spec.chat_id is not None:
            continue
        text = check_log(run_id, records.entries[run_id], chat=False)
        if spec.sampling.temperature == 0.0:
            whole = await undisturbed(world, spec)
            require(whole.startswith(text), "continue, don't restart", f"{run_id} differs")


def _check_summary(fold: Folded, reached: int, messages: Sequence[Message]) -> None:
    summary = fold.summary
    story = f"{summary.chat_id}: a summary to {summary.position} after {reached}"
    require(summary.position > reached, "no turn twice", story)
    require((-1 if fold.replaced is None else fold.replaced) == reached, "no turn twice", story)
    require(notes_of(summary.text) is not None, "one story", f"no notes: {summary.text!r}")
    last = next((m for m in messages if m.message_id == summary.upto_id), None)
    require(
        last is not None
        and last.position == summary.position
        and last.role == "assistant"
        and last.status != "pending",
        "no summary beyond its turn",
        f"{story}, its last message {last!r}",
    )


def _check_made(
    world: World,
    records: Records,
    fold: Folded,
    earlier: Sequence[int],
    messages: Sequence[Message],
) -> None:
    """The run that made a summary was told the turns since an earlier summary, or all, each
    once, and no later one. (A fold that another overtook goes on with the run that it has.)"""
    position = fold.summary.position
    turns = [message for message in messages if message.role == "user"]
    told = [[m.position for m in turns if base < m.position <= position] for base in (-1, *earlier)]
    made = []
    for spec in records.specs.values():
        if spec.chat_id is None and spec.run_id.rsplit("-", 2)[1] == str(position):
            text = world.codec.decode(spec.prompt_tokens)
            made.append([m.position for m in turns if text.count(f"User: {m.content}\n") == 1])
    story = f"the summary to {position} is of none of {told}, but of one of {made}"
    require(any(found in told for found in made), "no turn twice", story)


def _check_prompt(
    world: World, spec: RunSpec, folded: Sequence[Folded], messages: Sequence[Message]
) -> None:
    """No prompt says a turn twice: word for word, or word for word and in its summary."""
    parts = _turns(spec.prompt_tokens)
    shown = [world.codec.decode(part) for part in parts]
    asked = next(m for m in messages if m.message_id == _asked(spec, messages))
    require(shown.count(asked.content) == 1, "no turn twice", f"{spec.run_id}: its own prompt")
    told = [m for m in messages if m.role == "user" and m.position < asked.position]
    heads = [text for text in shown if SUMMARY_HEADING in text]
    reaches = [f.summary.position for f in folded if any(f.summary.text in h for h in heads)]
    twice = [
        next((m.content for m in told if shown.count(m.content) > (m.position > reach)), "")
        for reach in reaches or [-1]
    ]
    require("" in twice, "no turn twice", f"{spec.run_id}: {twice} beside summaries to {reaches}")
    if not heads and told:
        story = f"{spec.run_id}: {told[-1].content!r} is neither shown nor summed up"
        require(told[-1].content in shown, "a lost summary costs length alone", story)


def _asked(spec: RunSpec, messages: Sequence[Message]) -> str:
    answer = next(m for m in messages if m.message_id == spec.message_id)
    return answer.parent_id or messages[answer.position - 1].message_id


def _turns(tokens: Sequence[int]) -> list[tuple[int, ...]]:
    turns: list[list[int]] = [[]]
    for token in tokens:
        if token == TURN:
            turns.append([])
        else:
            turns[-1].append(token)
    return [tuple(turn) for turn in turns]
