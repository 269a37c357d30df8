"""From the program to what runs: stream graph, job graph (chained), execution graph (parallel), and what is checked on the way."""
