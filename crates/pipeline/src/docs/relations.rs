//! What the warehouse holds: columns, rows and bytes of each relation.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::Schema;
use clicktrail_engine::datafusion::{Embedded, Feed, Session};
use clicktrail_project::{Materialized, Node, ResourceType, Source};

use super::types::sql_type;
use crate::catalog::{Catalog, quoted};
use crate::error::Result;
use crate::feeds::Feeds;

/// One column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnType {
    pub(super) name: String,
    pub(super) sql_type: String,
}

/// A relation as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Relation {
    pub(super) columns: Vec<ColumnType>,
    /// Rows, where they are stored.
    pub(super) rows: Option<u64>,
    /// Bytes on disk, where there are any.
    pub(super) bytes: Option<u64>,
    /// Is it stored, not a query?
    pub(super) stored: bool,
}

/// All that could be found out.
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// By unique id.
    pub(super) known: BTreeMap<String, Relation>,
    /// Why nothing is known of the others, where that is no matter of course.
    pub(super) faults: BTreeMap<String, String>,
}

/// Looks at every source, seed and model; what is not built yet is left out.
pub(super) fn find(engine: &Embedded, catalog: &Catalog<'_>) -> Relations {
    let mut relations = Relations::default();
    let manifest = &catalog.project.manifest;
    for (id, source) in &manifest.sources {
        relations
            .known
            .extend(of_source(source, catalog.feeds).map(|relation| (id.clone(), relation)));
    }
    let mut views = Vec::new();
    for (id, node) in &manifest.nodes {
        if Catalog::is_stored(node) {
            match of_table(node, catalog) {
                Ok(found) => relations.known.extend(found.map(|relation| (id.clone(), relation))),
                Err(error) => drop(relations.faults.insert(id.clone(), error.to_string())),
            }
        } else if node.resource_type == ResourceType::Model {
            views.push(node);
        }
    }
    match engine.single_threaded_session() {
        Ok(session) => of_views(&views, &session, catalog, &mut relations),
        Err(error) => {
            relations
                .faults
                .extend(views.iter().map(|node| (node.unique_id.clone(), error.to_string())));
        }
    }
    relations
}

fn of_source(source: &Source, feeds: &Feeds) -> Option<Relation> {
    let name = Feeds::name_of(source)?;
    let files = feeds.files(&name);
    if files.is_empty() {
        return None;
    }
    let columns = columns(&feeds.whole(&name).schema(None));
    Some(Relation {
        columns,
        rows: None,
        bytes: Some(files.iter().map(|file| file.bytes).sum()),
        stored: true,
    })
}

fn of_table(node: &Node, catalog: &Catalog<'_>) -> Result<Option<Relation>> {
    let snapshot = catalog.warehouse.snapshot(&node.alias)?;
    Ok(snapshot.map(|table| Relation {
        columns: columns(&table.schema),
        rows: Some(table.rows()),
        bytes: Some(table.bytes()),
        stored: true,
    }))
}

/// Plans each view; one whose tables are not built is passed over, as they are.
fn of_views(views: &[&Node], session: &Session, catalog: &Catalog<'_>, relations: &mut Relations) {
    let mut known = BTreeSet::new();
    for node in views {
        let id = &node.unique_id;
        if catalog
            .stored_inputs(id)
            .values()
            .any(|table| !relations.known.contains_key(&table.unique_id))
        {
            continue;
        }
        let planned = catalog.register(session, id, &mut known).and_then(|()| {
            Ok(session.plan(&format!("select * from {}", quoted(&node.alias)))?.schema())
        });
        match planned {
            Ok(schema) => {
                let relation = Relation { columns: columns(&schema), ..Relation::default() };
                relations.known.insert(id.clone(), relation);
            }
            Err(error) => drop(relations.faults.insert(id.clone(), error.to_string())),
        }
    }
}

fn columns(schema: &Schema) -> Vec<ColumnType> {
    let column = |(name, data_type)| ColumnType { name, sql_type: sql_type(data_type) };
    schema.fields().iter().map(|field| column((field.name().clone(), field.data_type()))).collect()
}

/// Does a node exist in the warehouse by itself? Ephemeral models do not.
pub(super) fn exists(node: &Node) -> bool {
    node.config.materialized != Materialized::Ephemeral && node.resource_type != ResourceType::Test
}
