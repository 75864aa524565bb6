//! The contract of Ops Control Room, generated from `proto/ops/v1/*.proto`: clients, workers and the server share it.

pub mod codec;

/// Package `ops.v1`: messages, clients and servers.
pub mod v1 {
    #![allow(clippy::all, rustdoc::all, reason = "generated code, whose comments are written for every language")]
    tonic::include_proto!("ops.v1");
}

/// The encoded `FileDescriptorSet` of the whole contract with its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ops_descriptor.bin"));
