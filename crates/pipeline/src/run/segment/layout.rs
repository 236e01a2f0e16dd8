//! What a segment reads and computes: its inputs, its members, and which columns of each are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::{Plan, Session, share_ctes};
use clicktrail_engine::delta::Snapshot;
use clicktrail_project::Node;

use crate::catalog::{Catalog, quoted};
use crate::error::{PipelineError, Result};
use crate::feeds::{DAY, ExportFeed};
use crate::run::{Run, passes_through};

/// A segment, ready to be run.
pub(super) struct Layout<'a> {
    pub(super) key: String,
    pub(super) members: Vec<Member<'a>>,
    /// Unique ids of the segment's models, with those that pass rows nobody reads and are no members.
    pub(super) inside: BTreeSet<String>,
    /// Tables that have the key: read range by range.
    pub(super) keyed: Vec<Input>,
    /// Tables without the key: the same for every range.
    pub(super) shared: Vec<Input>,
    /// Feeds with the paths needed of each.
    pub(super) feeds: BTreeMap<String, Vec<String>>,
}

/// A model of the segment.
pub(crate) struct Member<'a> {
    pub(crate) node: &'a Node,
    pub(crate) name: String,
    /// The SQL to run: the model's own, reduced to the columns that are needed.
    pub(crate) sql: String,
    /// Columns of the model as its author wrote it.
    pub(crate) schema: SchemaRef,
    /// Rows pass through to later members and are not kept.
    pub(crate) passing: bool,
    /// Another member reads it.
    pub(crate) is_read: bool,
    /// Members that it reads.
    pub(crate) parents: BTreeSet<String>,
    /// Other tables that its plan reads.
    pub(crate) others: BTreeSet<String>,
    /// Tables outside the segment that it reads, views looked through.
    pub(crate) inputs: BTreeMap<String, &'a Node>,
}

/// A table from outside the segment.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) snapshot: Snapshot,
    /// Columns that members need, the key always among them where there is one.
    pub(super) columns: Vec<String>,
}

/// Whether the members can be computed by the key.
pub(super) enum Planned<'a> {
    Local(Layout<'a>),
    /// Unique id, reason.
    NotLocal(String, String),
    /// Unique id of a member whose SQL is wrong.
    Wrong(String, PipelineError),
}

pub(super) fn plan<'a>(run: &Run<'a>, key: &str, members: &[&'a Node]) -> Result<Planned<'a>> {
    let catalog = run.catalog;
    let session = run.engine.single_threaded_session()?;
    let inside: BTreeSet<String> = members.iter().map(|node| node.unique_id.clone()).collect();
    let (keyed, shared) = match inputs(run, key, members, &inside) {
        Ok(tables) => tables,
        Err((id, error)) => return Ok(Planned::Wrong(id, error)),
    };
    let feeds: BTreeSet<String> =
        members.iter().flat_map(|node| catalog.feed_inputs(&node.unique_id)).collect();
    register(run, &session, &keyed, &shared, &feeds)?;
    let has_key = |name: &str| {
        let name = name.trim_start_matches("datafusion.public.");
        keyed.contains_key(name)
            || (key == DAY && feeds.contains(name))
            || members.iter().any(|node| node.alias == name)
    };
    let mut planned: Vec<Piece<'a>> = Vec::new();
    let mut views = Views::new(catalog, &inside);
    for node in members {
        if let Err(error) = views.register(&session, node) {
            return Ok(Planned::Wrong(node.unique_id.clone(), error));
        }
        let sql = catalog.compile(node)?.sql;
        let plan = match session.plan(&sql) {
            Ok(plan) => plan,
            Err(error) => return Ok(Planned::Wrong(node.unique_id.clone(), error.into())),
        };
        if let Err(why) = plan.check_local(key, &has_key) {
            return Ok(Planned::NotLocal(node.unique_id.clone(), why));
        }
        planned.extend(pieces(&session, node, sql, plan, passes_through(node))?);
    }
    let (members, needs, leaves) =
        reduce(&session, catalog, planned, Needs::new(), &feeds, &inside)?;
    let of = |tables: BTreeMap<String, Snapshot>, with_key: bool| {
        tables
            .into_iter()
            .map(|(name, snapshot)| {
                let mut columns: Vec<String> =
                    needs.get(&name).into_iter().flatten().cloned().collect();
                if with_key && !columns.iter().any(|column| column == key) {
                    columns.push(key.to_owned());
                }
                Input { name, snapshot, columns }
            })
            .collect()
    };
    Ok(Planned::Local(Layout {
        key: key.to_owned(),
        members,
        inside,
        keyed: of(keyed, true),
        shared: of(shared, false),
        feeds: leaves,
    }))
}

/// A model, or a CTE of one that is computed on its own.
pub(crate) struct Piece<'a> {
    node: &'a Node,
    name: String,
    sql: String,
    plan: Plan,
    passing: bool,
}

/// A model as it is run: CTEs that it reads several times come first, each computed once. Rows of a `passing`
/// model are not kept.
pub(crate) fn pieces<'a>(
    session: &Session,
    node: &'a Node,
    sql: String,
    plan: Plan,
    passing: bool,
) -> Result<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    let schema = plan.schema();
    if let Some(split) = share_ctes(&rest, &format!("__{}__", node.alias)) {
        for (name, sql) in split.shared {
            let plan = session.plan(&sql)?;
            session.add_slot(&name, plan.schema())?;
            pieces.push(Piece { node, name, sql, plan, passing: true });
        }
        rest = split.rest;
    }
    let plan = if pieces.is_empty() { plan } else { session.plan(&rest)? };
    session.add_slot(&node.alias, schema)?;
    pieces.push(Piece { node, name: node.alias.clone(), sql: rest, plan, passing });
    Ok(pieces)
}

type Tables = BTreeMap<String, Snapshot>;

/// Tables outside the segment: those with the key, those without.
fn inputs(
    run: &Run<'_>,
    key: &str,
    members: &[&Node],
    inside: &BTreeSet<String>,
) -> Result<(Tables, Tables), (String, PipelineError)> {
    let (mut keyed, mut shared) = (Tables::new(), Tables::new());
    for node in members {
        for (name, input) in outside(run.catalog, &node.unique_id, inside) {
            let at_node = |error| (node.unique_id.clone(), error);
            let Some(snapshot) = run.catalog.warehouse.snapshot(&name).map_err(at_node)? else {
                return Err(at_node(PipelineError::Setting {
                    message: format!(
                        "`{}` reads `{}`, which has not been built yet",
                        node.name, input.name
                    ),
                    hint: Some(format!("run `clicktrail build --select +{}`", node.name)),
                }));
            };
            let has_key = snapshot.schema.column_with_name(key).is_some();
            if has_key { &mut keyed } else { &mut shared }.insert(name, snapshot);
        }
    }
    Ok((keyed, shared))
}

/// Tables that a node reads outside the segment, looking through views outside it.
fn outside<'a>(
    catalog: &Catalog<'a>,
    id: &str,
    inside: &BTreeSet<String>,
) -> BTreeMap<String, &'a Node> {
    let mut found = BTreeMap::new();
    for parent in catalog.parents(id) {
        if inside.contains(parent) {
            continue;
        }
        match catalog.node(parent) {
            Some(node) if Catalog::is_stored(node) => {
                found.insert(node.alias.clone(), node);
            }
            Some(_) => found.extend(outside(catalog, parent, inside)),
            None => {}
        }
    }
    found
}

/// Makes inputs known to the planning session: tables as empty slots, feeds with all their columns.
fn register(
    run: &Run<'_>,
    session: &Session,
    keyed: &Tables,
    shared: &Tables,
    feeds: &BTreeSet<String>,
) -> Result<()> {
    for (name, snapshot) in keyed.iter().chain(shared) {
        session.add_slot(name, Arc::clone(&snapshot.schema))?;
    }
    for name in feeds {
        let feed: Arc<ExportFeed> = run.catalog.feeds.empty();
        session.add_feed(name, feed, None)?;
    }
    Ok(())
}

/// Views outside the segment, made known to a session member by member: one may read what an earlier member gives.
pub(super) struct Views<'a> {
    catalog: &'a Catalog<'a>,
    known: BTreeSet<String>,
}

impl<'a> Views<'a> {
    pub(super) fn new(catalog: &'a Catalog<'a>, inside: &BTreeSet<String>) -> Self {
        let mut known: BTreeSet<String> = inside.clone();
        // Tables and feeds are there already, under the same names.
        let manifest = &catalog.project.manifest;
        known.extend(manifest.sources.keys().cloned());
        let tables = manifest.nodes.values().filter(|node| Catalog::is_stored(node));
        known.extend(tables.map(|node| node.unique_id.clone()));
        Self { catalog, known }
    }

    /// Those that this member names.
    pub(super) fn register(&mut self, session: &Session, member: &Node) -> Result<()> {
        self.catalog.register_parents(session, &member.unique_id, &mut self.known)
    }
}

/// Columns that are needed of each table.
pub(crate) type Needs = BTreeMap<String, BTreeSet<String>>;

/// From the last member to the first: columns that nobody reads are not computed. `needs` begins with what is
/// read outside the members.
pub(crate) fn reduce<'a>(
    session: &Session,
    catalog: &Catalog<'a>,
    planned: Vec<Piece<'a>>,
    mut needs: Needs,
    feeds: &BTreeSet<String>,
    inside: &BTreeSet<String>,
) -> Result<(Vec<Member<'a>>, Needs, BTreeMap<String, Vec<String>>)> {
    let mut leaves: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut members = Vec::new();
    let names: BTreeSet<String> = planned.iter().map(|piece| piece.name.clone()).collect();
    for Piece { node, name, sql, plan, passing } in planned.into_iter().rev() {
        let schema = plan.schema();
        let needed = needs.get(&name).cloned().unwrap_or_default();
        if passing && needed.is_empty() {
            // A view that no member reads has nothing to do here.
            continue;
        }
        let (sql, plan) = if passing && needed.len() < plan.schema().fields().len() {
            let columns: Vec<String> = plan
                .schema()
                .fields()
                .iter()
                .filter(|field| needed.contains(field.name()))
                .map(|field| quoted(field.name()))
                .collect();
            let sql = format!("select {} from (\n{sql}\n)", columns.join(", "));
            let plan = session.plan(&sql)?;
            (sql, plan)
        } else {
            (sql, plan)
        };
        let (mut parents, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (table, columns) in plan.reads() {
            if feeds.contains(&table) {
                leaves.entry(table).or_default().extend(columns);
                continue;
            }
            let is_member = names.contains(&table);
            if is_member { &mut parents } else { &mut others }.insert(table.clone());
            let tops = columns.iter().filter_map(|path| path.split('.').next()).map(str::to_owned);
            needs.entry(table).or_default().extend(tops);
        }
        members.push(Member {
            node,
            name,
            schema,
            sql,
            passing,
            is_read: !needed.is_empty(),
            parents,
            others,
            inputs: outside(catalog, &node.unique_id, inside),
        });
    }
    members.reverse();
    let leaves =
        leaves.into_iter().map(|(name, paths)| (name, paths.into_iter().collect())).collect();
    Ok((members, needs, leaves))
}

/// Whether a member's rows depend on a table from outside, directly or through other members: a run that ends
/// between two commits must leave a member behind that knows it is behind.
pub(super) fn reads(layout: &Layout<'_>, member: &Member<'_>, name: &str) -> bool {
    member.inputs.contains_key(name)
        || layout
            .members
            .iter()
            .any(|other| member.parents.contains(&other.name) && reads(layout, other, name))
}
