//! `explain`: why a conversion was credited as it was, or the long help for an error code.

use std::io::Write;

use anyhow::Result;
use clicktrail_pipeline::PageRequest;
use serde_json::{Value, json};

use crate::args::{ProjectArgs, TextOrJson};
use crate::explain;
use crate::failure::{Outcome, Usage};
use crate::output::{escaped, stdout, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Flags of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Conversion (its id, event key or transaction id), or an error code such as E3001; without one, all codes are
    /// listed
    code: Option<String>,
    /// What goes to stdout
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: TextOrJson,
    /// Which project, for a conversion.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Prints the text.
///
/// # Errors
/// A code nobody knows.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    if let Some(id) = args.code.as_deref().filter(|code| !looks_like_code(code)) {
        return conversion(args, id, session);
    }
    let codes = match &args.code {
        Some(code) => vec![explain::find(code).ok_or_else(|| unknown(code))?],
        None => explain::all().collect(),
    };
    if args.output == TextOrJson::Json {
        let codes: Vec<_> = codes
            .iter()
            .map(|one| json!({ "code": one.code, "title": one.title, "text": one.text }))
            .collect();
        write_document(&json!({ "schema_version": SCHEMA_VERSION, "codes": codes }))?;
        return Ok(Outcome::Done);
    }
    let mut out = stdout();
    if args.code.is_none() {
        codes.iter().try_for_each(|one| writeln!(out, "{}  {}", one.code, one.title))?;
    } else {
        codes
            .iter()
            .try_for_each(|one| writeln!(out, "{}: {}\n\n{}", one.code, one.title, one.text))?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// `E3001`, also in lower case; a transaction id of that shape is found by its conversion's id.
fn looks_like_code(text: &str) -> bool {
    let digits = text.strip_prefix(['E', 'e']).unwrap_or_default();
    !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The Journey page as text.
fn conversion(args: &Args, id: &str, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let request =
        PageRequest { page: "explain".into(), id: Some(id.to_owned()), query: Vec::new() };
    let result = workspace.page(&request).map_err(super::export::fault)?;
    if args.output == TextOrJson::Json {
        let mut document = json!({ "schema_version": SCHEMA_VERSION });
        document["data"] = result.body["data"].clone();
        write_document(&document)?;
        return Ok(Outcome::Done);
    }
    let mut out = stdout();
    out.write_all(journey(&result.body["data"]).as_bytes())?;
    out.flush()?;
    Ok(Outcome::Done)
}

/// A conversion's journey for people. Texts of events are escaped: data must not steer the terminal.
fn journey(data: &Value) -> String {
    let conversion = &data["conversion"];
    let mut text = format!("{} {}", told(&conversion["name"]), told(&conversion["id"]));
    if let Some(revenue) = conversion["revenue"].as_str() {
        text += &format!(" · {revenue} {}", told(&conversion["currency"]));
    }
    text += &format!(" · {} · {}\n", told(&conversion["at"]), told(&conversion["person"]));
    if let Some(why) = conversion["not_counted_because"].as_str() {
        text += &format!("not counted: {why}\n");
    }
    text += &format!(
        "lookback window: {} days, from {}\n\n",
        data["lookback_days"],
        told(&data["window"]["from"])
    );
    for touch in data["touches"].as_array().into_iter().flatten() {
        let mark = if touch["in"] == true { "✓" } else { "✗" };
        text += &format!(
            "{mark} {}  {}  {} / {} / {}\n    {} [{}]; rule {}: {}\n",
            told(&touch["at"]),
            told(&touch["channel"]),
            told(&touch["source"]),
            told(&touch["medium"]),
            told(&touch["campaign"]),
            told(&touch["why"]),
            told(&touch["semantics"]),
            told(&touch["rule"]),
            told(&touch["rule_text"]),
        );
    }
    if let Some(why) = data["without_touch"]["text"].as_str() {
        text += &format!("no touch: {why}\n");
    }
    text.push('\n');
    let credits: Vec<&Value> = data["credits"].as_array().into_iter().flatten().collect();
    for model in data["models"].as_array().into_iter().flatten() {
        let own: Vec<&&Value> = credits.iter().filter(|credit| credit["model"] == *model).collect();
        let Some(first) = own.first() else { continue };
        let shares: Vec<String> = own.iter().map(|credit| share(credit)).collect();
        text += &format!("{}: {}\n", told(&first["text"]), shares.join("; "));
    }
    text + &format!("\n{}\n{}\n", told(&data["sentence"]), told(&data["sql"]["query"]))
}

/// What an attribution model gives one touch.
fn share(credit: &Value) -> String {
    let revenue =
        credit["revenue"].as_str().map(|revenue| format!(", {revenue}")).unwrap_or_default();
    format!(
        "{} to {} ({} / {}){revenue}",
        told(&credit["credit"]),
        told(&credit["channel"]),
        told(&credit["source"]),
        told(&credit["medium"]),
    )
}

fn told(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), escaped)
}

fn unknown(code: &str) -> Usage {
    let known: Vec<&str> = explain::like(code).map(|one| one.code).collect();
    let hint = match known.as_slice() {
        [] => "`clicktrail explain` lists all codes".to_owned(),
        some => format!("known codes of this kind: {}", some.join(", ")),
    };
    Usage::new(format!("unknown error code `{code}`")).hint(hint)
}
