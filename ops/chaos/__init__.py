"""Real stacks under real signals: people, an operator, and campaigns of faults (`parley chaos`)."""
