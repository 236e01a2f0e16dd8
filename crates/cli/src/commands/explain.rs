//! `explain CODE`: the long help for an error code.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use crate::args::TextOrJson;
use crate::explain;
use crate::failure::{Outcome, Usage};
use crate::output::{stdout, write_document};
use crate::session::SCHEMA_VERSION;

/// Flags of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Error code such as E3001; without one, all codes are listed
    code: Option<String>,
    /// What goes to stdout
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: TextOrJson,
}

/// Prints the text.
///
/// # Errors
/// A code nobody knows.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let codes = match &args.code {
        Some(code) => vec![explain::find(code).ok_or_else(|| unknown(code))?],
        None => explain::all().collect(),
    };
    if args.output == TextOrJson::Json {
        let codes: Vec<_> = codes
            .iter()
            .map(|one| json!({ "code": one.code, "title": one.title, "text": one.text }))
            .collect();
        write_document(&json!({ "schema_version": SCHEMA_VERSION, "codes": codes }))?;
        return Ok(Outcome::Done);
    }
    let mut out = stdout();
    if args.code.is_none() {
        codes.iter().try_for_each(|one| writeln!(out, "{}  {}", one.code, one.title))?;
    } else {
        codes
            .iter()
            .try_for_each(|one| writeln!(out, "{}: {}\n\n{}", one.code, one.title, one.text))?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}

fn unknown(code: &str) -> Usage {
    let known: Vec<&str> = explain::like(code).map(|one| one.code).collect();
    let hint = match known.as_slice() {
        [] => "`clicktrail explain` lists all codes".to_owned(),
        some => format!("known codes of this kind: {}", some.join(", ")),
    };
    Usage::new(format!("unknown error code `{code}`")).hint(hint)
}
