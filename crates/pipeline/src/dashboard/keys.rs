//! Keys of an address: one table of what each takes, for pages, API and command line.

use chrono::NaiveDate;

/// Attribution models that are shown when none is asked for.
const MODELS: [&str; 2] = ["first_click", "last_click"];

/// What credit can be split by.
pub(super) const DIMENSIONS: [&str; 4] = ["channel", "source", "medium", "campaign"];

/// What filters know besides: columns of persons.
pub(super) const PERSON_DIMENSIONS: [(&str, &str); 2] =
    [("country", "country"), ("device", "device_category")];

const DAYS_MAX: i64 = 400;
const LIMIT_MAX: usize = 1_000;

/// A key whose value is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageKeyFault {
    /// The key.
    pub key: String,
    /// What it was given.
    pub value: String,
    /// What it takes.
    pub why: String,
}

/// Which days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Days(i64),
    Between(NaiveDate, NaiveDate),
}

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) dimension: String,
    pub(super) values: Vec<String>,
    pub(super) excludes: bool,
}

/// All keys with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) span: Span,
    pub(super) compare: bool,
    pub(super) whole_weeks: bool,
    pub(super) conversion: Option<String>,
    pub(super) by: String,
    pub(super) models: Vec<String>,
    pub(super) by_revenue: bool,
    pub(super) currency: Option<String>,
    pub(super) filters: Vec<Filter>,
    /// Whether models of the first touch count conversions whose window starts before the first loaded day [2.15].
    pub(super) counts_cut: bool,
    pub(super) collapse: bool,
    pub(super) limit: usize,
    pub(super) after: Option<(i64, String)>,
    pub(super) q: Option<String>,
    pub(super) opened: Option<String>,
    pub(super) closed: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) path: Option<Vec<String>>,
    pub(super) length: Option<i64>,
    pub(super) lag: Option<i64>,
    pub(super) day: Option<NaiveDate>,
    pub(super) select: Option<String>,
    /// As it was given, for the same question on the command line.
    pub(super) given: Vec<(String, String)>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            span: Span::Days(28),
            compare: true,
            whole_weeks: true,
            conversion: None,
            by: "channel".into(),
            models: MODELS.map(str::to_owned).to_vec(),
            by_revenue: false,
            currency: None,
            filters: Vec::new(),
            counts_cut: false,
            collapse: false,
            limit: 50,
            after: None,
            q: None,
            opened: None,
            closed: None,
            channel: None,
            path: None,
            length: None,
            lag: None,
            day: None,
            select: None,
            given: Vec::new(),
        }
    }
}

impl Keys {
    /// The model under which filtered figures are counted.
    pub(super) fn model(&self) -> &str {
        self.models.last().map_or("last_click", String::as_str)
    }

    /// Holds the attribution models that are asked for against those that the tables hold. Where none was asked for and
    /// the usual two are not there, others are taken.
    pub(super) fn settle_models(&mut self, found: &[String]) -> Result<(), PageKeyFault> {
        let asked = self.given.iter().find(|(key, _)| key == "m");
        if found.is_empty() {
            return Ok(());
        }
        match asked {
            Some((key, value)) if self.models.iter().any(|model| !found.contains(model)) => {
                Err(PageKeyFault {
                    key: key.clone(),
                    value: value.clone(),
                    why: format!("one or more of {}", found.join(", ")),
                })
            }
            Some(_) => Ok(()),
            None => {
                self.models.retain(|model| found.contains(model));
                if self.models.is_empty() {
                    self.models = found.iter().take(2).cloned().collect();
                }
                Ok(())
            }
        }
    }

    /// Reads all keys, or tells all that are not understood. `timezone` is the report's own.
    pub(super) fn read(
        query: &[(String, String)],
        timezone: &str,
    ) -> Result<Self, Vec<PageKeyFault>> {
        let (mut keys, mut faults) = (Self::default(), Vec::new());
        for (key, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            match keys.take(key, value, timezone) {
                Ok(()) => keys.given.push((key.clone(), value.clone())),
                Err(why) => {
                    faults.push(PageKeyFault { key: key.clone(), value: value.clone(), why });
                }
            }
        }
        if faults.is_empty() { Ok(keys) } else { Err(faults) }
    }

    fn take(&mut self, key: &str, value: &str, timezone: &str) -> Result<(), String> {
        let some = || Some(value.to_owned());
        match key {
            "d" => self.span = span(value)?,
            "cmp" => self.compare = one(value, ["none", "prev"])? == 1,
            "dow" => self.whole_weeks = one(value, ["0", "1"])? == 1,
            "conv" => self.conversion = some(),
            "by" => self.by = DIMENSIONS[one(value, DIMENSIONS)?].into(),
            "m" => self.models = models(value)?,
            "v" => self.by_revenue = one(value, ["conv", "rev"])? == 1,
            "cur" => self.currency = Some(currency(value)?),
            "f" => self.filters = filters(value)?,
            "tz" if value == timezone => {}
            "tz" => {
                return Err(format!(
                    "dates are in {timezone}; set the var `timezone` and build again for others"
                ));
            }
            "cut" => self.counts_cut = one(value, ["out", "in"])? == 1,
            "collapse" => self.collapse = one(value, ["0", "1"])? == 1,
            "limit" => {
                let limit = number(value)? as usize;
                let fits = (1..=LIMIT_MAX).contains(&limit);
                self.limit = fits.then_some(limit).ok_or(format!("1 to {LIMIT_MAX}"))?;
            }
            "after" => {
                let (at, id) = value.split_once('.').ok_or("the `next` of the page before")?;
                let at = at.parse().map_err(|_| "the `next` of the page before")?;
                self.after = Some((at, id.to_owned()));
            }
            "q" => self.q = some(),
            "opened" => self.opened = some(),
            "closed" => self.closed = some(),
            "channel" => self.channel = some(),
            "path" => {
                self.path = Some(value.split('>').map(|step| unescaped(step.trim())).collect());
            }
            "length" => self.length = Some(number(value)?),
            "lag" => self.lag = Some(number(value)?),
            "day" => self.day = Some(date(value).ok_or("a day such as 2026-09-01")?),
            "select" => self.select = some(),
            "snap" | "sort" | "node" | "type" | "token" => {}
            _ => return Err("there is no such key".into()),
        }
        Ok(())
    }
}

fn one<const N: usize>(value: &str, known: [&str; N]) -> Result<usize, String> {
    known.iter().position(|one| *one == value).ok_or_else(|| known.join(", "))
}

fn number(value: &str) -> Result<i64, String> {
    value.parse().ok().filter(|number| *number >= 0).ok_or_else(|| "a whole number".to_owned())
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn span(value: &str) -> Result<Span, String> {
    let hint = || format!("1 to {DAYS_MAX} days, or 2026-09-01..2026-09-28");
    if let Some((from, to)) = value.split_once("..") {
        let (from, to) = date(from).zip(date(to)).ok_or_else(hint)?;
        let days = (to - from).num_days() + 1;
        return if (1..=DAYS_MAX).contains(&days) {
            Ok(Span::Between(from, to))
        } else {
            Err(hint())
        };
    }
    let days = value.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.map(Span::Days).ok_or_else(hint)
}

fn models(value: &str) -> Result<Vec<String>, String> {
    let mut models: Vec<String> = Vec::new();
    for name in value.split(',') {
        let name = match name {
            "first" => "first_click",
            "last" => "last_click",
            other => other,
        };
        let plain = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
        if name.is_empty() || !name.chars().all(plain) || models.iter().any(|model| model == name) {
            return Err("names of attribution models, each once, such as first,last".into());
        }
        models.push(name.to_owned());
    }
    Ok(models)
}

fn currency(value: &str) -> Result<String, String> {
    let fits = value.len() <= 10 && value.chars().all(|char| char.is_ascii_alphanumeric());
    fits.then(|| value.to_ascii_uppercase()).ok_or_else(|| "a currency such as EUR".into())
}

fn filters(value: &str) -> Result<Vec<Filter>, String> {
    let known: Vec<&str> =
        DIMENSIONS.into_iter().chain(PERSON_DIMENSIONS.map(|(name, _)| name)).collect();
    let hint = || format!("dimension:value|value;-dimension:value with {}", known.join(", "));
    let mut filters = Vec::new();
    for part in value.split(';').filter(|part| !part.is_empty()) {
        let (excludes, rest) = match part.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, part),
        };
        let (dimension, values) = rest.split_once(':').ok_or_else(hint)?;
        let values: Vec<String> =
            values.split('|').filter(|value| !value.is_empty()).map(unescaped).collect();
        if !known.contains(&dimension) || values.is_empty() {
            return Err(hint());
        }
        filters.push(Filter { dimension: dimension.to_owned(), values, excludes });
    }
    Ok(filters)
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (code, char) in
        [("%3B", ";"), ("%3b", ";"), ("%7C", "|"), ("%7c", "|"), ("%3E", ">"), ("%3e", ">")]
    {
        text = text.replace(code, char);
    }
    text.replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Keys, Vec<String>> {
        let query: Vec<_> =
            query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Keys::read(&query, "Europe/Paris")
            .map_err(|faults| faults.into_iter().map(|fault| fault.key).collect())
    }

    #[test]
    fn absent_keys_have_their_defaults() {
        assert_eq!(read(&[]).unwrap(), Keys::default());
        assert_eq!(read(&[("d", "")]).unwrap(), Keys::default());
    }

    #[test]
    fn every_bad_key_is_told_at_once() {
        let bad = [
            ("d", "0"),
            ("d", "401"),
            ("d", "2026-09-02..2026-09-01"),
            ("cmp", "last"),
            ("by", "colour"),
            ("m", "linear,"),
            ("m", "linear; drop"),
            ("m", "first,first"),
            ("v", "clicks"),
            ("cut", "1"),
            ("f", "medium"),
            ("f", "colour:red"),
            ("tz", "UTC"),
            ("limit", "0"),
            ("after", "x"),
            ("day", "today"),
            ("colour", "red"),
        ];
        let told = read(&bad).unwrap_err();
        assert_eq!(told, bad.map(|(key, _)| key));
    }

    #[test]
    fn models_are_those_that_the_tables_hold() {
        let found = ["first_click", "last_click", "linear"].map(str::to_owned);
        let settled = |query: &[(&str, &str)], found: &[String]| {
            let mut keys = read(query).unwrap();
            keys.settle_models(found).map(|()| keys.models).map_err(|fault| fault.why)
        };
        assert_eq!(settled(&[], &found).unwrap(), ["first_click", "last_click"]);
        assert_eq!(settled(&[("m", "linear,last")], &found).unwrap(), ["linear", "last_click"]);
        assert_eq!(
            settled(&[("m", "markov")], &found).unwrap_err(),
            "one or more of first_click, last_click, linear"
        );
        let own = ["by_weather", "linear"].map(str::to_owned);
        assert_eq!(settled(&[], &own).unwrap(), own);
        // Before the first conversion nobody knows which there will be.
        assert_eq!(settled(&[("m", "markov")], &[]).unwrap(), ["markov"]);
    }

    #[test]
    fn filters_hold_any_text() {
        let keys =
            read(&[("f", "campaign:a%7Cb%3Bc%25|d;-country:FR"), ("tz", "Europe/Paris")]).unwrap();
        assert_eq!(keys.filters[0].values, ["a|b;c%", "d"]);
        assert!(keys.filters[1].excludes);
        let keys = read(&[("path", "Email>a%3Eb"), ("m", "last,first")]).unwrap();
        assert_eq!(keys.path.unwrap(), ["Email", "a>b"]);
        assert_eq!(keys.models, ["last_click", "first_click"]);
    }
}
