"""The side effects of training: processes, signals, budgets. Yields what happened; knows no store."""
