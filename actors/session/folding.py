"""When older turns are to be folded into the running summary: after an answer was sent. Pure.

The wish is repeated at the end of a later turn, until history has the summary; so it may be
lost, and whoever dies in between loses nothing.
"""

from actors.session.conversation import Conversation, Effects
from actors.session.state import Progress, Wish
from contracts.errors import Refused


class Folding:
    """Asks for folds of one chat."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def after(self, progress: Progress, now_ms: int) -> Effects:
        """A turn has ended, its terminal event is written."""
        known, record = self._conversation, progress.record
        model = known.config.models.get(record.model) if record is not None else None
        if model is None:
            return ()
        try:
            wish = known.memory.fold_wish(
                model, known.messages, progress.run_id, known.chat.user_id, now_ms
            )
        except Refused:
            return ()  # The template does not take these turns: the next prompt will say so.
        return () if wish is None else (Wish(wish),)
