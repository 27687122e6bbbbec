"""What all tests share."""

import signal

from hypothesis import settings

# A shell starts what runs in the background with Ctrl-C ignored; the tests that interrupt training would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadlines: how long an example takes says how busy the machine is.
settings.register_profile("new_cases", deadline=None)
settings.load_profile("new_cases")
# The same cases in every run, under a name of our own: only newer versions of hypothesis bring a profile "ci".
settings.register_profile("same_cases", derandomize=True, deadline=None, database=None)
