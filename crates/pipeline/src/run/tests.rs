//! Data tests: queries that must give no rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use clicktrail_engine::datafusion::Session;
use clicktrail_engine::delta::{Removal, stored_schema};
use clicktrail_project::{Node, Severity};

use super::single::Output;
use super::{Run, blank};
use crate::error::Result;
use crate::report::{NodeResult, Status};
use crate::warehouse::BuildNote;

pub(crate) fn run(run: &Run<'_>, node: &Node) -> NodeResult {
    let mut result = blank(&node.unique_id, "");
    result.name.clone_from(&node.name);
    result.resource_type = "test".into();
    // A test is selected with any of its parents; one whose other parents were never built has nothing to say.
    if let Some(missing) = not_built(run, node) {
        result.status = Status::Skipped;
        result.message = format!("`{missing}` is not built");
        return result;
    }
    match evaluate(run, node, &mut result) {
        Ok(failures) => {
            result.failures = Some(failures);
            result.status = status(run.request.warn_error, node, failures);
            if result.status == Status::Pass {
                result.failures_table = None;
            }
        }
        Err(error) => {
            result.status = Status::Error;
            result.problem = Some(run.problem(node, &error));
        }
    }
    result
}

/// The first table that a test reads and that does not exist.
fn not_built(run: &Run<'_>, node: &Node) -> Option<String> {
    let inputs = run.catalog.stored_inputs(&node.unique_id);
    inputs.into_keys().find(|name| matches!(run.catalog.warehouse.snapshot(name), Ok(None)))
}

fn evaluate(run: &Run<'_>, node: &Node, result: &mut NodeResult) -> Result<u64> {
    let session = run.engine.session()?;
    run.catalog.register_parents(&session, &node.unique_id, &mut BTreeSet::new())?;
    let sql = run.catalog.compile(node)?.sql;
    // Planned alone first, so that a fault is placed on the test's own line.
    session.plan(&sql)?;
    let limit = node.config.limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
    let rows = format!("select * from (\n{sql}\n) as dbt_internal_test{limit}");
    let failures = count(
        &session,
        &format!("select {} as failures from ({rows}) as failed", node.config.fail_calc),
    )?;
    if failures > 0 && (run.request.store_failures || node.config.store_failures == Some(true)) {
        keep(run, node, &session, &rows)?;
        result.failures_table = Some(node.alias.clone());
    }
    Ok(failures)
}

fn count(session: &Session, sql: &str) -> Result<u64> {
    let (_, batches) = session.query(sql)?;
    let Some(column) =
        batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0))
    else {
        return Ok(0);
    };
    let whole = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64)
        .map(|column| column.as_primitive::<Float64Type>().iter().next().flatten())
        .ok()
        .flatten();
    let exact =
        column.as_primitive_opt::<Int64Type>().and_then(|column| column.iter().next().flatten());
    Ok(exact.map_or_else(
        || whole.unwrap_or(0.0).max(0.0) as u64,
        |count| u64::try_from(count).unwrap_or(0),
    ))
}

/// Keeps the failing rows as a table with the test's name.
fn keep(run: &Run<'_>, node: &Node, session: &Session, rows: &str) -> Result<()> {
    let plan = session.plan(rows)?;
    let schema = stored_schema(&plan.schema())?;
    let before = run.catalog.warehouse.snapshot(&node.alias)?;
    let mut output = Output::new(run, node, before.as_ref(), Arc::clone(&schema))?;
    session.run(&plan, &mut |batch| {
        output
            .write(&batch)
            .map_err(|error| clicktrail_engine::EngineError::Internal(error.to_string()))
    })?;
    output.commit(run, node, before, Removal::Everything, BuildNote::default(), String::new())?;
    Ok(())
}

/// How a test with so many failing rows ends.
pub(crate) fn status(warn_error: bool, node: &Node, failures: u64) -> Status {
    let config = &node.config;
    let is_error = config.severity == Severity::Error && holds(&config.error_if, failures);
    if is_error {
        Status::Fail
    } else if holds(&config.warn_if, failures) {
        if warn_error { Status::Fail } else { Status::Warn }
    } else {
        Status::Pass
    }
}

/// Whether `failures` meets a condition such as `!= 0` or `> 10`.
fn holds(condition: &str, failures: u64) -> bool {
    let condition = condition.trim();
    let split = condition.find(|char: char| char.is_ascii_digit()).unwrap_or(condition.len());
    let (operator, number) = condition.split_at(split);
    let Ok(number) = number.trim().parse::<u64>() else { return failures != 0 };
    match operator.trim() {
        ">" => failures > number,
        ">=" => failures >= number,
        "<" => failures < number,
        "<=" => failures <= number,
        "=" | "==" => failures == number,
        _ => failures != number,
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn conditions_compare_the_number_of_rows() {
        assert!(holds("!= 0", 1) && !holds("!= 0", 0));
        assert!(holds("> 10", 11) && !holds("> 10", 10));
        assert!(holds(">=10", 10) && holds("= 3", 3) && holds("<2", 1));
    }
}
