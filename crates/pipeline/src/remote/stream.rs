//! Events into the table `events_stream` of a target in BigQuery, where `live_stream: "yes"` has the models read them.
//!
//! Each event is in once: its number is that of its row in a write stream of its producer, or is in the id of a load
//! job. Which of the two, and where the stream is, the table of [`Producers`] says to every machine.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{
    Appended, Client, Fault, FaultKind, Finalized, Load, Offered, Storage, TableId, WriteStream,
    arrow_schema, fields_of, json_batch,
};
use serde_json::Value;

use super::producers::{self, Place, Producers, Way, escaped};
use super::{ensure_dataset, table_id, target};
use crate::error::{PipelineError, Result};
use crate::workspace::Workspace;

/// The table.
const TABLE: &str = "events_stream";

/// Ways that one batch may need: other processes may close the stream meanwhile.
const WAYS_MAX: usize = 5;

/// How events go to BigQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendBy {
    /// The Storage Write API; load jobs where it is refused. Adds once.
    Storage,
    /// Load jobs. Adds once.
    Load,
    /// `insertAll`, which may show a row twice.
    Insert,
}

/// Events for BigQuery, numbered by who sends them.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// Rows in the shape of the export, one JSON object each.
    pub lines: &'a [Vec<u8>],
    /// Who numbers the events.
    pub producer: &'a str,
    /// Number of the first line.
    pub offset: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SentRows {
    /// Rows that are in the table now by this call.
    pub added: u64,
    /// Rows that an earlier call with the same numbers had added.
    pub already: u64,
    /// Rows that were refused: number and reason.
    pub refused: Vec<(u64, String)>,
}

/// A connection for events.
#[derive(Debug)]
pub struct Sender {
    client: Arc<Client>,
    by: SendBy,
    storage: Option<Storage>,
    producers: Producers,
    open: Option<Open>,
    fields: Vec<Value>,
    schema: SchemaRef,
    dataset: String,
    notes: Vec<String>,
}

/// Where the producer of the last batch is.
#[derive(Debug)]
struct Open {
    producer: String,
    place: Place,
    stream: Option<WriteStream>,
}

impl Workspace {
    /// Opens a way for events to the target's BigQuery; the table is made where it is missing.
    ///
    /// # Errors
    /// A target of another kind, credentials.
    pub fn sender(&self, by: SendBy) -> Result<Sender> {
        target::required(self, "leave out `--target`: events go to `clicktrail serve` then")?;
        let dataset = self.project.target.schema.clone();
        // Ids are made of producer and number alone, so that a resend by another process is recognised.
        let prefix = format!("clicktrail_{dataset}_{TABLE}");
        let client = Arc::new(target::client_with(self, Some(prefix))?);
        let project = client.settings().project.clone();
        ensure_dataset(&client, &project, &dataset)?;
        let fields = fields_of(&clicktrail_ingest::schema::events())?;
        let id = table_id(&client, None, &dataset, TABLE);
        if client.table(&id)?.is_none() {
            client.create_table(&id, &fields)?;
        }
        let producers = table_id(&client, None, &dataset, producers::TABLE);
        let mut sender = Sender {
            by,
            storage: None,
            producers: Producers::new(Arc::clone(&client), producers),
            open: None,
            schema: arrow_schema(&fields),
            fields,
            dataset,
            notes: Vec::new(),
            client,
        };
        if by != SendBy::Insert {
            sender.storage = match Storage::new(Arc::clone(&sender.client))? {
                Offered::Given(storage) => Some(storage),
                Offered::Refused(fault) => {
                    sender.note_refusal(&fault);
                    None
                }
            };
        }
        Ok(sender)
    }
}

impl Sender {
    /// Sends a batch; with the same producer and numbers again it adds nothing, unless by `insertAll`.
    ///
    /// # Errors
    /// The batch as a whole; events before it that are missing.
    pub fn send(&mut self, sending: Sending<'_>) -> Result<SentRows> {
        if self.by == SendBy::Insert {
            return self.insert(sending);
        }
        let Sending { lines, producer, offset } = sending;
        let count = lines.len() as u64;
        for _ in 0..WAYS_MAX {
            let place = self.place(producer, offset..offset + count)?;
            if offset < place.began {
                return Err(PipelineError::Setting {
                    message: format!("the producer `{producer}` began with number {}", place.began),
                    hint: Some("send events before it under another `--producer`".into()),
                });
            }
            let known = place.first.saturating_sub(offset).min(count);
            let lines = &lines[usize::try_from(known).unwrap_or(usize::MAX).min(lines.len())..];
            if lines.is_empty() {
                return Ok(SentRows { already: known, ..SentRows::default() });
            }
            let sent = match place.way {
                Way::Load => Some(self.load(lines, producer, offset + known)?),
                Way::Stream(_) => self.append(lines, producer, offset + known)?,
                Way::Closed => {
                    self.open = None;
                    None
                }
            };
            if let Some(sent) = sent {
                return Ok(SentRows { already: sent.already + known, ..sent });
            }
        }
        let what =
            format!("the write stream of the producer `{producer}` is closed again and again");
        let hint =
            "another process sends under this name: stop it, or send under another `--producer`";
        Err(EngineError::from(Fault::new(FaultKind::Stopped, what).hinted(hint)).into())
    }

    /// Ends the sending: the write stream is closed and where it ended is written down, as BigQuery forgets streams after
    /// some days. Without it the next sender goes on with the stream, while BigQuery knows it.
    ///
    /// # Errors
    /// Rights, a service that does not answer.
    pub fn finish(&mut self) -> Result<()> {
        match self.open.take() {
            Some(open) if open.stream.is_some() => self.close(open).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// What is worth knowing since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Names the table.
    pub fn table(&self) -> Arc<str> {
        format!("{}.{}.{TABLE}", self.client.settings().project, self.dataset).into()
    }

    fn id(&self) -> TableId {
        table_id(&self.client, None, &self.dataset, TABLE)
    }

    fn note_refusal(&mut self, fault: &Fault) {
        if self.by == SendBy::Storage {
            self.notes.push(format!("sent by load jobs, not the Storage Write API: {fault}"));
        }
    }

    /// Where a producer is; begins a way for it where it has none and some of these numbers are new.
    fn place(&mut self, producer: &str, numbers: Range<u64>) -> Result<Place> {
        if let Some(open) = self.open.as_ref().filter(|open| open.producer == producer) {
            return Ok(open.place.clone());
        }
        self.finish()?;
        let open = match self.producers.place(producer)? {
            None => self.begin(producer, 0, numbers.start, numbers.start)?,
            Some(place) if numbers.end <= place.first || numbers.start < place.began => {
                return Ok(place);
            }
            Some(Place { generation, began, first, way: Way::Closed }) => {
                if numbers.start > first {
                    return Err(missing(producer, first, numbers.start));
                }
                self.begin(producer, generation + 1, began, first)?
            }
            Some(place) => {
                if place.way == Way::Load && self.by == SendBy::Storage && self.storage.is_some() {
                    let why = format!(
                        "the producer `{producer}` began with load jobs and stays with them"
                    );
                    self.notes.push(why);
                }
                Open::of(producer, place, None)
            }
        };
        let place = open.place.clone();
        if self.by == SendBy::Load && open.stream.is_some() {
            let closed = self.close(open)?;
            return Ok(closed);
        }
        self.open = Some(open);
        Ok(place)
    }

    /// Begins a way: a write stream, or load jobs where that is wanted or a stream is refused. It holds for the producer
    /// from then on, so that no event goes both ways.
    fn begin(&mut self, producer: &str, generation: u64, began: u64, first: u64) -> Result<Open> {
        let mut own = None;
        if self.by == SendBy::Storage
            && let Some(storage) = &self.storage
        {
            match storage.create_write_stream(&self.id())? {
                Offered::Given(stream) => own = Some(stream),
                Offered::Refused(fault) => self.note_refusal(&fault),
            }
        }
        let way = own.as_ref().map_or(Way::Load, |stream| Way::Stream(stream.name().to_owned()));
        let place = Place { generation, began, first, way };
        Ok(Open::of(producer, self.producers.add(producer, place)?, own))
    }

    /// Appends to the open stream; `None` when it was closed and another way must be found.
    fn append(
        &mut self,
        lines: &[Vec<u8>],
        producer: &str,
        offset: u64,
    ) -> Result<Option<SentRows>> {
        let rows = json_batch(&self.schema, lines)?;
        let Some(storage) = &self.storage else { return Err(unreachable_stream(producer)) };
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let Some(stream) = &mut open.stream else { return Ok(None) };
        match storage.append(stream, offset - open.place.first, &rows)? {
            Appended::Rows { added, already } => {
                self.open = Some(open);
                Ok(Some(SentRows { added, already, refused: Vec::new() }))
            }
            Appended::Gap => {
                let closed = self.close(open)?;
                match closed.first < offset {
                    true => Err(missing(producer, closed.first, offset)),
                    false => Ok(None),
                }
            }
            Appended::Closed => {
                self.close(open)?;
                Ok(None)
            }
        }
    }

    /// Closes a stream and writes down where it ended. Gives the producer's newest place.
    fn close(&self, open: Open) -> Result<Place> {
        let Open { producer, place, stream } = open;
        let (Some(storage), Some(mut stream)) = (&self.storage, stream) else {
            return Err(unreachable_stream(&producer));
        };
        match storage.finalize(&mut stream)? {
            Finalized::Rows(rows) => {
                let first = place.first + rows;
                let generation = place.generation + 1;
                self.producers
                    .add(&producer, Place { generation, first, way: Way::Closed, ..place })
            }
            Finalized::Gone => match self.producers.place(&producer)? {
                Some(newest) if newest.generation > place.generation => Ok(newest),
                _ => Err(gone(&producer, place.first)),
            },
        }
    }

    fn load(&self, lines: &[Vec<u8>], producer: &str, offset: u64) -> Result<SentRows> {
        let load = Load {
            id: format!("{}_{offset}", escaped(producer)),
            table: self.id(),
            fields: self.fields.clone(),
            replace: false,
        };
        let mut bytes = lines.join(&b'\n');
        bytes.push(b'\n');
        let done = self.client.load(&load, &bytes)?;
        let count = lines.len() as u64;
        Ok(match done.attached {
            true => SentRows { already: count, ..SentRows::default() },
            false => SentRows { added: count, ..SentRows::default() },
        })
    }

    fn insert(&self, sending: Sending<'_>) -> Result<SentRows> {
        let Sending { lines, producer, offset } = sending;
        let bad = |error: serde_json::Error| PipelineError::Setting {
            message: format!("an event is no JSON: {error}"),
            hint: None,
        };
        let rows = lines
            .iter()
            .map(|line| serde_json::from_slice(line).map_err(bad))
            .collect::<Result<Vec<Value>>>()?;
        let ids: Vec<String> = (0..lines.len() as u64)
            .map(|number| format!("{producer}:{}", offset + number))
            .collect();
        let refused = self.client.insert_all(&self.id(), &rows, &ids)?;
        let refused: Vec<(u64, String)> =
            refused.into_iter().map(|(index, why)| (offset + index as u64, why)).collect();
        let added = (lines.len() - refused.len()) as u64;
        Ok(SentRows { added, refused, ..SentRows::default() })
    }
}

impl Open {
    /// A place with its stream: the one that was made for it, if that is what was written down.
    fn of(producer: &str, place: Place, own: Option<WriteStream>) -> Self {
        let stream = match &place.way {
            Way::Stream(name) => Some(match own.filter(|own| own.name() == name) {
                Some(own) => own,
                None => WriteStream::named(name),
            }),
            Way::Load | Way::Closed => None,
        };
        Self { producer: producer.to_owned(), place, stream }
    }
}

fn missing(producer: &str, end: u64, offset: u64) -> PipelineError {
    let last = offset - 1;
    let which =
        if end == last { format!("event {end}") } else { format!("events {end} to {last}") };
    PipelineError::Setting {
        message: format!(
            "{which} of the producer `{producer}` are missing in BigQuery, so {offset} can't follow; nothing was added"
        ),
        hint: Some(format!("send them first: `--producer {producer} --offset {end}`")),
    }
}

fn gone(producer: &str, first: u64) -> PipelineError {
    PipelineError::Setting {
        message: format!(
            "BigQuery has forgotten the write stream of the producer `{producer}`, which was not closed; how many of its \
             events from number {first} on were added is not known"
        ),
        hint: Some(
            "look which of them are in `events_stream`, and send the others under another `--producer`".into(),
        ),
    }
}

fn unreachable_stream(producer: &str) -> PipelineError {
    let message = format!(
        "the producer `{producer}` sends through the Storage Write API, which is not to be had here"
    );
    let hint = "set `storage_api_endpoint`, or send under another `--producer`";
    PipelineError::Setting { message, hint: Some(hint.into()) }
}
