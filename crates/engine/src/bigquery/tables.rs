//! Datasets and tables: what exists, what it looks like, rows without a query.

use std::fmt;

use arrow::array::RecordBatch;
use serde_json::{Value, json};

use super::auth::percent_encoded;
use super::client::{Client, PAGE_ROWS, absent, good};
use super::job::number;
use super::rows;
use crate::error::Result;

/// The three parts of a table's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableId {
    /// Project.
    pub project: String,
    /// Dataset.
    pub dataset: String,
    /// Table.
    pub table: String,
}

impl TableId {
    pub(super) fn reference(&self) -> Value {
        json!({ "projectId": self.project, "datasetId": self.dataset, "tableId": self.table })
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// What is known of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub id: TableId,
    /// `TABLE`, `VIEW`, …
    pub kind: String,
    /// Columns, as BigQuery writes them; empty in a list of tables.
    pub fields: Vec<Value>,
    /// Rows, where it has some of its own.
    pub rows: Option<u64>,
    /// Changes with each change of the table.
    pub version: String,
}

/// What is known of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Where it is.
    pub location: String,
}

impl Client {
    pub(super) fn table_path(table: &TableId) -> String {
        let project = Self::project_path(&table.project);
        let (dataset, name) = (percent_encoded(&table.dataset), percent_encoded(&table.table));
        format!("{project}/datasets/{dataset}/tables/{name}")
    }

    /// A dataset; `None` when there is no such one.
    ///
    /// # Errors
    /// Everything but its absence.
    pub fn dataset(&self, project: &str, dataset: &str) -> Result<Option<Dataset>> {
        let path = format!("{}/datasets/{}", Self::project_path(project), percent_encoded(dataset));
        let found = absent(self.json("GET", &path, None, true)?)?;
        Ok(found.map(|found| Dataset {
            location: found["location"].as_str().unwrap_or_default().to_owned(),
        }))
    }

    /// Makes a dataset at the target's location; one that exists is left as it is.
    ///
    /// # Errors
    /// Missing rights.
    pub fn create_dataset(&self, project: &str, dataset: &str) -> Result<()> {
        let path = format!("{}/datasets", Self::project_path(project));
        let mut body =
            json!({ "datasetReference": { "projectId": project, "datasetId": dataset } });
        if let Some(location) = &self.settings.location {
            body["location"] = location.as_str().into();
        }
        let answer = self.json("POST", &path, Some(&body), true)?;
        if answer.status == 409 {
            return Ok(());
        }
        good(answer).map(|_| ())
    }

    /// A table; `None` when there is no such one.
    ///
    /// # Errors
    /// Everything but its absence.
    pub fn table(&self, table: &TableId) -> Result<Option<Table>> {
        let found = absent(self.json("GET", &Self::table_path(table), None, true)?)?;
        Ok(found.map(|found| table_of(&found, table)))
    }

    /// Makes an empty table; one that exists is left as it is.
    ///
    /// # Errors
    /// Missing rights, a dataset that does not exist.
    pub fn create_table(&self, table: &TableId, fields: &[Value]) -> Result<()> {
        let project = Self::project_path(&table.project);
        let path = format!("{project}/datasets/{}/tables", percent_encoded(&table.dataset));
        let body = json!({ "tableReference": table.reference(), "schema": { "fields": fields } });
        let answer = self.json("POST", &path, Some(&body), true)?;
        if answer.status == 409 {
            return Ok(());
        }
        good(answer).map(|_| ())
    }

    /// Deletes a table or view, if there is one.
    ///
    /// # Errors
    /// Everything but its absence.
    pub fn delete_table(&self, table: &TableId) -> Result<()> {
        absent(self.json("DELETE", &Self::table_path(table), None, true)?).map(|_| ())
    }

    /// Names of the tables of a dataset that begin with `prefix`, in order.
    ///
    /// # Errors
    /// A dataset that is not there, or may not be read.
    pub fn tables(&self, project: &str, dataset: &str, prefix: &str) -> Result<Vec<Table>> {
        let base =
            format!("{}/datasets/{}/tables", Self::project_path(project), percent_encoded(dataset));
        let mut found = Vec::new();
        let mut page = String::new();
        loop {
            let answer = self.get(&format!("{base}?maxResults=1000{page}"))?;
            for table in answer["tables"].as_array().into_iter().flatten() {
                let name = table["tableReference"]["tableId"].as_str().unwrap_or_default();
                if name.starts_with(prefix) {
                    let id = TableId {
                        project: project.to_owned(),
                        dataset: dataset.to_owned(),
                        table: name.to_owned(),
                    };
                    found.push(table_of(table, &id));
                }
            }
            match answer["nextPageToken"].as_str() {
                Some(token) => page = format!("&pageToken={}", percent_encoded(token)),
                None => break,
            }
        }
        found.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(found)
    }

    /// Rows of a table, page by page, without a query: `tabledata.list`, which costs nothing.
    ///
    /// # Errors
    /// A table that may not be read, or what `page` says.
    pub fn table_rows(
        &self,
        table: &Table,
        page: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let base = format!("{}/data", Self::table_path(&table.id));
        let mut token = String::new();
        loop {
            let answer = self.get(&format!(
                "{base}?maxResults={PAGE_ROWS}&formatOptions.useInt64Timestamp=true{token}"
            ))?;
            let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
            if !rows.is_empty() {
                page(rows::batch(&table.fields, rows)?.1)?;
            }
            match answer["pageToken"].as_str().filter(|_| !rows.is_empty()) {
                Some(next) => token = format!("&pageToken={}", percent_encoded(next)),
                None => return Ok(()),
            }
        }
    }
}

fn table_of(found: &Value, id: &TableId) -> Table {
    Table {
        id: id.clone(),
        kind: found["type"].as_str().unwrap_or_default().to_owned(),
        fields: found["schema"]["fields"].as_array().cloned().unwrap_or_default(),
        rows: number(&found["numRows"]),
        version: match &found["lastModifiedTime"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
    }
}
