"""The access log: one JSON line per request. Holds no credential, no query string and no body."""

from typing import Any, Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog
from envoy_data_plane.google.protobuf import Struct

from control.edge import typed
from control.edge.spec import EdgeSpec
from gateway import contract


def _authz(key: str) -> str:
    return f"%DYNAMIC_METADATA({contract.AUTHZ_NAMESPACE}:{key})%"


def _inspect(key: str) -> str:
    return f"%DYNAMIC_METADATA({contract.OSTIARY_NAMESPACE}:{key})%"


#: Chosen one by one. A header is logged only when no SDK puts a secret into it; paths lose their query,
#: because some clients send keys there; what a client chooses freely is cut short.
_FIELDS: Final = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID):64%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "protocol": "%PROTOCOL%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "method": "%REQ(:METHOD):16%",
    # `adapt` has rewritten path and authority for the provider by the time the line is written.
    "path": _inspect(contract.FRONT_PATH),
    "last_path": "%PATH(NQ:PATH):256%",
    "user_agent": "%REQ(USER-AGENT):128%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "tenant": _authz(contract.TENANT),
    "principal": _authz(contract.PRINCIPAL),
    "key_id": _authz(contract.KEY_ID),
    "policy": _authz(contract.POLICY),
    "model": _inspect(contract.MODEL),
    "decision": _inspect(contract.DECISION),
    "route": "%ROUTE_NAME%",
    "backend": f"%UPSTREAM_METADATA({contract.HOST_NAMESPACE}:{contract.HOST_BACKEND})%",
    "upstream": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "request_ms": "%REQUEST_DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
}


def log(spec: EdgeSpec) -> AccessLog:
    """The log to standard output or to the file that the spec names."""
    lines = SubstitutionFormatString(json_format=Struct.from_dict(_FIELDS))
    if spec.access_log == "stdout":
        return _named("envoy.access_loggers.stdout", StdoutAccessLog(log_format=lines))
    return _named("envoy.access_loggers.file", FileAccessLog(path=spec.access_log, log_format=lines))


def _named(name: str, logger: Any) -> AccessLog:
    return AccessLog(name=name, typed_config=typed.packed(logger))
