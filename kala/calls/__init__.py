"""HTTP calls of remote jobs and notifications. Knows nothing of jobs."""
