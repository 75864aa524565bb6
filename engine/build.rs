//! The statements and migrations are read at build time by macros whose reading cargo does not see.

fn main() {
    println!("cargo:rerun-if-changed=src/store");
    println!("cargo:rerun-if-changed=../migrations");
}
