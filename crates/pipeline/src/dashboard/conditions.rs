//! What a page's keys mean in SQL: its period, filters and currency, and the credits that it counts.

use chrono::{Duration, NaiveDate};

use super::keys::{Filter, PERSON_DIMENSIONS};
use super::page::Page;
use crate::catalog::literal;

/// Models that credit the first touch alone: where the window starts before the first loaded day, nobody saw it `[2.15]`.
const OF_THE_FIRST: [&str; 2] = ["first_click", "first_touch"];

impl Page<'_> {
    /// Days of the period, as a condition.
    pub(super) fn within(&self, column: &str) -> String {
        format!("{column} between date '{}' and date '{}'", self.from, self.to)
    }

    /// The period before, if it is compared with and in the data.
    pub(super) fn before(&self) -> Option<(NaiveDate, NaiveDate)> {
        let shift = Duration::days(self.shift?);
        let to = self.to - shift;
        // A period that the data holds in part would be compared with a whole one.
        let from = self.from - shift;
        self.bounds.first.is_some_and(|first| first <= from).then_some((from, to))
    }

    /// Until when the last day of the period before counts, when the period ends with a day that is not over.
    pub(super) fn before_until(&self) -> Option<(NaiveDate, i64)> {
        let shift = self.shift?;
        let day = self.partial_day?;
        Some((day - Duration::days(shift), self.as_of - shift * 86_400_000_000))
    }

    /// Revenue in the page's currency.
    pub(super) fn revenue(&self, prefix: &str) -> String {
        match &self.currency {
            Some(currency) => format!(
                "case when {prefix}currency = {} then {prefix}revenue end",
                literal(currency)
            ),
            None => "cast(null as decimal(18, 6))".into(),
        }
    }

    /// Filters that speak of touches, as a condition on their columns, each after ` and `.
    pub(super) fn touch_filters(&self, prefix: &str) -> String {
        let of_touches = |filter: &&Filter| person_column(&filter.dimension).is_none();
        let filters = self.keys.filters.iter().filter(of_touches);
        filters.map(|filter| condition(&format!("{prefix}{}", filter.dimension), filter)).collect()
    }

    /// Filters that speak of persons, as a condition on `person_key`.
    pub(super) fn person_filters(&self, prefix: &str) -> String {
        let conditions: String = self
            .keys
            .filters
            .iter()
            .filter_map(|filter| Some(condition(person_column(&filter.dimension)?, filter)))
            .collect();
        if conditions.is_empty() {
            return conditions;
        }
        format!(
            " and {prefix}person_key in (select person_key from int_users where true{conditions})"
        )
    }

    /// Which credits pages leave out by default: a first touch where the window starts before the first loaded day `[2.15]`.
    pub(super) fn left_out(&self, prefix: &str) -> String {
        if self.keys.counts_cut {
            return "false".into();
        }
        let models = OF_THE_FIRST.map(literal).join(", ");
        format!("({prefix}attribution_model in ({models}) and not {prefix}lookback_complete)")
    }

    /// The same for one attribution model, as a condition on those that are kept; after ` and `.
    pub(super) fn kept(&self, prefix: &str, model: &str) -> String {
        match !self.keys.counts_cut && OF_THE_FIRST.contains(&model) {
            true => format!(" and {prefix}lookback_complete"),
            false => String::new(),
        }
    }

    /// Credits of one attribution model that the page counts: `from` and `where` of a query.
    pub(super) fn credits(&self, alias: &str, model: &str) -> String {
        format!("{}{}", self.all_credits(alias, model), self.kept(&format!("{alias}."), model))
    }

    /// The same with those that are left out.
    pub(super) fn all_credits(&self, alias: &str, model: &str) -> String {
        format!(
            "from fct_credits as {alias} where {alias}.attribution_model = {} and {alias}.event_name = {} and {}{}{}",
            literal(model),
            literal(&self.conversion),
            self.within(&format!("{alias}.conversion_date")),
            self.touch_filters(&format!("{alias}.")),
            self.person_filters(&format!("{alias}.")),
        )
    }

    /// Sums of credits `c`: conversions and revenue, those of them that no touch can be credited for, and what is left out.
    pub(super) fn sums(&self) -> String {
        let (revenue, out) = (self.revenue("c."), self.left_out("c."));
        let sums = |name: &str, when: &str| {
            format!(
                "{} as {name}, sum(case when {when} then {revenue} end) as {name}_revenue",
                conversions(&format!("case when {when} then c.credit_micros end"))
            )
        };
        format!(
            "{}, {}, {}",
            sums("kept", &format!("not {out}")),
            sums("lost", &format!("not {out} and c.channel = '(no touch)'")),
            sums("left_out", &out),
        )
    }
}

fn person_column(dimension: &str) -> Option<&'static str> {
    PERSON_DIMENSIONS.iter().find(|(name, _)| *name == dimension).map(|(_, column)| *column)
}

fn condition(column: &str, filter: &Filter) -> String {
    let values: Vec<String> = filter.values.iter().map(|value| literal(value)).collect();
    let not = if filter.excludes { "not " } else { "" };
    format!(" and coalesce({column}, '(not set)') {not}in ({})", values.join(", "))
}

/// A sum of credits as conversions: exact to the millionth.
pub(super) fn conversions(credit: &str) -> String {
    format!(
        "cast(cast(coalesce(sum({credit}), 0) as decimal(30, 0)) * cast('0.000001' as decimal(7, 6)) as decimal(30, 6))"
    )
}
