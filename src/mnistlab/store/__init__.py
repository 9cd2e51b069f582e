"""One SQLite file that holds every study, run, epoch and prediction: one process writes it, anybody reads it."""
