"""What older turns mean, told to the chat's index a batch at a time, while nobody waits. Pure.

One batch is in flight. Where nobody makes vectors now, the next turn asks again.
"""

from actors.session.conversation import Conversation, Effects
from actors.session.state import EmbedTurns, TurnsEmbedded
from contracts.embeddings import BATCH_MAX


class Learning:
    """Asks for the vectors of one chat's older turns."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._asked = False

    def go_on(self) -> Effects:
        """Ask for the next batch, unless one is on its way or nothing is lacking."""
        if self._asked:
            return ()
        passages = self._conversation.memory.unlearned(BATCH_MAX)
        if not passages:
            return ()
        self._asked = True
        return (EmbedTurns(tuple(passages)),)

    def told(self, told: TurnsEmbedded) -> Effects:
        """A batch came back, perhaps empty."""
        self._asked = False
        if not told.meanings:
            return ()
        self._conversation.memory.learn(told.meanings)
        return self.go_on()
