//! Keys of a profile's output, as dbt-bigquery names them → a client.

use std::path::Path;

use clicktrail_engine::bigquery::{Client, Credentials, Fault, FaultKind, Settings};
use clicktrail_project::{Adapter, Target};
use serde_json::{Map, Value};

use crate::error::{PipelineError, Result};
use crate::workspace::Workspace;

/// Refuses a workspace whose target is of another kind.
///
/// # Errors
/// That it is, with what to do.
pub(super) fn required(workspace: &Workspace, hint: &str) -> Result<()> {
    let target = &workspace.project.target;
    match target.adapter {
        Adapter::Bigquery => Ok(()),
        _ => Err(setting(format!("the target `{}` is not in BigQuery", target.name), hint)),
    }
}

/// A client of the workspace's target.
///
/// # Errors
/// Keys that make no sense, credentials that can't be read.
pub(super) fn client(workspace: &Workspace) -> Result<Client> {
    client_with(workspace, None)
}

/// The same, with another beginning of all job ids than this run's own.
///
/// # Errors
/// As there.
pub(super) fn client_with(workspace: &Workspace, prefix: Option<String>) -> Result<Client> {
    let target = &workspace.project.target;
    let fields = &target.fields;
    let project = text(fields, &["project", "database"]).ok_or_else(|| {
        let fault = format!("the target `{}` has no `project`", target.name);
        setting(fault, "name the Google Cloud project of the tables in profiles.yml")
    })?;
    let labels = fields.get("labels").and_then(Value::as_object);
    let mut labels: Vec<(String, String)> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let invocation = &workspace.settings.load.invocation_id;
    labels.push(("clicktrail_invocation_id".into(), invocation.clone()));
    let settings = Settings {
        project,
        execution_project: text(fields, &["execution_project"]),
        quota_project: text(fields, &["quota_project"]),
        dataset: target.schema.clone(),
        location: text(fields, &["location"]),
        api_endpoint: text(fields, &["api_endpoint"]),
        storage_api_endpoint: text(fields, &["storage_api_endpoint"]),
        credentials: credentials(workspace, target)?,
        batch: text(fields, &["priority"]).as_deref() == Some("batch"),
        maximum_bytes_billed: number(fields, "maximum_bytes_billed", target)?,
        job_timeout_seconds: match number(fields, "job_execution_timeout_seconds", target)? {
            None => number(fields, "timeout_seconds", target)?,
            some => some,
        },
        retry_seconds: number(fields, "job_retry_deadline_seconds", target)?,
        labels,
        job_prefix: prefix.unwrap_or_else(|| format!("clicktrail_{}", invocation.replace('-', ""))),
        now: super::now(&workspace.clock),
    };
    Ok(Client::new(settings)?)
}

fn credentials(workspace: &Workspace, target: &Target) -> Result<Credentials> {
    let fields = &target.fields;
    let env = &workspace.settings.load.env;
    let missing = |key: &str| {
        let message = format!("the target `{}` has no `{key}`", target.name);
        setting(message, "`method` of the target asks for it")
    };
    let method = text(fields, &["method"]);
    let found = match method.as_deref().unwrap_or("oauth") {
        "oauth" => Credentials::default_of(env)?,
        "service-account" => {
            let path = text(fields, &["keyfile"]).ok_or_else(|| missing("keyfile"))?;
            let path = match path.strip_prefix("~/").zip(env.get("HOME")) {
                Some((rest, home)) => Path::new(home).join(rest),
                None => workspace.project.dir.join(path),
            };
            Credentials::file(&path)?
        }
        "service-account-json" => {
            let json = fields.get("keyfile_json").ok_or_else(|| missing("keyfile_json"))?;
            Credentials::json(json.clone())?
        }
        "oauth-secrets" => match text(fields, &["token"]) {
            Some(token) => Credentials::Token(token),
            None => {
                let mut json = Map::from_iter([("type".into(), "authorized_user".into())]);
                for key in ["refresh_token", "client_id", "client_secret"] {
                    let value = text(fields, &[key]).ok_or_else(|| missing(key))?;
                    json.insert(key.into(), value.into());
                }
                if let Some(uri) = text(fields, &["token_uri"]) {
                    json.insert("token_uri".into(), uri.into());
                }
                Credentials::json(Value::Object(json))?
            }
        },
        "anonymous" => Credentials::None,
        other => {
            let fault =
                Fault::new(FaultKind::Setting, format!("`method: {other}` is not supported"))
                    .hinted("use oauth, oauth-secrets, service-account or service-account-json");
            return Err(clicktrail_engine::EngineError::from(fault).into());
        }
    };
    Ok(found)
}

fn text(fields: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let found = keys.iter().find_map(|key| fields.get(*key)?.as_str());
    found.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number(fields: &Map<String, Value>, key: &str, target: &Target) -> Result<Option<u64>> {
    let value = match fields.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.replace('_', "").parse().ok(),
        Some(other) => other.as_u64(),
    };
    value.map(Some).ok_or_else(|| {
        setting(
            format!("`{key}` of the target `{}` is no whole number", target.name),
            "write it as a number without unit",
        )
    })
}

fn setting(message: String, hint: &str) -> PipelineError {
    PipelineError::Setting { message, hint: Some(hint.to_owned()) }
}
