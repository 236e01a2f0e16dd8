//! `query`: read-only SQL over all relations of the project.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clicktrail_pipeline::QueryResult;

use crate::args::ProjectArgs;
use crate::failure::{Outcome, Usage};
use crate::output::{RowFormat, count, stdout, stdout_width, write_rows};
use crate::session::Session;
use crate::settings;

/// Flags of `query`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The query; `-`, or nothing in a pipe, reads it from stdin
    sql: Option<String>,
    /// Run the query and show what each of its steps cost, instead of rows
    #[arg(long, conflicts_with_all = ["output", "out"])]
    analyze: bool,
    /// Where the rows go.
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Where rows go, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct RowArgs {
    /// Format of the rows; by default that of the file's ending, or table
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<RowFormat>,
    /// File to write instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the query and writes its rows; their number goes to stderr.
///
/// # Errors
/// SQL faults; rows that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let sql = sql(args.sql.as_deref())?;
    session.set_inline(&sql);
    args.rows.check()?;
    let workspace = settings::open(&args.project, false, session)?;
    if args.analyze {
        let mut out = stdout();
        writeln!(out, "{}", workspace.analyze(&sql)?.trim_end())?;
        out.flush()?;
        return Ok(Outcome::Done);
    }
    let result = workspace.query(&sql)?;
    args.rows.write(&result, session)?;
    Ok(Outcome::Done)
}

/// The query's text.
fn sql(given: Option<&str>) -> Result<String> {
    let text = match given {
        Some(text) if text != "-" => return Ok(text.to_owned()),
        None if io::stdin().is_terminal() => String::new(),
        _ => io::read_to_string(io::stdin().lock()).context("cannot read stdin")?,
    };
    if text.trim().is_empty() {
        let hint = "clicktrail query \"select * from mart_last_click limit 5\"";
        return Err(Usage::new("no query given").hint(hint).into());
    }
    Ok(text)
}

impl RowArgs {
    fn format(&self) -> RowFormat {
        let by_ending = || RowFormat::of(&self.out.as_ref()?.to_string_lossy());
        self.output.or_else(by_ending).unwrap_or(RowFormat::Table)
    }

    /// Whether several results can follow each other on stdout.
    pub(super) fn can_repeat(&self) -> bool {
        self.out.is_none() && matches!(self.format(), RowFormat::Table | RowFormat::Md)
    }

    /// Looks at the destination before any work is done.
    ///
    /// # Errors
    /// Bytes of Parquet that would go to a terminal.
    pub(super) fn check(&self) -> Result<()> {
        let binary = self.format() == RowFormat::Parquet;
        if binary && self.out.is_none() && io::stdout().is_terminal() {
            let hint = "add `--out rows.parquet`, or redirect stdout";
            return Err(Usage::new("Parquet can't be shown on a terminal").hint(hint).into());
        }
        Ok(())
    }

    /// Writes the rows and tells how many.
    ///
    /// # Errors
    /// Files that can't be written.
    pub(super) fn write(&self, result: &QueryResult, session: &Session) -> Result<()> {
        let rows: usize = result.batches.iter().map(|batch| batch.num_rows()).sum();
        let mut told = count(rows as u64, "row", "rows");
        if let Some(path) = &self.out {
            let failed = || format!("cannot write {}", path.display());
            let file = File::create(path).with_context(failed)?;
            write_rows(result, self.format(), None, BufWriter::new(file)).with_context(failed)?;
            told.push_str(&format!(" → {}", path.display()));
        } else {
            write_rows(result, self.format(), stdout_width(), stdout())?;
        }
        session.note(&format!("({told})"));
        Ok(())
    }
}
