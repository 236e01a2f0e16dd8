//! Things a template can hold: functions, macros, relations, a moment in time.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};

use super::functions;
use super::scope::{MacroDef, Scope};
use super::{BODY, raise, unsupported};
use crate::error::Fault;

/// Macros inside macros, at most: beyond it a macro most likely calls itself. dbt stops at
/// Python's limit, far deeper; ours protects the 2 MB stack of a worker thread.
const DEPTH_MAX: usize = 32;

/// A function or name space of dbt.
#[derive(Debug)]
pub(crate) struct Func {
    pub(crate) scope: Arc<Scope>,
    pub(crate) name: String,
}

impl Object for Func {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        functions::attribute(&self.scope, &self.name, key.as_str()?)
    }

    fn call(self: &Arc<Self>, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        functions::call(&self.scope, &self.name, state, args)
    }

    fn call_method(
        self: &Arc<Self>,
        state: &State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        functions::method(&self.scope, &self.name, method, state, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}>", self.name)
    }
}

/// A function that always gives the same.
#[derive(Debug)]
pub(crate) struct Constant(pub(crate) Value);

impl Object for Constant {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        Ok(self.0.clone())
    }
}

/// A macro that any template can call, and that can `return()` any value.
#[derive(Debug)]
pub(crate) struct MacroFn {
    pub(crate) scope: Arc<Scope>,
    pub(crate) def: Arc<MacroDef>,
}

impl Object for MacroFn {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        {
            let mut record = self.scope.record();
            record.macros.insert(self.def.unique_id.clone());
            record.depth += 1;
            if record.depth > DEPTH_MAX {
                let detail = format!("more than {DEPTH_MAX} macros inside each other");
                return Err(raise(Fault::JinjaRender { detail }));
            }
        }
        let result = self.run(state, args);
        let mut record = self.scope.record();
        record.depth -= 1;
        match result {
            Err(error) => record.returned.take().ok_or(error),
            fine => fine,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<macro {}>", self.def.name)
    }
}

impl MacroFn {
    fn run(&self, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let args = with_ready_caller(state, args)?;
        let template = state.env().get_template(&self.def.template)?;
        let captured = template.render_captured(Value::from_dyn_object(self.scope.clone()))?;
        let inner = captured.state();
        let body = inner.lookup(BODY).ok_or_else(|| {
            raise(Fault::Internal { detail: format!("macro `{}` has no body", self.def.name) })
        })?;
        body.call(inner, &args)
    }
}

/// A `{% call %}` body belongs to the caller's state, so it is rendered before we leave it.
fn with_ready_caller(state: &State<'_, '_>, args: &[Value]) -> Result<Vec<Value>, Error> {
    let mut args = args.to_vec();
    let Some(last) = args.last() else { return Ok(args) };
    let Ok(kwargs) = Kwargs::try_from(last.clone()) else { return Ok(args) };
    if !last.is_kwargs() || !kwargs.has("caller") {
        return Ok(args);
    }
    let mut pairs = Vec::new();
    for key in kwargs.args() {
        let value: Value = kwargs.peek(key)?;
        let value = if key == "caller" {
            Value::from_object(Constant(value.call(state, &[])?))
        } else {
            value
        };
        pairs.push((key.to_owned(), value));
    }
    args.pop();
    args.push(Kwargs::from_iter(pairs).into());
    Ok(args)
}

/// A table or view as a template sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relation {
    /// The SQL name.
    pub(crate) sql: String,
    pub(crate) database: Option<String>,
    pub(crate) schema: String,
    pub(crate) identifier: String,
}

impl Object for Relation {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "database" => Value::from(self.database.clone()),
            "schema" => Value::from(self.schema.clone()),
            "identifier" | "name" | "table" => Value::from(self.identifier.clone()),
            _ => return None,
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call_method(
        self: &Arc<Self>,
        _: &State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "render" => Ok(Value::from(self.sql.clone())),
            _ => Err(unsupported(format!("`{method}` of a relation"))),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)
    }
}

/// A moment, RFC 3339 in UTC, with the methods of Python's `datetime` that projects use.
#[derive(Debug)]
pub(crate) struct Moment(pub(crate) String);

impl Moment {
    /// Digits `from..to` of the text, as they stand.
    fn part(&self, from: usize, to: usize) -> &str {
        self.0.get(from..to).unwrap_or("00")
    }

    fn strftime(&self, format: &str) -> String {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('Y') => out.push_str(self.0.get(0..4).unwrap_or("1970")),
                Some('m') => out.push_str(self.part(5, 7)),
                Some('d') => out.push_str(self.part(8, 10)),
                Some('H') => out.push_str(self.part(11, 13)),
                Some('M') => out.push_str(self.part(14, 16)),
                Some('S') => out.push_str(self.part(17, 19)),
                Some('F') => out.push_str(self.0.get(0..10).unwrap_or("1970-01-01")),
                Some('T') => out.push_str(self.0.get(11..19).unwrap_or("00:00:00")),
                Some('z') => out.push_str("+0000"),
                Some('Z') => out.push_str("UTC"),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            }
        }
        out
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let range = match key.as_str()? {
            "year" => (0, 4),
            "month" => (5, 7),
            "day" => (8, 10),
            "hour" => (11, 13),
            "minute" => (14, 16),
            "second" => (17, 19),
            _ => return None,
        };
        self.part(range.0, range.1).parse::<i64>().ok().map(Value::from)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match (method, args.first().and_then(Value::as_str)) {
            ("strftime", Some(format)) => Ok(Value::from(self.strftime(format))),
            ("isoformat", _) => Ok(Value::from(self.0.clone())),
            ("date" | "astimezone", _) => Ok(Value::from_dyn_object(self.clone())),
            ("strftime", None) => Err(Error::from(ErrorKind::MissingArgument)),
            _ => Err(unsupported(format!("`{method}` of a datetime"))),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
