//! Prints how fast export files are read: `read_speed [--all] <pattern>…`, one thread.
//!
//! Reads the columns that the staging model needs, or with `--all` every column.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use clicktrail_ingest::{ReadOptions, discover, open};

const COLUMNS: &str = "event_date event_timestamp event_name event_params user_pseudo_id user_id \
    stream_id platform ecommerce items.item_id items.item_name items.quantity items.price \
    items.item_revenue traffic_source device.category geo.country";

fn main() {
    let (flags, patterns): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let columns = flags.is_empty().then(|| COLUMNS.split(' ').map(str::to_owned).collect());
    let options = ReadOptions { columns, ..ReadOptions::default() };
    let files = discover(&patterns, Path::new(".")).unwrap();
    for round in 1..=5 {
        let start = Instant::now();
        let (mut rows, mut bytes) = (0, 0);
        for file in &files {
            bytes += file.bytes;
            for batch in open(file, &options).unwrap() {
                rows += batch.unwrap().num_rows();
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "round {round}: {rows} rows of {} files, {:.1} MB, in {seconds:.3} s: {:.0} rows/s",
            files.len(),
            bytes as f64 / 1e6,
            rows as f64 / seconds
        );
    }
}
