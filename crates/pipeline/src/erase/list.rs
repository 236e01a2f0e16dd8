//! The list of erased persons: hashes of ids, in a file of the project. What the list names is left out of
//! every reading of export files and of the stream, so that a person does not come back with the next build.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use sha2::{Digest, Sha256};

use super::refused;
use crate::error::{PipelineError, Result};

/// The file, in the project's folder.
pub(crate) const LIST: &str = "erased_persons.csv";

const HEADER: &str = "kind,salt,hash,erased_at";

/// Columns of a raw event that say whose it is.
pub(crate) const ID_COLUMNS: [&str; 2] = ["user_pseudo_id", "user_id"];

/// Ids that rows must not have any more, as salted hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Erased {
    salt: String,
    /// (column, hash)
    hashes: BTreeSet<(String, String)>,
    lines: Vec<String>,
}

impl Erased {
    /// Reads the list; no file is an empty one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(PipelineError::io("read", path)(error)),
        };
        let mut erased = Self::default();
        for (number, line) in text.lines().enumerate().skip(1).filter(|line| !line.1.is_empty()) {
            let parts: Vec<&str> = line.split(',').collect();
            let known = |kind: &str| ID_COLUMNS.contains(&kind);
            let [kind, salt, hash, _] = parts[..] else { return Err(damaged(path, number + 1)) };
            let first = erased.salt.is_empty();
            if !known(kind) || hash.len() != 64 || !(first || erased.salt == salt) {
                return Err(damaged(path, number + 1));
            }
            salt.clone_into(&mut erased.salt);
            erased.hashes.insert((kind.to_owned(), hash.to_owned()));
            erased.lines.push(line.to_owned());
        }
        Ok(erased)
    }

    /// Whether nobody is on the list.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Columns that have to be read to tell whose a row is.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> {
        let is_empty = self.is_empty();
        ID_COLUMNS.into_iter().filter(move |_| !is_empty)
    }

    /// Adds an id; gives its hash. `fresh_salt` is used by the first one.
    pub(super) fn add(&mut self, kind: &str, id: &str, fresh_salt: &str, at: &str) -> String {
        if self.salt.is_empty() {
            fresh_salt.clone_into(&mut self.salt);
        }
        let hash = self.hash(id);
        if self.hashes.insert((kind.to_owned(), hash.clone())) {
            self.lines.push(format!("{kind},{},{hash},{at}", self.salt));
        }
        hash
    }

    /// Writes the list anew, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text: String = std::iter::once(HEADER)
            .chain(self.lines.iter().map(String::as_str))
            .map(|line| format!("{line}\n"))
            .collect();
        let draft = path.with_extension("csv.tmp");
        fs::write(&draft, text).map_err(PipelineError::io("write", &draft))?;
        fs::rename(&draft, path).map_err(PipelineError::io("write", path))
    }

    fn hash(&self, id: &str) -> String {
        let digest = Sha256::new().chain_update(&self.salt).chain_update(id).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The rows of raw events that are of nobody on the list.
    pub(crate) fn without(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.is_empty() {
            return Ok(rows);
        }
        let mut keep = vec![true; rows.num_rows()];
        for kind in ID_COLUMNS {
            let Some(column) = rows.column_by_name(kind) else { continue };
            let ids = cast(column, &DataType::Utf8)?;
            self.strike(kind, ids.as_string::<i32>(), &mut keep);
        }
        if keep.iter().all(|keep| *keep) {
            return Ok(rows);
        }
        filter_record_batch(&rows, &BooleanArray::from(keep))
    }

    fn strike(&self, kind: &str, ids: &StringArray, keep: &mut [bool]) {
        if !self.hashes.iter().any(|(known, _)| known == kind) {
            return;
        }
        // Events of a person often stand together.
        let mut last: Option<(&str, bool)> = None;
        for row in (0..ids.len()).filter(|row| ids.is_valid(*row)) {
            let id = ids.value(row);
            let is_erased = match last {
                Some((known, is_erased)) if known == id => is_erased,
                _ => self.hashes.contains(&(kind.to_owned(), self.hash(id))),
            };
            last = Some((id, is_erased));
            keep[row] &= !is_erased;
        }
    }
}

fn damaged(path: &Path, line: usize) -> PipelineError {
    refused(
        format!("{}:{line} is no entry of the list of erased persons", path.display()),
        format!("an entry is `{HEADER}`, with one salt for all; take the file from a backup"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn rows() -> RecordBatch {
        let device = StringArray::from(vec![Some("a"), Some("b"), None, Some("a")]);
        let login = StringArray::from(vec![None, Some("x"), Some("a"), Some("y")]);
        let number = Int64Array::from(vec![1, 2, 3, 4]);
        RecordBatch::try_from_iter([
            ("user_pseudo_id", Arc::new(device) as ArrayRef),
            ("user_id", Arc::new(login) as ArrayRef),
            ("number", Arc::new(number) as ArrayRef),
        ])
        .unwrap()
    }

    fn numbers(erased: &Erased) -> Vec<i64> {
        use arrow::datatypes::Int64Type;
        let kept = erased.without(rows()).unwrap();
        kept.column(2).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn only_the_named_column_counts_and_the_list_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIST);
        let mut erased = Erased::read(&path).unwrap();
        assert!(erased.is_empty());
        assert_eq!(numbers(&erased), [1, 2, 3, 4]);
        erased.add("user_pseudo_id", "a", "salt", "2026-01-01");
        assert_eq!(numbers(&erased), [2, 3]);
        erased.add("user_id", "x", "other", "2026-01-02");
        erased.add("user_id", "x", "other", "2026-01-03");
        assert_eq!(numbers(&erased), [3]);
        erased.write(&path).unwrap();
        assert_eq!(Erased::read(&path).unwrap(), erased);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        fs::write(&path, text.replace("user_id,", "email,")).unwrap();
        let error = Erased::read(&path).unwrap_err().to_string();
        assert!(error.contains("erased_persons.csv:3 is no entry"), "{error}");
    }
}
