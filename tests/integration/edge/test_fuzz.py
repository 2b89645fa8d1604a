"""Requests made from the API's own description, right ones and wrong ones: no 5xx, no status
and no form of an answer that the description does not name.

A short form runs with the other tests; `make fuzz` makes at least 5,000 requests.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import content_type_conformance, status_code_conformance
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.integration.edge.conftest import EdgeStack
from tests.integration.edge.test_strangers import owned

CASES = int(os.environ.get("PARLEY_FUZZ_CASES", "0"))
SEED = int(os.environ.get("PARLEY_FUZZ_SEED", "1"))
CASES_SHORT = 2
CASES_A_ROUND = 60
NAMES = {"chatId": "chat_id", "runId": "run_id", "messageId": "message_id", "keyId": "key_id"}
NAMES |= {"fileId": "file_id", "responseId": "response_id"}
UNTRIED = {"/usage": "asks a scheduler for what these tests' one does not tell"}


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    """Limits that a fuzzer would meet and learn nothing from are out of its way."""
    return {
        "login_failures_max": 1_000_000,
        "address_failures_max": 1_000_000,
        "api_keys_max": 1_000_000,
        "submit_timeout_s": 3.0,
        "cancel_wait_s": 0.01,
        "stream_max_s": 0.2,
    }


@dataclass(frozen=True)
class Wanted:
    """So many requests, proved by `who`, half of them with the ids that are there."""

    who: Mapping[str, str]
    ids: Mapping[str, str]
    cases: int
    seed: int


def fuzz(operation: Any, wanted: Wanted, statuses: list[int]) -> None:
    """Make the requests of an operation and note the statuses that come."""
    modes = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    strategy = modes.flatmap(lambda mode: operation.as_strategy(generation_mode=mode))

    @seed(wanted.seed)
    @settings(
        max_examples=wanted.cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, known=st.booleans())
    def request(case: Any, *, known: bool) -> None:
        if known:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = wanted.ids.get(NAMES.get(name, ""), "x")
        headers = {**(case.headers or {}), **wanted.who}
        headers.pop("Accept", None)
        answer = case.call(headers=headers, timeout=30)
        statuses.append(answer.status_code)
        assert answer.status_code < 500, answer.text
        case.validate_response(
            answer,
            checks=[
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    run: Callable[[], None] = request
    run()


@pytest.mark.timeout(3_600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_described_requests_get_described_answers(
    stack: EdgeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(stack.client.base_url).rstrip("/")
    schema = await asyncio.to_thread(schemathesis.openapi.from_url, f"{base}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    operations = [operation for operation in operations if operation.path not in UNTRIED]
    assert len(operations) > 40
    seen: dict[str, list[int]] = {operation.label: [] for operation in operations}
    broken: list[str] = []
    round_ = 0
    while not broken and (round_ == 0 or sum(map(len, seen.values())) < CASES):
        for operation in operations:
            mine = await owned(stack)
            wanted = Wanted(
                mine.headers, mine.ids, CASES_A_ROUND if CASES else CASES_SHORT, SEED + round_
            )
            try:
                await asyncio.to_thread(fuzz, operation, wanted, seen[operation.label])
            except Exception as error:  # noqa: BLE001 - one operation's failure hides no other's
                broken.append(f"{operation.label}: {error!r:.2000}")
        round_ += 1
    if CASES:
        made = sum(map(len, seen.values()))
        lines = [f"  {len(s):5} {label}: {sorted(set(s))}" for label, s in seen.items()]
        with capsys.disabled():
            print(f"\n{made} requests of {len(operations)} operations", *lines, sep="\n")  # noqa: T201
    assert not broken, "\n".join(broken)
