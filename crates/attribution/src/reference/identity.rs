//! Which devices are one person's when a conversion looks `[2.26]`.
//!
//! Straight from the definition: what was known at a time is counted anew for each conversion.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::settings::DAY_MICROS;
use super::{Event, Identity, IdentityRules};

/// Login ids that name nobody.
const JUNK: [&str; 9] =
    ["", "null", "undefined", "n/a", "0", "none", "anonymous", "(not set)", "(data not available)"];

/// A user seen on a device.
struct Login<'a> {
    at: i64,
    device: &'a str,
    user: &'a str,
}

/// All logins of the property, in total order.
pub(super) struct Logins<'a> {
    rules: &'a IdentityRules,
    logins: Vec<Login<'a>>,
}

impl<'a> Logins<'a> {
    /// Reads distinct events. One without a device links nothing `[2.24]`.
    pub(super) fn of(events: &[&'a Event], rules: &'a IdentityRules) -> Self {
        let mut logins = Vec::new();
        if rules.identity != Identity::Device {
            let mut events = events.to_vec();
            events.sort_unstable_by(|a, b| a.order(b));
            logins.extend(events.into_iter().filter_map(|event| {
                let user = event.user_id.as_deref()?.trim();
                let device = event.user_pseudo_id.as_deref()?;
                let is_somebody = !JUNK.contains(&&*user.to_lowercase());
                is_somebody.then_some(Login { at: event.event_timestamp, device, user })
            }));
        }
        Self { rules, logins }
    }

    /// Devices whose touches a conversion on `device` at a time looks at, besides `device` itself.
    pub(super) fn others(&self, device: &str, converted_at: i64) -> BTreeSet<&'a str> {
        let days = match self.rules.identity {
            Identity::Device | Identity::UserAsof => 0,
            Identity::UserRetro { days } => days,
        };
        let horizon = converted_at.saturating_add(i64::from(days).saturating_mul(DAY_MICROS));
        let known = || self.logins.iter().filter(|login| login.at <= horizon);
        let mut users_of: HashMap<&str, HashSet<&str>> = HashMap::new();
        let mut devices_of: HashMap<&str, HashSet<&'a str>> = HashMap::new();
        for login in known() {
            users_of.entry(login.device).or_default().insert(login.user);
            devices_of.entry(login.user).or_default().insert(login.device);
        }
        let links = |device: &str, user: &str| {
            users_of[device].len() <= self.rules.max_users_per_device
                && devices_of[user].len() <= self.rules.max_devices_per_user
        };
        let own =
            || known().filter(|login| login.device == device && links(login.device, login.user));
        let before = own().filter(|login| login.at <= converted_at).next_back();
        let Some(owner) = before.or_else(|| own().next()).map(|login| login.user) else {
            return BTreeSet::new();
        };
        let devices = devices_of[owner].iter().copied();
        devices.filter(|other| *other != device && links(other, owner)).collect()
    }
}
