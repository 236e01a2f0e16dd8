//! `ls`: the nodes of a project, in dbt's four forms.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use clicktrail_pipeline::PipelineError;
use clicktrail_project::{Manifest, Project};
use serde_json::{Value, json};

use crate::args::{ProjectArgs, SelectFlags};
use crate::failure::Outcome;
use crate::output::stdout;
use crate::session::Session;
use crate::settings;

/// Flags of `ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which nodes.
    #[command(flatten)]
    select: SelectFlags,
    /// Only nodes of this type; may be repeated
    #[arg(long, value_name = "TYPE", num_args = 1.., help_heading = "Selection")]
    resource_type: Vec<Type>,
    /// How a node is written
    #[arg(short, long, value_name = "FORMAT", default_value = "selector", help_heading = "Output")]
    output: Format,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Types of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Type {
    Model,
    Seed,
    Test,
    UnitTest,
    Source,
    /// Everything
    All,
}

/// dbt's words for the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What `--select` would take: project.folder.name
    Selector,
    /// The name
    Name,
    /// The file
    Path,
    /// One JSON object per line
    Json,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
struct Item<'a> {
    kind: &'static str,
    unique_id: &'a str,
    name: String,
    selector: String,
    path: &'a Path,
    more: Value,
}

/// Lists the selected nodes, sorted by unique id.
///
/// # Errors
/// A selector without match.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let items = items(workspace.project(), args)?;
    let mut out = stdout();
    for item in &items {
        match args.output {
            Format::Selector => writeln!(out, "{}", item.selector)?,
            Format::Name => writeln!(out, "{}", item.name)?,
            Format::Path => writeln!(out, "{}", item.path.display())?,
            Format::Json => writeln!(out, "{}", item.json())?,
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}

fn items<'a>(project: &'a Project, args: &Args) -> Result<Vec<Item<'a>>> {
    let select = settings::selection(&args.select);
    let selected = project.select(&select).map_err(PipelineError::from)?;
    let wanted = |item: &Item<'_>| {
        let types = &args.resource_type;
        types.is_empty()
            || types.iter().any(|one| *one == Type::All || word(*one) == Some(item.kind))
    };
    let items = selected.iter().filter_map(|id| item(&project.manifest, id)).filter(wanted);
    Ok(items.collect())
}

/// dbt's word for the type.
fn word(kind: Type) -> Option<&'static str> {
    match kind {
        Type::Model => Some("model"),
        Type::Seed => Some("seed"),
        Type::Test => Some("test"),
        Type::UnitTest => Some("unit_test"),
        Type::Source => Some("source"),
        Type::All => None,
    }
}

fn item<'a>(manifest: &'a Manifest, id: &str) -> Option<Item<'a>> {
    if let Some((unique_id, node)) = manifest.nodes.get_key_value(id) {
        return Some(Item {
            kind: node.resource_type.as_str(),
            unique_id,
            name: node.name.clone(),
            selector: node.fqn.join("."),
            path: &node.original_file_path,
            more: json!({
                "alias": node.alias,
                "depends_on": { "nodes": node.depends_on.nodes },
                "tags": node.config.tags,
                "config": { "materialized": node.config.materialized.as_str() },
            }),
        });
    }
    if let Some((unique_id, source)) = manifest.sources.get_key_value(id) {
        let name = format!("{}.{}", source.source_name, source.name);
        return Some(Item {
            kind: "source",
            unique_id,
            selector: format!("source:{}.{name}", source.package_name),
            name,
            path: &source.original_file_path,
            more: json!({ "source_name": source.source_name, "tags": source.tags }),
        });
    }
    let (unique_id, test) = manifest.unit_tests.get_key_value(id)?;
    Some(Item {
        kind: "unit_test",
        unique_id,
        name: test.name.clone(),
        selector: format!("unit_test:{}", test.fqn.join(".")),
        path: &test.original_file_path,
        more: json!({ "depends_on": { "nodes": test.depends_on.nodes }, "tags": test.tags }),
    })
}

impl Item<'_> {
    fn json(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "resource_type": self.kind,
            "unique_id": self.unique_id,
            "original_file_path": self.path,
        });
        if let (Value::Object(value), Value::Object(more)) = (&mut value, &self.more) {
            value.extend(more.clone());
        }
        value
    }
}
