"""How fast the same network trains by every engine, beside what the machine itself could do, in one interleaved run."""
