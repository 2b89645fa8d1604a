"""The language of Parley: every message, event, subject, error code and port.

Owns: the wire forms (`runs`, `events`, `log`, `session`, `scheduling`, `records`), the
subject names (`subjects`), the error codes (`errors`), the id format (`ids`), the codec
(`codec`) and the ports behind which real adapters and their fakes stand (`ports`).
Imports nothing of ours and does no I/O.

Compatibility: a new field has a default, no field is ever retyped, an unknown field is
ignored on decode. `tests/unit/contracts/golden` holds the encoded forms that must go on
decoding.
"""
