"""Starting processes, what they print, and their end. Knows nothing of jobs."""
