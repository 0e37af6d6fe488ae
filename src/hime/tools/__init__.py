"""Tools around the models: a demo, a benchmark, the pages of the app."""
