"""How fast a worker goes: what its reports tell a scheduler to estimate with."""

_WEIGHT = 0.2
"""Of the newest measurement in a moving average."""


class Rates:
    """Moving averages of prefill and decode, in tokens a second; 0 until something ran."""

    def __init__(self) -> None:
        self.prefill_tokens_s = 0.0
        self.decode_tokens_s = 0.0
        self._decoded = 0
        self._since_ms = 0

    def prefilled(self, tokens: int, took_ms: int) -> None:
        """Take in a prefill of `tokens` uncached tokens, from request to first output."""
        if tokens > 0 and took_ms > 0:
            rate = tokens * 1000 / took_ms
            before = self.prefill_tokens_s or rate
            self.prefill_tokens_s = before + _WEIGHT * (rate - before)

    def decoded(self, tokens: int) -> None:
        """Take in output tokens."""
        self._decoded += tokens

    def tick(self, now_ms: int) -> None:
        """Close a period of measurement; an idle one says nothing about speed."""
        took_ms = now_ms - self._since_ms
        if took_ms <= 0:
            return
        if self._decoded and self._since_ms:
            rate = self._decoded * 1000 / took_ms
            before = self.decode_tokens_s or rate
            self.decode_tokens_s = before + _WEIGHT * (rate - before)
        self._decoded = 0
        self._since_ms = now_ms
