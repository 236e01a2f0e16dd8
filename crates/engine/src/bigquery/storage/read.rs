//! Tables through the Storage Read API.
//!
//! A session is the table at one moment, cut into streams that are read side by side. A stream that breaks is asked for
//! again from the row after the last one that arrived, so no row is lost or comes twice.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{StreamExt, select_all, try_unfold};

use super::super::tables::Table;
use super::super::types::arrow_schema;
use super::arrow_rows::{Decoder, same_as_rest};
use super::messages::{
    ARROW, CreateReadSession, ReadRows, ReadRowsResponse, ReadSession as Session,
};
use super::wire::Call;
use super::{Failed, Offered, Patience, Storage, resource};
use crate::bigquery::fault::{Fault, FaultKind};
use crate::error::{EngineError, Result};

const CREATE: &str = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession";
const READ: &str = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows";

/// Streams of a table at most: each brings tens of megabytes a second, and one processor writes them all to disk.
const STREAMS_MAX: i32 = 4;

/// A table at one moment.
#[derive(Debug)]
pub struct ReadSession {
    streams: Vec<String>,
    decoder: Decoder,
    schema: SchemaRef,
}

impl ReadSession {
    /// How many streams it is read in.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

impl Storage {
    /// Opens a table for reading.
    ///
    /// # Errors
    /// A table that is not there, credentials, a service that does not answer.
    pub fn read_session(&self, table: &Table) -> Result<Offered<ReadSession>> {
        if let Err(what) = same_as_rest(&table.fields) {
            return Ok(Offered::Refused(Fault::new(FaultKind::Setting, what)));
        }
        let name = resource(&table.id);
        let request = CreateReadSession {
            parent: format!("projects/{}", self.client.billed()),
            read_session: Some(Session {
                table: name.clone(),
                data_format: ARROW,
                ..Session::default()
            }),
            max_stream_count: STREAMS_MAX,
        };
        let about = ("read_session.table", name.as_str());
        let made = self.runtime.block_on(self.ask::<Session>(CREATE, about, &request, |_| false));
        let session = match made {
            Err(Failed::Status(status)) if status.is_refusal() => {
                return Ok(Offered::Refused(status.fault()));
            }
            other => other.map_err(reading)?,
        };
        let schema = session.arrow_schema.unwrap_or_default().serialized_schema;
        Ok(Offered::Given(ReadSession {
            streams: session.streams.into_iter().map(|stream| stream.name).collect(),
            decoder: Decoder::new(schema)?,
            schema: arrow_schema(&table.fields),
        }))
    }

    /// Gives a session's rows as they arrive, in the columns that REST gives them in.
    ///
    /// # Errors
    /// A connection that stays broken, or what `page` says.
    pub fn read(
        &self,
        session: &ReadSession,
        page: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let readers = session.streams.iter().map(|name| {
            let reader = Reader::new(self, session, name);
            Box::pin(try_unfold(reader, |mut reader| async move {
                Ok::<_, EngineError>(reader.next().await?.map(|batch| (batch, reader)))
            }))
        });
        self.runtime.block_on(async {
            let mut batches = select_all(readers);
            while let Some(batch) = batches.next().await {
                page(batch?)?;
            }
            Ok(())
        })
    }
}

/// One stream, read up to some row.
struct Reader<'a> {
    storage: &'a Storage,
    session: &'a ReadSession,
    name: &'a str,
    /// Rows that arrived.
    offset: i64,
    call: Option<Call>,
    patience: Patience,
}

impl<'a> Reader<'a> {
    fn new(storage: &'a Storage, session: &'a ReadSession, name: &'a str) -> Self {
        Self { storage, session, name, offset: 0, call: None, patience: storage.patience() }
    }

    /// The next rows; `None` after the last.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.response().await {
                Ok(Some(response)) => {
                    // It is alive: what breaks later has all the patience again.
                    self.patience = self.storage.patience();
                    let Some(rows) = response.arrow_record_batch else { continue };
                    let rows = rows.serialized_record_batch;
                    let batch = self.session.decoder.batch(rows, &self.session.schema)?;
                    self.offset = next_offset(self.offset, &batch, response.row_count)?;
                    if batch.num_rows() > 0 {
                        return Ok(Some(batch));
                    }
                }
                Ok(None) => return Ok(None),
                Err(Failed::Status(status)) => {
                    self.call = None;
                    let again = self.storage.again(status, &mut self.patience).await;
                    again.map_err(|status| reading(Failed::Status(status)))?;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    async fn response(&mut self) -> Result<Option<ReadRowsResponse>, Failed> {
        let call = match &mut self.call {
            Some(call) => call,
            none => {
                let mut call = self.storage.call(READ, ("read_stream", self.name)).await?;
                let request = ReadRows { read_stream: self.name.to_owned(), offset: self.offset };
                call.send(&request, true)?;
                none.insert(call)
            }
        };
        Ok(call.next().await?)
    }
}

/// The row that a stream goes on from.
///
/// # Errors
/// Rows that are not as many as the service says: going on would lose some or read some twice.
fn next_offset(offset: i64, batch: &RecordBatch, told: i64) -> Result<i64> {
    let rows = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
    if rows != told {
        let what = format!("BigQuery sent {rows} rows and says that they are {told}");
        return Err(Fault::new(FaultKind::Unreachable, what).into());
    }
    Ok(offset.saturating_add(rows))
}

/// An error on the way of reading, with what can be done.
fn reading(failed: Failed) -> EngineError {
    let fault = match failed {
        Failed::Status(status) => status.fault(),
        Failed::Fault(fault) => fault,
    };
    match fault.kind {
        FaultKind::Unreachable => {
            fault.hinted("check the network, or read over REST: `--api rest`").into()
        }
        _ => fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn a_stream_goes_on_after_the_rows_that_arrived() {
        let column: Arc<dyn arrow::array::Array> = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("i", column)]).unwrap();
        assert_eq!(next_offset(4, &batch, 3).unwrap(), 7);
        assert!(next_offset(4, &batch, 2).is_err(), "a row more than told");
    }
}
