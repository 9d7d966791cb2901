"""Bulk work: train, pack, compress, encode."""
