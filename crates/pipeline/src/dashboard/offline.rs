//! Pages from the tables of the last build, for the command line.

use std::collections::{BTreeMap, BTreeSet};

use clicktrail_project::{AdapterRelations, CompileContext, Node};
use serde_json::{Value, json};

use super::{
    LEDGERS, Outcomes, PageFault, PageRequest, PageResult, Reader, TABLES, Things, answer,
};
use crate::catalog::Catalog;
use crate::docs::sql_type;
use crate::error::Result;
use crate::workspace::Workspace;

impl Workspace {
    /// A page as the tables of the last build say it.
    ///
    /// # Errors
    /// [`PageFault`]; tables that were not built.
    pub fn page(&self, request: &PageRequest) -> Result<PageResult, PageFault> {
        let mut names: Vec<&str> = TABLES.to_vec();
        if ["explain", "event"].contains(&request.page.as_str()) {
            names.push("int_events");
        }
        let mut tables: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for name in LEDGERS {
            if self.warehouse.snapshot(name)?.is_some() {
                names.push(name);
                tables.insert(name.to_owned());
            }
        }
        let engine = self.engine()?;
        let session = self.session_of(&engine, &names.join(" "))?;
        let reader = Reader::new("warehouse".into(), (engine, session), tables);
        let things = Things {
            outcomes: &Outcomes::of_last_run(&self.project)?,
            stream: Value::Null,
            rows: self.stored_rows()?,
            off: None,
            build: json!({}),
        };
        answer(&reader, self, request, &things)
    }

    /// SQL of a model as the target's engine gets it.
    pub(crate) fn compiled_sql(&self, node: &Node) -> Result<String> {
        let relations = AdapterRelations(self.project.target.adapter);
        Ok(self.project.compile(node, &CompileContext::new(&relations))?.sql)
    }

    /// Columns of a table with their types; none when it is not built, or a view.
    pub(crate) fn column_types(&self, name: &str) -> Vec<(String, String)> {
        let Ok(Some(table)) = self.warehouse.snapshot(name) else { return Vec::new() };
        let fields = table.schema.fields().iter();
        fields.map(|field| (field.name().clone(), sql_type(field.data_type()))).collect()
    }

    /// Rows of each table of a model or seed that is there.
    pub(super) fn stored_rows(&self) -> Result<BTreeMap<String, u64>> {
        let mut rows = BTreeMap::new();
        for node in self.project.manifest.nodes.values().filter(|node| Catalog::is_stored(node)) {
            if let Some(table) = self.warehouse.snapshot(&node.alias)? {
                rows.insert(node.alias.clone(), table.rows());
            }
        }
        Ok(rows)
    }
}
