//! Items and totals of ecommerce events.

use std::borrow::Cow;

use super::json::{Json, Object};
use super::limits::Limits;
use super::object::Members;
use super::outcome::Oddities;
use super::params::{Param, Value, cut, write_param};

/// Text columns of an item, in the order of the export, with gtag's code of each.
const TEXTS: [(&str, &str); 19] = [
    ("item_id", "id"),
    ("item_name", "nm"),
    ("item_brand", "br"),
    ("item_variant", "va"),
    ("item_category", "ca"),
    ("item_category2", "c2"),
    ("item_category3", "c3"),
    ("item_category4", "c4"),
    ("item_category5", "c5"),
    ("coupon", "cp"),
    ("affiliation", "af"),
    ("location_id", "lo"),
    ("item_list_id", "li"),
    ("item_list_name", "ln"),
    ("item_list_index", "lp"),
    ("promotion_id", "pi"),
    ("promotion_name", "pn"),
    ("creative_name", "cn"),
    ("creative_slot", "cs"),
];

/// Text columns before `coupon`: the export has the numbers between them.
const TEXTS_BEFORE_NUMBERS: usize = 9;

/// Columns of an item that, when missing, are those of the event.
const INHERITED: [&str; 6] = [
    "item_list_id",
    "item_list_name",
    "promotion_id",
    "promotion_name",
    "creative_name",
    "creative_slot",
];

/// One item of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Item<'a> {
    texts: [Option<Cow<'a, str>>; TEXTS.len()],
    price: Option<f64>,
    quantity: Option<i64>,
    params: Vec<Param<'a>>,
}

impl<'a> Item<'a> {
    /// An item of the Measurement Protocol: an object with the columns' names; `None` when it has
    /// neither id nor name.
    pub(super) fn of_object(
        object: &'a Object<'_>,
        limits: &Limits,
        oddities: &mut Oddities,
    ) -> Option<Self> {
        let mut item = Self::default();
        for (key, json) in &object.0 {
            let Some(value) = Value::of_json(json) else {
                oddities.dropped_params += u64::from(!matches!(json, Json::Null));
                continue;
            };
            let name = if key == "index" { "item_list_index" } else { key.as_ref() };
            match name {
                "price" if value.number().is_some() => item.price = value.number(),
                "quantity" if whole(&value).is_some() => item.quantity = whole(&value),
                _ => match TEXTS.iter().position(|(column, _)| *column == name) {
                    Some(index) => item.set_text(index, value.into_text(), limits, oddities),
                    None => item.add_param(Cow::Borrowed(name), value, limits, oddities),
                },
            }
        }
        item.if_named(oddities)
    }

    /// An item of gtag: parts joined by `~`, each with a code of two characters.
    pub(super) fn of_parts(
        text: &'a str,
        limits: &Limits,
        oddities: &mut Oddities,
    ) -> Option<Self> {
        let mut item = Self::default();
        let mut names: Vec<(&str, &str)> = Vec::new();
        for part in text.split('~') {
            let (Some(code), Some(value)) = (part.get(..2), part.get(2..)) else {
                oddities.dropped_params += u64::from(!part.is_empty());
                continue;
            };
            match code {
                "pr" => item.price = Value::Text(Cow::Borrowed(value)).number(),
                "qt" => item.quantity = whole(&Value::Text(Cow::Borrowed(value))),
                "ds" => {
                    let value = Value::of_number_text(value);
                    if let Some(value) = value {
                        item.add_param(Cow::Borrowed("discount"), value, limits, oddities);
                    }
                }
                _ => match TEXTS.iter().position(|(_, known)| *known == code) {
                    Some(index) => item.set_text(index, Cow::Borrowed(value), limits, oddities),
                    None => match custom(part) {
                        Some(('k', number, name)) => names.push((number, name)),
                        Some((_, number, value)) => {
                            let named = names.iter().position(|(of, _)| *of == number);
                            let Some(index) = named else {
                                oddities.dropped_params += 1;
                                continue;
                            };
                            let (_, name) = names.swap_remove(index);
                            let value = Value::Text(Cow::Borrowed(value));
                            item.add_param(Cow::Borrowed(name), value, limits, oddities);
                        }
                        None => oddities.dropped_params += 1,
                    },
                },
            }
        }
        item.if_named(oddities)
    }

    /// Takes the event's value of columns that are missing.
    pub(super) fn inherit(&mut self, params: &[Param<'a>]) {
        for name in INHERITED {
            let Some(index) = TEXTS.iter().position(|(column, _)| *column == name) else {
                continue;
            };
            if self.texts[index].is_none() {
                let found = params.iter().find(|(key, _)| key == name);
                self.texts[index] = found.map(|(_, value)| value.clone().into_text());
            }
        }
    }

    fn set_text(
        &mut self,
        index: usize,
        value: Cow<'a, str>,
        limits: &Limits,
        oddities: &mut Oddities,
    ) {
        if !value.is_empty() {
            self.texts[index] = Some(cut(value, limits.param_value_chars, oddities));
        }
    }

    fn add_param(
        &mut self,
        name: Cow<'a, str>,
        value: Value<'a>,
        limits: &Limits,
        oddities: &mut Oddities,
    ) {
        let is_name = !name.is_empty() && name.chars().count() <= limits.param_name_chars;
        if self.params.len() == limits.item_params || !is_name {
            oddities.dropped_params += 1;
        } else {
            self.params.push((name, value.cut(limits.param_value_chars, oddities)));
        }
    }

    fn if_named(self, oddities: &mut Oddities) -> Option<Self> {
        let is_named = self.texts[0].is_some() || self.texts[1].is_some();
        oddities.dropped_params += u64::from(!is_named);
        is_named.then_some(self)
    }

    /// Price × quantity, where a missing quantity is one.
    fn amount(&self) -> Option<f64> {
        Some(money(self.price? * self.quantity.unwrap_or(1) as f64))
            .filter(|value| value.is_finite())
    }

    fn write(&self, members: &mut Members<'_>, sale: Sale, is_usd: bool) {
        for (index, (name, _)) in TEXTS.iter().enumerate().take(TEXTS_BEFORE_NUMBERS) {
            members.text(name, self.texts[index].as_deref());
        }
        members.float("price_in_usd", self.price.filter(|_| is_usd));
        members.float("price", self.price);
        members.int("quantity", Some(self.quantity.unwrap_or(1)));
        let (usd_key, key) = match sale {
            Sale::Purchase => ("item_revenue_in_usd", "item_revenue"),
            Sale::Refund => ("item_refund_in_usd", "item_refund"),
            Sale::None => ("", ""),
        };
        if let Some(amount) = self.amount().filter(|_| sale != Sale::None) {
            members.float(usd_key, is_usd.then_some(amount));
            members.float(key, Some(amount));
        }
        for (index, (name, _)) in TEXTS.iter().enumerate().skip(TEXTS_BEFORE_NUMBERS) {
            members.text(name, self.texts[index].as_deref());
        }
        members.list("item_params", &self.params, write_param);
    }
}

/// `k0name` or `v0value`: the letter, the digits, the rest.
fn custom(part: &str) -> Option<(char, &str, &str)> {
    let letter = part.chars().next().filter(|letter| matches!(letter, 'k' | 'v'))?;
    let rest = &part[1..];
    // One digit: with more, a name that begins with a digit could not be told from the number.
    let digits = rest.get(..1).filter(|digit| digit.as_bytes()[0].is_ascii_digit())?;
    Some((letter, digits, &rest[1..]))
}

fn whole(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Text(text) => match Value::of_number_text(text.trim())? {
            Value::Int(value) => Some(value),
            _ => None,
        },
        Value::Float(_) => None,
    }
}

/// Rounded to a millionth, so that 3 × 19.99 is 59.97.
fn money(value: f64) -> f64 {
    let micros = value * 1e6;
    if micros.abs() < 9e15 { micros.round() / 1e6 } else { value }
}

/// Which way the money of an event goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sale {
    Purchase,
    Refund,
    #[default]
    None,
}

/// Items and totals of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Commerce<'a> {
    sale: Sale,
    is_usd: bool,
    value: Option<f64>,
    shipping: Option<f64>,
    tax: Option<f64>,
    transaction_id: Option<Cow<'a, str>>,
    items: Vec<Item<'a>>,
}

impl<'a> Commerce<'a> {
    /// Reads the amounts from an event's params; items inherit from them.
    pub(super) fn of(event_name: &str, params: &[Param<'a>], mut items: Vec<Item<'a>>) -> Self {
        let sale = match event_name {
            "purchase" => Sale::Purchase,
            "refund" => Sale::Refund,
            _ => Sale::None,
        };
        let param = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let number = |name: &str| param(name).and_then(Value::number);
        let currency = param("currency").map(|value| value.clone().into_text());
        let transaction_id = param("transaction_id").map(|value| value.clone().into_text());
        for item in &mut items {
            item.inherit(params);
        }
        Self {
            sale,
            is_usd: currency.is_some_and(|code| code.trim().eq_ignore_ascii_case("USD")),
            value: number("value"),
            shipping: number("shipping"),
            tax: number("tax"),
            transaction_id: transaction_id.filter(|id| !id.is_empty()),
            items,
        }
    }

    /// `event_value_in_usd`: known only when the event says US dollars.
    pub(super) fn value_in_usd(&self) -> Option<f64> {
        self.value.filter(|_| self.is_usd)
    }

    pub(super) fn write_ecommerce(&self, members: &mut Members<'_>) {
        let usd = |value: Option<f64>| value.filter(|_| self.is_usd);
        if !self.items.is_empty() {
            let quantity = |item: &Item<'_>| item.quantity.unwrap_or(1);
            let total = self.items.iter().map(quantity).fold(0, i64::saturating_add);
            members.int("total_item_quantity", Some(total));
        }
        match self.sale {
            Sale::Purchase => {
                members.float("purchase_revenue_in_usd", usd(self.value));
                members.float("purchase_revenue", self.value);
            }
            Sale::Refund => {
                members.float("refund_value_in_usd", usd(self.value));
                members.float("refund_value", self.value);
            }
            Sale::None => {}
        }
        if self.sale != Sale::None {
            members.float("shipping_value_in_usd", usd(self.shipping));
            members.float("shipping_value", self.shipping);
            members.float("tax_value_in_usd", usd(self.tax));
            members.float("tax_value", self.tax);
        }
        if !self.items.is_empty() {
            members.int("unique_items", i64::try_from(self.items.len()).ok());
        }
        members.text("transaction_id", self.transaction_id.as_deref());
    }

    pub(super) fn write_items(&self, members: &mut Members<'_>) {
        members.list("items", &self.items, |members, item| {
            item.write(members, self.sale, self.is_usd);
        });
    }
}
