"""Settings of Hypothesis for every test. Fixtures stand beside the tests that use them."""

from hypothesis import HealthCheck, settings

# No test may fail because the machine is busy: by default an example has 200 ms, and drawing it a second.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
