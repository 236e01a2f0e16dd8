//! Rows through the Storage Write API, exactly once.
//!
//! A committed stream counts its rows. Rows are sent with the number that the first of them is to have: BigQuery takes
//! them when that is the stream's next number, and says otherwise that it has them or that some before them are missing.
//! So a batch whose answer was lost is sent again without a second thought.

use std::ops::Range;

use arrow::array::RecordBatch;

use super::super::fault::{Fault, FaultKind};
use super::super::tables::TableId;
use super::arrow_rows::encoded;
use super::messages::{
    AppendRows, AppendRowsResponse, ArrowRecordBatch, ArrowRows, ArrowSchema, COMMITTED,
    CreateWriteStream, FinalizeWriteStream, FinalizeWriteStreamResponse, Number,
    WriteStream as Stream,
};
use super::status::{ALREADY_EXISTS, NOT_FOUND, OUT_OF_RANGE, Status};
use super::wire::Call;
use super::{Failed, Offered, Storage, resource};
use crate::error::Result;

const CREATE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/CreateWriteStream";
const APPEND: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows";
const FINALIZE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/FinalizeWriteStream";

/// Rows of one request in bytes at most: BigQuery takes 10 MB, the rest of the request included.
const REQUEST_BYTES_MAX: usize = 9 << 20;

/// A committed stream.
pub struct WriteStream {
    name: String,
    /// Made by this process, and nothing is in it: BigQuery may not know it everywhere yet.
    is_new: bool,
    call: Option<Call>,
}

impl std::fmt::Debug for WriteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteStream").field("name", &self.name).finish_non_exhaustive()
    }
}

impl WriteStream {
    /// A stream that was made before.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), is_new: false, call: None }
    }

    /// Its name, by which every process can write to it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// They are in the table: how many were added now, how many were there.
    Rows {
        /// Added by this call.
        added: u64,
        /// There before.
        already: u64,
    },
    /// Rows before them are missing; nothing was added.
    Gap,
    /// The stream takes no more rows, or is gone; rows of this call may have been added to it before.
    Closed,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalized {
    /// With so many rows.
    Rows(u64),
    /// BigQuery does not know it any more.
    Gone,
}

/// The answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Added,
    /// The number of its first row is taken; that says nothing of the rows after it.
    There,
    Gap,
    Closed,
}

impl Storage {
    /// Makes a stream of a table that exists.
    ///
    /// # Errors
    /// Credentials, a service that does not answer.
    pub fn create_write_stream(&self, table: &TableId) -> Result<Offered<WriteStream>> {
        let parent = resource(table);
        let request = CreateWriteStream {
            parent: parent.clone(),
            write_stream: Some(Stream { name: String::new(), kind: COMMITTED }),
        };
        // A table that was just made is not known everywhere at once. A stream that nobody hears of stays empty.
        let passes = |status: &Status| status.code == NOT_FOUND;
        let made = self.ask::<Stream>(CREATE, ("parent", &parent), &request, passes);
        match self.runtime.block_on(made) {
            Ok(stream) => {
                Ok(Offered::Given(WriteStream { name: stream.name, is_new: true, call: None }))
            }
            Err(Failed::Status(status)) if status.is_refusal() => {
                Ok(Offered::Refused(status.fault()))
            }
            Err(failed) => Err(writing(failed)),
        }
    }

    /// Puts rows into a stream, the first of them as number `offset`. Rows that are there already are left out, whichever
    /// batches they came in.
    ///
    /// # Errors
    /// Rows that don't fit the table, credentials, a service that does not answer.
    pub fn append(
        &self,
        stream: &mut WriteStream,
        offset: u64,
        rows: &RecordBatch,
    ) -> Result<Appended> {
        let (mut added, mut already) = (0, 0);
        for piece in pieces(rows)? {
            let first = offset + (piece.start as u64);
            let put = settle(piece.len(), |part| {
                let rows = rows.slice(piece.start + part.start, part.len());
                self.runtime.block_on(self.put(stream, first + part.start as u64, &rows))
            })?;
            match put {
                Appended::Rows { added: new, already: old } => {
                    added += new;
                    already += old;
                }
                other => return Ok(other),
            }
        }
        Ok(Appended::Rows { added, already })
    }

    /// Closes a stream for good and counts its rows.
    ///
    /// # Errors
    /// Credentials, a service that does not answer.
    pub fn finalize(&self, stream: &mut WriteStream) -> Result<Finalized> {
        stream.call = None;
        let request = FinalizeWriteStream { name: stream.name.clone() };
        let is_new = stream.is_new;
        let passes = |status: &Status| is_new && status.code == NOT_FOUND;
        let about = ("name", stream.name.as_str());
        let done = self.ask::<FinalizeWriteStreamResponse>(FINALIZE, about, &request, passes);
        match self.runtime.block_on(done) {
            Ok(done) => Ok(Finalized::Rows(u64::try_from(done.row_count).unwrap_or(0))),
            Err(Failed::Status(status)) if status.code == NOT_FOUND => Ok(Finalized::Gone),
            Err(failed) => Err(writing(failed)),
        }
    }

    /// Sends rows until there is an answer.
    async fn put(
        &self,
        stream: &mut WriteStream,
        offset: u64,
        rows: &RecordBatch,
    ) -> Result<Reply> {
        let mut patience = self.patience();
        loop {
            let status = match self.once(stream, offset, rows).await {
                Ok(()) => {
                    stream.is_new = false;
                    return Ok(Reply::Added);
                }
                Err(Failed::Status(status)) => status,
                Err(failed) => return Err(failed.into()),
            };
            // BigQuery may end a call after an error; the next request begins another one.
            stream.call = None;
            let status = match status.code {
                ALREADY_EXISTS => return Ok(Reply::There),
                OUT_OF_RANGE => return Ok(Reply::Gap),
                NOT_FOUND if !stream.is_new => return Ok(Reply::Closed),
                NOT_FOUND => Status::lost(status.message),
                _ if status.is_finalized() => return Ok(Reply::Closed),
                _ => status,
            };
            let again = self.again(status, &mut patience).await;
            again.map_err(|status| writing(Failed::Status(status)))?;
        }
    }

    async fn once(
        &self,
        stream: &mut WriteStream,
        offset: u64,
        rows: &RecordBatch,
    ) -> Result<(), Failed> {
        let (schema, batch) = encoded(rows).map_err(Status::odd)?;
        let mut request = AppendRows {
            write_stream: stream.name.clone(),
            offset: Some(Number { value: i64::try_from(offset).unwrap_or(i64::MAX) }),
            arrow_rows: Some(ArrowRows {
                writer_schema: None,
                rows: Some(ArrowRecordBatch { serialized_record_batch: batch }),
            }),
        };
        if stream.call.is_none() {
            stream.call = Some(self.call(APPEND, ("write_stream", &stream.name)).await?);
            if let Some(rows) = &mut request.arrow_rows {
                rows.writer_schema = Some(ArrowSchema { serialized_schema: schema });
            }
        }
        let Some(call) = &mut stream.call else { return Err(Status::lost("no call").into()) };
        call.send(&request, false)?;
        let answer: AppendRowsResponse =
            call.next().await?.ok_or_else(|| Status::lost("BigQuery ended the call"))?;
        if let Some(row) = answer.row_errors.first() {
            let what = format!("row {} of {}: {}", row.index + 1, rows.num_rows(), row.message);
            return Err(Failed::Fault(Fault::new(FaultKind::Refused, what)));
        }
        match answer.error.filter(|error| error.code != 0) {
            Some(error) => Err(Status::of_message(&error).into()),
            None => Ok(()),
        }
    }
}

/// Ranges of rows that are small enough for a request each.
fn pieces(rows: &RecordBatch) -> Result<Vec<Range<usize>>> {
    let mut waiting = vec![0..rows.num_rows()];
    let mut found = Vec::new();
    while let Some(range) = waiting.pop() {
        let (_, bytes) = encoded(&rows.slice(range.start, range.len()))?;
        if bytes.len() <= REQUEST_BYTES_MAX || range.len() <= 1 {
            found.push(range);
            continue;
        }
        let middle = range.start + range.len() / 2;
        waiting.extend([middle..range.end, range.start..middle]);
    }
    found.retain(|range| !range.is_empty());
    Ok(found)
}

/// Puts `rows` rows by requests for parts of them, when some may be there already.
///
/// That the first number is taken says nothing of the later ones: the batch may have been cut otherwise before. The first
/// missing row is looked for by sending single rows, which is safe whichever way it turns out.
fn settle(rows: usize, mut put: impl FnMut(Range<usize>) -> Result<Reply>) -> Result<Appended> {
    let sum = |added: usize| Appended::Rows { added: added as u64, already: (rows - added) as u64 };
    match put(0..rows)? {
        Reply::Added => return Ok(sum(rows)),
        Reply::Gap => return Ok(Appended::Gap),
        Reply::Closed => return Ok(Appended::Closed),
        Reply::There => {}
    }
    // Rows before `low` are there, rows from `high` on are not or not known to be.
    let (mut low, mut high, mut probe) = (1, rows, rows - 1);
    let mut added = 0;
    while low < high {
        match put(probe..probe + 1)? {
            Reply::There => low = probe + 1,
            Reply::Gap => high = probe,
            Reply::Closed => return Ok(Appended::Closed),
            Reply::Added => {
                added = 1;
                (low, high) = (probe + 1, probe + 1);
            }
        }
        probe = low + (high - low) / 2;
    }
    if low == rows {
        return Ok(sum(added));
    }
    match put(low..rows)? {
        Reply::Added => Ok(sum(added + rows - low)),
        Reply::Closed => Ok(Appended::Closed),
        // Another process with the same producer was quicker.
        Reply::There => settle(rows, put),
        Reply::Gap => Ok(Appended::Gap),
    }
}

/// An error on the way of writing, with what can be done.
fn writing(failed: Failed) -> crate::error::EngineError {
    let fault = match failed {
        Failed::Status(status) => status.fault(),
        Failed::Fault(fault) => fault,
    };
    match fault.kind {
        FaultKind::Unreachable | FaultKind::Quota => {
            let hint = "send the same events with the same `--producer` and `--offset` again: none is added twice";
            fault.hinted(hint).into()
        }
        _ => fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, StringArray};

    use super::*;

    /// A stream that begins with `end` rows, as BigQuery counts.
    fn settled(end: usize, offset: usize, rows: usize) -> (Appended, usize, usize) {
        let (mut end, mut asked) = (end, 0);
        let put = |part: Range<usize>| {
            asked += 1;
            let first = offset + part.start;
            Ok(match first.cmp(&end) {
                std::cmp::Ordering::Less => Reply::There,
                std::cmp::Ordering::Greater => Reply::Gap,
                std::cmp::Ordering::Equal => {
                    end += part.len();
                    Reply::Added
                }
            })
        };
        let appended = settle(rows, put).unwrap();
        (appended, end, asked)
    }

    #[test]
    fn every_row_is_there_once_wherever_the_stream_ended() {
        for rows in 1..20usize {
            for offset in 0..20usize {
                for end in 0..40usize {
                    let (appended, now, asked) = settled(end, offset, rows);
                    if offset > end {
                        assert_eq!((appended, now), (Appended::Gap, end));
                        continue;
                    }
                    let added = (offset + rows).saturating_sub(end).min(rows);
                    let already = (rows - added) as u64;
                    assert_eq!(appended, Appended::Rows { added: added as u64, already });
                    assert_eq!(now, end.max(offset + rows));
                    assert!(asked <= 8, "{asked} requests for {rows} rows");
                }
            }
        }
        assert_eq!(
            settled(10, 0, 10).2,
            2,
            "a batch that is there as a whole is found by two requests"
        );
    }

    #[test]
    fn large_batches_are_cut() {
        let text = "x".repeat(1 << 20);
        let column: Arc<dyn Array> = Arc::new(StringArray::from(vec![text.as_str(); 20]));
        let rows = RecordBatch::try_from_iter([("s", column)]).unwrap();
        let found = pieces(&rows).unwrap();
        assert_eq!(found, [0..5, 5..10, 10..15, 15..20]);
        assert_eq!(pieces(&rows.slice(0, 3)).unwrap(), [0..3]);
        assert_eq!(pieces(&rows.slice(0, 0)).unwrap(), Vec::<Range<usize>>::new());
    }
}
