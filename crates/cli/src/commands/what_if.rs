//! `what-if`: what other vars would move between channels, without publishing anything.

use anyhow::Result;
use clap::ValueEnum;
use clicktrail_pipeline::WhatIfRequest;
use serde_json::{Map, Value};

use super::query::RowArgs;
use super::run::with_reporter;
use crate::args::ProjectArgs;
use crate::failure::{Outcome, Usage};
use crate::session::Session;
use crate::{settings, vars};

/// Column by which sums are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Marketing channel
    Channel,
    /// Source
    Source,
    /// Medium
    Medium,
    /// Campaign
    Campaign,
}

/// Flags of `what-if`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A var with another value, such as lookback_days=7; can be given several times
    #[arg(long, value_name = "VAR=VALUE", required = true)]
    set: Vec<String>,
    /// Column by which conversions and revenue are shown
    #[arg(long, value_name = "COLUMN", default_value = "channel")]
    by: By,
    /// Show rows where nothing moves, too
    #[arg(long)]
    all: bool,
    /// Where the rows go.
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Computes and shows; the warehouse stays as it is.
///
/// # Errors
/// Vars that are not known; tables that are not up to date; models that fail.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    args.rows.check()?;
    let set = assignments(&args.set)?;
    let workspace = settings::open(&args.project, false, session)?;
    let by = args.by.to_possible_value().map(|value| value.get_name().to_owned());
    let request = WhatIfRequest { set, by: by.unwrap_or_default(), all: args.all };
    let report = with_reporter(session, |reporter| workspace.what_if(&request, reporter))?;
    match report.affected.as_slice() {
        [] => session.note("no model depends on that: nothing would move"),
        models => session.note(&format!(
            "nothing was published; {} models would change: {}",
            models.len(),
            models.join(", ")
        )),
    }
    args.rows.write(&report.rows, session)?;
    Ok(Outcome::Done)
}

/// `name=value` pairs, with values in YAML.
fn assignments(given: &[String]) -> Result<Map<String, Value>> {
    let mut set = Map::new();
    for pair in given {
        let (name, value) =
            pair.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(|| {
                Usage::new(format!("`--set {pair}` sets nothing"))
                    .hint("write it like --set lookback_days=7")
            })?;
        set.extend(vars::parse(&format!("{{{}: {value}}}", name.trim()))?);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_yaml() {
        let set = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|&text| text.to_owned()).collect();
            assignments(&given).map(Value::Object)
        };
        let expected = json!({"a": 7, "b": ["x", "y"], "c": "d=e", "f": true});
        assert_eq!(set(&["a=7", "b=[x, y]", "c=d=e", "f=true"]).unwrap(), expected);
        for wrong in ["a", "=7", "a=[", " =1"] {
            assert!(set(&[wrong]).is_err(), "{wrong}");
        }
    }
}
