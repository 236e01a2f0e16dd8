//! `show`: the first rows of a node, or of SQL that may use `ref()` and `source()`.

use anyhow::Result;
use clicktrail_pipeline::{ShowWhat, Workspace};
use clicktrail_project::{ResourceType, SelectArgs};

use super::query::RowArgs;
use crate::args::{ProjectArgs, SelectFlags};
use crate::failure::{Outcome, Usage};
use crate::session::Session;
use crate::settings;

/// Rows shown when the user does not say; dbt's number.
const LIMIT_DEFAULT: i64 = 5;

/// Flags of `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which nodes.
    #[command(flatten)]
    select: SelectFlags,
    /// SQL with Jinja, instead of a node
    #[arg(long, value_name = "SQL", conflicts_with_all = ["select", "exclude", "selector"])]
    inline: Option<String>,
    /// Rows to show; -1 means all
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..))]
    limit: i64,
    /// Where the rows go.
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Shows.
///
/// # Errors
/// Nothing to show, SQL faults, rows that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let select = settings::selection(&args.select);
    if args.inline.is_none() && select.select.is_empty() && select.selector.is_none() {
        let hint = "give `-s NAME` or `--inline \"select …\"`";
        return Err(Usage::new("nothing to show").hint(hint).into());
    }
    args.rows.check()?;
    let limit = usize::try_from(args.limit).ok();
    let workspace = settings::open(&args.project, false, session)?;
    if let Some(sql) = &args.inline {
        session.set_inline(sql);
        let result = workspace.show(ShowWhat::Inline(sql), limit)?;
        args.rows.write(&result, session)?;
        return Ok(Outcome::Done);
    }
    let ids = showable(&workspace, &select)?;
    if ids.len() > 1 && !args.rows.can_repeat() {
        let message = format!("{} nodes are selected, this output holds one", ids.len());
        return Err(Usage::new(message).hint("select one node, or use `-o table`").into());
    }
    for id in &ids {
        if ids.len() > 1 {
            session.note(&format!("{id}:"));
        }
        let result = workspace.show(ShowWhat::Node(id), limit)?;
        args.rows.write(&result, session)?;
    }
    Ok(Outcome::Done)
}

/// Selected nodes that have rows. A model named on its own brings its tests along in dbt's
/// selection; they are shown only when they were asked for.
fn showable(workspace: &Workspace, select: &SelectArgs) -> Result<Vec<String>> {
    let project = workspace.project();
    let selected = project.select(select).map_err(clicktrail_pipeline::PipelineError::from)?;
    let of = |wanted: &[ResourceType]| -> Vec<String> {
        let kind = |id: &String| project.manifest.nodes.get(id).map(|node| node.resource_type);
        selected
            .iter()
            .filter(|id| kind(id).is_some_and(|k| wanted.contains(&k)))
            .cloned()
            .collect()
    };
    let tables = of(&[ResourceType::Model, ResourceType::Seed]);
    let ids = if tables.is_empty() { of(&[ResourceType::Test]) } else { tables };
    if ids.is_empty() && !select.allow_empty {
        let hint = "models, seeds and data tests have rows; for a source use `clicktrail query`";
        return Err(Usage::new("the selection has nothing to show").hint(hint).into());
    }
    Ok(ids)
}
