//! What the log holds reaches `events_stream`, each event once.

use std::fs;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clicktrail_eventlog::{Frame, Kind};
use clicktrail_ingest::collect::{self, Envelope, Limits, Receipt};
use clicktrail_pipeline::{FollowSettings, Inlet, SystemClock};
use serde_json::json;

use crate::live::{NOW, live};
use crate::support::Shop;

/// A minute is more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Page views of so many visitors, and one event that is refused.
fn frame(seq: u64, visitors: std::ops::Range<u32>) -> Frame {
    let line = |visitor| {
        json!({
            "event_timestamp": NOW - i64::from(visitor), "event_name": "page_view",
            "user_pseudo_id": format!("visitor {visitor}"), "event_params": { "ga_session_id": 1 },
        })
        .to_string()
    };
    let mut body: Vec<String> = visitors.map(line).collect();
    let rows = body.len() as u32;
    body.push("{}".into());
    let receipt = Receipt::at(NOW, chrono_tz::UTC);
    let parsed = collect::rows(body.join("\n").as_bytes(), &receipt, &Limits::default());
    assert_eq!(parsed.accepted.len() as u32, rows);
    let envelope = Envelope { events: rows, event_lines: parsed.payload(), ..Envelope::default() };
    let payload = envelope.encode();
    Frame { seq, kind: Kind::Events, rows, received_at: NOW, payload }
}

#[test]
fn a_file_that_can_not_be_written_costs_no_event() {
    let shop = Shop::demo().with("ga4_export", "");
    let one = Arc::new(live(&shop));
    let settings =
        FollowSettings { store_every: Duration::from_millis(20), ..FollowSettings::default() };
    let inlet = Inlet::new(Arc::clone(&one), Arc::new(SystemClock::default()), settings);
    let (sender, released) = mpsc::channel();
    let follower = inlet.start(Box::new(move |seq| {
        let _ = sender.send(seq);
    }));
    inlet.push(vec![frame(1, 0..10)]);
    assert_eq!(released.recv_timeout(PATIENCE), Ok(1));

    // A folder stands where the next version's first file goes.
    let table = shop.path("warehouse/events_stream");
    let versions = fs::read_dir(table.join("_delta_log")).unwrap().count();
    let obstacle = table.join(format!("part-{versions:05}-00000.parquet"));
    fs::create_dir(&obstacle).unwrap();
    inlet.push(vec![frame(2, 5..20)]);
    inlet.push(vec![frame(3, 20..25)]);
    assert_eq!(
        released.recv_timeout(Duration::from_millis(500)),
        Err(mpsc::RecvTimeoutError::Timeout)
    );
    let status = one.status();
    assert_eq!((status.applied_seq, status.stored_seq), (3, 1), "the tables follow all the same");

    fs::remove_dir(&obstacle).unwrap();
    inlet.push(vec![frame(4, 25..30)]);
    while released.recv_timeout(PATIENCE).unwrap() < 4 {}
    follower.stop();
    drop(inlet);
    drop(one);

    let again = live(&shop);
    let (status, stored) = (again.status(), again.query("select count(*) as n from int_users"));
    assert_eq!(status.stored_seq, 4);
    let stored = stored.unwrap().result.batches;
    assert_eq!(crate::support::shown(&stored[0]), ["30"]);
    assert_eq!(status.rows["events"], 30);
}
