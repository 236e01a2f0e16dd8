//! CASE, AND and OR over whole batches.
//!
//! DataFusion computes each branch of a CASE, and the right side of an AND that few rows pass, for the rows alone that need it: it copies
//! all columns of these rows first. That guards against what can fail, such as a division, and saves what is costly. Where
//! neither is at stake, computing for all rows and choosing takes a fraction of it. `coalesce` is a CASE, too.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and_kleene, interleave, nullif, or_kleene};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr_common::physical_expr::PhysicalExpr;

/// Functions that give a value for every text, and take little time.
const SAFE_FUNCTIONS: [&str; 6] =
    ["get_field", "host_matches", "lower", "registrable_domain", "upper", "usable"];

/// The same expression, with every CASE, AND and OR in it that is safe to compute for all rows done so. `schema` is that of the rows.
pub(super) fn eager(
    expression: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let changed = expression.transform_up(|node| {
        let is_ours = if let Some(case) = node.downcast_ref() {
            gains(case) && is_typed(case, schema)?
        } else if let Some(binary) = node.downcast_ref() {
            is_logic(binary, schema)?
        } else {
            false
        };
        let is_ours = is_ours && node.children().into_iter().all(is_safe);
        Ok(if is_ours { Transformed::yes(Arc::new(Eager { node })) } else { Transformed::no(node) })
    });
    changed.data()
}

/// Whether DataFusion would not compute it for whole batches anyway: it does where there is one branch, or literals alone.
fn gains(case: &CaseExpr) -> bool {
    let is_one = case.when_then_expr().len() == 1;
    let of_literals = values(case).all(|value| value.is::<Literal>());
    !(is_one && case.else_expr().is_none() || of_literals && (is_one || case.expr().is_some()))
}

/// What a CASE may give.
fn values(case: &CaseExpr) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
    case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr())
}

/// Whether values and conditions have the types that they are put together and compared by.
fn is_typed(case: &CaseExpr, schema: &Schema) -> Result<bool> {
    let given = case.data_type(schema)?;
    for value in values(case) {
        let own = value.data_type(schema)?;
        if own != given && own != DataType::Null {
            return Ok(false);
        }
    }
    let compared = match case.expr() {
        Some(base) => base.data_type(schema)?,
        None => DataType::Boolean,
    };
    for (when, _) in case.when_then_expr() {
        if when.data_type(schema)? != compared {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_logic(binary: &BinaryExpr, schema: &Schema) -> Result<bool> {
    Ok(matches!(binary.op(), Operator::And | Operator::Or)
        && binary.left().data_type(schema)? == DataType::Boolean
        && binary.right().data_type(schema)? == DataType::Boolean)
}

/// Whether an expression can't fail, whatever the row, and costs little.
fn is_safe(expression: &Arc<dyn PhysicalExpr>) -> bool {
    let is_safe_itself = expression.is::<Column>()
        || expression.is::<Literal>()
        || expression.is::<IsNullExpr>()
        || expression.is::<IsNotNullExpr>()
        || expression.is::<NotExpr>()
        || expression.is::<InListExpr>()
        || expression.is::<LikeExpr>()
        || expression.is::<CaseExpr>()
        || expression.is::<Eager>()
        || expression.downcast_ref::<BinaryExpr>().is_some_and(|binary| {
            matches!(
                binary.op(),
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
                    | Operator::IsDistinctFrom
                    | Operator::IsNotDistinctFrom
                    | Operator::StringConcat
            )
        })
        || expression
            .downcast_ref::<ScalarFunctionExpr>()
            .is_some_and(|function| SAFE_FUNCTIONS.contains(&function.name()));
    is_safe_itself && expression.children().into_iter().all(is_safe)
}

/// See the module's text.
#[derive(Debug)]
struct Eager {
    /// The CASE, AND or OR as DataFusion has it.
    node: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Eager {
    fn eq(&self, other: &Self) -> bool {
        self.node.eq(&other.node)
    }
}

impl Eq for Eager {}

impl Hash for Eager {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.node.hash(state);
    }
}

impl fmt::Display for Eager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eager {}", self.node)
    }
}

impl PhysicalExpr for Eager {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.node.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.node.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = if let Some(case) = self.node.downcast_ref::<CaseExpr>() {
            chosen(parts(case, batch)?, &case.data_type(batch.schema_ref())?, batch.num_rows())?
        } else if let Some(binary) = self.node.downcast_ref() {
            logic(binary, batch)?
        } else {
            return self.node.evaluate(batch);
        };
        Ok(ColumnarValue::Array(column))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.node.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let node = Arc::clone(&self.node).with_new_children(children)?;
        Ok(Arc::new(Self { node }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt_sql(f)
    }
}

/// AND and OR of SQL's three values, both sides computed for all rows, unless the left side settles it.
fn logic(binary: &BinaryExpr, batch: &RecordBatch) -> Result<ArrayRef> {
    let rows = batch.num_rows();
    let left = binary.left().evaluate(batch)?.into_array(rows)?;
    let (sure, is_and) = (left.as_boolean(), *binary.op() == Operator::And);
    let settled = if is_and { !sure.has_true() } else { !sure.has_false() };
    if settled && sure.null_count() == 0 {
        return Ok(left);
    }
    let right = binary.right().evaluate(batch)?.into_array(rows)?;
    let logic = if is_and { and_kleene } else { or_kleene };
    Ok(Arc::new(logic(sure, right.as_boolean())?))
}

/// Rows of which each branch of a CASE has the say, and what it says of all rows.
fn parts(case: &CaseExpr, batch: &RecordBatch) -> Result<Vec<(BooleanBuffer, ColumnarValue)>> {
    let rows = batch.num_rows();
    let base = match case.expr() {
        Some(base) => Some(base.evaluate(batch)?.into_array(rows)?),
        None => None,
    };
    let mut open = BooleanBuffer::new_set(rows);
    let mut parts = Vec::new();
    for (when, then) in case.when_then_expr() {
        let holds = match (&base, when.evaluate(batch)?) {
            (None, holds) => holds.into_array(rows)?.as_boolean().clone(),
            (Some(base), ColumnarValue::Array(value)) => eq(base, &value)?,
            (Some(base), ColumnarValue::Scalar(value)) => {
                eq(base, &value.to_scalar()? as &dyn Datum)?
            }
        };
        let holds = &trues(&holds) & &open;
        if holds.count_set_bits() == 0 {
            continue;
        }
        open = &open & &!&holds;
        parts.push((holds, then.evaluate(batch)?));
        if open.count_set_bits() == 0 {
            return Ok(parts);
        }
    }
    let value = match case.else_expr() {
        Some(value) => value.evaluate(batch)?,
        None => ColumnarValue::Scalar(ScalarValue::Null),
    };
    parts.push((open, value));
    Ok(parts)
}

/// Where a condition holds: unknown is no.
fn trues(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// One column of parts that have each row once among them.
fn chosen(
    parts: Vec<(BooleanBuffer, ColumnarValue)>,
    data_type: &DataType,
    rows: usize,
) -> Result<ArrayRef> {
    let mut some: Vec<(BooleanBuffer, ArrayRef, bool)> = Vec::new();
    for (place, value) in parts {
        let (value, is_one) = match value {
            ColumnarValue::Array(values) => (values, false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        if *value.data_type() != DataType::Null && value.null_count() < value.len() {
            some.push((place, value, is_one));
        }
    }
    match some.as_slice() {
        [] => return Ok(new_null_array(data_type, rows)),
        [(place, values, false)] if place.count_set_bits() == rows => {
            return Ok(Arc::clone(values));
        }
        [(place, values, false)] => {
            return Ok(nullif(values, &BooleanArray::new(!place, None))?);
        }
        _ => {}
    }
    // The first array holds the null of all rows that no part has.
    let null = new_null_array(data_type, 1);
    let mut indices = vec![(0, 0); rows];
    for (number, (place, _, is_one)) in some.iter().enumerate() {
        for row in place.set_indices() {
            indices[row] = (number + 1, if *is_one { 0 } else { row });
        }
    }
    let values = some.iter().map(|(_, values, _)| values.as_ref());
    let arrays: Vec<&dyn Array> = std::iter::once(null.as_ref()).chain(values).collect();
    Ok(interleave(&arrays, &indices)?)
}
