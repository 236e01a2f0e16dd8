//! A table's version as something that SQL can read.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::object_store::{ObjectMeta, path::Path as ObjectPath};
use datafusion::physical_plan::ExecutionPlan;

use super::log::{DataFile, Snapshot};

/// Reads one version of a table; a commit made meanwhile does not show.
#[derive(Debug)]
pub struct DeltaProvider {
    snapshot: Snapshot,
    table_schema: TableSchema,
    /// For each column of the table, its place in the scan's schema (partition columns last).
    order: Vec<usize>,
}

impl DeltaProvider {
    /// A reader of `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        let (mut inside, mut partition) = (Vec::new(), Vec::new());
        for field in snapshot.schema.fields() {
            if snapshot.partition_columns.contains(field.name()) {
                partition.push(Arc::clone(field));
            } else {
                inside.push(Arc::clone(field));
            }
        }
        let names: Vec<String> = inside
            .iter()
            .chain(&partition)
            .map(|field: &Arc<Field>| field.name().clone())
            .collect();
        let order = snapshot
            .schema
            .fields()
            .iter()
            .map(|field| names.iter().position(|name| name == field.name()).unwrap_or_default())
            .collect();
        let table_schema = TableSchema::builder(Arc::new(Schema::new(inside)))
            .with_table_partition_cols(partition)
            .build();
        Self { snapshot, table_schema, order }
    }

    /// The log knows the number of rows, and by it a join knows its smaller side.
    fn scan_statistics(&self) -> Statistics {
        let mut statistics = Statistics::new_unknown(self.table_schema.table_schema());
        statistics.num_rows =
            Precision::Exact(usize::try_from(self.snapshot.rows()).unwrap_or(usize::MAX));
        statistics
    }

    fn file(&self, file: &DataFile) -> Result<PartitionedFile> {
        let path = self.snapshot.root.join(&file.path);
        let location = ObjectPath::from_absolute_path(&path)?;
        let mut part = PartitionedFile::new_from_meta(ObjectMeta {
            location,
            last_modified: DateTime::<Utc>::UNIX_EPOCH,
            size: file.bytes,
            e_tag: None,
            version: None,
        });
        part.partition_values = self
            .table_schema
            .table_partition_cols()
            .iter()
            .map(|field| match file.partition.get(field.name()).cloned().flatten() {
                Some(text) => ScalarValue::try_from_string(text, field.data_type()),
                None => ScalarValue::try_from(field.data_type()),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(part)
    }
}

#[async_trait::async_trait]
impl TableProvider for DeltaProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.snapshot.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = match projection {
            Some(columns) => columns.iter().map(|&column| self.order[column]).collect(),
            None => self.order.clone(),
        };
        let files =
            self.snapshot.files.iter().map(|file| self.file(file)).collect::<Result<Vec<_>>>()?;
        let mut groups = FileGroup::new(files).split_files(state.config().target_partitions());
        if groups.is_empty() {
            // What stands above an empty table, such as a sum, still needs one partition to run on.
            groups.push(FileGroup::default());
        }
        let mut options = state.table_options().parquet.clone();
        options.global.pushdown_filters = true;
        options.global.reorder_filters = false;
        let source =
            ParquetSource::new(self.table_schema.clone()).with_table_parquet_options(options);
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
                .with_file_groups(groups)
                .with_statistics(self.scan_statistics())
                .with_limit(limit)
                .with_projection_indices(Some(columns))
                .map_err(|error| {
                    DataFusionError::Context("scan of a table".into(), Box::new(error))
                })?
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.snapshot.schema);
        statistics.num_rows =
            Precision::Exact(usize::try_from(self.snapshot.rows()).unwrap_or(usize::MAX));
        Some(statistics)
    }
}
