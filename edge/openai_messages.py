"""The messages and tools of a request, as turns of a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from contracts.ports.text import ToolCall, Turn
from edge.bodies import invalid
from edge.openai_errors import Unsupported

TOOLS_MAX = 128
FunctionName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ImageUrl(msgspec.Struct, frozen=True):
    """A picture, as a `data:` URL."""

    url: str
    detail: str | None = None


class ContentPart(msgspec.Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None


class CalledFunction(msgspec.Struct, frozen=True):
    """A call as the model made it; `arguments` is JSON text."""

    name: FunctionName
    arguments: str = "{}"


class MessageToolCall(msgspec.Struct, frozen=True):
    """A call in an assistant's message."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class ChatMessage(msgspec.Struct, frozen=True):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None

    def turn(self, index: int) -> Turn:
        """Return it as a turn of the prompt. Raises InvalidRequest for what is neither text nor a
        picture of a user."""
        where = f"messages[{index}]"
        if self.tool_calls and self.role != "assistant":
            raise invalid(f"{where}.tool_calls", "belongs to a message of the assistant")
        if self.role == "tool" and not self.tool_call_id:
            raise invalid(f"{where}.tool_call_id", "must not be missing")
        if self.content is None and not self.tool_calls:
            raise invalid(f"{where}.content", "must not be missing")
        return Turn(
            role="system" if self.role == "developer" else self.role,
            content=text_of(self._words(), ("text",), f"{where}.content"),
            tool_calls=tuple(
                ToolCall(call.id, call.function.name, call.function.arguments)
                for call in self.tool_calls or ()
            ),
            call_id=self.tool_call_id or "",
            pictures=self._places(),
        )

    def pictures(self, index: int) -> list[tuple[str, str]]:
        """Return the URLs of its pictures, each after the name of its place. Raises
        InvalidRequest."""
        found = []
        for number, part in enumerate(self.content if isinstance(self.content, list) else ()):
            if self._shows(part):
                where = f"messages[{index}].content[{number}].image_url"
                if not isinstance(part.image_url, ImageUrl):
                    raise invalid(where, "must be an object with a url")
                if part.image_url.detail not in (None, "auto"):
                    raise Unsupported(f"{where}.detail", "is not supported, except auto")
                found.append((where, part.image_url.url))
        return found

    def _shows(self, part: ContentPart) -> bool:
        return self.role == "user" and part.type == "image_url"

    def _words(self) -> str | list[ContentPart]:
        if isinstance(self.content, list):
            return [part for part in self.content if not self._shows(part)]
        return self.content or ""

    def _places(self) -> tuple[int, ...]:
        """Return where in the text its pictures stand."""
        places, length = [], 0
        for part in self.content if isinstance(self.content, list) else ():
            if self._shows(part):
                places.append(length)
            length += len(part.text or "")
        return tuple(places)


def turns_of(messages: Sequence[ChatMessage]) -> list[Turn]:
    """Return messages as turns. Raises InvalidRequest for what is neither text nor a picture."""
    return [message.turn(index) for index, message in enumerate(messages)]


def pictures_of(messages: Sequence[ChatMessage]) -> list[tuple[str, str]]:
    """Return the URLs of all pictures, each after the name of its place. Raises
    InvalidRequest."""
    found = (message.pictures(index) for index, message in enumerate(messages))
    return [picture for each in found for picture in each]


def text_of(content: str | list[ContentPart], kinds: tuple[str, ...], where: str) -> str:
    """Return the text of a content whose parts are all of `kinds`."""
    if isinstance(content, str):
        return content
    for part in content:
        if part.type not in kinds or part.text is None:
            sight = _ELSEWHERE if "image" in part.type else ""
            raise Unsupported(where, f"parts of type {part.type[:40]} are not supported{sight}")
    return "".join(part.text or "" for part in content)


class FunctionDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool; only functions are there."""

    type: str
    function: FunctionDefinition | None = None


_ELSEWHERE = " here: send pictures to /v1/chat/completions, as image_url of a user's message"

ToolChoice = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of a request, as its template takes them; `one`: a single call at most."""

    tools: tuple[Mapping[str, Any], ...]
    one: bool = False


def tool_use(
    tools: list[Tool] | None, choice: ToolChoice | None, parallel: bool | None
) -> ToolUse | None:
    """Return what the model may call; None: nothing. Raises InvalidRequest, naming what can't
    be had."""
    if not tools:
        if choice not in (None, "none", "auto"):
            raise invalid("tool_choice", "needs tools")
        return None
    if len(tools) > TOOLS_MAX:
        raise invalid("tools", f"takes at most {TOOLS_MAX}")
    functions = []
    for index, tool in enumerate(tools):
        if tool.type != "function" or tool.function is None:
            raise Unsupported(f"tools[{index}]", f"{tool.type[:40]} is no function")
        if tool.function.strict:
            raise Unsupported(f"tools[{index}].function.strict", "is not supported")
        functions.append({"type": "function", "function": msgspec.to_builtins(tool.function)})
    if choice == "none":
        return None
    if choice not in (None, "auto"):
        raise Unsupported("tool_choice", "is not supported, except auto and none")
    return ToolUse(tuple(functions), one=parallel is False)
