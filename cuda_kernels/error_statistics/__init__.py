"""Per-sample error statistics of a reconstruction against the raw samples."""
