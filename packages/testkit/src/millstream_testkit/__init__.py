"""Conformance suites, crash points and fault injection: proves that a connector keeps its promise."""
