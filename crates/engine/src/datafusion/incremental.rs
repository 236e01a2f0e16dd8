//! Sums and counts by group that follow changes of their input: rows that go are subtracted, rows that come
//! are added.
//!
//! Whole numbers and decimals only: floating-point sums drift when they are kept by differences, and would no
//! longer be what one run over all rows gives. The model's own SQL stays the only definition: its GROUP BY
//! runs over the rows that changed, and what it computes from the sums runs over the groups that changed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, RecordBatchOptions,
};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::plan::{Plan, Prepared};
use super::session::Session;
use super::slot::{Look, Slot, SlotTable};
use crate::error::{EngineError, Result};

/// See [`Plan::ignores_copies`].
pub(super) fn ignores_copies(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            plan.inputs().iter().all(|input| ignores_copies(input))
        }
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.aggr_expr.iter().all(|expression| {
                function(expression)
                    .is_some_and(|function| matches!(function.func.name(), "min" | "max"))
            }) && ignores_copies(&aggregate.input)
        }
        _ => false,
    }
}

fn function(expression: &Expr) -> Option<&AggregateFunction> {
    match expression {
        Expr::AggregateFunction(function) => Some(function),
        Expr::Alias(alias) => function(&alias.expr),
        _ => None,
    }
}

/// A group's totals.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Totals {
    /// Input rows; a group without rows is gone.
    rows: i64,
    /// For each aggregate, its sum and how many values are in it: a sum of no values is null.
    sums: Vec<(i128, i64)>,
}

/// Groups that a change reached.
#[derive(Debug)]
pub struct ChangedGroups {
    /// Numbers of the groups, given out in order of appearance and never again for another group.
    pub groups: Vec<u32>,
    /// For each of them its row in `rows`, or `None` where the group is gone.
    pub places: Vec<Option<usize>>,
    /// The model's rows of the groups that are still there.
    pub rows: RecordBatch,
}

/// A model of sums and counts by group, kept up to date by differences.
pub struct IncrementalSums {
    input: Slot,
    parts: Prepared,
    totals: Slot,
    finish: Prepared,
    /// Columns of the GROUP BY, first in the rows of `parts`.
    group_columns: usize,
    aggregates: Vec<DataType>,
    converter: RowConverter,
    numbers: HashMap<OwnedRow, u32>,
    groups: Vec<(OwnedRow, Totals)>,
    totals_schema: SchemaRef,
    schema: SchemaRef,
}

impl IncrementalSums {
    /// Takes a model apart: one GROUP BY with `sum` and `count` over rows of the table `input`.
    ///
    /// # Errors
    /// The reason why this model can't be kept by differences, in words for its author.
    pub fn new(session: &Session, plan: &Plan, input: &Slot) -> Result<Self, String> {
        let mut found: Option<Aggregate> = None;
        let mut seen = 0;
        let _ = plan.logical.apply(|node| {
            if let LogicalPlan::Aggregate(aggregate) = node {
                seen += 1;
                found = Some(aggregate.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        let aggregate = match (found, seen) {
            (Some(aggregate), 1) => aggregate,
            _ => return Err("it is not one GROUP BY".into()),
        };
        if !simple(&plan.logical, &[]) || !simple(&aggregate.input, &["scan", "filter"]) {
            return Err("it does more than one GROUP BY over one table".into());
        }
        let why = |error: &dyn std::fmt::Display| format!("it can't be taken apart: {error}");
        let parts = parts(&aggregate)?;
        let (totals, placed) = totals_scan(&aggregate).map_err(|error| why(&error))?;
        let whole = replaced(&plan.logical, &placed).map_err(|error| why(&error))?;
        let prepared = |logical: LogicalPlan| {
            let state = session.context().state();
            let logical = state.optimize(&logical).map_err(|error| why(&error))?;
            session.prepare(&Plan { logical }).map_err(|error| why(&error))
        };
        let totals_schema = totals.schema();
        let group_columns = aggregate.group_expr.len();
        let fields = totals_schema.fields()[..group_columns]
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        Ok(Self {
            input: input.clone(),
            parts: prepared(parts)?,
            finish: prepared(whole)?,
            group_columns,
            aggregates: totals_schema.fields()[group_columns..]
                .iter()
                .map(|field| field.data_type().clone())
                .collect(),
            converter: RowConverter::new(fields).map_err(|error| why(&error))?,
            numbers: HashMap::new(),
            groups: Vec::new(),
            totals,
            totals_schema,
            schema: plan.schema(),
        })
    }

    /// Columns of the model.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Takes rows out and puts rows in; gives the groups whose totals are others than before.
    ///
    /// # Errors
    /// [`EngineError::Sql`] when a row is not as the SQL expects.
    pub fn change(
        &mut self,
        session: &Session,
        gone: Vec<RecordBatch>,
        come: Vec<RecordBatch>,
    ) -> Result<ChangedGroups> {
        let mut before: HashMap<u32, Totals> = HashMap::new();
        for (rows, sign) in [(gone, -1), (come, 1)] {
            if rows.iter().all(|batch| batch.num_rows() == 0) {
                continue;
            }
            self.input.set(rows);
            let parts = session.run_prepared(&self.parts);
            self.input.set(Vec::new());
            for batch in parts? {
                self.add(&batch, sign, &mut before)?;
            }
        }
        let mut changed: Vec<u32> = before
            .into_iter()
            .filter(|(group, totals)| self.groups[*group as usize].1 != *totals)
            .map(|(group, _)| group)
            .collect();
        changed.sort_unstable();
        let mut places = Vec::with_capacity(changed.len());
        let mut present = Vec::new();
        for group in &changed {
            let is_there = self.groups[*group as usize].1.rows != 0;
            places.push(is_there.then_some(present.len()));
            if is_there {
                present.push(*group);
            }
        }
        let rows = self.finished(session, &present)?;
        Ok(ChangedGroups { groups: changed, places, rows })
    }

    fn add(
        &mut self,
        batch: &RecordBatch,
        sign: i64,
        before: &mut HashMap<u32, Totals>,
    ) -> Result<()> {
        let keys = self
            .converter
            .convert_columns(&batch.columns()[..self.group_columns])
            .map_err(internal)?;
        let values = self
            .aggregates
            .iter()
            .enumerate()
            .map(|(index, _)| wide(batch.column(self.group_columns + index)))
            .collect::<Result<Vec<_>>>()?;
        let first_count = self.group_columns + self.aggregates.len();
        let counts = (first_count..batch.num_columns())
            .map(|column| {
                batch
                    .column(column)
                    .as_primitive_opt::<Int64Type>()
                    .ok_or_else(|| EngineError::Internal("a count is not a 64-bit integer".into()))
            })
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let group = self.number(keys.row(row).owned());
            let totals = &mut self.groups[group as usize].1;
            before.entry(group).or_insert_with(|| totals.clone());
            totals.rows += sign * counts[0].value(row);
            for (index, sum) in totals.sums.iter_mut().enumerate() {
                sum.0 += i128::from(sign) * values[index][row];
                sum.1 += sign * counts[index + 1].value(row);
            }
        }
        Ok(())
    }

    fn number(&mut self, key: OwnedRow) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let totals = Totals { rows: 0, sums: vec![(0, 0); self.aggregates.len()] };
        self.groups.push((key.clone(), totals));
        self.numbers.insert(key, number);
        number
    }

    /// The model's rows of some groups, in their order.
    fn finished(&self, session: &Session, groups: &[u32]) -> Result<RecordBatch> {
        if groups.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema()));
        }
        let keys = groups.iter().map(|group| self.groups[*group as usize].0.row());
        let mut columns = self.converter.convert_rows(keys).map_err(internal)?;
        for (index, data_type) in self.aggregates.iter().enumerate() {
            let sums = groups.iter().map(|group| {
                let (sum, values) = self.groups[*group as usize].1.sums[index];
                (values > 0).then_some(sum)
            });
            columns.push(narrow(sums, data_type)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        let totals =
            RecordBatch::try_new_with_options(Arc::clone(&self.totals_schema), columns, &options)
                .map_err(internal)?;
        self.totals.set(vec![totals]);
        let rows = session.run_prepared(&self.finish);
        self.totals.set(Vec::new());
        let rows = arrow::compute::concat_batches(&self.schema, &rows?).map_err(internal)?;
        if rows.num_rows() != groups.len() {
            return Err(EngineError::Internal("a group gave no row or several".into()));
        }
        Ok(rows)
    }
}

/// Whether a plan consists of projections, one aggregate, and the kinds named.
fn simple(plan: &LogicalPlan, also: &[&str]) -> bool {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().iter().all(|input| simple(input, also))
        }
        LogicalPlan::Aggregate(_) => also.is_empty(),
        LogicalPlan::TableScan(_) => also.contains(&"scan"),
        LogicalPlan::Filter(filter) => also.contains(&"filter") && simple(&filter.input, also),
        _ => false,
    }
}

/// The model's GROUP BY with a count of rows and, for each aggregate, a count of the values in it.
fn parts(aggregate: &Aggregate) -> Result<LogicalPlan, String> {
    let mut expressions: Vec<Expr> = aggregate
        .aggr_expr
        .iter()
        .enumerate()
        .map(|(index, expression)| expression.clone().unalias().alias(format!("__total_{index}")))
        .collect();
    expressions.push(count(lit(1_i64)).alias("__rows"));
    for (index, expression) in aggregate.aggr_expr.iter().enumerate() {
        let Some(function) = function(expression) else {
            return Err("one of its columns is no plain sum or count".into());
        };
        let params = &function.params;
        let plain = !params.distinct && params.filter.is_none() && params.args.len() == 1;
        if !plain || !matches!(function.func.name(), "sum" | "count") {
            return Err(format!("`{}` can't be kept by differences", function.func.name()));
        }
        let counted = match function.func.name() {
            // A count of nothing is 0, not null.
            "count" => lit(1_i64),
            _ => params.args[0].clone(),
        };
        expressions.push(count(counted).alias(format!("__values_{index}")));
    }
    for field in &aggregate.schema.fields()[aggregate.group_expr.len()..] {
        if !matches!(
            field.data_type(),
            DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, _)
        ) {
            return Err(format!(
                "it adds numbers of type {}, which would drift; cast to decimal or bigint",
                field.data_type()
            ));
        }
    }
    LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(aggregate.group_expr.clone(), expressions)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| format!("it can't be taken apart: {error}"))
}

/// A slot with the columns of the aggregate, and a plan that reads it under the aggregate's own names.
fn totals_scan(aggregate: &Aggregate) -> datafusion::common::Result<(Slot, LogicalPlan)> {
    let fields: Vec<_> = aggregate
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            field.as_ref().clone().with_name(format!("c{index}")).with_nullable(true)
        })
        .collect();
    let slot = Slot::new(Arc::new(Schema::new(fields)));
    let table = provider_as_source(Arc::new(SlotTable(slot.clone(), Look::WhenRun)));
    let names = aggregate.schema.iter().enumerate().map(|(index, (relation, field))| {
        Expr::Column(Column::new(Some("__totals"), format!("c{index}")))
            .alias_qualified(relation.cloned(), field.name())
    });
    let plan = LogicalPlanBuilder::scan("__totals", table, None)?.project(names)?.build()?;
    Ok((slot, plan))
}

/// The plan with its aggregate replaced.
fn replaced(plan: &LogicalPlan, by: &LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    match plan {
        LogicalPlan::Aggregate(_) => Ok(by.clone()),
        LogicalPlan::Projection(projection) => {
            LogicalPlanBuilder::from(replaced(&projection.input, by)?)
                .project(projection.expr.clone())?
                .build()
        }
        LogicalPlan::SubqueryAlias(alias) => LogicalPlanBuilder::from(replaced(&alias.input, by)?)
            .alias(alias.alias.clone())?
            .build(),
        other => Ok(other.clone()),
    }
}

/// The values of a column as wide integers; of a decimal, its unscaled digits.
fn wide(column: &ArrayRef) -> Result<Vec<i128>> {
    let count = column.len();
    let value = |row: usize| match column.data_type() {
        _ if column.is_null(row) => Ok(0),
        DataType::Int64 => Ok(i128::from(column.as_primitive::<Int64Type>().value(row))),
        DataType::UInt64 => Ok(i128::from(column.as_primitive::<UInt64Type>().value(row))),
        DataType::Decimal128(_, _) => Ok(column.as_primitive::<Decimal128Type>().value(row)),
        other => Err(EngineError::Internal(format!("a total of type {other}"))),
    };
    (0..count).map(value).collect()
}

fn narrow(sums: impl Iterator<Item = Option<i128>>, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Decimal128(precision, scale) => Ok(Arc::new(
            sums.collect::<Decimal128Array>()
                .with_precision_and_scale(*precision, *scale)
                .map_err(internal)?,
        )),
        DataType::Int64 => {
            let values: Vec<Option<i64>> = sums
                .map(|sum| sum.map(|sum| i64::try_from(sum).map_err(|_| too_large())).transpose())
                .collect::<Result<_>>()?;
            Ok(Arc::new(Int64Array::from(values)))
        }
        other => {
            let values = sums.map(|sum| match sum {
                Some(sum) => ScalarValue::from(u64::try_from(sum).unwrap_or(u64::MAX)),
                None => ScalarValue::UInt64(None),
            });
            let column = ScalarValue::iter_to_array(values).map_err(internal)?;
            arrow::compute::cast(&column, other).map_err(internal)
        }
    }
}

fn too_large() -> EngineError {
    EngineError::Sql {
        message: "a sum does not fit into 64 bits".into(),
        position: None,
        subject: None,
        candidates: Vec::new(),
        planning: false,
    }
}

fn internal(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(error.to_string())
}
