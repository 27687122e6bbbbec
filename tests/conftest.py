"""What all tests share."""

from hypothesis import settings

# No deadlines: how long an example takes says how busy the machine is.
settings.register_profile("new_cases", deadline=None)
settings.load_profile("new_cases")
# The same cases in every run, under a name of our own: only newer versions of hypothesis bring a profile "ci".
settings.register_profile("same_cases", derandomize=True, deadline=None, database=None)
