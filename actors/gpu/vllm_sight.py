"""Pictures for vLLM: what its model sees, and a prompt with pictures as vLLM takes it (ADR 0027).

vLLM's own processor of the model puts the tokens of a picture in the place of its mark. That
nothing else of the prompt changes is checked for every prompt: an answer is continued elsewhere
from the same tokens.
"""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import EngineRefused
from contracts.ports.engine import PICTURE_PIXELS_MAX
from contracts.runs import Sight

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_PROBE_PIXELS = 64


@dataclass(frozen=True, slots=True)
class SeenPrompt:
    """A prompt with pictures: vLLM's input, and how many tokens it has become."""

    engine_input: Any
    length: int


class VllmSight:
    """The pictures of one `AsyncLLM`. `mark` is the token that a picture takes the place of."""

    def __init__(self, renderer: Any, sight: Sight, mark: int) -> None:
        self._renderer = renderer
        self.sight = sight
        self.mark = mark

    @classmethod
    async def found(cls, llm: Any) -> "VllmSight | None":
        """Return the way of pictures into this engine: None if its model sees none, its
        settings allow none, or it does not put them where their marks are."""
        if not llm.vllm_config.model_config.is_multimodal_model:
            return None
        processor = llm.renderer.get_mm_processor()
        most = processor.info.allowed_mm_limits.get("image", 0)
        if most < 1:
            return None
        text = processor.dummy_inputs.get_dummy_text({"image": 1})
        tokens = llm.renderer.get_tokenizer().encode(text, add_special_tokens=False)
        made = await _rendered(llm.renderer, tokens, [_blank()])
        spans = _spans(made)
        if len(spans) != 1 or not _only_marks_changed(tokens, made["prompt_token_ids"], spans):
            return None
        largest = await asyncio.to_thread(processor.get_dummy_mm_inputs, {"image": 1}, cache=None)
        length = max(length for _, length in _spans(largest))
        return cls(llm.renderer, Sight(pictures=most, tokens=length), tokens[spans[0][0]])

    async def input(self, prompt: Sequence[int], pictures: Sequence[bytes]) -> SeenPrompt:
        """Return the prompt with its pictures.

        Raises:
            EngineRefused: there are more or fewer pictures than marks, or one can't be read.
        """
        if prompt.count(self.mark) != len(pictures):
            raise EngineRefused("the prompt has not one mark for each of its pictures")
        images = await asyncio.to_thread(_opened, pictures)
        made = await _rendered(self._renderer, prompt, images)
        spans, tokens = _spans(made), made["prompt_token_ids"]
        if len(spans) != len(pictures) or not _only_marks_changed(prompt, tokens, spans):
            raise EngineRefused("the model's processor changed more of the prompt than its marks")
        return SeenPrompt(made, len(tokens))


async def _rendered(renderer: Any, tokens: Sequence[int], images: Sequence[Any]) -> Any:
    prompt = {"prompt_token_ids": list(tokens), "multi_modal_data": {"image": list(images)}}
    (made,) = await renderer.render_cmpl_async([prompt])
    return made


def _spans(made: Any) -> list[tuple[int, int]]:
    """Return where the pictures' tokens begin, and how many each has."""
    return [(each.offset, each.length) for each in made["mm_placeholders"].get("image", ())]


def _only_marks_changed(
    prompt: Sequence[int], tokens: Sequence[int], spans: Sequence[tuple[int, int]]
) -> bool:
    """Say whether `tokens` is `prompt` with the pictures' tokens in the place of one each."""
    taken, place = 0, 0
    for offset, length in spans:
        between = offset - place
        if list(prompt[taken : taken + between]) != list(tokens[place:offset]):
            return False
        taken += between + 1
        place = offset + length
    return list(prompt[taken:]) == list(tokens[place:])


def _blank() -> Any:
    from PIL import Image  # noqa: PLC0415 - comes with vLLM

    return Image.new("RGB", (_PROBE_PIXELS, _PROBE_PIXELS), (127, 127, 127))


def _opened(pictures: Sequence[bytes]) -> list[Any]:
    """Return pictures as vLLM takes them: upright, of three colours, of films the first image.

    Raises:
        EngineRefused: one can't be read, or is larger than what is read.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 - comes with vLLM

    opened = []
    for number, data in enumerate(pictures, 1):
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            if image.width * image.height > PICTURE_PIXELS_MAX:
                raise EngineRefused(f"picture {number} has more than {PICTURE_PIXELS_MAX} pixels")
            opened.append(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise EngineRefused(f"picture {number} can't be read: {error}") from error
    return opened
