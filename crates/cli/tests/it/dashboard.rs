//! `up --demo` from start to end: its pages say what SQL says, its stream tells what comes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Folder;

struct Up {
    child: Child,
    address: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with(&format!("{name}: "))
                .then(|| &line[name.len() + 2..])
        })
    }
}

impl Up {
    /// Starts it; returns when its address answers.
    fn start(folder: &Folder) -> Self {
        let arguments = [
            "up",
            "--demo",
            "--no-open",
            "--port",
            "0",
            "--demo-rate",
            "40",
            "--log-format",
            "json",
        ];
        let mut child = folder.command("", &arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("ended before it listened").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["event"] == "listening" {
                break event["address"].as_str().unwrap().to_owned();
            }
        };
        // Whoever does not read would be waited for.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let host = if headers.contains("host:") {
            String::new()
        } else {
            format!("host: {}\r\n", self.address)
        };
        let length = body.len();
        write!(socket, "{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    fn page(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        let body = json!({ "sql": sql }).to_string();
        let answer =
            self.send("POST", "/api/v1/query", "content-type: application/json\r\n", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["data"].as_array().unwrap().clone()
    }

    fn wait(&self) {
        for _ in 0..600 {
            if self.get("/readyz").status == 200 {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not ready after a minute");
    }

    /// Ends it as a terminal would; gives the exit code.
    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// An amount as millionths, whatever its zeros.
fn micros(value: &Value) -> i128 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let negative = text.starts_with('-');
    let (whole, part) =
        text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
    let all = format!("{whole}{part:0<6}").parse::<i128>().unwrap_or(0);
    if negative { -all } else { all }
}

#[test]
fn up_demo_serves_pages_that_equal_sql() {
    let folder = Folder::new();
    let up = Up::start(&folder);
    let early = up.get("/api/v1/overview");
    if early.status == 503 {
        assert_eq!(early.json()["code"], "E6120");
        assert!(early.json()["progress"]["phase"].is_string(), "{}", early.body);
    }
    up.wait();
    // Days before today stay as they are while the demo's events come.
    let last = up.rows("select cast(max(session_date) as varchar) as day from int_sessions");
    let last: chrono::NaiveDate = last[0]["day"].as_str().unwrap().parse().unwrap();
    let (from, to) = (last - chrono::Duration::days(35), last - chrono::Duration::days(8));
    let d = format!("d={from}..{to}");
    let when = format!("between date '{from}' and date '{to}'");
    the_overview(&up, &d, &when);
    the_other_pages(&up, &d, &when);
    the_first_touches(&up);
    the_edges(&up, &d);
    the_stream(&up);
    assert_eq!(up.stop(), Some(0));
}

fn the_overview(up: &Up, d: &str, when: &str) {
    let counted = up.rows(&format!(
        "select count(*) as conversions, sum(revenue) as revenue from int_conversions where is_counted \
         and event_name = 'purchase' and conversion_date {when} and currency = 'USD'"
    ));
    let all = up.rows(&format!(
        "select count(*) as conversions from int_conversions where is_counted and conversion_date {when}"
    ));
    let sessions =
        up.rows(&format!("select count(*) as n from int_sessions where session_date {when}"));
    let page = up.page(&format!("overview?{d}"));
    let kpis = page["data"]["kpis"].as_array().unwrap();
    assert_eq!(micros(&kpis[0]["value"]), micros(&all[0]["conversions"]));
    assert_eq!(micros(&kpis[1]["value"]), micros(&counted[0]["revenue"]));
    assert_eq!(micros(&kpis[4]["value"]), micros(&sessions[0]["n"]));
    let days = page["data"]["series"]["days"].as_array().unwrap();
    assert_eq!(days.len(), 28);
    let sum: i128 = days.iter().map(|day| micros(&day["conversions"])).sum();
    assert_eq!(sum, micros(&kpis[0]["value"]));
    let known = page["meta"]["definition"]["models_known"].as_array().unwrap();
    let known: Vec<&str> = known.iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert!(known.len() >= 4 && known.starts_with(&["first_click", "last_click"]), "{known:?}");
    let models = format!("m={}", known.join(","));
    for by in ["channel", "source", "medium", "campaign"] {
        let page = up.page(&format!("overview?{d}&by={by}&{models}"));
        let mut shown = BTreeMap::new();
        for row in page["data"]["credit"]["rows"].as_array().unwrap() {
            for (model, values) in row["values"].as_object().unwrap() {
                if micros(&values["conversions"]) != 0 {
                    let name = row["name"].as_str().unwrap().to_owned();
                    shown.insert(
                        (model.clone(), name),
                        (micros(&values["conversions"]), micros(&values["revenue"])),
                    );
                }
            }
        }
        let rows = up.rows(&format!(
            "select attribution_model, {by} as name, sum(conversions) as conversions, \
             sum(case when currency = 'USD' then revenue end) as revenue from mart_attribution_daily \
             where date {when} and event_name = 'purchase' group by attribution_model, {by}"
        ));
        let expected: BTreeMap<_, _> = rows
            .iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                let revenue = if row["revenue"].is_null() { 0 } else { micros(&row["revenue"]) };
                ((text("attribution_model"), text("name")), (micros(&row["conversions"]), revenue))
            })
            .collect();
        assert_eq!(shown, expected, "{by}");
    }
}

fn the_other_pages(up: &Up, d: &str, when: &str) {
    let total = micros(&up.page(&format!("overview?{d}"))["meta"]["totals"]["conversions"]);
    let sum = |rows: &Value, key: &str| -> i128 {
        rows.as_array().unwrap().iter().map(|row| micros(&row[key])).sum()
    };
    let paths = up.page(&format!("paths?{d}"));
    let data = &paths["data"];
    let other = if data["paths"]["other"].is_null() {
        0
    } else {
        micros(&data["paths"]["other"]["conversions"])
    };
    assert_eq!(sum(&data["paths"]["rows"], "conversions") + other, total);
    assert_eq!(sum(&data["lengths"]["rows"], "conversions"), total);
    assert_eq!(sum(&data["lags"]["rows"], "conversions"), total);
    let models = up.page(&format!("models?{d}"));
    assert_eq!(sum(&models["data"]["matrix"]["cells"], "conversions"), total);
    let same = up.rows(&format!(
        "select count(*) as n from fct_credits as a inner join fct_credits as b on a.conversion_id = b.conversion_id \
         where a.attribution_model = 'first_click' and b.attribution_model = 'last_click' and a.channel = b.channel \
         and a.conversion_date {when}"
    ));
    assert_eq!(micros(&models["data"]["agreement"]["same"]), micros(&same[0]["n"]));
    // A filter counts under the page's model; the list behind it holds as many.
    let filtered = up.page(&format!("overview?{d}&f=channel:Email"));
    let email = up.rows(&format!(
        "select sum(conversions) as n from mart_attribution_daily where attribution_model = 'last_click' \
         and channel = 'Email' and date {when}"
    ));
    assert_eq!(micros(&filtered["data"]["kpis"][0]["value"]), micros(&email[0]["n"]));
    let list = up.page(&format!("conversions?{d}&channel=Email&limit=1000"));
    assert_eq!(
        list["data"]["rows"].as_array().unwrap().len() as i128 * 1_000_000,
        micros(&email[0]["n"])
    );
    // One of its conversions, touch by touch.
    let id = list["data"]["rows"][0]["id"].as_str().unwrap();
    let journey = up.page(&format!("conversions/{id}/explain"));
    let touches = journey["data"]["touches"].as_array().unwrap();
    let kept = touches.iter().filter(|touch| touch["in"] == true).count();
    let steps =
        up.rows(&format!("select count(*) as n from int_journeys where conversion_id = '{id}'"));
    assert_eq!(steps[0]["n"], kept);
    let credit: i128 = touches.iter().map(|touch| micros(&touch["credit"]["last_click"])).sum();
    assert_eq!(credit, 1_000_000);
    assert!(
        journey["data"]["sentence"].as_str().unwrap().contains("Email"),
        "{}",
        journey["data"]["sentence"]
    );
    for page in
        ["health", "lineage", "settings", "nodes/fct_credits", "filters/campaign", "openapi.json"]
    {
        up.page(page);
    }
    let csv = up.get(&format!("/api/v1/export/overview.csv?{d}"));
    assert!(csv.body.starts_with("channel,first_click_conversions"), "{}", csv.body);
}

/// [2.15] Conversions whose window starts before the first loaded day are left out of first clicks, and counted.
fn the_first_touches(up: &Up) {
    let days = up.rows("select cast(min(session_date) as varchar) as day from int_sessions");
    let first: chrono::NaiveDate = days[0]["day"].as_str().unwrap().parse().unwrap();
    let (from, to) = (first + chrono::Duration::days(70), first + chrono::Duration::days(110));
    let d = format!("d={from}..{to}&cmp=none");
    let of = |model: &str, which: &str| {
        let rows = up.rows(&format!(
            "select sum(credit_micros) as micros, sum(case when currency = 'USD' then revenue end) as revenue, \
             count(distinct channel) as channels from fct_credits where attribution_model = '{model}' and {which} \
             and event_name = 'purchase' and conversion_date between date '{from}' and date '{to}'"
        ));
        (
            rows[0]["micros"].as_i64().unwrap().into(),
            micros(&rows[0]["revenue"]),
            rows[0]["channels"].clone(),
        )
    };
    let sums = |value: &Value| (micros(&value["conversions"]), micros(&value["revenue"]));
    let seen = of("first_click", "lookback_complete");
    let unseen = of("first_click", "not lookback_complete");
    let last = of("last_click", "true");
    assert!(seen.0 > 0 && unseen.0 > 0, "{seen:?} {unseen:?}");
    let page = up.page(&format!("overview?{d}"));
    let credit = &page["data"]["credit"];
    assert_eq!(sums(&credit["total"]["first_click"]), (seen.0, seen.1));
    assert_eq!(sums(&credit["left_out"]["first_click"]), (unseen.0, unseen.1));
    assert_eq!(sums(&credit["total"]["last_click"]), (last.0, last.1));
    assert_eq!(credit["left_out"].as_object().unwrap().len(), 1);
    assert_eq!(seen.0 + unseen.0, last.0);
    assert_eq!(micros(&page["data"]["kpis"][0]["value"]), last.0);
    assert_eq!(sums(&page["meta"]["left_out"]), (0, 0));
    // Under a model of the first touch so are all figures of the page, and the lists behind them.
    let page = up.page(&format!("overview?{d}&m=first"));
    assert_eq!(micros(&page["data"]["kpis"][0]["value"]), seen.0);
    assert_eq!(sums(&page["meta"]["totals"]), (seen.0, seen.1));
    assert_eq!(sums(&page["meta"]["left_out"]), (unseen.0, unseen.1));
    let by_day = page["data"]["series"]["days"].as_array().unwrap();
    assert_eq!(by_day.iter().map(|day| micros(&day["conversions"])).sum::<i128>(), seen.0);
    let paths = up.page(&format!("paths?{d}&m=first"));
    assert_eq!(sums(&paths["data"]["paths"]["total"]), (seen.0, seen.1));
    let list = up.page(&format!("conversions?{d}&m=first&limit=1000"));
    let rows = list["data"]["rows"].as_array().unwrap();
    assert_eq!(rows.len() as i128 * 1_000_000, seen.0);
    assert!(rows.iter().all(|row| row["lookback_complete"] == true));
    let models = up.page(&format!("models?{d}"));
    assert_eq!(micros(&models["data"]["agreement"]["total"]), seen.0);
    let csv = up.get(&format!("/api/v1/export/overview.csv?{d}")).body;
    let line = csv.lines().find(|line| line.starts_with("(left out),")).unwrap_or_default();
    assert_eq!(micros(&json!(line.split(',').nth(1))), unseen.0, "{csv}");
    // Whoever wants them counts them.
    let page = up.page(&format!("overview?{d}&cut=in"));
    assert_eq!(sums(&page["data"]["credit"]["total"]["first_click"]), (last.0, last.1));
    assert_eq!(page["data"]["credit"]["left_out"], json!({}));
    let models = up.page(&format!("models?{d}&cut=in"));
    assert_eq!(micros(&models["data"]["agreement"]["total"]), last.0);
}

fn the_edges(up: &Up, d: &str) {
    let bad = up.get("/api/v1/overview?d=never&by=colour&x=1");
    assert_eq!(bad.status, 422);
    let keys: Vec<Value> =
        bad.json()["keys"].as_array().unwrap().iter().map(|bad| bad["key"].clone()).collect();
    assert_eq!(keys, ["d", "by", "x"]);
    assert_eq!(up.get("/api/v1/overview?snap=long-gone").status, 410);
    assert_eq!(up.get("/api/v1/conversions/nobody/explain").status, 404);
    assert_eq!(up.get("/api/v1/lineage?select=no_such_model").status, 422);
    for path in ["/", "/api/v1/overview", "/api/v1/live"] {
        assert_eq!(up.send("GET", path, "host: evil.example\r\n", "").status, 403, "{path}");
    }
    let one = up.get(&format!("/api/v1/settings?{d}"));
    let etag = one.header("etag").unwrap().to_owned();
    let snapshot = one.json()["meta"]["snapshot_id"].as_str().unwrap().to_owned();
    let pinned = up.get(&format!("/api/v1/settings?{d}&snap={snapshot}"));
    assert_eq!(pinned.body, one.body);
    let again =
        up.send("GET", &format!("/api/v1/settings?{d}"), &format!("if-none-match: {etag}\r\n"), "");
    assert!(again.status == 304 || again.header("etag") != Some(&etag), "{}", again.head);
    let page = up.get("/models?by=source");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.body.contains("\"path\":\"/api/v1/models?by=source\""));
}

/// Reads the stream until it has said something of each kind; what comes is numbered without holes.
fn the_stream(up: &Up) {
    let mut socket = TcpStream::connect(&up.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(socket, "GET /api/v1/live HTTP/1.1\r\nhost: {}\r\n\r\n", up.address).unwrap();
    let mut kinds = BTreeMap::new();
    let (mut kind, mut last) = (String::new(), None);
    for line in BufReader::new(socket).lines() {
        let line = line.unwrap();
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut kind);
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            for event in data["e"].as_array().into_iter().flatten() {
                let seq = event["seq"].as_u64().unwrap();
                assert!(last.is_none_or(|last| seq == last + 1), "{last:?} {seq}");
                last = Some(seq);
            }
            *kinds.entry(kind.clone()).or_insert(0) += 1;
        }
        let all = ["hello", "health", "agg", "events", "mart"]
            .iter()
            .all(|kind| kinds.contains_key(*kind));
        if all && kinds["events"] > 5 {
            return;
        }
    }
    panic!("the stream ended: {kinds:?}");
}

#[test]
fn export_and_explain_say_the_same_as_sql() {
    let folder = Folder::with_demo();
    folder.run(&["build", "--project-dir", "shop"]).code(0);
    let csv = folder.run(&["export", "overview", "--d", "28", "--project-dir", "shop"]);
    let csv = csv.code(0);
    assert!(csv.out.starts_with("channel,"), "{}", csv.out);
    let list = folder.run(&["export", "conversions", "--limit", "1", "--project-dir", "shop"]);
    let id = list.code(0).out.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let told = folder.run(&["explain", &id, "--project-dir", "shop"]);
    assert!(told.code(0).out.contains("lookback window: 90 days"));
    let bad = folder.run(&["export", "overview", "--d", "x", "--project-dir", "shop"]);
    assert!(bad.code(2).err.contains("`x` is not a value of `d`"));
}
