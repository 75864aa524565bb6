"""The contract as Python: made from proto/ when this is imported, and kept nowhere."""

import atexit
import importlib
import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def _generate() -> None:
    folder = tempfile.TemporaryDirectory(prefix="ops-contract-")
    atexit.register(folder.cleanup)
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("ops/v1/*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    if protoc.main(arguments + files) != 0:
        raise SystemExit("the contract in proto/ can not be compiled")
    sys.path.insert(0, folder.name)


_generate()

connect = importlib.import_module("ops.v1.connect_pb2")
run = importlib.import_module("ops.v1.run_pb2")
run_event = importlib.import_module("ops.v1.run_event_pb2")
worker = importlib.import_module("ops.v1.worker_pb2")
WorkerStub = importlib.import_module("ops.v1.worker_service_pb2_grpc").WorkerServiceStub
