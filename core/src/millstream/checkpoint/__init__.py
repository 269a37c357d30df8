"""Checkpoints: barriers aligned, state made durable, tasks told, and the way back."""
