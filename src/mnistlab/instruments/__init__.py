"""What reads the machine: memory, energy, cores, versions. Every reading may be None: not measurable here."""
