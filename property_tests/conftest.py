"""
How many examples a law is tried with: ``--hypothesis-profile=thorough`` tries many more, others each time.
"""

from hypothesis import HealthCheck, settings

# Operations are deep values: drawing them is most of the work, and slow on a busy machine only.
_PATIENT = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "fast", max_examples=100, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_PATIENT
)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=3_000, derandomize=False)
settings.load_profile("fast")
