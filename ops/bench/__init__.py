"""The benchmarks: measured side by side in one run, reported as ratios.

`servers` starts what is compared, `client` drives vLLM's own benchmark client, `report` turns
pairs of measurements into a table, `cli` is `parley bench`. `schedule` measures the scheduler
machine in virtual time, `memory` types long chats.
"""
