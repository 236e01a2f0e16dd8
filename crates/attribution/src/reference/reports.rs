//! Conversions, journeys and touches → what the reports count.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Attribution, Conversion, JourneyStep, Settings, Text};

/// A conversion is provisional so long after it, by the newest event `[2.18]`.
const PROVISIONAL_MICROS: i64 = 72 * 3_600_000_000;

/// A number of conversions and their revenue in millionths; a missing revenue adds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub number: u64,
    /// Millionths.
    pub revenue_micros: i128,
}

/// What a channel did in journeys, counted once for each: influence, not credit `[2.33]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Influence {
    /// Journeys that hold it, with their revenue.
    pub participated: Count,
    /// Journeys that it did not close.
    pub assisted: u64,
    /// Journeys that it opened.
    pub began: u64,
    /// Journeys that it closed.
    pub closed: u64,
    /// Its touches in them.
    pub touches: u64,
}

/// Key event, something, currency.
type By<T> = (Text, T, Option<Text>);

/// Rows of the reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports {
    /// `mart_conversion_lag`, by whole days from the first touch.
    pub lags: BTreeMap<By<i64>, Count>,
    /// `mart_assists`, by channel.
    pub assists: BTreeMap<By<Text>, Influence>,
    /// `mart_paths`, by channels in order: those that converted, and how many were lost `[2.31]`.
    pub paths: BTreeMap<By<Vec<Text>>, (Count, u64)>,
    /// `mart_transitions`: key event, from, to.
    pub transitions: BTreeMap<(Text, Text, Text), u64>,
    /// `mart_provisional`: conversion, young, with a cut window `[2.15, 2.18]`.
    pub provisional: BTreeMap<Text, (bool, bool)>,
}

/// Counts what an answer holds; `newest_at` is the time of the last event.
#[must_use]
pub fn reports(answer: &Attribution, newest_at: i64, settings: &Settings<'_>) -> Reports {
    let mut reports = Reports::default();
    let mut journeys: HashMap<&Text, Vec<&JourneyStep>> = HashMap::new();
    for step in &answer.journeys {
        journeys.entry(&step.conversion_id).or_default().push(step);
    }
    // Without a touch the channel is what every attribution model says.
    let alone = answer.credits.iter().filter(|credit| credit.touch_id.is_none());
    let alone: HashMap<&Text, &Text> =
        alone.map(|credit| (&credit.conversion_id, &credit.channel)).collect();
    for conversion in answer.conversions.iter().filter(|conversion| conversion.is_counted) {
        let id = &conversion.conversion_id;
        let is_young = conversion.position.timestamp > newest_at - PROVISIONAL_MICROS;
        if is_young || !conversion.lookback_complete {
            reports.provisional.insert(id.clone(), (is_young, !conversion.lookback_complete));
        }
        let steps = journeys.get(id).map(Vec::as_slice).unwrap_or_default();
        reports.add_journey(conversion, steps);
        let channels: Vec<Text> = match steps {
            [] => alone.get(id).into_iter().map(|channel| (*channel).clone()).collect(),
            steps => steps.iter().map(|step| step.channel.clone()).collect(),
        };
        reports.walk(&conversion.event_name, &channels, "(conversion)");
        let key = (conversion.event_name.clone(), channels, conversion.currency.clone());
        reports.paths.entry(key).or_default().0.add(conversion);
    }
    for key_event in &settings.key_events {
        reports.add_lost(answer, &key_event.event_name);
    }
    reports
}

impl Count {
    fn add(&mut self, conversion: &Conversion) {
        self.number += 1;
        self.revenue_micros += i128::from(conversion.revenue_micros.unwrap_or(0));
    }
}

impl Reports {
    fn add_journey(&mut self, conversion: &Conversion, steps: &[&JourneyStep]) {
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return };
        let of = |channel: &Text| {
            (conversion.event_name.clone(), channel.clone(), conversion.currency.clone())
        };
        let days = steps.iter().map(|step| step.seconds_before).max().unwrap_or(0) / 86_400;
        let lag = (conversion.event_name.clone(), days, conversion.currency.clone());
        self.lags.entry(lag).or_default().add(conversion);
        let channels: HashSet<&Text> = steps.iter().map(|step| &step.channel).collect();
        for channel in channels {
            let influence = self.assists.entry(of(channel)).or_default();
            influence.participated.add(conversion);
            influence.began += u64::from(first.channel == *channel);
            influence.closed += u64::from(last.channel == *channel);
            influence.assisted += u64::from(last.channel != *channel);
            influence.touches +=
                steps.iter().filter(|step| step.channel == *channel).count() as u64;
        }
    }

    /// Steps from the start over channels to an end.
    fn walk(&mut self, event_name: &Text, channels: &[Text], end: &str) {
        let places = std::iter::once(Text::from("(start)")).chain(channels.iter().cloned());
        let places: Vec<Text> = places.chain([Text::from(end)]).collect();
        for pair in places.windows(2) {
            let step = (event_name.clone(), pair[0].clone(), pair[1].clone());
            *self.transitions.entry(step).or_default() += 1;
        }
    }

    /// Touches that no journey of a key event holds; those between two that one holds are one path `[2.31]`.
    fn add_lost(&mut self, answer: &Attribution, event_name: &Text) {
        let of_event = answer.conversions.iter().filter(|one| one.event_name == *event_name);
        let of_event: HashSet<&Text> = of_event.map(|one| &one.conversion_id).collect();
        let won = answer.journeys.iter().filter(|step| of_event.contains(&step.conversion_id));
        let won: HashSet<&Text> = won.map(|step| &step.touch_id).collect();
        let mut people: BTreeMap<&Text, Vec<(u32, Option<&Text>)>> = BTreeMap::new();
        for touch in &answer.touches {
            let channel = (!won.contains(&touch.touch_id)).then_some(&touch.channel);
            people.entry(&touch.person_key).or_default().push((touch.touch_number, channel));
        }
        for mut touches in people.into_values() {
            touches.sort_unstable();
            for run in touches.split(|(_, channel)| channel.is_none()) {
                let channels: Vec<Text> = run.iter().filter_map(|(_, one)| one.cloned()).collect();
                if channels.is_empty() {
                    continue;
                }
                self.walk(event_name, &channels, "(loss)");
                let path = (event_name.clone(), channels, None);
                self.paths.entry(path).or_default().1 += 1;
            }
        }
    }
}
