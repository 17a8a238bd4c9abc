"""Routes and composite clusters of pools: several backends, of which Envoy asks the next when one fails.

Failover ends with the first byte: what has begun to reach a client is never begun again elsewhere.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import CircuitBreakers, CircuitBreakersThresholds
from envoy_data_plane.envoy.config.route.v3 import RetryPolicy, RetryPolicyRetryBackOff

from control.edge import typed
from control.edge.spec import EdgeSpec
from gateway.policy.walk import Walk

#: As on a lone backend: the provider cannot have seen the request.
UNSEEN: Final = ("connect-failure", "refused-stream", "reset-before-request")
#: The provider closed, or was silent for `first_byte_s`. It may have worked, and bill: the price of an answer.
_NO_ANSWER: Final = "reset"
_STATUSES: Final = "retriable-status-codes"
#: 529 is Anthropic's "overloaded". 501 and 505 would be the same everywhere.
_SERVER_ERRORS: Final = (500, 502, 503, 504, 529)
_RATE_LIMITED: Final = 429
#: The next attempt goes to somebody else, who has no need of the pause that a failed one would want.
_BACK_OFF_MS: Final = 1
_BACK_OFF_MOST_MS: Final = 5


def retries(walk: Walk) -> RetryPolicy:
    """One attempt for each backend. A `retry-after` is not waited for: it speaks of the backend that is left."""
    words = [*UNSEEN]
    statuses: list[int] = []
    if "no_answer" in walk.retry_on:
        words.append(_NO_ANSWER)
    if "429" in walk.retry_on:
        statuses.append(_RATE_LIMITED)
    if "5xx" in walk.retry_on:
        statuses += _SERVER_ERRORS
    if statuses:
        words.append(_STATUSES)
    return RetryPolicy(
        retry_on=",".join(words),
        retriable_status_codes=statuses,
        num_retries=len(walk.backends) - 1,
        # Until the answer's head: Envoy ignores it from then on.
        per_try_timeout=typed.seconds(walk.first_byte_s),
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=typed.milliseconds(_BACK_OFF_MS), max_interval=typed.milliseconds(_BACK_OFF_MOST_MS)
        ),
    )


def idle_s(walk: Walk, second_lock_s: int, silence_s: int) -> int:
    """How long a stream of the walk may be silent: while its attempts follow each other, nothing reaches a client."""
    return max(silence_s, len(walk.backends) * walk.first_byte_s) + second_lock_s


def breaker(spec: EdgeSpec) -> CircuitBreakers:
    """What the composite itself bounds: retries, of which Envoy's default allows three at once. Every exchange of a
    backend that has just died needs one; it asks each backend once, and each has a breaker of its own.
    """
    return CircuitBreakers(thresholds=[CircuitBreakersThresholds(max_retries=spec.bounds.exchanges)])
