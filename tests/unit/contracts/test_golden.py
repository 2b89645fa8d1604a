"""What was ever sent or stored can still be read, and means the same."""

import json
from pathlib import Path
from types import UnionType
from typing import get_args

import msgspec
import pytest

from contracts import events, responses, scheduling, session
from contracts.codec import decode, encode
from contracts.errors import BadMessage
from tests.unit.contracts.examples import (
    EXAMPLES,
    GOLDEN,
    MODULES,
    golden_forms,
    load,
    optional_fields,
    structs,
)

UNIONS: dict[str, UnionType] = {
    "RunEvent": events.RunEvent,
    "Terminal": events.Terminal,
    "SessionCommand": session.SessionCommand,
    "SubmitReply": session.SubmitReply,
    "WorkerCommand": scheduling.WorkerCommand,
    "WorkerMessage": scheduling.WorkerMessage,
    "SchedulerRequest": scheduling.SchedulerRequest,
    "ResponseCommand": responses.ResponseCommand,
}


def name_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(
    ("path", "key", "struct"),
    [*golden_forms()],
    ids=lambda value: value if type(value) is str else "",
)
def test_golden_form_is_written_and_read_as_ever(
    path: Path, key: str, struct: msgspec.Struct
) -> None:
    form = load(path)[key]
    assert json.loads(encode(struct)) == form
    assert decode(json.dumps(form).encode(), type(struct)) == struct


def test_every_struct_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == {k for m in MODULES for k in structs(m)}


def test_every_golden_form_has_its_example() -> None:
    known = {(path, key) for path, key, _ in golden_forms()}
    assert known == {(path, key) for path in GOLDEN.glob("*.json") for key in load(path)}


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_example_sets_every_optional_field(example: msgspec.Struct) -> None:
    fixed = {"finish_reason"} if isinstance(example, events.RunCancelled) else set()
    for field in optional_fields(type(example)):
        assert field.name in fixed or getattr(example, field.name) != field.default


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_form_without_any_one_optional_field_reads_as_its_default(
    example: msgspec.Struct,
) -> None:
    for field in optional_fields(type(example)):
        form = json.loads(encode(example))
        del form[field.encode_name]
        older = decode(json.dumps(form).encode(), type(example))
        assert older == msgspec.structs.replace(example, **{field.name: field.default})


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_form_with_unknown_fields_is_read_without_them(example: msgspec.Struct) -> None:
    form = json.loads(encode(example)) | {"fromTheFuture": {"deep": [1, None]}}
    assert decode(json.dumps(form).encode(), type(example)) == example


@pytest.mark.parametrize("union", UNIONS)
def test_union_tells_its_members_apart_by_their_tag(union: str) -> None:
    kinds = set(get_args(UNIONS[union]))
    members = [example for example in EXAMPLES if type(example) in kinds]
    assert len(members) == len(kinds)
    for member in members:
        assert decode(encode(member), UNIONS[union]) == member


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"type": "cancel_run"}',
        b'{"type": "of_tomorrow"}',
        b'{"runId": "r", "chatId": "c", "userId": "u"}',
        b'{"type": "cancel_run", "runId": 1, "chatId": "c", "userId": "u"}',
        b'\xff{"type": "cancel_run", "runId": "r", "chatId": "c", "userId": "u"}',
    ],
)
def test_bytes_of_another_shape_are_a_bad_message(data: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(data, session.SessionCommand)


def test_wire_structs_are_immutable() -> None:
    for example in EXAMPLES:
        for field in msgspec.structs.fields(example):
            with pytest.raises(AttributeError):
                setattr(example, field.name, None)
