//! Random names and passwords, from the system's own source.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::DevpgError;

/// `BYTES` random bytes as lowercase hexadecimal, so that they need no quoting in paths, SQL and URLs.
pub(crate) fn hex<const BYTES: usize>() -> Result<String, DevpgError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; BYTES];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(DevpgError::io("read random bytes from", source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
