//! `version`.

use std::io::Write;

use anyhow::Result;

use crate::failure::Outcome;
use crate::output::stdout;

/// Prints name and version.
///
/// # Errors
/// When stdout can't be written.
pub(crate) fn run() -> Result<Outcome> {
    let mut out = stdout();
    writeln!(out, "clicktrail {}", env!("CARGO_PKG_VERSION"))?;
    out.flush()?;
    Ok(Outcome::Done)
}
