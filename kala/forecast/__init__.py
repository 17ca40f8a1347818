"""What is to come of all jobs: how much in each minute, and of which job. Pure, and in steps, so that nobody has to
wait until a hundred thousand have been looked at.

Counted is what the schedules name from now on, until the claims are used up. What was missed is for catch-up to decide
about, and runs by hand, of parents and after failures nobody knows before.
"""

from kala.forecast.course import first_in_time
from kala.forecast.due import Due, Found
from kala.forecast.load import Load

__all__ = ["Due", "Found", "Load", "first_in_time"]
