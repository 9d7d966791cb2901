"""Graphs that could do harm: each is a good decoder with one lie, and what its refusal must say."""

from tests.attacks import bombs, false_statements, forbidden_parts
from tests.attacks.models import GRAPHS

__all__ = ["GRAPHS", "bombs", "false_statements", "forbidden_parts"]
