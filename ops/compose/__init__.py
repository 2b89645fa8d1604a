"""The composition root: each role's parts, wired and run until the process is told to end.

One module a role, so that a process loads only what it runs; `process` has what they share.
"""
