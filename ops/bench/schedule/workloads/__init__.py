"""What is asked in the tables: recorded traces read by path, and seeded generators."""
