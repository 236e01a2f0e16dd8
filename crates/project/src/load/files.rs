//! Reads files of the project folder; paths are kept relative to it, with `/`.

use std::path::{Path, PathBuf};

use crate::error::{Fault, Location, Result};

/// A file read as text.
pub(crate) fn read(dir: &Path, file: &Path) -> Result<String> {
    let path = dir.join(file);
    let bytes = std::fs::read(&path).map_err(|source| Fault::Io {
        verb: "read",
        path: path.clone(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let fault = Fault::BadValue {
            key: file.display().to_string(),
            expected: "UTF-8 text".into(),
            found: "other bytes".into(),
        };
        fault.at(Location::line(file, line))
    })
}

/// The files below `roots` with one of `extensions`, sorted; hidden folders are left out.
pub(crate) fn list(dir: &Path, roots: &[PathBuf], extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for root in roots {
        walk(dir, root, &mut found)?;
    }
    found.retain(|file| {
        file.extension().and_then(|one| one.to_str()).is_some_and(|one| extensions.contains(&one))
    });
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(dir: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let path = dir.join(folder);
    if !path.is_dir() {
        return Ok(());
    }
    let fail = |source| Fault::Io { verb: "list", path: path.clone(), source };
    for entry in std::fs::read_dir(&path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let inside = folder.join(&name);
        // `metadata` follows links, so that a linked folder of models works.
        let kind = std::fs::metadata(entry.path()).map_err(fail)?;
        if kind.is_dir() {
            walk(dir, &inside, found)?;
        } else {
            found.push(inside);
        }
    }
    Ok(())
}

/// The folders of a file below the first of `roots` that holds it, as parts of an fqn.
pub(crate) fn folders(file: &Path, roots: &[PathBuf]) -> Vec<String> {
    let inner = roots.iter().find_map(|root| file.strip_prefix(root).ok()).unwrap_or(file);
    let parent = inner.parent().unwrap_or(Path::new(""));
    parent.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// The name of a file without folders and extension.
pub(crate) fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
