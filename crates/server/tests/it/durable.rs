//! With the real log on a real disk.

use std::path::Path;
use std::sync::Arc;

use clicktrail_eventlog::{Frame, Kind, Log as EventLog, RealDisk, Settings as LogSettings, start};
use clicktrail_ingest::collect::{decode, open_envelope, read_dead_letters};
use clicktrail_server::{Parts, ProducerMark, Server, Settings, serve};

use crate::stage::Stage;

fn frames(dir: &Path) -> Vec<Frame> {
    let (log, _) = EventLog::open(Arc::new(RealDisk), dir, &LogSettings::default()).unwrap();
    log.frames(1).unwrap().map(Result::unwrap).collect()
}

/// Serves on the log in `dir` while `during` runs.
fn serving(stage: &Stage, dir: &Path, producers: Vec<ProducerMark>, during: impl FnOnce(&str)) {
    let (log, _) = EventLog::open(Arc::new(RealDisk), dir, &LogSettings::default()).unwrap();
    let (appender, writer) =
        start(log, Box::new(|_| {}), Box::new(|error| panic!("{error}"))).unwrap();
    let parts = Parts {
        producers,
        ..Parts::new(Arc::new(appender), stage.live.clone(), stage.clock.clone())
    };
    let settings = Settings { bind: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    let server: Server = stage.runtime.block_on(serve(settings, parts)).unwrap();
    during(&format!("http://{}", server.address()));
    stage.runtime.block_on(server.shutdown());
    writer.stop().unwrap();
}

fn post(url: &str, offset: u64, rows: &str) -> (u16, serde_json::Value) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request = agent.post(format!("{url}/v1/events"));
    let request = request.header("x-clicktrail-producer", "shop");
    let request = request.header("x-clicktrail-offset", offset.to_string());
    let mut answer = request.send(rows).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
}

#[test]
fn a_request_is_one_frame_and_its_senders_numbering_survives_a_restart() {
    let stage = Stage::open();
    let dir = tempfile::tempdir().unwrap();
    serving(&stage, dir.path(), vec![], |url| {
        let rows = "{\"event_name\":\"a\"}\n{}\n{\"event_name\":\"b\"}\n";
        let (status, answer) = post(url, 0, rows);
        assert_eq!((status, &answer["accepted"], &answer["seq"]), (200, &2.into(), &1.into()));
        let (_, answer) = post(url, 3, "{\"event_name\":\"c\"}");
        assert_eq!(answer["seq"], 2);
    });
    let frames = frames(dir.path());
    let kinds: Vec<(Kind, u32)> = frames.iter().map(|frame| (frame.kind, frame.rows)).collect();
    assert_eq!(kinds, [(Kind::Events, 2), (Kind::Events, 1)]);
    let first = open_envelope(&frames[0].payload).unwrap();
    assert_eq!(read_dead_letters(first.dead_letter_lines).unwrap()[0].route, "/v1/events");
    assert_eq!(decode([first.event_lines], None).unwrap().num_rows(), 2);
    let last = open_envelope(&frames[1].payload).unwrap();
    let mark = ProducerMark::from_json(&last.producer.unwrap()).unwrap();
    assert_eq!((mark.producer.as_str(), mark.next_offset), ("shop", 4));

    // After a restart the log's marks go on.
    serving(&stage, dir.path(), vec![mark], |url| {
        assert_eq!(post(url, 3, "{\"event_name\":\"c\"}").1["already_exists"], true);
        assert_eq!(post(url, 9, "{\"event_name\":\"c\"}").0, 409);
        assert_eq!(post(url, 4, "{\"event_name\":\"d\"}").1["accepted"], 1);
    });
}

#[test]
fn figures_of_the_log_are_in_the_metrics() {
    let stage = Stage::open();
    let dir = tempfile::tempdir().unwrap();
    serving(&stage, dir.path(), vec![], |url| {
        post(url, 0, "{\"event_name\":\"a\"}");
        let text = ureq::get(format!("{url}/metrics")).call().unwrap().body_mut().read_to_string();
        let text = text.unwrap();
        assert!(text.contains("\nclicktrail_durable_seq 1\n"), "{text}");
        let syncs =
            text.lines().find_map(|line| line.strip_prefix("clicktrail_fsync_seconds_count "));
        assert!(syncs.unwrap().parse::<u64>().unwrap() >= 1, "{text}");
    });
}
