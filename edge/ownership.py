"""Whose a chat is. What is another's does not exist."""

from contracts.errors import Refused
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import Chat
from edge.config import EdgeConfig
from edge.expiring import ExpiringCache
from edge.problems import refuse


class Ownership:
    """Finds chats for their owners. A chat never changes hands, so who owns it may be
    remembered for a moment; everything else of it is read anew."""

    def __init__(self, config: EdgeConfig, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._seen: ExpiringCache[str, Chat] = ExpiringCache(
            size=config.lookups_max, ttl_ms=int(config.lookup_ttl_s * 1000)
        )

    async def chat(self, chat_id: str, user_id: str) -> Chat:
        """Return the chat as history has it now. Raises Refused (404)."""
        chat = await self._history.chat(chat_id)
        if chat is None or chat.user_id != user_id:
            self._seen.drop(chat_id)
            raise no_chat()
        self._seen.put(chat_id, chat, self._clock.monotonic_ms())
        return chat

    async def recent_chat(self, chat_id: str, user_id: str) -> Chat:
        """Return the chat as it was at most `lookup_ttl_s` ago. Raises Refused (404)."""
        chat = self._seen.get(chat_id, self._clock.monotonic_ms())
        if chat is not None and chat.user_id == user_id:
            return chat
        return await self.chat(chat_id, user_id)

    def created(self, chat: Chat) -> None:
        """Remember a chat that was created here."""
        self._seen.put(chat.chat_id, chat, self._clock.monotonic_ms())

    def forget(self, chat_id: str) -> None:
        """The chat was changed or deleted here."""
        self._seen.drop(chat_id)


def no_chat() -> Refused:
    """Return the refusal of a chat that isn't there for this caller."""
    return refuse("not_found", "There is no such chat.")
