//! Lists the files of `demo/` for `init`, so that a new file there is embedded without more ado.
//!
//! What a build in `demo/` leaves behind (tables, logs, generated data) stays out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders that runs create.
const GENERATED: [&str; 4] = ["target", "warehouse", "data", "logs"];

fn main() -> io::Result<()> {
    let demo = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?)
        .join("../../demo")
        .canonicalize()?;
    println!("cargo::rerun-if-changed={}", demo.display());
    let mut files = Vec::new();
    collect(&demo, &mut files)?;
    files.sort();
    let mut list = String::from("[\n");
    for file in &files {
        let name = file.strip_prefix(&demo).map_err(io::Error::other)?;
        let name = name.to_string_lossy().replace('\\', "/");
        writeln!(list, "    ({name:?}, include_bytes!({file:?})),").map_err(io::Error::other)?;
    }
    list.push(']');
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("demo_files.rs"), list)
}

/// All files under `folder`, without those of [`GENERATED`].
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !GENERATED.contains(&name.as_str()) {
            collect(&path, files)?;
        }
    }
    Ok(())
}
