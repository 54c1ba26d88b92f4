"""Follow single documents through the pipeline: where from, what was done, into which models."""
