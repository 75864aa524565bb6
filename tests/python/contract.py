"""The contract as Python modules, generated from proto/ into a temporary folder at import.

OPS_CONTRACT names another contract, a descriptor set such as proto/released/v0.1.binpb.
"""

import atexit
import importlib
import os
import pathlib
import sys
import tempfile

import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def _generate() -> None:
    folder = tempfile.TemporaryDirectory(prefix="ops-contract-")
    atexit.register(folder.cleanup)
    sources, files = _described(os.environ["OPS_CONTRACT"]) if "OPS_CONTRACT" in os.environ else _written()
    arguments = ["protoc", *sources, f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    if protoc.main(arguments + files) != 0:
        raise SystemExit("the contract can not be compiled")
    sys.path.insert(0, folder.name)


def _written():
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("ops/v1/*.proto"))
    return [f"-I{PROTO}", f"-I{well_known}"], files


def _described(path):
    described = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(path).read_bytes())
    return [f"--descriptor_set_in={path}"], [file.name for file in described.file if file.name.startswith("ops/")]


_generate()

connect = importlib.import_module("ops.v1.connect_pb2")
run = importlib.import_module("ops.v1.run_pb2")
run_event = importlib.import_module("ops.v1.run_event_pb2")
worker = importlib.import_module("ops.v1.worker_pb2")
WorkerStub = importlib.import_module("ops.v1.worker_service_pb2_grpc").WorkerServiceStub
