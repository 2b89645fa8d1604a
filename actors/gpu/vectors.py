"""Vectors as bytes: `float32`, little-endian, of length 1. Pure."""

import math
import sys
from array import array
from collections.abc import Iterable


def unit_vector(values: Iterable[float]) -> bytes:
    """Return the vector in the direction of `values`; zeros stay zeros."""
    raw = array("f", values)
    length = math.sqrt(math.fsum(value * value for value in raw))
    made = array("f", (value / length for value in raw)) if length else raw
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()
