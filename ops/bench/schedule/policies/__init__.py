"""Other schedulers' orders at the machine's seam (`actors.scheduler.order.Order`).

Each says which paper it follows and where it departs from it. They see what production's
order sees and are charged with the same counts: cumulative tokens every 100 ms.
"""
