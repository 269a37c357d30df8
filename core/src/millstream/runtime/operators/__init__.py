"""Operators: what a task runs, one whole batch at a time."""
