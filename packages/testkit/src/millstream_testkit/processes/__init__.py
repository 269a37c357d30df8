"""Faults of jobs that run over several processes: kills, stops and exceptions at named points, in the program or in one TaskManager."""
