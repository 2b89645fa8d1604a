"""`parley bench schedule`: the production scheduler machine in virtual time.

Owns: simulated GPUs (`gpu`), the simulation that lets them speak to the machine
(`simulator`), what users ask (`workloads`), other schedulers' orders at the machine's one
seam (`policies`), what is computed from the records (`measures`, `intervals`), and what
is shown (`tables`, `plots`, `cli`).

Invariants: nothing here changes what the machine decides, the order at its seam apart;
the same seed gives the same records; every prompt that was asked ends exactly once.
"""
