"""Real processes for the end-to-end tests: Shoal itself, PostgreSQL, MinIO.

Each is started on a free loopback port with its data in a temporary folder, and none outlives the
test run, also when that is killed.
"""
