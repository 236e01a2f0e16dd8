//! Jinja as dbt speaks it, on minijinja: one environment per project, one template per macro.
//!
//! A macro file is cut into its macros; each becomes a template of its own, padded with empty
//! lines so that line numbers stay true. So a macro always calls its neighbours through the scope,
//! which lets `return()` carry any value and lets macros call each other across files.

mod errors;
mod functions;
pub(crate) mod lines;
pub(crate) mod objects;
mod python;
pub(crate) mod scan;
pub(crate) mod scope;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};
use minijinja::value::Value;
use minijinja::{Environment, Error, State, UndefinedBehavior};

use crate::error::{Fault, Location, Result};
use errors::{Carrier, Texts};
pub(crate) use python::repr;
use scope::{Globals, MacroDef, Scope};

/// The name a macro carries inside its own template.
const BODY: &str = "__clicktrail_body";

/// Package of the macros that come with Clicktrail, named as dbt names its own.
const BUILTIN_PACKAGE: &str = "dbt";

const BUILTIN: &str = include_str!("builtin.sql");

/// All macros of a project, compiled.
#[derive(Debug)]
pub(crate) struct Engine {
    env: Environment<'static>,
    pub(crate) globals: Arc<Globals>,
}

impl Engine {
    /// An engine for these names; macros found in `files` (path and text) join them.
    pub(crate) fn new(mut globals: Globals, files: &[(PathBuf, String)]) -> Result<Self> {
        let mut env = environment();
        let builtin = [(PathBuf::from("builtin.sql"), BUILTIN.to_owned())];
        globals.builtin_macros = add_macros(&mut env, &builtin, BUILTIN_PACKAGE)?;
        let package = globals.project.clone();
        globals.macros = add_macros(&mut env, files, &package)?;
        Ok(Self { env, globals: Arc::new(globals) })
    }

    /// Renders a text. With `marked`, it carries line markers (see [`lines`]).
    pub(crate) fn render(&self, text: &str, scope: &Arc<Scope>, marked: bool) -> Result<String> {
        let source = if marked { lines::mark(text) } else { text.to_owned() };
        let name = scope.file.to_string_lossy();
        let template = self.env.template_from_named_str(&name, &source);
        let result =
            template.and_then(|template| template.render(Value::from_dyn_object(scope.clone())));
        result.map_err(|error| self.explain(error, &source, scope))
    }

    /// Evaluates an expression.
    pub(crate) fn eval(&self, expression: &str, scope: &Arc<Scope>) -> Result<Value> {
        let result = self
            .env
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(Value::from_dyn_object(scope.clone())));
        result.map_err(|error| self.explain(error, expression, scope))
    }

    /// Calls a macro.
    pub(crate) fn call(
        &self,
        def: &Arc<MacroDef>,
        args: Value,
        scope: &Arc<Scope>,
    ) -> Result<String> {
        let state = self.env.empty_state();
        let result = scope.macro_value(def).call(&state, &[args]);
        result
            .map(|value| python::display(&value))
            .map_err(|error| self.explain(error, &def.source, scope))
    }

    /// A string from a YAML file: `{{ expression }}` alone gives its value, other Jinja a text.
    pub(crate) fn render_yaml(&self, text: &str, scope: &Arc<Scope>) -> Result<Value> {
        if !text.contains("{{") && !text.contains("{%") {
            return Ok(Value::from(text));
        }
        let trimmed = text.trim();
        let pieces = scan::scan(trimmed);
        if let [only] = pieces.as_slice()
            && matches!(only.kind, scan::Kind::Expression { .. })
            && trimmed.len() > 4
        {
            let inner = trimmed[2..trimmed.len() - 2].trim_matches('-');
            return self.eval(inner, scope);
        }
        self.render(text, scope, false).map(Value::from)
    }

    fn explain(&self, error: Error, source: &str, scope: &Scope) -> crate::ProjectError {
        let texts = Texts { globals: &self.globals, scope, source };
        errors::explain(error, &texts)
    }
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.set_formatter(|out, _state, value| {
        out.write_str(&python::display(value)).map_err(Error::from)
    });
    env.set_debug(true);
    for name in ["as_native", "as_text"] {
        env.add_filter(name, |value: Value| value);
    }
    env.add_filter("as_bool", as_bool);
    env.add_filter("as_number", as_number);
    env
}

fn as_bool(value: &Value) -> std::result::Result<Value, Error> {
    match value.to_string().to_lowercase().as_str() {
        "true" | "1" => Ok(Value::from(true)),
        "false" | "0" => Ok(Value::from(false)),
        other => Err(raise(Fault::JinjaRender { detail: format!("`{other}` is no boolean") })),
    }
}

fn as_number(state: &State<'_, '_>, value: Value) -> std::result::Result<Value, Error> {
    if value.is_number() {
        return Ok(value);
    }
    let text = value.to_string();
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::from(number));
    }
    let _ = state;
    text.parse::<f64>()
        .map(Value::from)
        .map_err(|_| raise(Fault::JinjaRender { detail: format!("`{text}` is no number") }))
}

fn add_macros(
    env: &mut Environment<'static>,
    files: &[(PathBuf, String)],
    package: &str,
) -> Result<BTreeMap<String, Arc<MacroDef>>> {
    let mut defs: BTreeMap<String, Arc<MacroDef>> = BTreeMap::new();
    for (file, text) in files {
        for block in scan::blocks(text) {
            let line = scan::line_of(text, block.open.start);
            let at = || Location::line(file.clone(), line);
            let name = match block.word.as_str() {
                "macro" => block.name.clone(),
                "test" | "data_test" => format!("test_{}", block.name),
                "docs" => continue,
                other => {
                    let what = format!("`{{% {other} %}}`");
                    return Err(Fault::Unsupported { what }.at(at()));
                }
            };
            if block.close.is_empty() {
                let detail = format!("macro `{name}` has no closing tag");
                return Err(Fault::JinjaSyntax { detail }.at(at()));
            }
            if let Some(first) = defs.get(&name) {
                let first = Location::line(first.file.clone(), first.line);
                return Err(Fault::Duplicate { what: "macro", name, first }.at(at()));
            }
            let source = macro_template(text, &block);
            let template = format!("macro:{package}.{name}");
            env.add_template_owned(template.clone(), source.clone()).map_err(|error| {
                let place = error.line().unwrap_or(line);
                errors::syntax(&error).at(Location::line(file.clone(), place))
            })?;
            let def = MacroDef {
                unique_id: format!("macro.{package}.{name}"),
                template,
                file: file.clone(),
                line,
                source,
                text: text[block.open.start..block.close.end].to_owned(),
                name: name.clone(),
            };
            defs.insert(name, Arc::new(def));
        }
    }
    Ok(defs)
}

/// The text of one macro as a template: its lines where they are in the file, the macro renamed.
fn macro_template(text: &str, block: &scan::Block) -> String {
    let padding = "\n".repeat(scan::line_of(text, block.open.start) - 1);
    let tag = &text[block.open.clone()];
    let arguments = tag.find('(').map_or("", |at| &tag[at..]);
    let inner = &text[block.open.end..block.close.start];
    let close = &text[block.close.clone()];
    let before = if close.starts_with("{%-") { "{%-" } else { "{%" };
    format!("{padding}{{% macro {BODY}{arguments}{inner}{before} endmacro %}}")
}

/// Turns a fault into an error that passes through the template engine.
fn raise(fault: Fault) -> Error {
    Carrier::error(fault, None)
}

fn raise_with_hint(fault: Fault, hint: String) -> Error {
    Carrier::error(fault, Some(hint))
}

fn unsupported(what: String) -> Error {
    raise(Fault::Unsupported { what })
}

/// MD5 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Blocks that a model file must not hold.
pub(crate) fn refuse_blocks(file: &Path, text: &str) -> Result<()> {
    for block in scan::blocks(text) {
        if matches!(block.word.as_str(), "materialization" | "snapshot" | "test" | "data_test") {
            let line = scan::line_of(text, block.open.start);
            let what = format!("`{{% {} %}}` in a model file", block.word);
            return Err(Fault::Unsupported { what }.at(Location::line(file, line)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
