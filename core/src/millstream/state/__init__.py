"""State: handles, the stores behind them, and how state becomes bytes."""
