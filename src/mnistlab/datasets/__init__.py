"""Images and labels: which data sets there are, where their files come from, how they are checked."""
