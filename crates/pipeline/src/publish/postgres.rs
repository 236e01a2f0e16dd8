//! Keys of a profile's output, as dbt-postgres names them → PostgreSQL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clicktrail_engine::postgres::{Change, Incoming, Placed, Settings, Ssl, SslMode, replace};
use clicktrail_project::Target;
use serde_json::Value;

use super::Published;
use crate::error::{PipelineError, Result};
use crate::report::Reporter;
use crate::workspace::Workspace;

const PORT_DEFAULT: u64 = 5432;

/// Seconds to wait for a connection: dbt's default.
const CONNECT_TIMEOUT_DEFAULT: u64 = 10;

/// Seconds of silence after which the server is asked whether it is there.
const KEEPALIVES_IDLE_DEFAULT: u64 = 60;

/// Replaces tables in a workspace's PostgreSQL by the given ones, all at once; gives the number of rows.
///
/// # Errors
/// Keys that make no sense; whatever keeps the server from taking the rows. Nothing is replaced then.
pub(super) fn publish(
    workspace: &Workspace,
    tables: &[Published],
    reporter: &dyn Reporter,
) -> Result<u64> {
    let settings = settings(workspace)?;
    let incoming: Vec<Incoming<'_>> = tables
        .iter()
        .map(|table| Incoming { name: &table.name, schema: &table.schema, batches: &table.batches })
        .collect();
    Ok(replace(&settings, &incoming, &mut |placed| reporter.note(&told(placed)))?)
}

/// A table's line.
fn told(placed: &Placed) -> String {
    let mut text = format!("  {}  {} rows", placed.name, placed.rows);
    match &placed.change {
        Change::Kept => {}
        Change::Made => text.push_str(", new"),
        Change::Columns { dropped, added } => {
            for (what, names) in [("without", dropped), ("with", added)] {
                if !names.is_empty() {
                    text.push_str(&format!(", {what} `{}`", names.join("`, `")));
                }
            }
        }
    }
    if placed.zeros > 0 {
        let zeros = placed.zeros;
        text.push_str(&format!(
            "; {zeros} characters U+0000, which PostgreSQL can't hold, became U+FFFD"
        ));
    }
    text
}

/// Where a workspace's target is, and how to get there.
fn settings(workspace: &Workspace) -> Result<Settings> {
    let target = &workspace.project.target;
    let needed = |keys: &[&str]| {
        text(target, keys).ok_or_else(|| {
            setting(
                format!("the target `{}` has no `{}`", target.name, keys[0]),
                "a target of the type postgres needs `host`, `user`, `dbname` and `schema`",
            )
        })
    };
    let port = number(target, "port", PORT_DEFAULT)?;
    let seconds = |key, default| number(target, key, default).map(Duration::from_secs);
    Ok(Settings {
        host: needed(&["host"])?,
        port: u16::try_from(port).map_err(|_| no_number(target, "port"))?,
        user: needed(&["user"])?,
        password: text(target, &["password", "pass"]),
        database: needed(&["dbname", "database"])?,
        schema: target.schema.clone(),
        role: text(target, &["role"]),
        ssl: ssl(workspace)?,
        connect_timeout: seconds("connect_timeout", CONNECT_TIMEOUT_DEFAULT)?,
        keepalives_idle: seconds("keepalives_idle", KEEPALIVES_IDLE_DEFAULT)?,
    })
}

fn ssl(workspace: &Workspace) -> Result<Ssl> {
    let target = &workspace.project.target;
    let word = text(target, &["sslmode"]);
    let mode = SslMode::of(word.as_deref().unwrap_or("prefer")).ok_or_else(|| {
        setting(
            format!("`sslmode` of the target `{}` has a value that is not known", target.name),
            "use disable, prefer, require, verify-ca or verify-full",
        )
    })?;
    let file = |key: &str| text(target, &[key]).map(|path| path_of(workspace, &path));
    let own = match (file("sslcert"), file("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => {
            let message = format!("the target `{}` has one of `sslcert` and `sslkey`", target.name);
            return Err(setting(message, "name both or none"));
        }
    };
    // libpq's word for the authorities that are known anyway.
    let root = text(target, &["sslrootcert"]).filter(|path| path != "system");
    Ok(Ssl { mode, root: root.map(|path| path_of(workspace, &path)), own })
}

/// A path of the target: from the project's folder, or the user's home.
fn path_of(workspace: &Workspace, path: &str) -> PathBuf {
    match path.strip_prefix("~/").zip(workspace.settings.load.env.get("HOME")) {
        Some((rest, home)) => Path::new(home).join(rest),
        None => workspace.project.dir.join(path),
    }
}

/// A key's text; a number that YAML made of it is one too.
fn text(target: &Target, keys: &[&str]) -> Option<String> {
    let text = keys.iter().find_map(|key| match target.fields.get(*key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    text.filter(|text| !text.is_empty())
}

fn number(target: &Target, key: &str, default: u64) -> Result<u64> {
    match text(target, &[key]) {
        // dbt writes 0 for "what the system does".
        Some(text) if text == "0" => Ok(default),
        Some(text) => text.parse().map_err(|_| no_number(target, key)),
        None => Ok(default),
    }
}

fn no_number(target: &Target, key: &str) -> PipelineError {
    let message = format!("`{key}` of the target `{}` is no fitting whole number", target.name);
    setting(message, "write it as a number without unit")
}

fn setting(message: String, hint: &str) -> PipelineError {
    PipelineError::Setting { message, hint: Some(hint.to_owned()) }
}
