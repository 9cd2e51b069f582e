"""The verbs as a notebook or a script calls them."""
