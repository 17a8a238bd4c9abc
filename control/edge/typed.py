"""Turns envoy-data-plane messages into plain data with Envoy's own field names. Knows no Envoy feature.

Messages are built typed, so a misspelt field fails here and not in a pod; `plain` is the only way out.
"""

from datetime import timedelta
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import (
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HeaderValue,
    RetryPolicy,
    RuntimeFractionalPercent,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType
from envoy_data_plane.google.protobuf import Any as Packed

from gateway import contract

#: A gRPC stream that never began may begin on another worker; one that has answered is never replayed.
SIDECAR_RETRY_ON = "connect-failure,reset,refused-stream,unavailable"
#: With two retries and one of two workers dead, a test saw 503 on the first request a few times in a hundred runs. The
#: likely cause, not proven: the main thread ejects a dead host, and early retries may be faster and meet it again.
SIDECAR_RETRIES = 4


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
        retry_policy=RetryPolicy(retry_on=SIDECAR_RETRY_ON, num_retries=SIDECAR_RETRIES),
    )


def plain(message: Any) -> dict[str, Any]:
    """The message as dictionaries, lists and scalars, every field under its proto name."""
    # The default casing is lowerCamelCase; Envoy's documentation, and every example, uses the proto names.
    data: dict[str, Any] = message.to_dict(casing=str)
    return data
