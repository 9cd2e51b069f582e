"""How runs are trained. Each engine takes groups of runs and yields results; none knows a store or a progress bar."""
