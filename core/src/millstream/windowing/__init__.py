"""Windows as plain descriptions; `millstream.runtime.operators.window` runs them."""
