//! Compiles the contract: `proto/ops/v1/*.proto` to Rust, and to the descriptor set that server reflection answers from.
//! protox is a protobuf compiler in Rust, so no `protoc` is needed on the machine.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let include = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");

    let mut files: Vec<PathBuf> =
        fs::read_dir(include.join("ops/v1"))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();

    let mut compiler = protox::Compiler::new([include])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;

    // `encode_file_descriptor_set` keeps custom options; encoding the typed set would drop them.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("ops_descriptor.bin"), compiler.encode_file_descriptor_set())?;

    // Without the transport's own `connect(address)`, which would clash with the RPC of that name: clients are made from a channel.
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .btree_map(".")
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
