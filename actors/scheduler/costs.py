"""What tokens cost, in integer micro-GPU-seconds. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """Micro-GPU-seconds a token, each ≥ 0: of a prompt token that is computed, of one that
    the prefix cache has, and of one that is generated. The defaults are 1 : 0.1 : 2 at 10,000
    prompt tokens a second; a pool states its own, calibrated ones."""

    prefill_us: int = 100
    cached_us: int = 10
    output_us: int = 200

    def charge(self, uncached: int, cached: int, output: int) -> int:
        """Return what a run costs that computes `uncached` prompt tokens, takes `cached` ones
        from the cache and generates `output`."""
        return self.prefill_us * uncached + self.cached_us * cached + self.output_us * output
