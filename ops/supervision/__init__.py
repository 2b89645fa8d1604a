"""The supervisor of `parley up`: one process a role, each alone in its process group.

Owns: which child runs when. Children start by stages (NATS first, then all others side by
side), a dead child comes back at once and then ever later, one that keeps dying ends the
whole stack, and the end goes by ranks (the edge first, NATS last).

Rooms: `state` (messages, effects, what is known of a child), `machine` (all decisions, pure),
`processes` (spawning, exit by pidfd, killing of groups), `launch` (what a child runs before
its program: it dies with its parent), `leftovers` (what an earlier crash left), `shell` (the
loop that performs the effects).

Invariants:
- a child is spawned only when every child of earlier stages is ready;
- a child's process group is killed before the child is spawned again;
- after a stop was asked for nothing is spawned;
- a child is told to end only when all of higher ranks have ended;
- the supervisor ends when no child is left.
"""
