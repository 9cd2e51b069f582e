"""Pages made from the results: what they show is listed in `exhibits`, how it is written in `formatting`."""
