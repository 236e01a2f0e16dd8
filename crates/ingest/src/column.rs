//! Arrow builders for one column of any depth, which can be completed after a row broke off.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder,
    StringViewBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
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
    List { element: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, inner: Box<Column> },
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
            DataType::List(element) => Build::List {
                element: Arc::clone(element),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
                inner: Box::new(Self::new(element.data_type(), path)),
            },
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
            Build::List { nulls, .. } => nulls.len(),
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
            Build::List { offsets, nulls, inner, .. } => {
                inner.fill_to(inner.len_max());
                offsets.resize(offsets.len() + missing, offset(inner.len()));
                nulls.append_n_nulls(missing);
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

    /// The array of all rows; the column is empty afterwards.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match &mut self.build {
            Build::Text(builder) => Arc::new(builder.finish()),
            Build::Int(builder) => Arc::new(builder.finish()),
            Build::Float(builder) => Arc::new(builder.finish()),
            Build::Bool(builder) => Arc::new(builder.finish()),
            Build::Struct(builder) => builder.finish()?,
            Build::List { element, offsets, nulls, inner } => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let offsets = OffsetBuffer::new(offsets.into());
                let values = inner.finish()?;
                Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls.finish())?)
            }
        })
    }
}

impl StructBuild {
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
        let finish = |child: &mut Column| {
            child.fill_to(rows);
            child.finish()
        };
        self.children.iter_mut().map(finish).collect()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        for child in &mut self.children {
            child.fill_to(rows);
        }
        let columns = self.children.iter_mut().map(Column::finish).collect::<Result<_, _>>()?;
        let array = StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows)?;
        Ok(Arc::new(array))
    }
}

/// A list offset. One batch stays far below 2³¹ elements: lines are limited, and so are its rows.
pub(crate) fn offset(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
