"""A background response on real processes: its writer and its edge are killed, and whoever
comes back from where it stood misses nothing."""

import time
from typing import Any

import httpx
import openai

from ops.chaos.stack import RunningStack

TOKENS = 200
PATIENCE_S = 60.0


def text_of(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def followed(sdk: openai.OpenAI, response_id: str, seen: list[Any], **kill: Any) -> None:
    """Follow the response to its end, coming back as often as it takes; once a quarter of it is
    there, call what `kill` has."""
    deadline = time.monotonic() + PATIENCE_S
    while not seen or seen[-1].type not in ("response.incomplete", "response.completed"):
        assert time.monotonic() < deadline, "it never ended"
        after = {"starting_after": seen[-1].sequence_number} if seen else {}
        try:
            for event in sdk.responses.retrieve(response_id, stream=True, **after):
                seen.append(event)
                if kill and len(text_of(seen)) > TOKENS // 4:
                    for strike in kill.values():
                        strike()
                    kill = {}
        except (openai.APIError, httpx.HTTPError):
            time.sleep(0.1)


def test_background_response_survives_its_writer_and_its_edge(sim_stack: RunningStack) -> None:
    token = httpx.post(f"{sim_stack.url}/auth/guest", json={}).json()["token"]
    with openai.OpenAI(base_url=f"{sim_stack.url}/v1", api_key=token, max_retries=5) as sdk:
        model = sdk.models.list().data[0].id
        whole: list[Any] = []
        request: dict[str, Any] = {
            "model": model,
            "input": "Tell me a long story about the sea.",
            "max_output_tokens": TOKENS,
            "temperature": 0,
            "background": True,
        }
        followed(sdk, sdk.responses.create(**request).id, whole)
        seen: list[Any] = []
        made = sdk.responses.create(**request)
        followed(
            sdk,
            made.id,
            seen,
            writer=lambda: sim_stack.kill("gpu"),
            edge=lambda: sim_stack.kill("edge"),
        )
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        assert text_of(seen) == text_of(whole)
        final = sdk.responses.retrieve(made.id)
        assert final.output_text == text_of(whole)
