"""Stores on demand: index, decode, verify."""
