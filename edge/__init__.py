"""The edge: HTTP and server-sent events for browsers and API clients, stateless.

Knows `contracts` and its ports only; any edge serves any run.
"""
