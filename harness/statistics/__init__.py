"""How sure a number may be: intervals, tests, verdicts, ranks over tasks, scaling fits."""
