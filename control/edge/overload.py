"""What Envoy gives up, and in which order, when memory runs out: bodies are buffered before authz speaks."""

from typing import Final

from envoy_data_plane.envoy.config.overload.v3 import (
    BufferFactoryConfig,
    OverloadAction,
    OverloadManager,
    ResourceMonitor,
    ScaledTrigger,
    ThresholdTrigger,
    Trigger,
)
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import (
    DownstreamConnectionsConfig,
)
from envoy_data_plane.envoy.extensions.resource_monitors.fixed_heap.v3 import FixedHeapConfig

from control.edge import typed
from control.edge.spec import EdgeSpec

_HEAP: Final = "envoy.resource_monitors.fixed_heap"

#: Streams below 2^20 bytes are not worth a reset: a 1 MiB body is the smallest that counts as heavy.
_HEAVY_STREAM_POWER_OF_TWO: Final = 20


def manager(spec: EdgeSpec) -> OverloadManager:
    """First give back memory, then end the heaviest streams, then answer 503, then stop accepting."""
    return OverloadManager(
        # Allocation at full load is some 100 MiB/s: a quarter second is 25 MiB of overshoot.
        refresh_interval=typed.milliseconds(250),
        buffer_factory_config=BufferFactoryConfig(minimum_account_to_track_power_of_two=_HEAVY_STREAM_POWER_OF_TWO),
        resource_monitors=[
            ResourceMonitor(
                name=_HEAP,
                typed_config=typed.packed(FixedHeapConfig(max_heap_size_bytes=spec.bounds.heap_bytes)),
            ),
            ResourceMonitor(
                name="envoy.resource_monitors.global_downstream_max_connections",
                typed_config=typed.packed(
                    DownstreamConnectionsConfig(max_active_downstream_connections=spec.bounds.connections)
                ),
            ),
        ],
        actions=[
            _at("shrink_heap", 0.80),
            _at("disable_http_keepalive", 0.85),
            # Between 85 % and 95 % ever smaller streams are reset, heaviest first: the ones that buffer most.
            _scaled("reset_high_memory_stream", 0.85, 0.95),
            _at("stop_accepting_requests", 0.95),
            _at("stop_accepting_connections", 0.98),
        ],
    )


def _at(action: str, share: float) -> OverloadAction:
    return _action(action, Trigger(name=_HEAP, threshold=ThresholdTrigger(value=share)))


def _scaled(action: str, start: float, full: float) -> OverloadAction:
    trigger = ScaledTrigger(scaling_threshold=start, saturation_threshold=full)
    return _action(action, Trigger(name=_HEAP, scaled=trigger))


def _action(action: str, trigger: Trigger) -> OverloadAction:
    return OverloadAction(name=f"envoy.overload_actions.{action}", triggers=[trigger])
