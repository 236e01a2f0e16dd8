//! Vars that nobody reads, and vars whose value makes no sense.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::timezone::Tz;
use clicktrail_project::{LoadOptions, Project};
use serde_json::{Map, Value};

use super::{PROJECT_FILE, bad, counted, good};
use crate::problem::nearest;
use crate::workspace::Check;

/// The var with the property's time zone.
const ZONE: &str = "timezone";

/// One line for all vars, or one for each that nobody reads; one for the time zone.
pub(super) fn checks(project: &Project, given: &Map<String, Value>) -> Vec<Check> {
    let mut checks = unknown(project, given);
    if checks.is_empty() {
        let given = match given.len() {
            0 => String::new(),
            some => format!(", {some} of them by `--vars`"),
        };
        checks.push(good(
            "vars",
            format!("{} set{given}", counted(project.vars.len(), "var", "vars")),
        ));
    }
    checks.extend(project.vars.get(ZONE).map(time_zone));
    checks
}

/// `--vars` that neither `dbt_project.yml` sets nor any file reads.
fn unknown(project: &Project, given: &Map<String, Value>) -> Vec<Check> {
    if given.is_empty() {
        return Vec::new();
    }
    let own = own_vars(project);
    let known: Vec<String> = own.keys().cloned().collect();
    given
        .keys()
        .filter(|name| !own.contains_key(*name) && !is_read(project, name))
        .map(|name| {
            let fix = match nearest(name, &known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!(
                    "leave it out of `--vars`; `vars:` in {PROJECT_FILE} lists the known ones"
                ),
            };
            bad("vars", format!("nothing reads the var `{name}`"), fix)
        })
        .collect()
}

/// The vars of `dbt_project.yml` alone: a loaded project has them mixed with `--vars`.
fn own_vars(project: &Project) -> Map<String, Value> {
    let text = std::fs::read_to_string(project.dir.join(PROJECT_FILE)).unwrap_or_default();
    let mut file = LoadOptions::parse_vars(&text).unwrap_or_default();
    let Some(Value::Object(mut vars)) = file.remove("vars") else { return Map::new() };
    if let Some(Value::Object(own)) = vars.remove(&project.name) {
        vars.extend(own);
    }
    vars
}

/// Whether any model, test, macro or YAML file asks for the var.
fn is_read(project: &Project, name: &str) -> bool {
    let manifest = &project.manifest;
    let asks = |text: &str| {
        [format!("var('{name}'"), format!("var(\"{name}\"")].iter().any(|call| text.contains(call))
    };
    let mut files: BTreeSet<&Path> = BTreeSet::from([Path::new(PROJECT_FILE)]);
    files.extend(manifest.sources.values().map(|source| source.original_file_path.as_path()));
    files.extend(manifest.nodes.values().filter_map(|node| node.patch_path.as_deref()));
    manifest.nodes.values().any(|node| asks(&node.raw_code))
        || manifest.macros.values().any(|one| asks(&one.macro_sql))
        || files.iter().any(|file| {
            std::fs::read_to_string(project.dir.join(file)).is_ok_and(|text| asks(&text))
        })
}

fn time_zone(value: &Value) -> Check {
    const SUBJECT: &str = "time zone";
    let Some(name) = value.as_str() else {
        let found = format!("var `{ZONE}` is {value}");
        return bad(SUBJECT, found, "give the name of an IANA time zone, such as `Europe/Paris`");
    };
    if is_zone(name) {
        return good(SUBJECT, name);
    }
    let fix = match respelled(name).filter(|name| is_zone(name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "set the var to an IANA name such as `Europe/Paris` or `UTC`".to_owned(),
    };
    bad(SUBJECT, format!("var `{ZONE}`: `{name}` is no IANA time zone"), fix)
}

/// Arrow also takes offsets such as `+02:00`, which have no rules for summer; the engine does not.
fn is_zone(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.parse::<Tz>().is_ok()
}

/// `europe/new york` → `Europe/New_York`.
fn respelled(name: &str) -> Option<String> {
    let mut start = true;
    let spelled: String = name
        .trim()
        .chars()
        .map(|char| {
            let char = if char == ' ' { '_' } else { char };
            let cased = if start { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() };
            start = !char.is_ascii_alphabetic();
            cased
        })
        .collect();
    [spelled.clone(), name.trim().to_ascii_uppercase()].into_iter().find(|name| is_zone(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_iana_names() {
        for (name, ok) in [
            ("UTC", true),
            ("Europe/Berlin", true),
            ("+02:00", false),
            ("", false),
            ("Mars", false),
        ] {
            assert_eq!(time_zone(&Value::from(name)).ok, ok, "{name}");
        }
        assert!(!time_zone(&Value::from(2)).ok);
    }

    #[test]
    fn a_zone_in_the_wrong_case_is_suggested() {
        assert_eq!(respelled("europe/berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(respelled("America/New York").as_deref(), Some("America/New_York"));
        assert_eq!(respelled("utc").as_deref(), Some("UTC"));
        assert_eq!(respelled("Berlin"), None);
    }
}
