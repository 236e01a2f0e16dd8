//! Writes JSON objects member by member, leaving out what is absent.

use crate::ndjson::{write_bare_text, write_float, write_int};

/// An object being written. Keys are those of the export: they need no escapes.
pub(super) struct Members<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl Members<'_> {
    /// Writes one object.
    pub(super) fn write(out: &mut Vec<u8>, fill: impl FnOnce(&mut Members<'_>)) {
        out.push(b'{');
        fill(&mut Members { out, is_first: true });
        out.push(b'}');
    }

    /// Writes a key; its value must follow.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            write_bare_text(value, self.key(key));
        }
    }

    /// A whole number as a string, as BigQuery writes INT64.
    pub(super) fn int(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            let out = self.key(key);
            out.push(b'"');
            write_int(value, out);
            out.push(b'"');
        }
    }

    pub(super) fn float(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            write_float(value, self.key(key));
        }
    }

    /// A struct; left out when nothing is written into it.
    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Members<'_>)) {
        let (length, was_first) = (self.out.len(), self.is_first);
        let out = self.key(key);
        let start = out.len();
        Members::write(out, fill);
        if self.out.len() == start + 2 {
            self.out.truncate(length);
            self.is_first = was_first;
        }
    }

    /// A repeated field; left out when empty.
    pub(super) fn list<T>(&mut self, key: &str, items: &[T], fill: impl Fn(&mut Members<'_>, &T)) {
        if items.is_empty() {
            return;
        }
        let out = self.key(key);
        out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            Members::write(out, |members| fill(members, item));
        }
        out.push(b']');
    }
}
