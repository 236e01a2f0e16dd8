//! Puts ephemeral models into the query that names them, as dbt does:
//! `with __dbt__cte__name as (…)`.

use crate::compile::{Compiled, LineMap};

/// Puts named queries before (or into the `with` of) a query; the way back to lines stays.
pub(crate) fn prepend(query: &Compiled, parts: &[(String, Compiled)]) -> Compiled {
    if parts.is_empty() {
        return query.clone();
    }
    let split = after_with(&query.sql);
    let (head, tail) = query.sql.split_at(split.unwrap_or(0));
    let row = head.matches('\n').count();
    let mut out = Draft { text: String::new(), lines: LineMap::default() };
    out.lines.files.clone_from(&query.lines.files);
    match split {
        Some(_) => {
            for (index, line) in head.split('\n').enumerate() {
                out.line(line, query.lines.at(index));
            }
        }
        None => out.line("with", None),
    }
    for (index, (name, part)) in parts.iter().enumerate() {
        let first = out.lines.files.len();
        out.lines.files.extend(part.lines.files.iter().cloned());
        out.line(&format!("{name} as ("), None);
        for (index, line) in part.sql.split('\n').enumerate() {
            out.line(line, part.lines.at(index).map(|(file, line)| (file + first, line)));
        }
        let last = index + 1 == parts.len() && split.is_none();
        out.line(if last { ")" } else { ")," }, None);
    }
    for (index, line) in tail.split('\n').enumerate() {
        let goes_on = index == 0 && split.is_some();
        let line = if goes_on { line.trim_start() } else { line };
        if !goes_on || !line.is_empty() {
            out.line(line, query.lines.at(row + index));
        }
    }
    Compiled { sql: out.text, lines: out.lines }
}

struct Draft {
    text: String,
    lines: LineMap,
}

impl Draft {
    fn line(&mut self, text: &str, origin: Option<(usize, usize)>) {
        if !self.lines.lines.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.lines.lines.push(origin);
    }
}

/// The position after the `with` (and `recursive`) that begins a query.
fn after_with(sql: &str) -> Option<usize> {
    let after = word(sql, skip_blank(sql, 0), "with")?;
    Some(word(sql, skip_blank(sql, after), "recursive").unwrap_or(after))
}

fn word(sql: &str, at: usize, expected: &str) -> Option<usize> {
    let found = sql.get(at..at + expected.len())?;
    let end = at + expected.len();
    let goes_on = sql[end..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (found.eq_ignore_ascii_case(expected) && !goes_on).then_some(end)
}

/// The position after white space and comments.
fn skip_blank(sql: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = &sql[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("--") {
            at += trimmed.find('\n').unwrap_or(trimmed.len());
        } else if trimmed.starts_with("/*") {
            at += trimmed.find("*/").map_or(trimmed.len(), |end| end + 2);
        } else {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn query(file: &str, sql: &str) -> Compiled {
        let lines = (1..=sql.split('\n').count()).map(Some).collect();
        Compiled { sql: sql.into(), lines: LineMap::of(Path::new(file), lines) }
    }

    fn show(sql: &str) -> String {
        let parts = [("__dbt__cte__e".to_owned(), query("e", "select 1\nas x"))];
        let out = prepend(&query("m", sql), &parts);
        assert_eq!(out.sql.split('\n').count(), out.lines.lines.len());
        let origin = |index| match out.lines.origin(index + 1) {
            Some((file, line)) => format!("{}:{line}", file.display()),
            None => "-".into(),
        };
        let rows = out.sql.split('\n').enumerate();
        rows.map(|(index, row)| format!("{}|{row}", origin(index))).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn joins_a_with() {
        assert_eq!(
            show("-- top\nwith a as (\n  select 2)\nselect 3"),
            "m:1|-- top\nm:2|with\n-|__dbt__cte__e as (\ne:1|select 1\ne:2|as x\n-|),\n\
             m:2|a as (\nm:3|  select 2)\nm:4|select 3"
        );
    }

    #[test]
    fn brings_its_own_with() {
        assert_eq!(
            show("\nselect *\nfrom withdrawals"),
            "-|with\n-|__dbt__cte__e as (\ne:1|select 1\ne:2|as x\n-|)\nm:1|\nm:2|select *\n\
             m:3|from withdrawals"
        );
    }

    #[test]
    fn knows_recursive() {
        assert!(
            show("with recursive\nr as (select 1) select 2").starts_with("m:1|with recursive\n")
        );
    }
}
