//! Arrow builders for one column of any depth, which can be completed after a row broke off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder,
    StringViewBuilder, StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;

/// A column under construction, with its dotted path for messages.
pub(crate) struct Column {
    pub(crate) path: String,
    pub(crate) build: Build,
}

/// The builder by kind of column.
pub(crate) enum Build {
    Text(StringViewBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Struct(StructBuild),
    List(ListBuild),
}

/// A list under construction.
pub(crate) struct ListBuild {
    element: FieldRef,
    pub(crate) inner: Box<Column>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    /// Of a list of params, when a row may also have them as an object of plain values.
    pub(crate) plain: Option<PlainParams>,
}

/// Where the leaves of a param lie among its members; `None` for those that are not read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainParams {
    pub(crate) key: Option<usize>,
    pub(crate) value: Option<usize>,
    /// Among the members of the value.
    pub(crate) string: Option<usize>,
    pub(crate) int: Option<usize>,
    pub(crate) double: Option<usize>,
}

/// A struct under construction; a child may lag behind it, or be one row ahead while a row is read.
pub(crate) struct StructBuild {
    pub(crate) fields: Fields,
    pub(crate) children: Vec<Column>,
    nulls: NullBufferBuilder,
}

impl Column {
    /// An empty column of a canonical type.
    pub(crate) fn new(data_type: &DataType, path: &str) -> Self {
        let build = match data_type {
            DataType::Int64 => Build::Int(Int64Builder::new()),
            DataType::Float64 => Build::Float(Float64Builder::new()),
            DataType::Boolean => Build::Bool(BooleanBuilder::new()),
            DataType::Struct(fields) => Build::Struct(StructBuild::new(fields, path)),
            DataType::List(element) => Build::List(ListBuild::new(element, path)),
            _ => Build::Text(StringViewBuilder::new()),
        };
        Self { path: path.to_owned(), build }
    }

    /// Rows completed.
    pub(crate) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder as _;
        match &self.build {
            Build::Text(builder) => builder.len(),
            Build::Int(builder) => builder.len(),
            Build::Float(builder) => builder.len(),
            Build::Bool(builder) => builder.len(),
            Build::Struct(builder) => builder.nulls.len(),
            Build::List(list) => list.nulls.len(),
        }
    }

    /// Completes to `rows` rows with nulls, whatever state a broken row left behind.
    ///
    /// Children of a struct are left behind and completed in bulk when next needed: most columns of
    /// most rows are null.
    pub(crate) fn fill_to(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.len());
        if missing == 0 {
            return;
        }
        match &mut self.build {
            Build::Text(builder) => (0..missing).for_each(|_| builder.append_null()),
            Build::Int(builder) => builder.append_nulls(missing),
            Build::Float(builder) => builder.append_nulls(missing),
            Build::Bool(builder) => builder.append_nulls(missing),
            Build::Struct(builder) => builder.nulls.append_n_nulls(missing),
            Build::List(list) => {
                list.inner.fill_to(list.inner.len_max());
                list.offsets.resize(list.offsets.len() + missing, offset(list.inner.len()));
                list.nulls.append_n_nulls(missing);
            }
        }
    }

    /// Adds one null.
    pub(crate) fn push_null(&mut self) {
        self.fill_to(self.len() + 1);
    }

    /// Rows of the longest part: above [`Column::len`] after a broken row.
    fn len_max(&self) -> usize {
        match &self.build {
            Build::Struct(builder) => {
                let children = builder.children.iter().map(Self::len_max);
                children.fold(builder.nulls.len(), usize::max)
            }
            _ => self.len(),
        }
    }

    /// Whether no row, not even a broken one, has left anything.
    fn is_untouched(&self) -> bool {
        self.len() == 0
            && match &self.build {
                Build::Struct(builder) => builder.children.iter().all(Self::is_untouched),
                Build::List(list) => list.inner.is_untouched(),
                _ => true,
            }
    }

    /// The array of `rows` rows, those without a value null; the column is empty afterwards.
    fn finish_with(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        // Most columns of most batches: nothing is built for them.
        if self.is_untouched() {
            return Ok(all_null(data_type, rows));
        }
        self.fill_to(rows);
        self.finish()
    }

    /// The array of all rows; the column is empty afterwards.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match &mut self.build {
            Build::Text(builder) => Arc::new(builder.finish()),
            Build::Int(builder) => Arc::new(builder.finish()),
            Build::Float(builder) => Arc::new(builder.finish()),
            Build::Bool(builder) => Arc::new(builder.finish()),
            Build::Struct(builder) => builder.finish()?,
            Build::List(list) => {
                let offsets = std::mem::replace(&mut list.offsets, vec![0]);
                let offsets = OffsetBuffer::new(offsets.into());
                let values = list.inner.finish()?;
                let (element, nulls) = (Arc::clone(&list.element), list.nulls.finish());
                Arc::new(ListArray::try_new(element, offsets, values, nulls)?)
            }
        })
    }
}

impl ListBuild {
    fn new(element: &FieldRef, path: &str) -> Self {
        Self {
            inner: Box::new(Column::new(element.data_type(), path)),
            element: Arc::clone(element),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
            plain: None,
        }
    }

    /// Completes a row with the elements that came since the one before.
    pub(crate) fn close(&mut self) {
        self.offsets.push(offset(self.inner.len()));
        self.nulls.append_non_null();
    }

    /// From now on a row may have its params as an object of plain values.
    fn take_plain(&mut self) {
        let Build::Struct(param) = &self.inner.build else { return };
        let value = param.find("value", 0);
        let leaf = |name: &str| match &param.children[value?].build {
            Build::Struct(value) => value.find(name, 0),
            _ => None,
        };
        self.plain = Some(PlainParams {
            key: param.find("key", 0),
            value,
            string: leaf("string_value"),
            int: leaf("int_value"),
            double: leaf("double_value"),
        });
    }
}

impl StructBuild {
    /// Has a list of params taken as an object of plain values, too.
    pub(crate) fn take_plain(&mut self, name: &str) {
        let list = self.find(name, 0).map(|index| &mut self.children[index].build);
        if let Some(Build::List(list)) = list {
            list.take_plain();
        }
    }

    pub(crate) fn new(fields: &Fields, path: &str) -> Self {
        let dot = if path.is_empty() { "" } else { "." };
        let child = |field: &FieldRef| {
            Column::new(field.data_type(), &format!("{path}{dot}{}", field.name()))
        };
        let children = fields.iter().map(child).collect();
        Self { fields: fields.clone(), children, nulls: NullBufferBuilder::new(0) }
    }

    /// Rows completed.
    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Completes a row; children that got no value lag behind until [`Column::fill_to`].
    pub(crate) fn close(&mut self) {
        self.nulls.append_non_null();
    }

    /// The index of the child `name`, searched from `hint` on: keys mostly come in schema order.
    pub(crate) fn find(&self, name: &str, hint: usize) -> Option<usize> {
        let fields = &self.fields;
        let hint = hint.min(fields.len());
        let behind = fields[hint..].iter().position(|field| field.name() == name);
        let ahead = || fields[..hint].iter().position(|field| field.name() == name);
        behind.map(|index| index + hint).or_else(ahead)
    }

    /// The columns of all rows; empty afterwards.
    pub(crate) fn finish_children(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = self.len();
        self.nulls.finish();
        self.finished(rows)
    }

    fn finished(&mut self, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.children.iter_mut().zip(&self.fields);
        columns.map(|(column, field)| column.finish_with(field.data_type(), rows)).collect()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        let columns = self.finished(rows)?;
        let array = StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows)?;
        Ok(Arc::new(array))
    }
}

/// Nulls, `rows` of them. All columns of a type and all batches share the same ones: most columns of most batches of events are null.
pub fn all_null(data_type: &DataType, rows: usize) -> ArrayRef {
    /// By type; the longest that was asked for.
    static NULLS: Mutex<BTreeMap<DataType, ArrayRef>> = Mutex::new(BTreeMap::new());
    if let DataType::Struct(fields) = data_type {
        let columns = fields.iter().map(|field| all_null(field.data_type(), rows)).collect();
        let nulls = Some(NullBuffer::new_null(rows));
        return Arc::new(StructArray::new(fields.clone(), columns, nulls));
    }
    let mut known = NULLS.lock().unwrap_or_else(PoisonError::into_inner);
    let nulls = known.entry(data_type.clone()).or_insert_with(|| new_null_array(data_type, rows));
    if nulls.len() < rows {
        *nulls = new_null_array(data_type, rows);
    }
    nulls.slice(0, rows)
}

/// A list offset. One batch stays far below 2³¹ elements: lines are limited, and so are its rows.
fn offset(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
