//! Takes common table expressions that are read more than once out of a query.
//!
//! The engine computes a CTE once for each place that reads it. A caller that can hold rows in memory
//! computes it once instead, and gives it to the rest under a name of its own.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, Ident, ObjectName, Query, Statement, TableAlias, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// A query without the CTEs that it reads more than once, and those as queries of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCtes {
    /// Name and SQL; each may read those before it.
    pub shared: Vec<(String, String)>,
    /// What is left; reads the shared ones by their names.
    pub rest: String,
}

/// Splits a query; `None` when it reads no CTE twice, or is not a plain query.
///
/// `prefix` begins the names given to the shared parts.
pub fn share_ctes(sql: &str, prefix: &str) -> Option<SharedCtes> {
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql).ok()?;
    let (Some(Statement::Query(mut query)), true) = (statements.pop(), statements.is_empty())
    else {
        return None;
    };
    let with = query.with.take().filter(|with| !with.recursive)?;
    let names: Vec<String> =
        with.cte_tables.iter().map(|cte| cte.alias.name.value.to_lowercase()).collect();
    let mut reads = Reads { counts: names.iter().map(|name| (name.clone(), 0)).collect() };
    let _ = Visit::visit(&query, &mut reads);
    for cte in &with.cte_tables {
        // A WITH inside could hide a name; such a query is left as it is.
        if cte.query.with.is_some() || !cte.alias.columns.is_empty() {
            return None;
        }
        let _ = Visit::visit(&cte.query, &mut reads);
    }
    let renamed: BTreeMap<String, String> = names
        .iter()
        .filter(|name| reads.counts.get(*name).is_some_and(|count| *count > 1))
        .map(|name| (name.clone(), format!("{prefix}{name}")))
        .collect();
    if renamed.is_empty() {
        return None;
    }
    let mut rename = Rename { names: &renamed };
    let (mut shared, mut kept): (Vec<(String, String)>, Vec<Cte>) = (Vec::new(), Vec::new());
    for (mut cte, name) in with.cte_tables.into_iter().zip(&names) {
        let _ = VisitMut::visit(&mut cte.query, &mut rename);
        match renamed.get(name) {
            Some(new_name) => shared.push((new_name.clone(), with_ctes(&kept, &cte.query))),
            None => kept.push(cte),
        }
    }
    let _ = VisitMut::visit(&mut query, &mut rename);
    Some(SharedCtes { shared, rest: with_ctes(&kept, &query) })
}

/// The query behind those of the CTEs that it needs; unused ones cost planning only.
fn with_ctes(ctes: &[Cte], query: &Query) -> String {
    if ctes.is_empty() {
        return query.to_string();
    }
    let list: Vec<String> = ctes.iter().map(ToString::to_string).collect();
    format!("WITH {} {query}", list.join(", "))
}

struct Reads {
    counts: BTreeMap<String, usize>,
}

impl Visitor for Reads {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && let Some(count) = single(name).and_then(|name| self.counts.get_mut(&name))
        {
            *count += 1;
        }
        ControlFlow::Continue(())
    }
}

struct Rename<'a> {
    names: &'a BTreeMap<String, String>,
}

impl VisitorMut for Rename<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = factor
            && let Some(old) = single(name)
            && let Some(new) = self.names.get(&old)
        {
            // Columns may be written `cte.column`: the old name stays as the alias.
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::with_quote('"', old),
                columns: Vec::new(),
                at: None,
            });
            *name = ObjectName::from(vec![Ident::with_quote('"', new.clone())]);
        }
        ControlFlow::Continue(())
    }
}

/// The lower-cased name of an unqualified table.
fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_twice_is_taken_out() {
        let sql = "with a as (select 1 as x), b as (select x from a), c as (select a.x from a join b on a.x = b.x) \
                   select * from c";
        let split = share_ctes(sql, "m__").unwrap();
        assert_eq!(split.shared.len(), 1);
        assert_eq!(split.shared[0].0, "m__a");
        assert!(split.rest.contains("\"m__a\" AS \"a\""), "{}", split.rest);
        assert!(!split.rest.contains("1 AS x"), "{}", split.rest);
    }

    #[test]
    fn queries_without_shared_parts_are_left_alone() {
        assert_eq!(share_ctes("with a as (select 1 as x) select * from a", "m__"), None);
        assert_eq!(share_ctes("select 1", "m__"), None);
        assert_eq!(share_ctes("not sql", "m__"), None);
    }
}
