//! One day: who is there, what they do, and in which order its file has it.

use std::path::{Path, PathBuf};

use super::event::{Event, Name, Visit};
use super::file::ExportWriter;
use super::random::Random;
use super::rows;
use super::table::Table;
use super::user::{HORIZON_DAYS, Person, Planned, Stream, VISIT_MAX, plan};
use super::visit::{refund, simulate};
use super::{GenerateReport, World};
use crate::{Format, IngestError};

/// Events that are held and put in order together: bounds the memory of a day.
const CHUNK_EVENTS: usize = 20_000;
/// Rows of a batch: few enough that its columns stay in the processor cache until they are written.
const BATCH_ROWS: usize = 2048;
/// Of a thousand rows, how many are written twice.
const DUPLICATES: u64 = 6;
/// Of a thousand rows, how many arrive after all others of the day.
const LATE: u64 = 3;
/// Of a thousand rows, how many stand out of order, by up to [`DISORDER`].
const OUT_OF_ORDER: u64 = 40;
/// Ten minutes.
const DISORDER: i64 = 600_000_000;

/// Writes the file of one day and counts what is in it.
pub(super) fn write(
    world: &World,
    day: i32,
    is_intraday: bool,
    folder: &Path,
    format: Format,
) -> Result<(PathBuf, GenerateReport), IngestError> {
    let event_date = world.calendar.text(day);
    let table_name = if is_intraday { "events_intraday_" } else { "events_" };
    let name = format!("{table_name}{event_date}{}", format.ending());
    let mut file = DayFile {
        rows: rows::File { event_date, is_intraday },
        writer: ExportWriter::create(folder, &name, format)?,
        table: Table::new(),
        // The same for a daily and an intraday file of one day: same rows, same order.
        random: Random::new(world.seed, [Stream::File as u64, i64::from(day) as u64]),
        chunk: Vec::new(),
        chunk_events: 0,
        late: Vec::new(),
        report: GenerateReport::default(),
    };
    let mut today = Today::new(world, day);
    for arrival in day - HORIZON_DAYS as i32..=day {
        for index in world.cohort(arrival) {
            file.chunk_events += today.visits(index, arrival, &mut file.report, &mut file.chunk);
            if file.chunk_events >= CHUNK_EVENTS {
                file.write_chunk()?;
            }
        }
    }
    file.finish()
}

/// Finds the visits that have events on one day.
struct Today<'a> {
    world: &'a World,
    start: i64,
    end: i64,
    /// First microsecond of the whole period.
    period: i64,
    planned: Vec<Planned>,
}

impl<'a> Today<'a> {
    fn new(world: &'a World, day: i32) -> Self {
        let calendar = &world.calendar;
        let (start, end) = (calendar.start(day), calendar.end(day));
        Self { world, start, end, period: calendar.start(0), planned: Vec::new() }
    }

    /// Adds what visitor `index` does today to `visits`, and counts it; returns the events added.
    fn visits(
        &mut self,
        index: u64,
        arrival: i32,
        report: &mut GenerateReport,
        visits: &mut Vec<Visit>,
    ) -> usize {
        plan(self.world, index, arrival, self.start, &mut self.planned);
        let is_today = |at: i64| (self.start..self.end).contains(&at);
        let touches = |planned: &Planned| {
            (planned.start < self.end && planned.start + VISIT_MAX > self.start)
                || planned.refund_at.is_some_and(is_today)
        };
        if !self.planned.iter().any(touches) {
            return 0;
        }
        let person = Person::new(self.world, index, &self.planned[0]);
        let before = visits.len();
        for planned in self.planned.iter().filter(|planned| touches(planned)) {
            if planned.start < self.end && planned.start + VISIT_MAX > self.start {
                let mut visit = simulate(self.world, &person, planned);
                let first = visit.events.iter().map(|event| event.at).find(|at| *at >= self.period);
                visit.events.retain(|event| is_today(event.at));
                report.sessions += u64::from(person.has_consent && first.is_some_and(is_today));
                visits.push(visit);
            }
            if planned.refund_at.is_some_and(is_today) {
                visits.extend(refund(self.world, &person, planned));
            }
        }
        visits[before..].iter().for_each(|visit| count(visit, report));
        let events = visits[before..].iter().map(|visit| visit.events.len()).sum();
        let is_new = person.has_consent && events > 0 && !self.came_before(&person);
        report.users += u64::from(is_new);
        events
    }

    /// True when the visitor has events in the period before today.
    fn came_before(&self, person: &Person) -> bool {
        let is_before = |at: i64| (self.period..self.start).contains(&at);
        self.planned.iter().any(|planned| {
            let visited = is_before(planned.start)
                || (planned.start < self.period
                    && planned.start + VISIT_MAX > self.period
                    && simulate(self.world, person, planned)
                        .events
                        .iter()
                        .any(|e| is_before(e.at)));
            visited
                || (planned.refund_at.is_some_and(is_before)
                    && refund(self.world, person, planned).is_some())
        })
    }
}

fn count(visit: &Visit, report: &mut GenerateReport) {
    let order = visit.order.transaction_id.as_deref().filter(|id| *id != "(not set)");
    for (index, event) in visit.events.iter().enumerate() {
        match event.name {
            Name::Purchase => {
                report.purchases += 1;
                let is_first = !visit.events[..index].iter().any(|e| e.name == Name::Purchase);
                report.repeated_orders += u64::from(!is_first && order.is_some());
            }
            Name::Refund => report.refunds += 1,
            _ => {}
        }
    }
    report.events += visit.events.len() as u64;
    if !visit.person.has_consent {
        report.without_consent += visit.events.len() as u64;
    }
}

/// The file of the day with the rows not written yet.
struct DayFile {
    rows: rows::File,
    writer: ExportWriter,
    table: Table,
    random: Random,
    chunk: Vec<Visit>,
    chunk_events: usize,
    late: Vec<Visit>,
    report: GenerateReport,
}

impl DayFile {
    /// Writes the chunk in nearly the order of time, and keeps its late rows for the end.
    fn write_chunk(&mut self) -> Result<(), IngestError> {
        let visits = std::mem::take(&mut self.chunk);
        self.chunk_events = 0;
        let mut order: Vec<(i64, usize, usize)> = Vec::with_capacity(CHUNK_EVENTS * 2);
        for (visit_index, visit) in visits.iter().enumerate() {
            for (event_index, event) in visit.events.iter().enumerate() {
                let draw = self.random.below(1000);
                if draw < LATE {
                    self.late.push(Visit { events: vec![event.clone()], ..visit.clone() });
                    continue;
                }
                let is_moved = draw < LATE + OUT_OF_ORDER;
                let shift = if is_moved { self.random.between(-DISORDER, DISORDER) } else { 0 };
                order.push((event.at + shift, visit_index, event_index));
                if self.random.chance(DUPLICATES) {
                    self.report.duplicates += 1;
                    let shift = self.random.between(0, DISORDER);
                    order.push((event.at + shift, visit_index, event_index));
                }
            }
        }
        order.sort_unstable();
        for (_, visit, event) in order {
            let visit = &visits[visit];
            self.add(visit, &visit.events[event])?;
        }
        Ok(())
    }

    fn add(&mut self, visit: &Visit, event: &Event) -> Result<(), IngestError> {
        rows::add(&mut self.table, &self.rows, visit, event);
        if self.table.rows() >= BATCH_ROWS { self.write_table() } else { Ok(()) }
    }

    fn write_table(&mut self) -> Result<(), IngestError> {
        let batch = self.table.finish().map_err(IngestError::internal)?;
        self.writer.write(&batch)
    }

    fn finish(mut self) -> Result<(PathBuf, GenerateReport), IngestError> {
        self.write_chunk()?;
        self.report.late = self.late.len() as u64;
        for visit in std::mem::take(&mut self.late) {
            for event in &visit.events {
                self.add(&visit, event)?;
            }
        }
        if self.table.rows() > 0 {
            self.write_table()?;
        }
        self.report.events += self.report.duplicates;
        Ok((self.writer.finish()?, self.report))
    }
}
