//! `export`: a page's table, from the tables of the last build, with the keys of its address as flags.

use std::io::Write;

use anyhow::{Context, Result};
use clap::ValueEnum;
use clicktrail_pipeline::{PageFault, PageRequest};

use crate::args::ProjectArgs;
use crate::failure::{Outcome, Usage};
use crate::output::stdout;
use crate::session::Session;
use crate::settings;

/// What can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// Credit by channel, source, medium or campaign
    Overview,
    /// The same rows as the page Models
    Models,
    /// Conversion paths
    Paths,
    /// Conversions, newest first
    Conversions,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated, with a header
    Csv,
    /// The page's whole answer
    Json,
    /// A Markdown table
    Md,
}

/// Keys of an address.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Keys, as in the dashboard's addresses")]
pub(super) struct KeyArgs {
    /// Days back from the last one (28), or 2026-09-01..2026-09-28
    #[arg(long, value_name = "DAYS")]
    d: Option<String>,
    /// Key event
    #[arg(long, value_name = "EVENT")]
    conv: Option<String>,
    /// channel, source, medium or campaign
    #[arg(long, value_name = "DIMENSION")]
    by: Option<String>,
    /// Attribution models, such as first,last; the last one counts for filters
    #[arg(long, value_name = "MODELS")]
    m: Option<String>,
    /// Order by conv or rev
    #[arg(long, value_name = "VALUE")]
    v: Option<String>,
    /// Currency of revenue
    #[arg(long, value_name = "CURRENCY")]
    cur: Option<String>,
    /// Filters: medium:cpc|email;-country:FR
    #[arg(long, value_name = "FILTERS", allow_hyphen_values = true)]
    f: Option<String>,
    /// Compare with the period before: prev or none
    #[arg(long, value_name = "WHAT")]
    cmp: Option<String>,
    /// 1: the comparison moves by whole weeks
    #[arg(long, value_name = "0|1")]
    dow: Option<String>,
    /// in: first_click and first_touch count conversions whose window starts before the first loaded day, too
    #[arg(long, value_name = "out|in")]
    cut: Option<String>,
    /// 1: repeated steps of a path show once
    #[arg(long, value_name = "0|1")]
    collapse: Option<String>,
    /// Conversions at most
    #[arg(long, value_name = "N")]
    limit: Option<String>,
    /// Any other key, as key=value
    #[arg(long, value_name = "KEY=VALUE")]
    key: Vec<String>,
}

/// Flags of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which table
    report: Report,
    /// How it is written
    #[arg(short, long, value_name = "FORMAT", default_value = "csv")]
    pub(crate) output: ExportFormat,
    #[command(flatten)]
    keys: KeyArgs,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

impl KeyArgs {
    fn query(&self) -> Vec<(String, String)> {
        let named = [
            ("d", &self.d),
            ("conv", &self.conv),
            ("by", &self.by),
            ("m", &self.m),
            ("v", &self.v),
            ("cur", &self.cur),
            ("f", &self.f),
            ("cmp", &self.cmp),
            ("dow", &self.dow),
            ("cut", &self.cut),
            ("collapse", &self.collapse),
            ("limit", &self.limit),
        ];
        let named =
            named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        let more = self.key.iter().map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        });
        named.chain(more).collect()
    }
}

/// Prints the table.
///
/// # Errors
/// Keys that are not understood; tables that are not built.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let page = args.report.to_possible_value().map(|value| value.get_name().to_owned());
    let page = page.unwrap_or_default();
    let request = PageRequest { page: page.clone(), id: None, query: args.keys.query() };
    let result = workspace.page(&request).map_err(fault)?;
    let text = match args.output {
        ExportFormat::Csv => result.csv(&page).unwrap_or_default(),
        ExportFormat::Md => result.markdown(&page).unwrap_or_default(),
        ExportFormat::Json => format!("{:#}\n", result.body),
    };
    let mut out = stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write the table")?;
    Ok(Outcome::Done)
}

/// A page's fault as the command line tells it.
pub(super) fn fault(fault: PageFault) -> anyhow::Error {
    match fault {
        PageFault::Keys(faults) => {
            let told: Vec<String> = faults
                .iter()
                .map(|fault| {
                    format!("`{}` is not a value of `{}`: {}", fault.value, fault.key, fault.why)
                })
                .collect();
            Usage::new(told.join("\n")).into()
        }
        PageFault::NotFound(what) => {
            Usage::new(what).hint("`clicktrail export conversions` lists ids").into()
        }
        PageFault::NotReady => {
            Usage::new("the tables are not built").hint("run `clicktrail build`").into()
        }
        PageFault::Failed(error) => error.into(),
    }
}
