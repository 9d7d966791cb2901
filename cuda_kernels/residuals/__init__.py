"""Residuals that keep a reconstruction within a bound of the raw samples."""
