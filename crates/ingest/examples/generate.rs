//! Writes a demo export: `generate <folder> <events> [days] [threads] [parquet|ndjson|gz]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use chrono::NaiveDate;
use clicktrail_ingest::Format;
use clicktrail_ingest::generate::{GenerateSettings, generate};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default| {
        arguments.get(index).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let first_day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
    let settings = GenerateSettings {
        events: number(1, 100_000),
        days: number(2, 30) as u32,
        threads: number(3, 1) as usize,
        format: match arguments.get(4).map(String::as_str) {
            Some("ndjson") => Format::Ndjson { gzip: false },
            Some("gz") => Format::Ndjson { gzip: true },
            _ => Format::Parquet,
        },
        timezone: chrono_tz::Europe::Berlin,
        ..GenerateSettings::starting(first_day)
    };
    let start = Instant::now();
    let report = generate(&settings, Path::new(&arguments[0]), &|_, _| {}).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let rate = report.events as f64 / seconds;
    println!("{:#?}", clicktrail_ingest::generate::GenerateReport { files: vec![], ..report });
    println!("{seconds:.2} s, {rate:.0} events/s");
}
