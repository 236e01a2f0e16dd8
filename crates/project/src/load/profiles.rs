//! `profiles.yml`: finds it, renders it, picks the target.

use std::path::PathBuf;
use std::sync::Arc;

use super::{files, render_json};
use crate::error::{Fault, Result, nearest};
use crate::jinja::Engine;
use crate::jinja::scope::Scope;
use crate::profile::{Adapter, Target};
use crate::project::LoadOptions;
use crate::yaml::{Entry, Yaml};

const FILE: &str = "profiles.yml";

/// Schema when the target states none.
const SCHEMA_DEFAULT: &str = "main";

/// Threads when neither flag nor target say: dbt's default.
const THREADS_DEFAULT: usize = 1;

/// The folders searched, in order.
fn places(options: &LoadOptions) -> Vec<PathBuf> {
    let env = |name: &str| options.env.get(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    if let Some(dir) = options.profiles_dir.clone() {
        return vec![dir];
    }
    let named = env("CLICKTRAIL_PROFILES_DIR").or_else(|| env("DBT_PROFILES_DIR"));
    let home = env("HOME").or_else(|| env("USERPROFILE")).map(|home| home.join(".dbt"));
    named.into_iter().chain([options.project_dir.clone()]).chain(home).collect()
}

/// Finds the profile and its target.
pub(crate) fn load(
    options: &LoadOptions,
    project_profile: Option<&str>,
    engine: &Engine,
) -> Result<Target> {
    let searched = places(options);
    let dir = searched.iter().find(|dir| dir.join(FILE).is_file());
    let Some(dir) = dir.cloned() else { return Err(Fault::NoProfiles { searched }.into()) };
    let file = if dir == options.project_dir { PathBuf::from(FILE) } else { dir.join(FILE) };
    let yaml = Yaml::parse(&file, &files::read(&dir, FILE.as_ref())?)?;
    let profiles: Vec<&Entry> =
        yaml.map("profiles.yml")?.iter().filter(|entry| entry.key != "config").collect();
    let name = options.profile.as_deref().or(project_profile);
    let profile = match name {
        Some(name) => pick("profile", name, &profiles, &yaml)?,
        None if profiles.len() == 1 => profiles[0],
        None => {
            let place = "`dbt_project.yml`".into();
            return Err(Fault::MissingKey { key: "profile".into(), place }.into());
        }
    };
    profile.value.only_keys(&format!("profile `{}`", profile.key), &[&["target", "outputs"]])?;
    let scope =
        Arc::new(Scope { globals: engine.globals.clone(), file: file.clone(), ..Scope::default() });
    let render = |yaml: &Yaml| render_json(engine, &scope, yaml);
    let place = format!("profile `{}`", profile.key);
    let outputs = profile
        .value
        .get("outputs")
        .ok_or_else(|| Fault::MissingKey { key: "outputs".into(), place }.at(profile.value.at()))?;
    let default = match profile.value.get("target") {
        Some(value) => render(value)?.as_str().map(str::to_owned),
        None => None,
    };
    let target = options.target.clone().or(default).unwrap_or_else(|| "default".into());
    let entries: Vec<&Entry> = outputs.map("outputs")?.iter().collect();
    let output = pick("target", &target, &entries, outputs)?;
    let mut fields = match render(&output.value)? {
        serde_json::Value::Object(fields) => fields,
        _ => return Err(output.value.wrong(&output.key, "a mapping")),
    };
    let adapter = adapter(output, &fields)?;
    let text =
        |keys: &[&str]| keys.iter().find_map(|key| fields.get(*key)?.as_str()).map(str::to_owned);
    let threads = threads(options, output, &fields)?;
    let schema = text(&["schema", "dataset"]);
    if schema.is_none() && adapter == Adapter::Postgres {
        // Tables are replaced there: it is nobody's to guess.
        let (key, place) = ("schema".into(), format!("target `{target}`"));
        return Err(Fault::MissingKey { key, place }.at(output.at()));
    }
    let schema = schema.unwrap_or_else(|| SCHEMA_DEFAULT.into());
    let database = text(&["database", "project"]);
    fields.insert("name".into(), target.clone().into());
    fields.insert("target_name".into(), target.clone().into());
    fields.insert("profile_name".into(), profile.key.clone().into());
    fields.insert("schema".into(), schema.clone().into());
    fields.insert("threads".into(), threads.into());
    if adapter == Adapter::Bigquery {
        fields.insert("dataset".into(), schema.clone().into());
    }
    Ok(Target {
        profile_name: profile.key.clone(),
        name: target,
        adapter,
        schema,
        database,
        threads,
        fields,
        file: Some(dir.join(FILE)),
    })
}

fn threads(
    options: &LoadOptions,
    output: &Entry,
    fields: &serde_json::Map<String, serde_json::Value>,
) -> Result<usize> {
    let threads = match (options.threads, fields.get("threads")) {
        (Some(threads), _) => Some(threads),
        (None, Some(value)) => value.as_u64().and_then(|one| usize::try_from(one).ok()),
        (None, None) => Some(THREADS_DEFAULT),
    };
    let at = output.value.get("threads").unwrap_or(&output.value);
    threads.ok_or_else(|| at.wrong("threads", "a whole number"))
}

fn pick<'a>(
    what: &'static str,
    name: &str,
    entries: &[&'a Entry],
    within: &Yaml,
) -> Result<&'a Entry> {
    entries.iter().copied().find(|entry| entry.key == name).ok_or_else(|| {
        let known: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let nearest = nearest(name, known.iter().map(String::as_str));
        Fault::UnknownName { what, name: name.into(), nearest, known }.at(within.at())
    })
}

fn adapter(output: &Entry, fields: &serde_json::Map<String, serde_json::Value>) -> Result<Adapter> {
    let all = [Adapter::Clicktrail, Adapter::Duckdb, Adapter::Bigquery, Adapter::Postgres];
    let place = format!("target `{}`", output.key);
    let Some(name) = fields.get("type").and_then(|value| value.as_str()) else {
        return Err(Fault::MissingKey { key: "type".into(), place }.at(output.at()));
    };
    all.into_iter().find(|one| one.as_str() == name).ok_or_else(|| {
        let known: Vec<String> = all.iter().map(|one| one.as_str().to_owned()).collect();
        let nearest = nearest(name, known.iter().map(String::as_str));
        let at = output.value.get("type").unwrap_or(&output.value).at();
        Fault::UnknownName { what: "adapter type", name: name.into(), nearest, known }.at(at)
    })
}
