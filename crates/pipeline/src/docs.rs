//! `docs generate`: manifest.json, catalog.json and a page with the graph.

use std::path::PathBuf;

use crate::error::Result;
use crate::workspace::Workspace;

impl Workspace {
    /// Writes manifest.json, catalog.json and index.html into `target/`; gives the page's path.
    ///
    /// # Errors
    /// Files that can't be written.
    pub fn generate_docs(&self) -> Result<PathBuf> {
        todo!()
    }
}
