//! `first_by(value, order…)` and `last_by(value, order…)`: the value of the first or the last row of a group, null values
//! included. Columns of the order are never null.
//!
//! The same as `first_value(value order by order…)`. DataFusion's takes the order of each row apart into values, with an
//! allocation for each; these compare columns where they lie, and nearly always the first one, the time, settles it.

use std::cmp::Ordering;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DynComparator, make_comparator, new_empty_array,
    new_null_array,
};
use arrow::compute::{SortOptions, interleave, nullif};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

/// Batches of rows that are kept at most: a group's row may be in any of them.
const BATCHES_MAX: usize = 32;

/// Which row of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// The least one in the order.
    First,
    /// The greatest one.
    Last,
}

/// The function; see the module's text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FirstBy {
    side: Side,
    signature: Signature,
}

impl FirstBy {
    pub(super) fn new(side: Side) -> Self {
        Self { side, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    fn rows(&self, arguments: &AccumulatorArgs<'_>) -> Rows {
        let types = arguments.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        Rows::new(self.side, types)
    }
}

impl AggregateUDFImpl for FirstBy {
    fn name(&self) -> &str {
        match self.side {
            Side::First => "first_by",
            Side::Last => "last_by",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, _, ..] => Ok(value.clone()),
            _ => exec_err!("{}: needs a value and an order", self.name()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = args.input_fields.iter().enumerate().map(|(index, field)| {
            let name = format!("{}[{index}]", args.name);
            FieldRef::new(Field::new(name, field.data_type().clone(), true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(self.rows(&args))))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.rows(&args)))
    }
}

/// The chosen row of each group.
struct Rows {
    options: SortOptions,
    /// Of the value and the columns of the order.
    types: Vec<DataType>,
    /// Columns of the rows that were given, value first.
    batches: Vec<Vec<ArrayRef>>,
    /// By group: number of a batch, and of a row in it.
    chosen: Vec<Option<(u32, u32)>>,
}

impl Rows {
    fn new(side: Side, types: Vec<DataType>) -> Self {
        let options = SortOptions { descending: side == Side::Last, nulls_first: true };
        Self { options, types, batches: Vec::new(), chosen: Vec::new() }
    }

    fn add(
        &mut self,
        columns: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        counts: impl Fn(usize) -> bool,
        groups: usize,
    ) -> Result<()> {
        self.chosen.resize(groups.max(self.chosen.len()), None);
        self.batches.push(columns.to_vec());
        let new = (self.batches.len() - 1) as u32;
        let mut orders: Vec<Option<Vec<DynComparator>>> = Vec::new();
        orders.resize_with(self.batches.len(), || None);
        for row in (0..columns[0].len()).filter(|row| counts(*row)) {
            let group = group_of(row);
            let Some((batch, other)) = self.chosen[group] else {
                self.chosen[group] = Some((new, row as u32));
                continue;
            };
            let order = match &mut orders[batch as usize] {
                Some(order) => order,
                none => none.insert(self.order(columns, batch as usize)?),
            };
            let compared = order.iter().map(|compare| compare(row, other as usize));
            if compared.into_iter().find(|found| found.is_ne()) == Some(Ordering::Less) {
                self.chosen[group] = Some((new, row as u32));
            }
        }
        if self.batches.len() > BATCHES_MAX { self.join() } else { Ok(()) }
    }

    /// Compares rows of the order's columns with rows of an earlier batch.
    fn order(&self, columns: &[ArrayRef], batch: usize) -> Result<Vec<DynComparator>> {
        let columns = columns.iter().zip(&self.batches[batch]).skip(1);
        columns
            .map(|(new, old)| Ok(make_comparator(new.as_ref(), old.as_ref(), self.options)?))
            .collect()
    }

    /// Keeps the chosen rows only.
    fn join(&mut self) -> Result<()> {
        let chosen = std::mem::take(&mut self.chosen);
        let rows: Vec<Option<(u32, u32)>> =
            chosen.iter().copied().filter(Option::is_some).collect();
        let columns = (0..self.types.len()).map(|column| {
            let column = self.column(column, &rows)?;
            // Texts are views into those of all rows, which would stay in memory.
            Ok(match column.as_string_view_opt() {
                Some(texts) => Arc::new(texts.gc()) as ArrayRef,
                None => column,
            })
        });
        self.batches = vec![columns.collect::<Result<Vec<_>>>()?];
        let mut next = 0u32..;
        self.chosen =
            chosen.into_iter().map(|row| row.and_then(|_| Some((0, next.next()?)))).collect();
        Ok(())
    }

    /// One column of some rows.
    fn column(&self, column: usize, rows: &[Option<(u32, u32)>]) -> Result<ArrayRef> {
        if rows.is_empty() {
            return Ok(new_empty_array(&self.types[column]));
        }
        let none = new_null_array(&self.types[column], 1);
        let mut arrays: Vec<&dyn Array> =
            self.batches.iter().map(|batch| batch[column].as_ref()).collect();
        arrays.push(none.as_ref());
        let missing = (arrays.len() - 1, 0);
        let places: Vec<(usize, usize)> = rows
            .iter()
            .map(|row| row.map_or(missing, |(batch, row)| (batch as usize, row as usize)))
            .collect();
        Ok(interleave(&arrays, &places)?)
    }

    fn merge(
        &mut self,
        columns: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        groups: usize,
    ) -> Result<()> {
        // A group without rows: the order is never null otherwise.
        let order = Arc::clone(&columns[1]);
        self.add(columns, group_of, |row| order.is_valid(row), groups)
    }

    /// Without the bytes of texts: several functions keep the same ones.
    fn bytes(&self) -> usize {
        /// Of a text's view; numbers have fewer.
        const VALUE_BYTES: usize = 16;
        let rows: usize = self.batches.iter().map(|batch| batch[0].len()).sum();
        let chosen = self.chosen.capacity() * size_of::<Option<(u32, u32)>>();
        chosen + rows * self.types.len() * VALUE_BYTES
    }
}

impl GroupsAccumulator for Rows {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        let counts =
            |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        self.add(values, |row| group_indices[row], counts, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let rows = emit_to.take_needed(&mut self.chosen);
        self.column(0, &rows)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let rows = emit_to.take_needed(&mut self.chosen);
        (0..self.types.len()).map(|column| self.column(column, &rows)).collect()
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        self.merge(values, |row| group_indices[row], groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(filter) = filter else { return Ok(values.to_vec()) };
        let is_left_out: BooleanArray =
            filter.iter().map(|counts| Some(counts != Some(true))).collect();
        values.iter().map(|column| Ok(nullif(column.as_ref(), &is_left_out)?)).collect()
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

/// Without a GROUP BY.
struct OneGroup(Rows);

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneGroup")
    }
}

impl OneGroup {
    fn chosen(&self) -> [Option<(u32, u32)>; 1] {
        [self.0.chosen.first().copied().flatten()]
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.add(values, |_| 0, |_| true, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.column(0, &self.chosen())?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = 0..self.0.types.len();
        columns
            .map(|column| ScalarValue::try_from_array(&self.0.column(column, &self.chosen())?, 0))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge(states, |_| 0, 1)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    /// Group, value, time, key; does the row count?
    type Row = (usize, Option<i64>, i64, String, bool);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let value = prop::option::weighted(0.8, 0i64..9);
        prop::collection::vec((0usize..6, value, 0i64..4, "[a-c]{0,14}", any::<bool>()), 1..30)
    }

    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        vec![
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3.as_str())).collect::<StringViewArray>()),
        ]
    }

    fn chosen_of(side: Side, batches: &[Vec<Row>]) -> Rows {
        let types = vec![DataType::Int64, DataType::Int64, DataType::Utf8View];
        let mut chosen = Rows::new(side, types);
        for rows in batches {
            let groups: Vec<usize> = rows.iter().map(|row| row.0).collect();
            let counts: BooleanArray = rows.iter().map(|row| Some(row.4)).collect();
            chosen.update_batch(&columns(rows), &groups, Some(&counts), 6).unwrap();
        }
        chosen
    }

    proptest! {
        /// However rows are cut into batches and however many are merged, each group has the value that sorting gives.
        #[test]
        fn each_group_gives_the_value_of_its_first_or_last_row(
            batches in prop::collection::vec(rows(), 1..80), is_last: bool, cut in 0usize..80,
        ) {
            let side = if is_last { Side::Last } else { Side::First };
            // One row of each order, as events have it.
            let mut all: Vec<Row> = batches.concat();
            all.sort_by(|one, other| (&one.2, &one.3).cmp(&(&other.2, &other.3)));
            all.dedup_by(|one, other| (&one.2, &one.3) == (&other.2, &other.3));
            let batches: Vec<Vec<Row>> = batches
                .iter()
                .map(|rows| rows.iter().filter(|row| all.contains(row)).cloned().collect())
                .collect();
            let expected: Vec<Option<i64>> = (0..6)
                .map(|group| {
                    let mut own = all.iter().filter(|row| row.0 == group && row.4);
                    let row = if is_last { own.next_back() } else { own.next() };
                    row.and_then(|row| row.1)
                })
                .collect();
            let (some, others) = batches.split_at(cut.min(batches.len()));
            let mut merged = chosen_of(side, some);
            let state = chosen_of(side, others).state(EmitTo::All).unwrap();
            if !state[0].is_empty() {
                merged.merge_batch(&state, &[0, 1, 2, 3, 4, 5], 6).unwrap();
            }
            let values = |rows: &mut Rows, emit_to| {
                rows.evaluate(emit_to).unwrap().as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
            };
            let mut found = values(&mut merged, EmitTo::First(2));
            found.extend(values(&mut merged, EmitTo::All));
            prop_assert_eq!(found, expected);
        }
    }
}
