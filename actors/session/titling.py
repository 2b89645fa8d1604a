"""When a chat is to get a title from the model: after its first answer was sent. Pure.

Until it comes, and if it never does, the chat has the words of its first prompt (`titles`).
"""

from actors.session.conversation import Conversation, Effects
from actors.session.state import Progress, Wish
from actors.session.titles import title_of
from contracts.branches import ROOT
from contracts.memory import TitleWanted

_EXCHANGE = 2


class Titling:
    """Asks for the title of one chat."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def after(self, progress: Progress, now_ms: int) -> Effects:
        """A turn has ended, its terminal event is written."""
        known = self._conversation
        if not known.config.titles or len(known.messages) != _EXCHANGE:
            return ()
        prompt, answer = known.messages
        complete = answer.status == "complete" and bool(answer.content)
        first = prompt.position == 0 or prompt.parent_id == ROOT
        if not (
            complete and first and answer.run_id == progress.run_id
        ) or known.chat.title != title_of(prompt.content):
            return ()
        wish = TitleWanted(
            title_id=f"{progress.run_id}-title",
            chat_id=known.chat.chat_id,
            user_id=known.chat.user_id,
            prompt_id=prompt.message_id,
            answer_id=answer.message_id,
            instead_of=known.chat.title,
            wanted_at_ms=now_ms,
        )
        return (Wish(wish),)
