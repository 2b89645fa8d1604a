"""Any sequence of prompts, edits, other answers and switches keeps a tree, and each prompt is
built from the path that is shown."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.session.config import ModelContext, SessionConfig
from actors.session.machine import SessionMachine
from actors.session.state import (
    AcceptPrompt,
    AnswerSaved,
    CloseLog,
    Command,
    Effect,
    EnqueueRun,
    LookUpRun,
    MemoryRead,
    PathRead,
    PromptConflict,
    PromptStored,
    ReadMemory,
    ReadPath,
    Reply,
    RunClosed,
    RunEnqueued,
    RunLookedUp,
    SaveAnswer,
    SessionMessage,
    Settle,
    Settled,
    TerminalWritten,
    WriteTerminal,
)
from contracts.branches import ROOT, Tree, active_path
from contracts.errors import HistoryConflict
from contracts.records import Chat, Message, MessageNode
from contracts.runs import RunOutcome, RunSpec, Sampling
from contracts.session import PromptAccepted, PromptRejected, RunFinished, SubmitPrompt
from ops.history.memory import MemoryHistory
from tests.unit.session.test_context import WordCodec

CHAT = "chat"


def config() -> SessionConfig:
    model = ModelContext(
        model="m",
        pool="default",
        codec=WordCodec(),
        context_length=100_000,
        output_reserve=10,
        max_output=20,
    )
    return SessionConfig(models={"m": model}, default_model="m", messages_loaded=6)


@dataclass
class Owner:
    """An owner of the chat on a real history: its machine, and what it told and queued. As the
    shell does, it is rebuilt when it is stale, and gets its unacknowledged prompt again."""

    history: MemoryHistory
    machine: SessionMachine | None = None
    replies: list[Reply] = field(default_factory=list)
    specs: list[RunSpec] = field(default_factory=list)

    async def deliver(self, body: SubmitPrompt | RunFinished) -> None:
        for _ in range(3):
            if self.machine is None:
                record = await self.history.load_session(CHAT, messages=6, runs=9)
                assert record is not None
                self.machine = SessionMachine(config(), record)
            told = len(self.replies)
            pending: list[SessionMessage] = [Command(body, 1)]
            while pending:
                for effect in self.machine.handle(pending.pop(0), 1_000):
                    answer = await self._perform(effect)
                    if answer is not None:
                        pending.append(answer)
            if not self.machine.stale:
                return
            self.machine = None
            if len(self.replies) > told:
                return
        raise AssertionError("the prompt was never answered")

    async def _perform(self, effect: Effect) -> SessionMessage | None:
        match effect:
            case Settle(run_id, deliveries):
                return Settled(run_id, deliveries)
            case Reply():
                self.replies.append(effect)
            case ReadMemory(run_id, before, limit):
                older = None if before is None else await self._older(before, limit)
                return MemoryRead(run_id, None, older)
            case ReadPath(run_id, leaf_id, limit):
                path = await self.history.path(
                    CHAT, leaf_id=leaf_id, start=None, limit=limit, ascending=False
                )
                return PathRead(run_id, tuple(reversed(path)) or None)
            case AcceptPrompt(prompt, answer, run, branch):
                try:
                    chat = await self.history.accept_prompt(
                        CHAT, prompt=prompt, answer=answer, run=run, branch=branch
                    )
                except HistoryConflict:
                    return PromptConflict(run.run_id)
                return PromptStored(run.run_id, chat)
            case EnqueueRun(spec):
                self.specs.append(spec)
                return RunEnqueued(spec.run_id)
            case LookUpRun(run_id):
                record = await self.history.run(CHAT, run_id)
                found = await self.history.message(CHAT, record.answer_id) if record else None
                return RunLookedUp(run_id, record, found)
            case CloseLog(run_id, done):
                return RunClosed(run_id, done.text, 1, done.next_seq)
            case SaveAnswer(answer, run):
                await self.history.finish_run(CHAT, answer=answer, run=run)
                return AnswerSaved(run.run_id, applied=True)
            case WriteTerminal(run_id):
                return TerminalWritten(run_id)
        return None

    async def _older(self, before: Message, limit: int) -> tuple[Message, ...]:
        older = await self.history.path(
            CHAT,
            leaf_id=before.message_id,
            start=before.position - 1,
            limit=limit,
            ascending=False,
        )
        return tuple(reversed(older))


class Branches(RuleBasedStateMachine):
    """Two owners of one chat (a hand-over may happen at any moment), and a person."""

    def __init__(self) -> None:
        super().__init__()
        self.history = MemoryHistory()
        self.owners = [Owner(self.history), Owner(self.history)]
        self.number = 0
        self.nodes: list[MessageNode] = []
        self.leaf_id: str | None = None
        asyncio.run(
            self.history.create_chat(
                Chat(chat_id=CHAT, user_id="user", created_at_ms=1, active_at_ms=1)
            )
        )

    def _turn(self, owner: int, **branch: str | bool | None) -> None:
        asyncio.run(self._held(self.owners[owner], branch))

    async def _held(self, owner: Owner, branch: dict[str, str | bool | None]) -> None:
        """Hold one turn and check that it follows `branch`, and that the prompt shows it."""
        self.number += 1
        run_id = f"run_{self.number}"
        regenerate = branch.get("regenerate") is True
        prompt_id = str(branch.get("prompt_id", f"p_{self.number}"))
        submit = SubmitPrompt(
            run_id=run_id,
            chat_id=CHAT,
            user_id="user",
            prompt_id=prompt_id,
            answer_id=f"a_{self.number}",
            content="" if regenerate else "p" * self.number,
            sampling=Sampling(max_tokens=5),
            submitted_at_ms=100,
            expires_at_ms=10_000,
            reply_to="inbox",
            parent_id=branch.get("parent_id"),  # type: ignore[arg-type]
            regenerate=regenerate,
        )
        await owner.deliver(submit)
        assert isinstance(owner.replies[-1].body, PromptAccepted), owner.replies[-1]
        finished = RunFinished(
            run_id=run_id,
            chat_id=CHAT,
            epoch=0,
            next_seq=2,
            text="a" * self.number,
            outcome=RunOutcome(finish_reason="stop"),
            model="m",
            message_id=submit.answer_id,
        )
        await owner.deliver(finished)
        expected = self._path(
            prompt_id if regenerate else submit.parent_id
        )  # as it was before the turn
        self.nodes = list(await self.history.nodes(CHAT))
        self.leaf_id = submit.answer_id
        ids = [node.message_id for node in Tree(self.nodes).path(self.leaf_id)]
        if regenerate:
            assert ids == [*expected, submit.answer_id]
        else:
            assert ids == [*expected, prompt_id, submit.answer_id]
        shown = [len(m.content) for m in await self._messages()][:-1]
        tokens = [token for length in shown for token in (1000, length)]
        window = owner.specs[-1].prompt_tokens
        assert window[-1] == 1001
        assert list(window[:-1]) == tokens[-(len(window) - 1) :]
        assert len(window) > min(len(tokens), 8)

    def _path(self, leaf_id: str | None) -> list[str]:
        if leaf_id == ROOT:
            return []
        path = Tree(self.nodes).path(leaf_id or self.leaf_id)
        return [node.message_id for node in path]

    async def _messages(self) -> list:  # type: ignore[type-arg]
        return list(await self.history.path(CHAT, start=None, limit=999, ascending=True))

    @rule(owner=st.integers(0, 1))
    def go_on(self, owner: int) -> None:
        self._turn(owner)

    @rule(owner=st.integers(0, 1))
    def begin_anew(self, owner: int) -> None:
        self._turn(owner, parent_id=ROOT)

    @precondition(lambda self: self.nodes)
    @rule(owner=st.integers(0, 1), which=st.integers(0, 99))
    def edit(self, owner: int, which: int) -> None:
        answers = [node for node in self.nodes if node.role == "assistant"]
        self._turn(owner, parent_id=answers[which % len(answers)].message_id)

    @precondition(lambda self: self.nodes)
    @rule(owner=st.integers(0, 1), which=st.integers(0, 99))
    def regenerate(self, owner: int, which: int) -> None:
        prompts = [node for node in self.nodes if node.role == "user"]
        prompt_id = prompts[which % len(prompts)].message_id
        self._turn(owner, regenerate=True, prompt_id=prompt_id)

    @precondition(lambda self: self.nodes)
    @rule(which=st.integers(0, 99))
    def switch(self, which: int) -> None:
        picked = self.nodes[which % len(self.nodes)].message_id
        leaf_id = Tree(self.nodes).newest_leaf(picked)
        assert picked in [node.message_id for node in Tree(self.nodes).path(leaf_id)]
        asyncio.run(self.history.update_chat(CHAT, leaf_id=leaf_id))
        self.leaf_id = leaf_id

    @precondition(lambda self: self.nodes)
    @rule(owner=st.integers(0, 1), regenerate=st.booleans())
    def branch_off_nothing(self, owner: int, *, regenerate: bool) -> None:
        before = len(self.nodes)

        async def refused() -> None:
            submit = SubmitPrompt(
                run_id=f"run_x{self.number}",
                chat_id=CHAT,
                user_id="user",
                prompt_id="nobody's",
                answer_id="a_x",
                content="x",
                sampling=Sampling(max_tokens=5),
                submitted_at_ms=100,
                expires_at_ms=10_000,
                reply_to="inbox",
                parent_id=None if regenerate else "nobody's",
                regenerate=regenerate,
            )
            await self.owners[owner].deliver(submit)
            body = self.owners[owner].replies[-1].body
            assert isinstance(body, PromptRejected) and body.problem.code == "not_found"
            assert len(await self.history.nodes(CHAT)) == before

        asyncio.run(refused())

    @invariant()
    def is_a_tree(self) -> None:
        tree = Tree(self.nodes)
        for node in self.nodes:
            path = tree.path(node.message_id)
            assert path[-1] is node
            assert [n.role for n in path] == ["user", "assistant"] * (len(path) // 2) + (
                ["user"] if len(path) % 2 else []
            )
            assert path[0].parent_id in (None, ROOT)
            siblings = tree.alternatives(node.message_id)
            assert node in siblings
            assert {tree.parent(s) for s in siblings} == {tree.parent(node)}


TestBranches = Branches.TestCase
TestBranches.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(0, 40))
def test_path_of_any_tree_leads_from_a_root_to_its_leaf(parents: list[int], leaf: int) -> None:
    nodes = [
        MessageNode(
            message_id=f"m{n}",
            position=n,
            role="user" if n % 2 == 0 else "assistant",
            created_at_ms=n,
            parent_id=None if parent == 0 else ROOT if parent == 1 else f"m{parent}",
        )
        for n, parent in enumerate(parents)
    ]
    path = active_path(nodes, f"m{leaf}")
    positions = [node.position for node in path]
    assert positions == sorted(set(positions))
    if leaf < len(nodes):
        assert path[-1].position == leaf
    tree = Tree(nodes)
    for node in nodes:
        newest = tree.newest_leaf(node.message_id)
        assert node in tree.path(newest)


@pytest.mark.parametrize("leaf_id", [None, "gone"])
def test_path_without_a_leaf_leads_to_the_newest(leaf_id: str | None) -> None:
    nodes = [
        MessageNode(message_id=f"m{n}", position=n, role="user", created_at_ms=n) for n in range(3)
    ]
    assert [node.position for node in active_path(nodes, leaf_id)] == [0, 1, 2]
    assert active_path([], leaf_id) == []
