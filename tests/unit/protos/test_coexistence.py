"""Our wire types and the OTLP exporter share one descriptor pool: whoever comes second must still load."""

import subprocess
import sys

import pytest

from tools.protos import ROOT

OURS = "; ".join(f"import protos.{path.stem}_pb2" for path in sorted((ROOT / "protos").glob("*.proto")))
OTLP = (
    "import opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
    "; import opentelemetry.exporter.otlp.proto.grpc.metric_exporter"
    "; import google.rpc.status_pb2"
)


@pytest.mark.parametrize("program", [f"{OURS}; {OTLP}", f"{OTLP}; {OURS}"], ids=["ours first", "otlp first"])
def test_loads_together_with_the_otlp_exporter(program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_declaration_would_be_refused():
    # Shows that the test above can fail: the pool does refuse a second owner of google.rpc.Status.
    program = (
        "import google.rpc.status_pb2\n"
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "file = descriptor_pb2.FileDescriptorProto(name='other.proto', package='google.rpc')\n"
        "file.message_type.add(name='Status')\n"
        "descriptor_pool.Default().AddSerializedFile(file.SerializeToString())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "TypeError" in done.stderr
