"""Turns envoy-data-plane messages into plain data with Envoy's own field names. Knows no Envoy feature.

Messages are built typed, so a misspelt field fails here and not in a pod; `plain` is the only way out.
"""

from datetime import timedelta
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import (
    BackoffStrategy,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HeaderValue,
    RetryPolicy,
    RetryPolicyRetryHostPredicate,
    RuntimeFractionalPercent,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType
from envoy_data_plane.google.protobuf import Any as Packed

from gateway import contract

#: A gRPC stream that never began may begin on another worker; one that has answered is never replayed.
SIDECAR_RETRY_ON = "connect-failure,reset,refused-stream,unavailable"
#: Up to four dead workers met one after the other, before their ejection is known.
SIDECAR_RETRIES = 4
#: Envoy's default for gRPC services is one second (a route's is 25 ms), doubled each time: the second retry of a Check
#: came after its deadline, and one dead socket cost requests. Nothing is gained by waiting for another worker.
SIDECAR_BACK_OFF_MS = 10
#: Envoy makes the longest back-off of a gRPC service its timeout for each try as well (seen: at 100 ms, Checks that
#: waited for an OPA server were cut five times in half a second). This is what it takes when nothing is said.
SIDECAR_BACK_OFF_MOST_MS = 10_000
#: A dead worker has the fewest requests, so each choice of least-request takes it up to three times in four. All of
#: 17 choices do in fewer than one retry of a hundred, and then there is the next retry.
SIDECAR_HOST_CHOICES = 16


def packed(message: Any) -> Packed:
    """The message as `google.protobuf.Any`, which Envoy's YAML spells with `@type`."""
    return Packed.pack(message)


def extension(name: str, message: Any) -> TypedExtensionConfig:
    """A named extension."""
    return TypedExtensionConfig(name=name, typed_config=packed(message))


def seconds(value: float) -> timedelta:
    """A duration, spelled as the reader of a policy thinks of it."""
    return timedelta(seconds=value)


def milliseconds(value: int) -> timedelta:
    """A duration in the unit of the sidecar's deadlines."""
    return timedelta(milliseconds=value)


def always() -> RuntimeFractionalPercent:
    """100 %, with no runtime key: nobody can switch the feature off from Envoy's admin."""
    return RuntimeFractionalPercent(
        default_value=FractionalPercent(numerator=100, denominator=FractionalPercentDenominatorType.HUNDRED),
    )


def sidecar(
    *,
    cluster: str = contract.SIDECAR_CLUSTER,
    timeout: timedelta | None = None,
    told: tuple[tuple[str, str], ...] = (),
) -> GrpcService:
    """The gRPC service of our workers; `told` is gRPC initial metadata."""
    return GrpcService(
        envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=cluster),
        timeout=timeout,
        initial_metadata=[HeaderValue(key=key, value=value) for key, value in told],
        retry_policy=_sidecar_retries(),
    )


def _sidecar_retries() -> RetryPolicy:
    return RetryPolicy(
        retry_on=SIDECAR_RETRY_ON,
        num_retries=SIDECAR_RETRIES,
        retry_back_off=BackoffStrategy(
            base_interval=milliseconds(SIDECAR_BACK_OFF_MS),
            max_interval=milliseconds(SIDECAR_BACK_OFF_MOST_MS),
        ),
        # Not to the socket that has just failed.
        retry_host_predicate=[
            RetryPolicyRetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
            ),
        ],
        host_selection_retry_max_attempts=SIDECAR_HOST_CHOICES,
    )


def plain(message: Any) -> dict[str, Any]:
    """The message as dictionaries, lists and scalars, every field under its proto name."""
    # The default casing is lowerCamelCase; Envoy's documentation, and every example, uses the proto names.
    data: dict[str, Any] = message.to_dict(casing=str)
    return data
