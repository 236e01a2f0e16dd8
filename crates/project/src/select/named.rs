//! `selectors.yml`: selections with a name.

use std::path::Path;

use super::parse::{self, Expression};
use crate::error::{Fault, Result, nearest};
use crate::load::files;
use crate::yaml::{Data, Yaml};

const FILE: &str = "selectors.yml";

/// Selectors that name selectors, at most: beyond it they most likely name each other.
const DEPTH_MAX: usize = 16;

/// The selection of this name.
pub(super) fn find(dir: &Path, name: &str) -> Result<Expression> {
    let yaml = match dir.join(FILE).is_file() {
        true => Yaml::parse(Path::new(FILE), &files::read(dir, Path::new(FILE))?)?,
        false => Yaml::parse(Path::new(FILE), "")?,
    };
    yaml.only_keys("`selectors.yml`", &[&["selectors", "version"]])?;
    let all = yaml.get("selectors").map_or(Ok(&[][..]), |all| all.list("selectors"))?;
    lookup(all, name, 0, &yaml)
}

fn lookup(all: &[Yaml], name: &str, depth: usize, at: &Yaml) -> Result<Expression> {
    if depth > DEPTH_MAX {
        let detail = "selectors that name each other".into();
        return Err(Fault::SelectorSyntax { spec: name.into(), detail }.at(at.at()));
    }
    let mut known = Vec::new();
    for one in all {
        one.only_keys("a selector", &[&["name", "description", "definition", "default"]])?;
        let own = one.need_text("name", "a selector")?;
        if own == name {
            let definition = one.get("definition").ok_or_else(|| {
                let place = format!("selector `{name}`");
                Fault::MissingKey { key: "definition".into(), place }.at(one.at())
            })?;
            return expression(all, definition, depth);
        }
        known.push(own);
    }
    let nearest = nearest(name, known.iter().map(String::as_str));
    Err(Fault::UnknownName { what: "selector", name: name.into(), nearest, known }.at(at.at()))
}

fn expression(all: &[Yaml], yaml: &Yaml, depth: usize) -> Result<Expression> {
    match &yaml.data {
        Data::String(text) => {
            parse::parse(std::slice::from_ref(text)).map_err(|error| error.or_at(yaml.at()))
        }
        Data::Map(entries) if yaml.get("method").is_none() => match entries.as_slice() {
            [one] if one.key == "union" => combine(all, &one.value, depth, Expression::Union),
            [one] if one.key == "intersection" => {
                combine(all, &one.value, depth, Expression::Intersection)
            }
            [one] if one.key != "exclude" => {
                criterion(&one.key, &one.value.text(&one.key)?, None, yaml)
            }
            _ => Err(yaml.wrong("definition", "`union`, `intersection` or `method` and `value`")),
        },
        Data::Map(_) => method(all, yaml, depth),
        _ => Err(yaml.wrong("definition", "text or a mapping")),
    }
}

fn combine(
    all: &[Yaml],
    yaml: &Yaml,
    depth: usize,
    join: fn(Vec<Expression>) -> Expression,
) -> Result<Expression> {
    let mut parts = Vec::new();
    let mut out = Vec::new();
    for item in yaml.list("union")? {
        match item.get("exclude") {
            Some(excluded) if item.get("method").is_none() => {
                for one in excluded.list("exclude")? {
                    out.push(expression(all, one, depth)?);
                }
            }
            _ => parts.push(expression(all, item, depth)?),
        }
    }
    Ok(without(join(parts), out))
}

fn without(from: Expression, out: Vec<Expression>) -> Expression {
    if out.is_empty() {
        return from;
    }
    Expression::Difference(Box::new(from), Box::new(Expression::Union(out)))
}

fn method(all: &[Yaml], yaml: &Yaml, depth: usize) -> Result<Expression> {
    yaml.only_keys(
        "a selector's definition",
        &[&[
            "method",
            "value",
            "parents",
            "children",
            "parents_depth",
            "children_depth",
            "childrens_parents",
            "exclude",
            "indirect_selection",
        ]],
    )?;
    let method = yaml.need_text("method", "a definition")?;
    let value = yaml.need_text("value", "a definition")?;
    let mut out = Vec::new();
    for one in yaml.get("exclude").map_or(Ok(&[][..]), |list| list.list("exclude"))? {
        out.push(expression(all, one, depth)?);
    }
    if method == "selector" {
        return Ok(without(lookup(all, &value, depth + 1, yaml)?, out));
    }
    Ok(without(criterion(&method, &value, Some(yaml), yaml)?, out))
}

fn criterion(method: &str, value: &str, graph: Option<&Yaml>, at: &Yaml) -> Result<Expression> {
    let mut text = format!("{method}:{value}");
    if let Some(graph) = graph {
        let on = |key: &str| graph.get(key).map_or(Ok(false), |yaml| yaml.boolean(key));
        let depth = |key: &str| graph.get(key).map(|yaml| yaml.text(key)).transpose();
        if on("childrens_parents")? {
            text.insert(0, '@');
        }
        if on("parents")? {
            text = format!("{}+{text}", depth("parents_depth")?.unwrap_or_default());
        }
        if on("children")? {
            text = format!("{text}+{}", depth("children_depth")?.unwrap_or_default());
        }
    }
    parse::criterion(&text).map(Expression::One).map_err(|error| error.or_at(at.at()))
}
