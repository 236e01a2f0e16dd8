//! The device, as far as a hit says: crude kinds from the user agent, exact values from client
//! hints.

use std::borrow::Cow;

use super::form::decode;
use super::limits::Limits;
use super::object::Members;
use super::outcome::Oddities;
use super::params::cut;

/// The leaves of `device` that are ever filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Device<'a> {
    pub(super) category: Option<Cow<'a, str>>,
    pub(super) brand: Option<Cow<'a, str>>,
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) operating_system: Option<Cow<'a, str>>,
    pub(super) operating_system_version: Option<Cow<'a, str>>,
    pub(super) language: Option<Cow<'a, str>>,
    pub(super) browser: Option<Cow<'a, str>>,
    pub(super) browser_version: Option<Cow<'a, str>>,
    pub(super) hostname: Option<Cow<'a, str>>,
}

impl Device<'_> {
    /// Cuts all values to their limit; empty ones go.
    pub(super) fn bound(&mut self, limits: &Limits, oddities: &mut Oddities) {
        let all = [
            &mut self.category,
            &mut self.brand,
            &mut self.model,
            &mut self.operating_system,
            &mut self.operating_system_version,
            &mut self.language,
            &mut self.browser,
            &mut self.browser_version,
            &mut self.hostname,
        ];
        for value in all {
            let filled = value.take().filter(|value| !value.is_empty());
            *value = filled.map(|value| cut(value, limits.param_value_chars, oddities));
        }
    }

    pub(super) fn write(&self, members: &mut Members<'_>) {
        members.text("category", self.category.as_deref());
        members.text("mobile_brand_name", self.brand.as_deref());
        members.text("mobile_model_name", self.model.as_deref());
        members.text("operating_system", self.operating_system.as_deref());
        members.text("operating_system_version", self.operating_system_version.as_deref());
        members.text("language", self.language.as_deref());
        members.object("web_info", |web| {
            web.text("browser", self.browser.as_deref());
            web.text("browser_version", self.browser_version.as_deref());
            web.text("hostname", self.hostname.as_deref());
        });
    }
}

/// `mobile`, `tablet` or `desktop`.
pub(super) fn category(user_agent: &str) -> &'static str {
    let has = |part: &str| user_agent.contains(part);
    if has("iPad") || has("Tablet") || (has("Android") && !has("Mobile")) {
        "tablet"
    } else if has("Mobi") || has("iPhone") || has("iPod") {
        "mobile"
    } else {
        "desktop"
    }
}

/// Browser and version of a full version list, `Brand;1.2.3|Brand2;…`.
///
/// gtag escapes the list twice; one decode was done with the query. `Not A;Brand` and the like are
/// noise, and Chromium is the engine of a browser that is named as well.
pub(super) fn browser(list: &str) -> Option<(String, String)> {
    let list = decode(list).unwrap_or(Cow::Borrowed(list));
    let mut engine = None;
    for entry in list.split('|') {
        let Some((brand, version)) = entry.rsplit_once(';') else { continue };
        let brand = decode(brand).unwrap_or(Cow::Borrowed(brand));
        let name = match brand.as_ref() {
            "Google Chrome" => "Chrome",
            "Microsoft Edge" => "Edge",
            other => other,
        };
        let name = name.replace('\0', "");
        let version = version.replace('\0', "");
        let plain = name.to_ascii_lowercase();
        if plain.contains("not") && plain.contains("brand") {
            continue;
        }
        if name == "Chromium" {
            engine = Some((name, version));
        } else {
            return Some((name, version));
        }
    }
    engine
}
