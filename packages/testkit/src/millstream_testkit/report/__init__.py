"""What was demanded of which connector, and what came of it: as text, JSON and JUnit."""
