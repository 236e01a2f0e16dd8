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
const SAFE_FUNCTIONS: [&str; 5] = ["get_field", "host_matches", "lower", "upper", "usable"];

/// The same expression, with every CASE, AND and OR in it that is safe to compute for all rows done so. `schema` is that of the rows.
pub(super) fn eager(
    expression: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let changed = expression.transform_up(|node| {
        let case = EagerCase::of(&node, schema)?.map(|case| Arc::new(case) as _);
        let other = match case {
            Some(case) => Some(case),
            None => EagerLogic::of(&node, schema)?.map(|logic| Arc::new(logic) as _),
        };
        Ok(other.map_or_else(|| Transformed::no(node), Transformed::yes))
    });
    changed.data()
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
        || expression.is::<EagerCase>()
        || expression.is::<EagerLogic>()
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
struct EagerCase {
    /// What it is in DataFusion's form.
    case: Arc<dyn PhysicalExpr>,
    base: Option<Arc<dyn PhysicalExpr>>,
    branches: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    otherwise: Option<Arc<dyn PhysicalExpr>>,
}

impl PartialEq for EagerCase {
    fn eq(&self, other: &Self) -> bool {
        self.case.eq(&other.case)
    }
}

impl Eq for EagerCase {}

impl Hash for EagerCase {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.case.hash(state);
    }
}

impl EagerCase {
    /// `None` where DataFusion's own is as good, or a part of it could fail.
    fn of(node: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>> {
        let Some(case) = node.downcast_ref::<CaseExpr>() else { return Ok(None) };
        let branches = case.when_then_expr();
        let values = branches.iter().map(|(_, then)| then).chain(case.else_expr());
        // Of literals alone, or of one branch: DataFusion does these for whole batches, too.
        let is_simple = branches.len() == 1 && case.else_expr().is_none()
            || values.clone().all(|value| value.is::<Literal>())
                && (branches.len() == 1 || case.expr().is_some());
        if is_simple || !case.children().into_iter().all(is_safe) {
            return Ok(None);
        }
        let data_type = case.data_type(schema)?;
        for value in values {
            let own = value.data_type(schema)?;
            if own != data_type && own != DataType::Null {
                return Ok(None);
            }
        }
        let compared = match case.expr() {
            Some(base) => base.data_type(schema)?,
            None => DataType::Boolean,
        };
        for (when, _) in branches {
            if when.data_type(schema)? != compared {
                return Ok(None);
            }
        }
        Ok(Some(Self::whole(node, case)))
    }

    fn whole(node: &Arc<dyn PhysicalExpr>, case: &CaseExpr) -> Self {
        Self {
            case: Arc::clone(node),
            base: case.expr().cloned(),
            branches: case.when_then_expr().to_vec(),
            otherwise: case.else_expr().cloned(),
        }
    }

    /// Rows of which each branch has the say, and what it says of all rows.
    fn parts(&self, batch: &RecordBatch) -> Result<Vec<(BooleanBuffer, ColumnarValue)>> {
        let rows = batch.num_rows();
        let base = match &self.base {
            Some(base) => Some(base.evaluate(batch)?.into_array(rows)?),
            None => None,
        };
        let mut open = BooleanBuffer::new_set(rows);
        let mut parts = Vec::new();
        for (when, then) in &self.branches {
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
        let value = match &self.otherwise {
            Some(value) => value.evaluate(batch)?,
            None => ColumnarValue::Scalar(ScalarValue::Null),
        };
        parts.push((open, value));
        Ok(parts)
    }
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

impl fmt::Display for EagerCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eager {}", self.case)
    }
}

impl PhysicalExpr for EagerCase {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.case.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.case.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let data_type = self.case.data_type(batch.schema_ref())?;
        let column = chosen(self.parts(batch)?, &data_type, batch.num_rows())?;
        Ok(ColumnarValue::Array(column))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.case.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let node = Arc::clone(&self.case).with_new_children(children)?;
        let eager = node.downcast_ref().map(|case| Arc::new(Self::whole(&node, case)) as _);
        Ok(eager.unwrap_or(node))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.case.fmt_sql(f)
    }
}

/// AND and OR of SQL's three values, both sides computed for all rows, unless the left side settles it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EagerLogic {
    binary: BinaryExpr,
}

impl EagerLogic {
    fn of(node: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>> {
        let Some(binary) = node.downcast_ref::<BinaryExpr>() else { return Ok(None) };
        let is_logic = matches!(binary.op(), Operator::And | Operator::Or);
        if !is_logic || !binary.children().into_iter().all(is_safe) {
            return Ok(None);
        }
        for side in binary.children() {
            if side.data_type(schema)? != DataType::Boolean {
                return Ok(None);
            }
        }
        Ok(Some(Self { binary: binary.clone() }))
    }
}

impl fmt::Display for EagerLogic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eager {}", self.binary)
    }
}

impl PhysicalExpr for EagerLogic {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.binary.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.binary.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let left = self.binary.left().evaluate(batch)?.into_array(rows)?;
        let (sure, is_and) = (left.as_boolean(), *self.binary.op() == Operator::And);
        let settled = if is_and { !sure.has_true() } else { !sure.has_false() };
        if settled && sure.null_count() == 0 {
            return Ok(ColumnarValue::Array(left));
        }
        let right = self.binary.right().evaluate(batch)?.into_array(rows)?;
        let logic = if is_and { and_kleene } else { or_kleene };
        Ok(ColumnarValue::Array(Arc::new(logic(sure, right.as_boolean())?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.binary.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let node = Arc::new(self.binary.clone()).with_new_children(children)?;
        let eager = node.downcast_ref::<BinaryExpr>().cloned();
        Ok(eager.map_or(node, |binary| Arc::new(Self { binary })))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.binary.fmt_sql(f)
    }
}
