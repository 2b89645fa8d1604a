"""What clients of `/v1/responses` send, checked, and as turns of a prompt."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from contracts.ports.text import ToolCall, Turn
from contracts.runs import Guide, Sampling
from edge.bodies import invalid
from edge.openai_errors import Unsupported
from edge.openai_messages import (
    ContentPart,
    FunctionDefinition,
    FunctionName,
    Tool,
    ToolChoice,
    ToolUse,
    text_of,
    tool_use,
)
from edge.openai_requests import NewTokens, Temperature, TopP, schema_guide

ITEMS_MAX = 1_000
METADATA_MAX = 16
_TEXT_PARTS = ("input_text", "output_text", "text")

Metadata = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
    msgspec.Meta(max_length=METADATA_MAX),
]


class TextFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the text of the answer is written."""

    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None


class InputItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item of the input: a message, a call of a function, or its output."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[ContentPart] | None = None
    call_id: str | None = None
    name: FunctionName | None = None
    arguments: str | None = None
    output: str | list[ContentPart] | None = None


class ResponseTool(msgspec.Struct, frozen=True):
    """A tool; only functions are there."""

    type: str
    name: FunctionName | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def as_tool(self) -> Tool:
        """Return it in the form of chat completions. What is said to be strict without need
        (the SDK's default) is not refused: only a schema can be followed strictly."""
        if self.name is None:
            return Tool(type=self.type)
        definition = FunctionDefinition(
            name=self.name, description=self.description, parameters=self.parameters
        )
        return Tool(type=self.type, function=definition)


class ResponseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/responses."""

    model: str
    input: str | Annotated[list[InputItem], msgspec.Meta(max_length=ITEMS_MAX)]
    instructions: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    max_output_tokens: NewTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    text: TextOptions | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata | None = None

    @property
    def stored(self) -> bool:
        """Whether history keeps it."""
        return self.store is not False

    @property
    def guide(self) -> Guide | None:
        """The form of the answer. Raises InvalidRequest for an unusable schema."""
        shape = self.text.format if self.text is not None else None
        if shape is None or shape.type == "text":
            return None
        if shape.type == "json_object":
            return Guide(kind="json_object")
        return schema_guide(shape.schema, "text.format.schema")

    def tool_use(self) -> ToolUse | None:
        """Return the tools that the model may call. Raises InvalidRequest."""
        tools = [tool.as_tool() for tool in self.tools or ()]
        if any(tool.strict for tool in self.tools or ()):
            raise Unsupported("tools", "strict is not supported: send strict false")
        use = tool_use(tools, self.tool_choice, self.parallel_tool_calls)
        if use is not None and self.guide is not None:
            raise Unsupported("text.format", "is not supported together with tools")
        return use

    def sampling(self, max_tokens: int, usual: Sampling) -> Sampling:
        """Return how the answer is drawn; what the request does not say is as `usual`."""
        return msgspec.structs.replace(
            usual,
            max_tokens=max_tokens,
            temperature=usual.temperature if self.temperature is None else self.temperature,
            top_p=usual.top_p if self.top_p is None else self.top_p,
            guide=self.guide,
        )

    def items(self, response_id: str) -> list[dict[str, Any]]:
        """Return the input as items with ids. Raises InvalidRequest for what isn't text."""
        given = self.input
        if isinstance(given, str):
            given = [InputItem(role="user", content=given)]
        if not given:
            raise invalid("input", "must not be empty")
        digits = response_id.partition("_")[2]
        return [_item(item, index, digits) for index, item in enumerate(given)]

    def told(self, sampling: Sampling) -> dict[str, Any]:
        """Return what of the request the response tells again."""
        shape = self.text.format if self.text is not None else None
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "store": self.stored,
            "temperature": sampling.temperature,
            "text": {"format": {"type": "text"} if shape is None else msgspec.to_builtins(shape)},
            "tool_choice": self.tool_choice or "auto",
            "tools": [msgspec.to_builtins(tool) for tool in self.tools or ()],
            "top_p": sampling.top_p,
        }


def _item(item: InputItem, index: int, digits: str) -> dict[str, Any]:
    where = f"input[{index}]"
    match item.type:
        case "message":
            if item.role is None or item.content is None:
                raise invalid(where, "a message needs role and content")
            text = text_of(item.content, _TEXT_PARTS, f"{where}.content")
            kind = "output_text" if item.role == "assistant" else "input_text"
            part: dict[str, Any] = {"type": kind, "text": text}
            if kind == "output_text":
                part["annotations"] = []
            return {
                "id": f"msg_{digits}i{index}",
                "type": "message",
                "role": item.role,
                "status": "completed",
                "content": [part],
            }
        case "function_call":
            if item.call_id is None or item.name is None or item.arguments is None:
                raise invalid(where, "a function_call needs call_id, name and arguments")
            return {
                "id": f"fc_{digits}i{index}",
                "type": "function_call",
                "call_id": item.call_id,
                "name": item.name,
                "arguments": item.arguments,
                "status": "completed",
            }
        case "function_call_output":
            if item.call_id is None or item.output is None:
                raise invalid(where, "a function_call_output needs call_id and output")
            return {
                "id": f"fco_{digits}i{index}",
                "type": "function_call_output",
                "call_id": item.call_id,
                "output": text_of(item.output, _TEXT_PARTS, f"{where}.output"),
                "status": "completed",
            }
        case other:
            raise Unsupported(where, f"items of type {other[:40]} are not supported")


_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def turns_of_items(items: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Return items, as they are stored or as a response tells its output, as turns."""
    turns: list[Turn] = []
    for item in items:
        match item["type"]:
            case "message":
                text = "".join(part["text"] for part in item["content"])
                turns.append(Turn(_ROLES[item["role"]], text))
            case "function_call":
                call = ToolCall(item["call_id"], item["name"], item["arguments"])
                last = turns[-1] if turns else None
                if last is not None and last.role == "assistant":
                    turns[-1] = Turn("assistant", last.content, (*last.tool_calls, call))
                else:
                    turns.append(Turn("assistant", "", (call,)))
            case "function_call_output":
                turns.append(Turn("tool", item["output"], call_id=item["call_id"]))
    return turns
