//! What all pages share: one state of the tables, the period, the filters, the envelope.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Duration, NaiveDate};
use clicktrail_project::Adapter;
use serde_json::{Map, Value, json};

use super::keys::{Keys, PageKeyFault, Span};
use super::reader::{Bounds, Reader};
use super::rows::{Row, amount, micros, text};
use super::words;
use crate::catalog::literal;
use crate::clock::{Clock, rfc3339};
use crate::error::PipelineError;
use crate::workspace::Workspace;

/// Why a page has no answer.
#[derive(Debug)]
pub enum PageFault {
    /// Keys that are not understood.
    Keys(Vec<PageKeyFault>),
    /// Nothing has that id.
    NotFound(String),
    /// The tables can't be read yet.
    NotReady,
    /// A query failed.
    Failed(PipelineError),
}

impl<E: Into<PipelineError>> From<E> for PageFault {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Result of a page.
pub(super) type Answer<T, E = PageFault> = std::result::Result<T, E>;

/// What a page is made of.
pub(super) struct Page<'a> {
    pub(super) reader: &'a Reader,
    pub(super) workspace: &'a Workspace,
    pub(super) keys: Keys,
    pub(super) name: &'a str,
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
    /// Days by which the period before is earlier; `None` without comparison.
    pub(super) shift: Option<i64>,
    /// Time of the last event, microseconds.
    pub(super) as_of: i64,
    pub(super) partial_day: Option<NaiveDate>,
    pub(super) conversion: String,
    pub(super) currency: Option<String>,
    pub(super) bounds: Bounds,
    /// Counted conversions and revenue of the period by currency, the most used one first; no filter applies.
    pub(super) money: Vec<Row>,
    money_sql: String,
    pub(super) timezone: String,
    tests: Value,
    started: f64,
    clock: Arc<dyn Clock>,
    asked: std::cell::RefCell<Vec<(String, String)>>,
}

impl<'a> Page<'a> {
    /// When the last event happened, microseconds since 1970, and how long ago that is, in seconds.
    pub(super) fn last_event(&self) -> Option<(i64, f64)> {
        let at = self.bounds.as_of?;
        Some((at, (self.clock.now_micros() - at).max(0) as f64 / 1e6))
    }

    /// Reads the keys and settles what they leave open.
    pub(super) fn open(
        reader: &'a Reader,
        workspace: &'a Workspace,
        name: &'a str,
        query: &[(String, String)],
        tests: Value,
    ) -> Answer<Self> {
        let clock = Arc::clone(&workspace.clock);
        let started = clock.seconds();
        let zone = crate::live::time_zone(workspace)?;
        let mut keys = Keys::read(query, zone.name()).map_err(PageFault::Keys)?;
        let bounds = reader.bounds()?.clone();
        let conversion = conversion(&keys, &bounds, workspace)?;
        keys.settle_models(&bounds.models_of(&conversion))
            .map_err(|fault| PageFault::Keys(vec![fault]))?;
        let now = clock.now_micros();
        let today = chrono::DateTime::from_timestamp_micros(now)
            .unwrap_or_default()
            .with_timezone(&zone)
            .date_naive();
        let last = bounds.last.map_or(today, |last| last.min(today));
        let (from, to) = match keys.span {
            Span::Days(days) => (last - Duration::days(days - 1), last),
            Span::Between(from, to) => (from, to),
        };
        let days = (to - from).num_days() + 1;
        let shift = keys.compare.then(|| if keys.whole_weeks { (days + 6) / 7 * 7 } else { days });
        let mut page = Self {
            as_of: bounds.as_of.map_or(now, |at| at.min(now)),
            partial_day: (from..=to).contains(&today).then_some(today),
            reader,
            workspace,
            name,
            from,
            to,
            shift,
            conversion,
            currency: keys.currency.clone(),
            keys,
            bounds,
            money: Vec::new(),
            money_sql: String::new(),
            timezone: zone.name().to_owned(),
            tests,
            started,
            clock,
            asked: Vec::new().into(),
        };
        page.money_sql = page.money_of(Some(&page.within("conversion_date")));
        page.money = reader.query(&page.money_sql)?;
        if page.currency.is_none() {
            let usual = |rows: &[Row]| {
                let named = rows.iter().find(|row| !row["currency"].is_null());
                named.map(|row| text(row, "currency").to_owned())
            };
            page.currency = match usual(&page.money) {
                Some(currency) => Some(currency),
                // Nothing was sold in the period: what is usual otherwise.
                None => usual(&reader.query(&page.money_of(None))?),
            };
        }
        Ok(page)
    }

    fn money_of(&self, when: Option<&str>) -> String {
        let when = when.map_or_else(String::new, |when| format!(" and {when}"));
        format!(
            "select currency, count(*) as conversions, sum(revenue) as revenue from int_conversions \
             where is_counted and event_name = {}{when} group by currency order by conversions desc, currency",
            literal(&self.conversion)
        )
    }

    /// Tells the SQL of [`Page::money`] with the answer.
    pub(super) fn tell_money(&self, id: &str) {
        self.tell(id, &self.money_sql);
    }

    /// Counted conversions of the period and their revenue in the page's currency, no filter applied.
    pub(super) fn counted(&self) -> Value {
        let conversions: i64 =
            self.money.iter().filter_map(|row| row["conversions"].as_i64()).sum();
        let own =
            self.money.iter().find(|row| row["currency"].as_str() == self.currency.as_deref());
        let revenue = own.filter(|_| self.currency.is_some()).and_then(|row| row.get("revenue"));
        json!({ "conversions": conversions.to_string(), "revenue": amount(revenue) })
    }

    /// Runs a query of this page; its SQL is told with the answer.
    pub(super) fn ask(&self, id: &str, sql: &str) -> Answer<Vec<Row>> {
        let rows = self.reader.query(sql)?;
        self.tell(id, sql);
        Ok(rows)
    }

    /// Runs queries that do not need each other side by side, each on a thread; their rows in the same order.
    pub(super) fn ask_all(&self, asked: &[(&str, String)]) -> Answer<Vec<Vec<Row>>> {
        let reader = self.reader;
        let found: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> =
                asked.iter().map(|(_, sql)| scope.spawn(move || reader.query(sql))).collect();
            let rows = running.into_iter().map(std::thread::ScopedJoinHandle::join);
            rows.map(|rows| rows.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        for (id, sql) in asked {
            self.tell(id, sql);
        }
        Ok(found.into_iter().collect::<std::result::Result<_, _>>()?)
    }

    /// Tells the SQL of a query with the answer.
    pub(super) fn tell(&self, id: &str, sql: &str) {
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        self.asked.borrow_mut().push((id.to_owned(), sql));
    }

    /// Whether some filter is set.
    pub(super) fn is_filtered(&self) -> bool {
        !self.keys.filters.is_empty()
    }

    /// The period as pages show it.
    pub(super) fn period(&self) -> Value {
        json!({ "from": self.from, "to": self.to, "days": (self.to - self.from).num_days() + 1 })
    }

    /// Checks two sums that must be equal.
    ///
    /// # Errors
    /// E4101, which is never shown as a number.
    pub(super) fn reconcile(&self, id: &str, what: &str, parts: i128, total: i128) -> Answer<()> {
        if parts == total {
            return Ok(());
        }
        let message = format!(
            "{what} of `{id}` do not reconcile: the rows sum to {} and the total is {}",
            parts as f64 / 1e6,
            total as f64 / 1e6
        );
        let hint = "this is a bug in clicktrail or in a changed model: run `clicktrail test`";
        Err(PipelineError::coded("E4101", message, hint).into())
    }

    /// Why a page shows nothing, if it does.
    fn empty(&self, totals: &Value, left_out: &Value) -> Value {
        if self.bounds.last.is_none() {
            let text =
                "no events yet: `clicktrail generate`, `clicktrail build`, `clicktrail stream`";
            return json!({ "reason": "no_data", "text": text, "remove": null });
        }
        if micros(&totals["conversions"]) != 0 {
            return Value::Null;
        }
        if self.bounds.conversions.iter().all(|(_, count)| *count == 0) {
            let text = "no conversions yet: the var `key_events` names the events that count";
            return json!({ "reason": "no_conversions", "text": text, "remove": null });
        }
        if micros(&left_out["conversions"]) != 0 {
            let text = "the lookback windows of all conversions start before the first loaded day: nobody saw their first touch";
            return json!({ "reason": "cut", "text": text, "remove": null });
        }
        if self.is_filtered() {
            let text = "no conversion matches the filter";
            return json!({ "reason": "filter", "text": text, "remove": "f" });
        }
        let text = format!("no {} from {} to {}", self.conversion, self.from, self.to);
        json!({ "reason": "period", "text": text, "remove": "d" })
    }

    /// The envelope around a page's data, with totals under the page's model.
    pub(super) fn finish(self, data: Value) -> Answer<Value> {
        let found = self.totals()?;
        self.finish_from(data, found.first())
    }

    /// Sums under the page's model.
    pub(super) fn totals(&self) -> Answer<Vec<Row>> {
        let sql = format!("select {} {}", self.sums(), self.all_credits("c", self.keys.model()));
        self.ask("page.totals", &sql)
    }

    /// The same with a row of [`Page::sums`].
    pub(super) fn finish_from(self, data: Value, sums: Option<&Row>) -> Answer<Value> {
        self.finish_with(data, pair(sums, "kept"), pair(sums, "lost"), pair(sums, "left_out"))
    }

    /// The same with totals that are known.
    pub(super) fn finish_with(
        self,
        data: Value,
        totals: Value,
        lost: Value,
        left_out: Value,
    ) -> Answer<Value> {
        let asked = self.asked.take();
        let ids: Vec<&String> = asked.iter().map(|(id, _)| id).collect();
        let known = |sql: &str| -> Vec<&String> {
            self.reader.tables.iter().filter(|name| crate::catalog::names(sql, name)).collect()
        };
        let tables: BTreeMap<&String, Vec<&String>> =
            asked.iter().map(|(id, sql)| (id, known(sql))).collect();
        let sql: Map<String, Value> =
            asked.iter().map(|(id, sql)| (id.clone(), json!(sql))).collect();
        let meta = json!({
            "snapshot_id": self.reader.snapshot, "as_of": rfc3339(self.as_of),
            "partial_day": self.partial_day, "definition": self.definition(),
            "empty": self.empty(&totals, &left_out), "totals": totals, "unattributed": lost,
            "left_out": left_out,
            "tests": self.tests, "sql_id": ids, "sql_tables": tables, "sql": sql,
            "open_in_cli": self.command(),
            "elapsed_ms": ((self.clock.seconds() - self.started) * 1_000.0).ceil() as u64,
        });
        Ok(json!({ "data": data, "meta": meta }))
    }

    fn definition(&self) -> Value {
        let vars = self.workspace.vars();
        let by_event = vars.get("lookback_days_by_event").and_then(|map| map.get(&self.conversion));
        let lookback = by_event.or(vars.get("lookback_days")).cloned().unwrap_or(Value::Null);
        let filters: Vec<Value> = self
            .keys
            .filters
            .iter()
            .map(|filter| {
                json!({ "dimension": filter.dimension, "values": filter.values, "excludes": filter.excludes })
            })
            .collect();
        json!({
            "models": self.keys.models, "models_known": self.models_known(),
            "model": self.keys.model(), "model_text": words::model(self.keys.model()).0,
            "lookback_days": lookback, "conversion": self.conversion, "direct": words::direct(self.keys.model()),
            "timezone": self.timezone, "currency": self.currency, "from": self.from, "to": self.to,
            "touch_grain": vars.get("touch_grain"), "filters": filters,
        })
    }

    /// Attribution models that can be asked for, each with its name for people.
    fn models_known(&self) -> Vec<Value> {
        let told = |name: &String| json!({ "name": name, "text": words::model(name).0 });
        self.bounds.models_of(&self.conversion).iter().map(told).collect()
    }

    /// The same on the command line.
    fn command(&self) -> Value {
        let is_here = self.workspace.project.target.adapter == Adapter::Clicktrail;
        if !is_here || !["overview", "models", "paths", "conversions"].contains(&self.name) {
            return Value::Null;
        }
        let plain = |char: char| char.is_ascii_alphanumeric() || "-_.,:".contains(char);
        let flags: String = self
            .keys
            .given
            .iter()
            .filter(|(key, _)| !["snap", "sort", "node", "type", "token"].contains(&key.as_str()))
            .map(|(key, value)| match value.chars().all(plain) && !value.starts_with('-') {
                true => format!(" --{key} {value}"),
                false => format!(" --{key}='{}'", value.replace('\'', "'\\''")),
            })
            .collect();
        format!("clicktrail export {}{flags}", self.name).into()
    }
}

fn conversion(keys: &Keys, bounds: &Bounds, workspace: &Workspace) -> Answer<String> {
    let listed = workspace.vars().remove("key_events").unwrap_or_default();
    let listed: Vec<String> = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    let counted =
        |name: &String| bounds.conversions.iter().any(|(known, count)| known == name && *count > 0);
    if let Some(wanted) = &keys.conversion {
        if listed.contains(wanted) || counted(wanted) {
            return Ok(wanted.clone());
        }
        return Err(PageFault::Keys(vec![PageKeyFault {
            key: "conv".into(),
            value: wanted.clone(),
            why: format!("a key event: {}", listed.join(", ")),
        }]));
    }
    let chosen = listed.iter().find(|name| counted(name)).or(listed.first());
    Ok(chosen.cloned().unwrap_or_else(|| "purchase".into()))
}

/// Two columns of [`Page::sums`]: conversions and their revenue.
pub(super) fn pair(sums: Option<&Row>, name: &str) -> Value {
    let of = |column: &str| amount(sums.and_then(|row| row.get(column)));
    json!({ "conversions": of(name), "revenue": of(&format!("{name}_revenue")) })
}
