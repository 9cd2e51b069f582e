"""Tables in, estimates and verdicts out; never a store, an engine or a figure."""
