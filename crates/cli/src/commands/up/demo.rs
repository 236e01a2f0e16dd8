//! The demo's data: an export up to yesterday, and visitors of today, event by event.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clicktrail_ingest::generate::GenerateSettings;
use clicktrail_pipeline::{Clock, Live, SystemClock};
use clicktrail_server::client::{Client, ClientSettings, Position};

use crate::commands::stream::hits;
use crate::session::Session;
use crate::settings;

/// Two periods of four weeks and a week, and before them the 90 days that their conversions look back.
const DAYS: u32 = 153;
/// Small enough to be built in two or three seconds.
const EVENTS: u64 = 60_000;

/// What is generated: it ends yesterday, so that today belongs to the stream.
pub(super) fn export(session: &Session) -> Result<GenerateSettings> {
    let now =
        chrono::DateTime::from_timestamp_micros(session.clock.now_micros()).unwrap_or_default();
    let first = now.date_naive() - chrono::Duration::days(i64::from(DAYS));
    Ok(GenerateSettings {
        days: DAYS,
        events: EVENTS,
        threads: settings::threads(0),
        ..GenerateSettings::starting(first)
    })
}

/// Sends visitors' events one by one, as if they happened now, until the tables are gone.
pub(super) fn stream(
    url: String,
    secret: Option<String>,
    rate: f64,
    live: Weak<Live>,
    clock: Arc<SystemClock>,
) {
    thread::spawn(move || {
        let settings = ClientSettings { secret, ..ClientSettings::new(&url) };
        let Ok(client) = Client::new(settings) else { return };
        loop {
            let seed = clock.now_micros().unsigned_abs();
            let visitors = match hits::day_of_visitors(seed, clock.now_micros()) {
                Ok(visitors) => visitors,
                Err(error) => {
                    tracing::warn!(%error, "no demo events");
                    return;
                }
            };
            for (number, row) in visitors.into_iter().enumerate() {
                if live.strong_count() == 0 {
                    return;
                }
                let Ok(mut line) = hits::as_of(row, clock.now_micros()) else { return };
                line.push(b'\n');
                if let Err(error) = client.send(&line, &Position::Events) {
                    tracing::info!(%error, "the demo's events end");
                    return;
                }
                // Uneven, as visitors are: between half and one and a half times the mean.
                let share = 0.5 + (hits::hash(&number.to_le_bytes()) % 1_000) as f64 / 1_000.0;
                thread::sleep(Duration::from_secs_f64(share / rate));
            }
        }
    });
}
