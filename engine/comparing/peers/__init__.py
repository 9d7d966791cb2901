"""Codecs of others, one small adapter each."""
