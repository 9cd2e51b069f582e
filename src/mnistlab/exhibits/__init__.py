"""Everything that can be shown, listed once in `catalog`; an entry is an `Exhibit` of `base`."""
