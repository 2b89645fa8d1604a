"""How long until a waiting run starts. Pure, integer milliseconds."""


class ServiceEstimate:
    """Learns how long a run holds its slot (exponentially weighted, 1/8 of each new one) and
    answers how long a place in the queue takes when `slots` serve it."""

    def __init__(self, default_service_ms: int) -> None:
        self._service_ms = default_service_ms

    @property
    def service_ms(self) -> int:
        """How long a run holds its slot."""
        return self._service_ms

    def ended(self, held_ms: int) -> None:
        """Learn from a run that held its slot for `held_ms`."""
        self._service_ms += (held_ms - self._service_ms) // 8

    def wait_ms(self, position: int, slots: int) -> int | None:
        """Return the expected wait of the run at `position` (1 is next), None without
        slots: nobody can say."""
        if slots <= 0:
            return None
        return position * self._service_ms // slots
