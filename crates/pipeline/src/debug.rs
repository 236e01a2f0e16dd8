//! `debug`: everything a build needs, checked without building.

use crate::workspace::{Check, Settings, Workspace};

impl Workspace {
    /// Checks everything a build needs, without building; never fails as a whole.
    pub fn debug(settings: &Settings) -> Vec<Check> {
        let _ = settings;
        todo!()
    }
}
