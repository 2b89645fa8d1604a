"""What runs before the environment exists: `make run`, `make test` and their steps.

Owns: the checks of the machine, the installation in steps that are skipped once done, and
the runner of the test stages. Uses the standard library only and imports nothing of ours.
"""
