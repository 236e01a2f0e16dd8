//! Which leaves of nested columns a plan reads.
//!
//! `items` alone has 26 leaves; decoding those that no expression looks at would cost more than the
//! rest of the row.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Leaves that a function reads of its argument, where that is less than the whole.
const READ_BY: [(&str, usize, &[&str]); 1] =
    [("ga4_event_key", 11, &["item_id", "item_name", "quantity", "price", "item_revenue"])];

/// For each table that the plan scans: the paths it reads, whole columns by their bare name.
pub(crate) fn read_leaves(plan: &LogicalPlan) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut leaves: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Expressions above a scan see its columns under aliases, so paths are collected by column name over
    // the whole plan, and then given to every scan that has such a column.
    let mut paths: BTreeSet<String> = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            collect(expression, node, &mut paths);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    // What the query gives out, it reads whole.
    paths.extend(plan.schema().fields().iter().map(|field| field.name().clone()));
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let entry = leaves.entry(scan.table_name.to_string()).or_default();
            for field in scan.projected_schema.fields() {
                let name = field.name();
                let below: Vec<&String> = paths
                    .iter()
                    .filter(|path| {
                        path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
                    })
                    .collect();
                // A column that is passed on whole somewhere, or never looked into, is read whole.
                if below.is_empty() || paths.contains(name) || !field.data_type().is_nested() {
                    entry.insert(name.clone());
                } else {
                    entry.extend(below.into_iter().cloned());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(leaves)
}

fn collect(expression: &Expr, node: &LogicalPlan, paths: &mut BTreeSet<String>) {
    match expression {
        Expr::Column(column) => {
            // A bare column in a projection under its own name is passed on, not read: what is read of it
            // shows further up. Anywhere else, or at the top, it is read whole.
            if !matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Filter(_)) {
                paths.insert(column.name.clone());
            }
        }
        Expr::Alias(alias) => {
            if let Expr::Column(column) = alias.expr.as_ref()
                && column.name != alias.name
            {
                paths.insert(column.name.clone());
            } else {
                collect(&alias.expr, node, paths);
            }
        }
        other => {
            if let Some(path) = field_path(other) {
                paths.insert(path);
                return;
            }
            if let Expr::ScalarFunction(function) = other {
                for (index, argument) in function.args.iter().enumerate() {
                    match (argument, read_by(function.name(), index)) {
                        (Expr::Column(column), Some(leaves)) => {
                            paths.extend(
                                leaves.iter().map(|leaf| format!("{}.{leaf}", column.name)),
                            );
                        }
                        (Expr::Column(column), None) => {
                            paths.insert(column.name.clone());
                        }
                        _ => collect(argument, node, paths),
                    }
                }
                return;
            }
            // Any other expression reads the columns in it whole, unless a path covers them.
            let _ = other.apply_children(|child| {
                match child {
                    Expr::Column(column) => {
                        paths.insert(column.name.clone());
                    }
                    child => collect(child, node, paths),
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
    }
}

fn read_by(function: &str, argument: usize) -> Option<&'static [&'static str]> {
    READ_BY
        .iter()
        .find(|(name, index, _)| *name == function && *index == argument)
        .map(|(_, _, leaves)| *leaves)
}

/// `a.b.c` of nested `get_field` calls on a column.
fn field_path(expression: &Expr) -> Option<String> {
    let Expr::ScalarFunction(function) = expression else { return None };
    if function.name() != "get_field" {
        return None;
    }
    let base = match function.args.first()? {
        Expr::Column(column) => column.name.clone(),
        inner => field_path(inner)?,
    };
    let mut path = base;
    for name in &function.args[1..] {
        match name {
            Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => {
                path.push('.');
                path.push_str(name);
            }
            _ => return None,
        }
    }
    Some(path)
}
