//! Files that hold macros, generic tests and `docs` blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::project_file::ProjectFile;
use super::{Loader, read_all};
use crate::error::{Fault, Location, Result, nearest};
use crate::jinja::scan;
use crate::node::Macro;

/// All files with macros: those of the macro paths, and `generic/` below the test paths.
pub(crate) fn files(dir: &Path, file: &ProjectFile) -> Result<Vec<(PathBuf, String)>> {
    let generic = file.test_paths.iter().map(|path| path.join("generic"));
    let roots: Vec<PathBuf> = file.macro_paths.iter().cloned().chain(generic).collect();
    read_all(dir, &roots, &["sql"])
}

/// All `{% docs name %}` blocks of Markdown files.
pub(crate) fn docs(dir: &Path, file: &ProjectFile) -> Result<BTreeMap<String, String>> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut places: BTreeMap<String, Location> = BTreeMap::new();
    for (path, text) in read_all(dir, &file.yaml_paths(), &["md"])? {
        for block in scan::blocks(&text).into_iter().filter(|block| block.word == "docs") {
            let at = Location::line(path.clone(), scan::line_of(&text, block.open.start));
            if let Some(first) = places.get(&block.name) {
                let (name, first) = (block.name, first.clone());
                return Err(Fault::Duplicate { what: "docs block", name, first }.at(at));
            }
            places.insert(block.name.clone(), at);
            found.insert(block.name, text[block.open.end..block.close.start].to_owned());
        }
    }
    Ok(found)
}

impl Loader<'_> {
    /// Puts macros and their descriptions into the manifest.
    pub(crate) fn macros(&mut self) -> Result<()> {
        let globals = self.engine.globals.clone();
        for def in globals.macros.values() {
            let description = match self.properties.macros.get(&def.name) {
                Some(yaml) => self.rendered_text(yaml, "description")?.unwrap_or_default(),
                None => String::new(),
            };
            let entry = Macro {
                unique_id: def.unique_id.clone(),
                name: def.name.clone(),
                package_name: self.file.name.clone(),
                original_file_path: def.file.clone(),
                line: def.line,
                macro_sql: def.text.clone(),
                description,
            };
            self.manifest.macros.insert(def.unique_id.clone(), entry);
        }
        for (name, yaml) in &self.properties.macros {
            let test = format!("test_{name}");
            if !globals.macros.contains_key(name) && !globals.macros.contains_key(&test) {
                let nearest = nearest(name, globals.macros.keys().map(String::as_str));
                let (name, known) = (name.clone(), Vec::new());
                let fault = Fault::UnknownName { what: "macro", name, nearest, known };
                return Err(fault.at(yaml.at()));
            }
        }
        Ok(())
    }
}
