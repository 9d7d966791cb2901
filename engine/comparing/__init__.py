"""Codecs beside what others would use: the same samples, every byte counted, really decoded."""
