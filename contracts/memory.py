"""What sessions and summarizers say to each other."""

from contracts.base import Tagged


class FoldWanted(Tagged, tag="fold"):
    """Fold these messages of a chat into its running summary, in the background.

    Durable, at least once, perhaps late, perhaps never: a fold that is lost only makes the next
    prompts longer. `message_ids` are whole exchanges of the path shown, oldest first, between
    `first_position` and `position`. `replaces` is the position that the stored summary reaches
    (None: there is none); the new one goes on from it if `based_on` names its last message
    (None: it is of another branch, begin anew). It is to have at most `tokens_max` tokens.
    """

    fold_id: str
    chat_id: str
    user_id: str
    message_ids: tuple[str, ...]
    first_position: int
    position: int
    tokens_max: int
    wanted_at_ms: int = 0
    replaces: int | None = None
    based_on: str | None = None

    @property
    def wish_id(self) -> str:
        """What it is deduplicated and logged by."""
        return self.fold_id


class TitleWanted(Tagged, tag="title"):
    """Give a chat a title, in the background, made of its first exchange, the
    messages `prompt_id` and `answer_id`.

    Durable, at least once, perhaps late, perhaps never. Only a chat that still has the title
    `instead_of` gets another.
    """

    title_id: str
    chat_id: str
    user_id: str
    prompt_id: str
    answer_id: str
    instead_of: str
    wanted_at_ms: int = 0

    @property
    def wish_id(self) -> str:
        """What it is deduplicated and logged by."""
        return self.title_id


SummarizerWish = FoldWanted | TitleWanted
