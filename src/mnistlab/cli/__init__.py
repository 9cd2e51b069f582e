"""The command line: parse, one call of `mnistlab.lab`, print."""
