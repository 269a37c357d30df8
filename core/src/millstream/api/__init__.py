"""The program as its author writes it: environment and streams. Building one runs nothing."""
