//! Rows of unit tests as records.

use serde_json::{Map, Value as Json};

use crate::error::{Fault, Result};
use crate::node::Rows;

impl Rows {
    /// The rows as records; `None` for a query. CSV values are text, empty ones null.
    ///
    /// # Errors
    /// When the CSV text has rows of different lengths.
    pub fn records(&self) -> Result<Option<Vec<Map<String, Json>>>> {
        match self {
            Self::Dict(rows) => Ok(Some(rows.clone())),
            Self::Sql(_) => Ok(None),
            Self::Csv(text) => csv_records(text).map(Some).map_err(|error| {
                let (key, expected) = ("rows".into(), "CSV with a header".into());
                Fault::BadValue { key, expected, found: error.to_string() }.into()
            }),
        }
    }
}

fn csv_records(text: &str) -> Result<Vec<Map<String, Json>>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let value = |text: &str| if text.is_empty() { Json::Null } else { Json::from(text) };
    reader
        .records()
        .map(|record| {
            let record = record?;
            Ok(header.iter().map(str::to_owned).zip(record.iter().map(value)).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_becomes_records() {
        let rows = Rows::Csv("id,name\n1, a\n2,\n".into()).records().unwrap().unwrap();
        assert_eq!(
            serde_json::to_string(&rows).unwrap(),
            r#"[{"id":"1","name":"a"},{"id":"2","name":null}]"#
        );
        assert!(Rows::Csv("a,b\n1\n".into()).records().is_err());
        assert_eq!(Rows::Sql("select 1".into()).records().unwrap(), None);
    }
}
