//! Which models can follow the stream, and how: the part of the project that live refresh runs.
//!
//! Rows of the stream pass the staging views once, on their own. From there on everything is by one key: the
//! rows of a person are read again, and every model that is local to the person runs on them. A model that is not
//! local, and whatever reads it, stays as the last build left it, and says so.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::{Embedded, IncrementalSums, Session, Slot};
use clicktrail_project::{Node, ResourceType};

use crate::catalog::{Catalog, live_key, quoted};
use crate::error::{PipelineError, Result};
use crate::feeds::{DAY, STREAM_NAME};
use crate::run::passes_through;
use crate::run::segment::layout::{Member, Needs, Piece, pieces, reduce};

/// The live part of a project.
pub(super) struct Layout<'a> {
    /// Column by which rows belong together: `person_key`.
    pub(super) key: String,
    /// The relation whose rows are kept for each key: `stg_events`.
    pub(super) staged: String,
    /// Its unique id.
    pub(super) staged_id: String,
    /// SQL of the columns that are needed of it.
    pub(super) staging_sql: String,
    /// Its columns that are kept.
    pub(super) staged_schema: SchemaRef,
    /// All its columns.
    pub(super) whole_schema: SchemaRef,
    /// Paths that the staging views read of a raw row.
    pub(super) leaves: Vec<String>,
    /// The stored model through which a build passes the staged rows: `int_events`. Its rows are where a
    /// start finds the history.
    pub(super) history: String,
    /// In the order of the graph, parts of models among them.
    pub(super) members: Vec<Member<'a>>,
    /// Small models over all rows that members read, by least and greatest values only.
    pub(super) globals: Vec<Global>,
    /// Tables that no event changes.
    pub(super) fixed: BTreeSet<String>,
    /// Sums over a member's rows.
    pub(super) sums: Vec<Sums>,
    /// Models that a build alone keeps up to date, with the reason.
    pub(super) off: BTreeMap<String, String>,
}

/// A model such as `int_loaded_days`.
pub(super) struct Global {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) schema: SchemaRef,
    /// The member it reads, and the columns of it.
    pub(super) input: String,
    pub(super) columns: Vec<String>,
}

/// A model such as `mart_attribution_daily`.
pub(super) struct Sums {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) input: String,
}

/// What stands between a project and live refresh.
fn refused(why: impl std::fmt::Display) -> PipelineError {
    PipelineError::Setting {
        message: format!("this project can't follow a stream: {why}"),
        hint: Some(
            "docs/live.md says what live models need; `clicktrail build` works all the same".into(),
        ),
    }
}

impl<'a> Layout<'a> {
    /// Plans the live part.
    ///
    /// # Errors
    /// A project without staged rows by a key, SQL that does not compile.
    pub(super) fn plan(catalog: &Catalog<'a>, engine: &Embedded) -> Result<Self> {
        let history = history(catalog)?;
        let key = key_below(catalog, history)
            .ok_or_else(|| refused(format!("no model below `{}` has a live key", history.name)))?;
        let staged = staged(catalog, history)?;
        let staging = engine.single_threaded_session()?;
        add_feeds(&staging, None)?;
        let mut known: BTreeSet<String> =
            catalog.project.manifest.sources.keys().cloned().collect();
        catalog.register(&staging, &staged.unique_id, &mut known)?;
        let whole = staging.plan(&format!("select * from {}", quoted(&staged.alias)))?;
        if whole.schema().column_with_name(&key).is_none() {
            return Err(refused(format!("`{}` has no column `{key}`", staged.name)));
        }

        let session = engine.single_threaded_session()?;
        session.add_slot(&staged.alias, whole.schema())?;
        let mut planner = Planner {
            catalog,
            session: &session,
            key: key.clone(),
            staged,
            history,
            inside: BTreeSet::new(),
            live: BTreeSet::from([staged.unique_id.clone()]),
            planned: Vec::new(),
            globals: Vec::new(),
            sums: Vec::new(),
            fixed: BTreeSet::new(),
            off: BTreeMap::new(),
        };
        let above = catalog.ancestors(&staged.unique_id);
        for id in catalog.project.manifest.order() {
            if let Some(node) = catalog.node(&id)
                && node.resource_type == ResourceType::Model
                && node.unique_id != staged.unique_id
                && !above.contains(&id)
                && reads_stream(catalog, &id)
            {
                planner.place(node)?;
            }
        }
        let Planner { inside, planned, globals, sums, fixed, off, .. } = planner;
        let mut needs = Needs::new();
        for global in &globals {
            needs.entry(global.input.clone()).or_default().extend(global.columns.iter().cloned());
        }
        let (members, needs, _) =
            reduce(&session, catalog, planned, needs, &BTreeSet::new(), &inside)?;
        let mut columns = needs.get(&staged.alias).cloned().unwrap_or_default();
        columns.insert(key.clone());
        let ordered: Vec<String> = whole
            .schema()
            .fields()
            .iter()
            .filter(|field| columns.contains(field.name()))
            .map(|field| quoted(field.name()))
            .collect();
        let staging_sql = format!("select {} from {}", ordered.join(", "), quoted(&staged.alias));
        let plan = staging.plan(&staging_sql)?;
        let leaves = plan.reads().remove(STREAM_NAME).into_iter().flatten().collect();
        Ok(Self {
            key,
            staged: staged.alias.clone(),
            staged_id: staged.unique_id.clone(),
            staging_sql,
            staged_schema: plan.schema(),
            whole_schema: whole.schema(),
            leaves,
            history: history.alias.clone(),
            members,
            globals,
            fixed,
            sums,
            off,
        })
    }
}

/// Makes the three sources readable, reduced to some paths: the stream as a slot, which it gives, and nothing in the other two.
pub(super) fn add_feeds(session: &Session, leaves: Option<&[String]>) -> Result<Slot> {
    let schema = match leaves {
        Some(leaves) => clicktrail_ingest::schema::project(leaves)?,
        None => clicktrail_ingest::schema::events(),
    };
    session.add_empty("ga4.events", &schema)?;
    session.add_empty("ga4.events_intraday", &schema)?;
    Ok(session.add_live_slot(STREAM_NAME, schema)?)
}

/// Whether a node's rows come from events.
fn reads_stream(catalog: &Catalog<'_>, id: &str) -> bool {
    let sources = &catalog.project.manifest.sources;
    catalog.ancestors(id).iter().any(|above| sources.contains_key(above))
}

/// The one stored model that is made from feeds by day.
fn history<'a>(catalog: &Catalog<'a>) -> Result<&'a Node> {
    let mut found = catalog.project.manifest.nodes.values().filter(|node| {
        node.resource_type == ResourceType::Model
            && Catalog::is_stored(node)
            && catalog.feed_inputs(&node.unique_id).contains(STREAM_NAME)
    });
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(refused("no stored model reads the source `live.events_stream`")),
        (Some(one), Some(other)) => Err(refused(format!(
            "both `{}` and `{}` read the source `live.events_stream`",
            one.name, other.name
        ))),
    }
}

/// The view that the history is made from.
fn staged<'a>(catalog: &Catalog<'a>, history: &Node) -> Result<&'a Node> {
    let mut views = catalog
        .parents(&history.unique_id)
        .iter()
        .filter_map(|parent| catalog.node(parent))
        .filter(|node| !Catalog::is_stored(node) && reads_stream(catalog, &node.unique_id));
    match (views.next(), views.next()) {
        (Some(view), None) => Ok(view),
        _ => Err(refused(format!("`{}` is not made from one staging view", history.name))),
    }
}

/// The key of the models right below the history.
fn key_below(catalog: &Catalog<'_>, history: &Node) -> Option<String> {
    let order = catalog.project.manifest.order();
    order
        .iter()
        .filter(|id| catalog.parents(id).contains(&history.unique_id))
        .filter_map(|id| live_key(catalog.node(id)?))
        .find(|key| *key != DAY)
        .map(str::to_owned)
}

struct Planner<'a, 'b> {
    catalog: &'b Catalog<'a>,
    session: &'b Session,
    key: String,
    staged: &'a Node,
    history: &'a Node,
    /// Members.
    inside: BTreeSet<String>,
    /// Members, the staged view, and globals.
    live: BTreeSet<String>,
    planned: Vec<Piece<'a>>,
    globals: Vec<Global>,
    sums: Vec<Sums>,
    fixed: BTreeSet<String>,
    off: BTreeMap<String, String>,
}

impl<'a> Planner<'a, '_> {
    /// Finds the place of a model that events change.
    fn place(&mut self, node: &'a Node) -> Result<()> {
        let id = &node.unique_id;
        let keyed = live_key(node) == Some(&self.key) || *id == self.history.unique_id;
        if passes_through(node) && !keyed {
            // A view for readers; nothing live is computed through it.
            self.off.insert(node.alias.clone(), "it is a view without a live key".into());
            return Ok(());
        }
        if let Some(parent) = self.dead_parent(node)? {
            self.off.insert(node.alias.clone(), format!("it reads `{parent}`, which is not live"));
            return Ok(());
        }
        let sql = self.catalog.compile(node)?.sql;
        let plan = self.session.plan(&sql)?;
        if keyed {
            let is_keyed = |name: &str| {
                let name = name.trim_start_matches("datafusion.public.");
                name == self.staged.alias
                    || self
                        .inside
                        .iter()
                        .any(|id| self.catalog.node(id).is_some_and(|node| node.alias == name))
            };
            return match plan.check_local(&self.key, &is_keyed) {
                Ok(()) => {
                    let passing = passes_through(node) || *id == self.history.unique_id;
                    self.planned.extend(pieces(self.session, node, sql, plan, passing)?);
                    self.inside.insert(id.clone());
                    self.live.insert(id.clone());
                    Ok(())
                }
                Err(why) => {
                    let why = format!("it is not local to `{}`: {why}", self.key);
                    self.off.insert(node.alias.clone(), why);
                    Ok(())
                }
            };
        }
        self.place_without_key(node, sql, &plan)
    }

    fn place_without_key(
        &mut self,
        node: &'a Node,
        sql: String,
        plan: &clicktrail_engine::datafusion::Plan,
    ) -> Result<()> {
        let reads = plan.reads();
        let mut inputs = reads.iter();
        let (Some((input, columns)), None) = (inputs.next(), inputs.next()) else {
            self.off
                .insert(node.alias.clone(), "it reads several tables and has no live key".into());
            return Ok(());
        };
        if plan.ignores_copies() {
            self.session.add_slot(&node.alias, plan.schema())?;
            self.globals.push(Global {
                name: node.alias.clone(),
                sql,
                schema: plan.schema(),
                input: input.clone(),
                columns: columns.iter().cloned().collect(),
            });
            self.live.insert(node.unique_id.clone());
            return Ok(());
        }
        let slot = self.session.add_slot("__trial", plan.schema())?;
        match IncrementalSums::new(self.session, plan, &slot) {
            Ok(_) => {
                self.sums.push(Sums { name: node.alias.clone(), sql, input: input.clone() });
            }
            Err(why) => {
                self.off.insert(node.alias.clone(), format!("it has no live key, and {why}"));
            }
        }
        Ok(())
    }

    /// A parent that events change but that is not live; other tables become readable.
    fn dead_parent(&mut self, node: &Node) -> Result<Option<String>> {
        for parent in self.catalog.parents(&node.unique_id) {
            if self.live.contains(parent) {
                continue;
            }
            let Some(parent) = self.catalog.node(parent) else {
                return Ok(Some(parent.clone()));
            };
            if reads_stream(self.catalog, &parent.unique_id) {
                return Ok(Some(parent.name.clone()));
            }
            if Catalog::is_stored(parent) && self.fixed.insert(parent.alias.clone()) {
                let Some(table) = self.catalog.warehouse.snapshot(&parent.alias)? else {
                    return Err(refused(format!("`{}` has not been built", parent.name)));
                };
                self.session.add_slot(&parent.alias, table.schema)?;
            }
        }
        Ok(None)
    }
}
