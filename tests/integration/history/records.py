"""Records for the suite, under ids that no other test has: a CQL server may be shared."""

import os
import time

from msgspec.structs import replace

from contracts.errors import Problem
from contracts.ids import ENTROPY_BYTES, IdKind, make_id
from contracts.ports.history import History
from contracts.records import Chat, Message, RunRecord, User
from contracts.runs import Usage


def new_id(kind: IdKind) -> str:
    return make_id(kind, time.time_ns() // 1_000_000, os.urandom(ENTROPY_BYTES))


def new_user(email: str | None = None) -> User:
    return User(user_id=new_id("user"), created_at_ms=1_000, email=email)


def new_chat(user_id: str = "", active_at_ms: int = 1_000) -> Chat:
    return Chat(
        chat_id=new_id("chat"),
        user_id=user_id or new_id("user"),
        created_at_ms=1_000,
        active_at_ms=active_at_ms,
    )


class Turn:
    """A prompt, its answer and its run, before and after the end."""

    def __init__(
        self, chat: Chat, position: int, *, key: str | None = None, at_ms: int = 0
    ) -> None:
        at_ms = at_ms or 10_000 + position
        run_id = new_id("run")
        self.again = False
        self.chat_id = chat.chat_id
        self.prompt = Message(
            message_id=new_id("msg"),
            chat_id=chat.chat_id,
            position=position,
            role="user",
            content=f"prompt {position}",
            created_at_ms=at_ms,
        )
        self.answer = Message(
            message_id=new_id("msg"),
            chat_id=chat.chat_id,
            position=position + 1,
            role="assistant",
            content="",
            created_at_ms=at_ms,
            status="pending",
            run_id=run_id,
            parent_id=self.prompt.message_id,
            model="parley-small",
        )
        self.run = RunRecord(
            run_id=run_id,
            chat_id=chat.chat_id,
            user_id=chat.user_id,
            prompt_id=self.prompt.message_id,
            answer_id=self.answer.message_id,
            created_at_ms=at_ms,
            model="parley-small",
            idempotency_key=key,
            body_hash="" if key is None else f"hash of {key}",
        )
        usage = Usage(prompt_tokens=7, completion_tokens=3)
        self.final_answer = Message(
            message_id=self.answer.message_id,
            chat_id=chat.chat_id,
            position=position + 1,
            role="assistant",
            content=f"answer {position}",
            created_at_ms=at_ms,
            status="complete",
            run_id=run_id,
            parent_id=self.prompt.message_id,
            model="parley-small",
            finish_reason="stop",
            usage=usage,
        )
        self.final_run = RunRecord(
            run_id=run_id,
            chat_id=chat.chat_id,
            user_id=chat.user_id,
            prompt_id=self.prompt.message_id,
            answer_id=self.answer.message_id,
            created_at_ms=at_ms,
            model="parley-small",
            idempotency_key=key,
            body_hash=self.run.body_hash,
            state="failed",
            finish_reason="error",
            usage=usage,
            error=Problem(code="worker_lost", detail="Three workers were lost."),
            ended_at_ms=at_ms + 500,
        )

    async def accept(self, history: History, title: str = "", *, branch: bool = False) -> Chat:
        return await history.accept_prompt(
            self.chat_id,
            prompt=None if self.again else self.prompt,
            answer=self.answer,
            run=self.run,
            title=title,
            branch=branch,
        )

    def after(self, parent_id: str) -> "Turn":
        """Let the prompt follow this message."""
        self.prompt = replace(self.prompt, parent_id=parent_id)
        return self

    def to(self, prompt: Message) -> "Turn":
        """Make it another answer to a prompt that is there."""
        position = self.prompt.position
        changes = {"parent_id": prompt.message_id, "position": position}
        self.again, self.prompt = True, prompt
        self.answer = replace(self.answer, **changes)
        self.final_answer = replace(self.final_answer, **changes)
        self.run = replace(self.run, prompt_id=prompt.message_id)
        self.final_run = replace(self.final_run, prompt_id=prompt.message_id)
        return self

    def saying(self, prompt: str, answer: str) -> "Turn":
        """Give both messages a text."""
        self.prompt = replace(self.prompt, content=prompt)
        self.final_answer = replace(self.final_answer, content=answer)
        return self

    async def finish(self, history: History) -> bool:
        return await history.finish_run(self.chat_id, answer=self.final_answer, run=self.final_run)


async def converse(history: History, chat: Chat, turns: int, start: int = 0) -> list[Turn]:
    """Hold `turns` finished turns in a chat whose next position is `start`."""
    held = [Turn(chat, start + 2 * number) for number in range(turns)]
    for turn in held:
        await turn.accept(history)
        assert await turn.finish(history)
    return held
