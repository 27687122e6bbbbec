"""What all tests share."""

from hypothesis import settings

# The same cases in every run, under a name of our own: only newer versions of hypothesis bring a profile "ci".
settings.register_profile("same_cases", derandomize=True, deadline=None, database=None)
