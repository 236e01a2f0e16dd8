//! Selectors: which nodes a command is about.

use std::path::PathBuf;

/// The selection arguments of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectArgs {
    /// `--select`, each may hold several, separated by space.
    pub select: Vec<String>,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--selector`: a name in `selectors.yml`.
    pub selector: Option<String>,
    /// `--state`: a folder with an earlier `manifest.json` (and `run_results.json`), or the file.
    pub state: Option<PathBuf>,
    /// `--allow-empty`: matching nothing is fine.
    pub allow_empty: bool,
}

pub(crate) fn select(
    project: &crate::Project,
    args: &SelectArgs,
) -> crate::Result<std::collections::BTreeSet<String>> {
    let _ = args;
    Ok(project.manifest.parent_map.keys().cloned().collect())
}
