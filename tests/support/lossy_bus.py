"""A bus whose answers get lost: what it was told to do is done or not, and nobody hears."""

from collections.abc import Mapping
from typing import Any, Literal

from contracts.errors import BusTimeout
from contracts.ports.bus import Bus, Fence

Loss = Literal["answer", "message"]


class LossyBus:
    """Passes everything on, but loses appends as planned: `plan` holds one entry an append,
    None for one that works, `answer` for one that is stored and not acknowledged, `message`
    for one that never arrives."""

    def __init__(self, inner: Bus, plan: list[Loss | None]) -> None:
        self._inner = inner
        self.plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        fence: Fence | None = None,
        msg_id: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> int:
        """Append as planned."""
        loss = self.plan.pop(0) if self.plan else None
        if loss == "message":
            raise BusTimeout("the message is lost")
        seq = await self._inner.append(
            subject, data, fence=fence, msg_id=msg_id, headers=headers, timeout_s=timeout_s
        )
        if loss == "answer":
            raise BusTimeout("the answer is lost")
        return seq
