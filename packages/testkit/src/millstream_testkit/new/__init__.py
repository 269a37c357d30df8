"""`millstream new`: packages for people who write a connector of their own."""
