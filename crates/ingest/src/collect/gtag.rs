//! gtag hits: `/g/collect`, one url-encoded event in the query or one a line in the body.

use std::borrow::Cow;

use super::campaign::{FIELDS, Traffic, host};
use super::commerce::{Commerce, Item};
use super::consent::{Consent, Privacy};
use super::device::{self, Device};
use super::event::{Event, UserProperty};
use super::form::{self, Form};
use super::limits::Limits;
use super::outcome::{Accepted, Oddities, Parsed, Receipt, Refusal};
use super::params::{self, Value, cut};
use super::{EVENT_ID_PARAM, Reason, clock};

/// Keys that set the campaign, with the field of `collected_traffic_source` each one fills.
const OVERRIDES: [(&str, &str); 9] = [
    ("cs", "manual_source"),
    ("cm", "manual_medium"),
    ("cn", "manual_campaign_name"),
    ("cc", "manual_content"),
    ("ck", "manual_term"),
    ("ct", "manual_term"),
    ("ci", "manual_campaign_id"),
    ("ccf", "manual_creative_format"),
    ("cmt", "manual_marketing_tactic"),
];

/// Reads a request to `/g/collect`.
///
/// Every line of the body is an event whose fields override those of the query; without lines the
/// query is the event. All get the time of receipt: a hit carries no time of its own.
pub fn gtag(query: &str, body: &[u8], receipt: &Receipt, limits: &Limits) -> Parsed {
    let mut parsed = Parsed::of_body(body);
    let query_form = match read(query, body, receipt, limits, &mut parsed.oddities) {
        Ok(form) => form,
        Err(refusal) => {
            let raw = if body.is_empty() { query.as_bytes() } else { body };
            return Parsed::malformed(refusal, raw);
        }
    };
    let lines = crate::ndjson::lines_of(body).map(|line| line.trim_ascii());
    let mut lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        lines.push(b"");
    }
    parsed.received = lines.len();
    for (index, line) in lines.into_iter().enumerate() {
        let outcome = if index < limits.gtag_events {
            Hit { receipt, limits, index }.accept(line, &query_form, &mut parsed.oddities)
        } else {
            let detail = format!("more than {} events in one request", limits.gtag_events);
            Err(Refusal::new(Reason::TooManyEvents, detail))
        };
        match outcome {
            Ok(rows) => parsed.accepted.extend(rows),
            Err(refusal) => parsed.reject(index, refusal, || alone(line, query)),
        }
    }
    parsed
}

/// Reads what concerns the request as a whole.
fn read<'a>(
    query: &'a str,
    body: &[u8],
    receipt: &Receipt,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Result<Form<'a>, Refusal> {
    receipt.check(limits)?;
    if body.len() > limits.body_bytes || query.len() > limits.query_bytes {
        let detail = format!("query and body have {} and {} bytes", query.len(), body.len());
        return Err(Refusal::new(Reason::BodyTooLarge, detail));
    }
    let form = form::pairs(query, &mut oddities.repeated_keys)?;
    clock::judge(receipt.received_at, receipt.received_at, limits)?;
    if form.get("v").is_some_and(|version| version != "2") {
        return Err(Refusal::new(Reason::UnsupportedVersion, "`v` is not 2"));
    }
    if form.get("tid").is_none_or(|tid| tid.trim().is_empty()) {
        return Err(Refusal::new(Reason::MissingMeasurementId, "`tid` is missing or empty"));
    }
    Ok(form)
}

/// The request with one of its events only: a line's fields come first and so count.
fn alone(line: &[u8], query: &str) -> Vec<u8> {
    let mut out = line.to_vec();
    if !out.is_empty() && !query.is_empty() {
        out.push(b'&');
    }
    out.extend_from_slice(query.as_bytes());
    out
}

/// One event of a request.
struct Hit<'a> {
    receipt: &'a Receipt,
    limits: &'a Limits,
    index: usize,
}

impl Hit<'_> {
    fn accept(
        &self,
        line: &[u8],
        query: &Form<'_>,
        oddities: &mut Oddities,
    ) -> Result<Vec<Accepted>, Refusal> {
        let line = std::str::from_utf8(line).map_err(|error| {
            let detail = format!("invalid UTF-8 at byte {} of the line", error.valid_up_to() + 1);
            Refusal::new(Reason::BadUtf8, detail)
        })?;
        // Oddities of a refused event are not counted: it is told about as refused.
        let mut odd = *oddities;
        let own = form::pairs(line, &mut odd.repeated_keys)?;
        let form = own.over(query);
        let event = self.event(&form, &mut odd)?;
        let rows = self.rows(&form, event)?;
        *oddities = odd;
        Ok(rows)
    }

    fn event<'f>(&self, form: &'f Form<'_>, oddities: &mut Oddities) -> Result<Event<'f>, Refusal> {
        let name = self.name(form)?;
        let mut event = Event {
            timestamp: self.receipt.received_at,
            name: Cow::Borrowed(name),
            platform: Some("WEB"),
            privacy: Some(Privacy::of(form.get("gcs"), form.get("gcd"))),
            batch_event_index: i64::try_from(self.index + 1).ok(),
            ..Event::default()
        };
        self.identity(form, &mut event)?;
        self.page(form, &mut event, oddities);
        let is_first = form.get("_s").is_none_or(|counter| matches!(counter, "" | "0" | "1"));
        self.traffic(form, is_first, &mut event, oddities);
        let items = self.fields(form, &mut event, oddities);
        event.device = self.device(form);
        event.device.bound(self.limits, oddities);
        event.commerce = Commerce::of(name, &event.params, items);
        Ok(event)
    }

    fn name<'f>(&self, form: &'f Form<'_>) -> Result<&'f str, Refusal> {
        let name = form.get("en").unwrap_or_default();
        if name.trim().is_empty() {
            return Err(Refusal::new(Reason::MissingEventName, "`en` is missing or empty"));
        }
        match params::loose_name_problem(name, self.limits.event_name_chars) {
            None => Ok(name),
            Some(problem) => {
                let detail = format!("event name `{}` {problem}", params::head(name));
                Err(Refusal::new(Reason::NameInvalid, detail))
            }
        }
    }

    /// Client, user and session. Without consent to analytics storage the first and last are
    /// random values of the page, which must not be taken for a visitor's.
    fn identity<'f>(&self, form: &'f Form<'_>, event: &mut Event<'f>) -> Result<(), Refusal> {
        let id = |key: &str| -> Result<Option<&'f str>, Refusal> {
            let value = form.get(key).map(str::trim).filter(|value| !value.is_empty());
            if value.is_some_and(|value| value.chars().count() > self.limits.id_chars) {
                let detail = format!("`{key}` is longer than {} characters", self.limits.id_chars);
                return Err(Refusal::new(Reason::IdTooLong, detail));
            }
            Ok(value)
        };
        event.user_id = id("uid")?.map(Cow::Borrowed);
        let client_id = id("cid")?;
        if event.privacy.is_some_and(|privacy| privacy.analytics == Consent::Denied) {
            return Ok(());
        }
        if client_id.is_none() {
            return Err(Refusal::new(Reason::MissingClientId, "`cid` is missing or empty"));
        }
        event.user_pseudo_id = client_id.map(Cow::Borrowed);
        for (key, name) in [("sid", "ga_session_id"), ("sct", "ga_session_number")] {
            if let Some(value) = id(key)? {
                event.add(name, Value::of_digits(Cow::Borrowed(value)));
            }
        }
        Ok(())
    }

    /// The params that every hit has: page, engagement, flags.
    fn page<'f>(&self, form: &'f Form<'_>, event: &mut Event<'f>, oddities: &mut Oddities) {
        let filled = |key: &str| form.get(key).filter(|value| !value.is_empty());
        let texts = [
            ("dl", "page_location"),
            ("dr", "page_referrer"),
            ("dt", "page_title"),
            ("cu", "currency"),
            ("tt", "traffic_type"),
            ("seg", "session_engaged"),
        ];
        for (key, name) in texts {
            if let Some(value) = filled(key) {
                let value = cut(Cow::Borrowed(value), self.limits.value_chars(name), oddities);
                event.add(name, Value::Text(value));
            }
        }
        let is_on = |key: &str| filled(key).is_some_and(|value| value != "0");
        if is_on("seg") {
            event.add("engaged_session_event", Value::Int(1));
        }
        if let Some(value) = filled("_et") {
            event.add("engagement_time_msec", Value::of_digits(Cow::Borrowed(value)));
        }
        if is_on("ir") {
            event.add("ignore_referrer", Value::Text(Cow::Borrowed("true")));
        }
        if is_on("_dbg") {
            event.add("debug_mode", Value::Int(1));
        }
        if is_on("_c") {
            event.add("firebase_conversion", Value::Int(1));
        }
        if event.name == "page_view" && is_on("_ss") {
            event.add("entrances", Value::Int(1));
        }
        event.batch_page_id = filled("_p").and_then(|value| value.parse().ok());
        event.batch_ordering_id = filled("_s").and_then(|value| value.parse().ok());
    }

    /// The campaign: set by the page, else of its address, there only with the first request of a
    /// page load: the address stays, the click does not come again.
    fn traffic<'f>(
        &self,
        form: &'f Form<'_>,
        is_first: bool,
        event: &mut Event<'f>,
        oddities: &mut Oddities,
    ) {
        let location = form.get("dl").filter(|_| is_first);
        let mut traffic = location.map(Traffic::of_location).unwrap_or_default();
        // There, `cs` and `cn` are slot and name of the creative.
        if !is_promotion(&event.name) {
            let mut manual = Traffic::default();
            for (key, field) in OVERRIDES {
                let index = FIELDS.iter().position(|name| *name == field);
                if let (Some(index), Some(value)) = (index, form.get(key)) {
                    manual.set(index, Cow::Borrowed(value));
                }
            }
            if manual.has_manual() {
                traffic.override_manual(manual);
            }
        }
        traffic.bound(self.limits, oddities);
        event.traffic = traffic;
    }

    /// Custom params, user properties and items, in the order of the hit. Returns the items.
    fn fields<'f>(
        &self,
        form: &'f Form<'_>,
        event: &mut Event<'f>,
        oddities: &mut Oddities,
    ) -> Vec<Item<'f>> {
        let mut items: Vec<(u32, &str)> = Vec::new();
        let mut params_left = self.limits.params;
        for (key, value) in &form.0 {
            if let Some(number) = key.strip_prefix("pr").and_then(item_number) {
                items.push((number, value));
                continue;
            }
            let Some((kind, name)) = key.split_once('.') else { continue };
            let value: Value<'_> = match kind {
                "ep" | "up" => Value::Text(Cow::Borrowed(value)),
                "epn" | "upn" => {
                    Value::of_number_text(value).unwrap_or(Value::Text(Cow::Borrowed(value)))
                }
                _ => continue,
            };
            match kind {
                "up" | "upn" => self.user_property(name, value, event, oddities),
                _ if params_left == 0 || event.has(name) || !self.is_param(name) => {
                    oddities.dropped_params += 1;
                }
                _ => {
                    params_left -= 1;
                    event.add(name, value.cut(self.limits.value_chars(name), oddities));
                }
            }
        }
        if is_promotion(&event.name) {
            let own = [("pi", "promotion_id"), ("pn", "promotion_name"), ("cn", "creative_name")];
            for (key, name) in own.into_iter().chain([("cs", "creative_slot")]) {
                if let Some(value) = form.get(key).filter(|value| !value.is_empty()) {
                    let value = cut(Cow::Borrowed(value), self.limits.param_value_chars, oddities);
                    event.add(name, Value::Text(value));
                }
            }
        }
        let traffic: Vec<_> = event.traffic.params().collect();
        for (name, value) in traffic {
            if !event.has(&name) {
                event.params.push((name, value));
            }
        }
        items.sort_unstable_by_key(|(number, _)| *number);
        oddities.dropped_params += items.len().saturating_sub(self.limits.items) as u64;
        let parts = items.into_iter().take(self.limits.items);
        parts.filter_map(|(_, parts)| Item::of_parts(parts, self.limits, oddities)).collect()
    }

    fn is_param(&self, name: &str) -> bool {
        !name.is_empty() && params::loose_name_problem(name, self.limits.param_name_chars).is_none()
    }

    fn user_property<'f>(
        &self,
        name: &'f str,
        value: Value<'f>,
        event: &mut Event<'f>,
        oddities: &mut Oddities,
    ) {
        let most = self.limits.user_property_name_chars;
        let is_name = !name.is_empty() && params::loose_name_problem(name, most).is_none();
        if !is_name || event.user_properties.len() == self.limits.user_properties {
            oddities.dropped_params += 1;
            return;
        }
        let value = value.cut(self.limits.user_property_value_chars, oddities);
        event.user_properties.push(UserProperty { name: Cow::Borrowed(name), value, set_at: None });
    }

    /// The device, from client hints where there are any, else crudely from the user agent.
    fn device<'f>(&self, form: &'f Form<'_>) -> Device<'f> {
        let text = |key: &str| form.get(key).filter(|value| !value.is_empty()).map(Cow::Borrowed);
        let by_agent = self.receipt.user_agent.as_deref().map(device::category);
        let category = match form.get("uamb") {
            Some("1") if by_agent != Some("tablet") => Some("mobile"),
            _ => by_agent,
        };
        let browser = form.get("uafvl").and_then(device::browser);
        let hostname = text("dh").or_else(|| form.get("dl").and_then(host).map(Cow::Owned));
        let (browser, browser_version) = browser.unzip();
        Device {
            category: category.map(Cow::Borrowed),
            brand: None,
            model: text("uam"),
            operating_system: text("uap"),
            operating_system_version: text("uapv"),
            language: form.get("ul").map(|language| Cow::Owned(language.to_lowercase())),
            browser: browser.map(Cow::Owned),
            browser_version: browser_version.map(Cow::Owned),
            hostname,
        }
    }

    /// The event's row behind those that its flags stand for.
    fn rows(&self, form: &Form<'_>, mut event: Event<'_>) -> Result<Vec<Accepted>, Refusal> {
        let own = event.params.iter().find(|(key, _)| key == EVENT_ID_PARAM);
        let own = own.map(|(_, value)| value.clone().into_text().into_owned());
        if let Some(problem) = own.as_ref().and_then(|id| params::event_id_problem(id, self.limits))
        {
            return Err(Refusal::new(Reason::EventIdInvalid, problem));
        }
        let event_id = own.or_else(|| self.receipt.event_id(self.index));
        let mut rows = Vec::with_capacity(1);
        for (key, name) in [("_fv", "first_visit"), ("_ss", "session_start")] {
            let flag = form.get(key).unwrap_or_default();
            if flag.is_empty() || flag == "0" || event.name == name {
                continue;
            }
            // A suffix of up to 14 characters: longer than the limit is harmless here.
            let event_id = event_id.as_ref().map(|id| format!("{id}/{name}"));
            let mut derived = event.derive(name, flag == "2");
            if let Some(id) = &event_id {
                derived.set_event_id(id);
            }
            let line = derived.row(self.receipt);
            rows.push(Accepted { line, index: self.index, event_id, derived: true });
        }
        if let Some(id) = &event_id {
            event.set_event_id(id);
        }
        let line = event.row(self.receipt);
        rows.push(Accepted { line, index: self.index, event_id, derived: false });
        Ok(rows)
    }
}

fn is_promotion(event_name: &str) -> bool {
    matches!(event_name, "view_promotion" | "select_promotion")
}

/// The number of `pr1`, `pr200`: digits only.
fn item_number(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}
