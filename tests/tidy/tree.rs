//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Folders of built or installed files. Folders whose names begin with a dot are left out, too.
const NOT_OURS: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// A text file of the repository.
pub struct File {
    /// Its path from the root, with slashes.
    pub path: String,
    pub text: String,
}

impl File {
    /// The lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files whose name has one of these endings.
pub fn files(endings: &[&str]) -> impl Iterator<Item = &'static File> {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
        let mut files = Vec::new();
        collect(root(), &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    });
    FILES.iter().filter(move |file| endings.iter().any(|ending| file.path.ends_with(ending)))
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry is read").path()).collect();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).expect("it lies below the root");
            files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
}
