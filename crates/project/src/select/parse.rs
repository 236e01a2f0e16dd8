//! Reads selectors: `2+tag:nightly,path:models/marts+1`.

use crate::error::{Fault, Result};

/// The methods we know; `fqn` is what a bare name means, unless it looks like a path.
pub(crate) const METHODS: &[&str] = &[
    "fqn",
    "tag",
    "path",
    "file",
    "source",
    "resource_type",
    "test_type",
    "test_name",
    "config",
    "state",
    "result",
    "package",
    "unit_test",
];

/// Generations of ancestors or descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    None,
    Some(usize),
    All,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Criterion {
    /// As written.
    pub(crate) text: String,
    pub(crate) method: String,
    /// After the dot: `config.materialized`.
    pub(crate) detail: Option<String>,
    pub(crate) value: String,
    /// `@`: descendants, and all ancestors of those.
    pub(crate) whole_family: bool,
    pub(crate) parents: Reach,
    pub(crate) children: Reach,
}

/// A selection: criteria joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    One(Criterion),
    /// Any of them.
    Union(Vec<Expression>),
    /// All of them.
    Intersection(Vec<Expression>),
    /// The first without the second.
    Difference(Box<Expression>, Box<Expression>),
}

/// Reads a list of selectors: each holds some, separated by space (any) or comma (all).
pub(crate) fn parse(specs: &[String]) -> Result<Expression> {
    let mut any = Vec::new();
    for spec in specs.iter().flat_map(|spec| spec.split_whitespace()) {
        let all: Vec<Expression> = spec
            .split(',')
            .map(|text| criterion(text).map(Expression::One))
            .collect::<Result<_>>()?;
        any.push(match <[Expression; 1]>::try_from(all) {
            Ok([one]) => one,
            Err(all) => Expression::Intersection(all),
        });
    }
    Ok(Expression::Union(any))
}

/// Reads one criterion.
pub(crate) fn criterion(text: &str) -> Result<Criterion> {
    let wrong = |detail: &str| Fault::SelectorSyntax { spec: text.into(), detail: detail.into() };
    let (whole_family, rest) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (parents, rest) = parents(rest);
    let (children, rest) = children(rest);
    if whole_family && (parents != Reach::None || children != Reach::None) {
        return Err(wrong("`@` and `+` cannot stand together").into());
    }
    if rest.is_empty() {
        return Err(wrong("a name is missing").into());
    }
    let (method, value) = match rest.split_once(':') {
        Some((method, value)) => (method, value),
        None if rest.contains('/') => ("path", rest),
        None if [".sql", ".csv", ".yml"].iter().any(|end| rest.ends_with(end)) => ("file", rest),
        None => ("fqn", rest),
    };
    let (method, detail) = match method.split_once('.') {
        Some((method, detail)) => (method, Some(detail.to_owned())),
        None => (method, None),
    };
    if value.is_empty() {
        return Err(wrong("a value is missing").into());
    }
    if !METHODS.contains(&method) {
        let nearest = crate::error::nearest(method, METHODS.iter().copied());
        let known = METHODS.iter().map(|one| (*one).to_owned()).collect();
        let name = method.to_owned();
        return Err(Fault::UnknownName { what: "selector method", name, nearest, known }.into());
    }
    let text = text.to_owned();
    let (method, value) = (method.to_owned(), value.to_owned());
    Ok(Criterion { text, method, detail, value, whole_family, parents, children })
}

/// `+m`, `2+m`.
fn parents(text: &str) -> (Reach, &str) {
    match text.split_once('+') {
        Some(("", rest)) => (Reach::All, rest),
        Some((digits, rest)) if !rest.is_empty() => match digits.parse() {
            Ok(count) => (Reach::Some(count), rest),
            Err(_) => (Reach::None, text),
        },
        _ => (Reach::None, text),
    }
}

/// `m+`, `m+1`.
fn children(text: &str) -> (Reach, &str) {
    match text.rsplit_once('+') {
        Some((rest, "")) => (Reach::All, rest),
        Some((rest, digits)) => match digits.parse() {
            Ok(count) => (Reach::Some(count), rest),
            Err(_) => (Reach::None, text),
        },
        None => (Reach::None, text),
    }
}

/// Does the text match a pattern with `*`, `?` and `[…]`?
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = pattern.get(p).and_then(|one| single(*one, &pattern[p..], text[t]));
        if let Some(length) = step {
            p += length;
            t += 1;
        } else if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some((at, used)) = star {
            (p, t) = (at + 1, used + 1);
            star = Some((at, used + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|one| *one == '*')
}

/// How much of the pattern matches this one character.
fn single(first: char, pattern: &[char], c: char) -> Option<usize> {
    match first {
        '*' => None,
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().skip(2).position(|one| *one == ']')? + 2;
            let set = &pattern[1..end];
            let (negated, set) = match set.first() {
                Some('!') => (true, &set[1..]),
                _ => (false, set),
            };
            let mut at = 0;
            let mut found = false;
            while at < set.len() {
                if at + 2 < set.len() && set[at + 1] == '-' {
                    found |= (set[at]..=set[at + 2]).contains(&c);
                    at += 3;
                } else {
                    found |= set[at] == c;
                    at += 1;
                }
            }
            (found != negated).then_some(end + 1)
        }
        plain => (plain == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_graph_operators() {
        let one = criterion("2+tag:a+1").unwrap();
        assert_eq!((one.parents, one.children), (Reach::Some(2), Reach::Some(1)));
        assert_eq!((one.method.as_str(), one.value.as_str()), ("tag", "a"));
        let one = criterion("+config.materialized:table+").unwrap();
        assert_eq!((one.parents, one.children), (Reach::All, Reach::All));
        assert_eq!(one.detail.as_deref(), Some("materialized"));
        assert!(criterion("@m").unwrap().whole_family);
        assert_eq!(criterion("models/a").unwrap().method, "path");
        assert_eq!(criterion("tga:x").unwrap_err().hint().unwrap(), "did you mean `tag`?");
        for bad in ["+", "@+m", "tag:", ""] {
            assert!(criterion(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text) in
            [("stg_*", "stg_a"), ("*_a", "stg_a"), ("a?[b-d]*", "axcz"), ("*", "")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches("stg_*_x", "stg_a"));
        assert!(!matches("[!a]", "a"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn never_panics(spec in "[a-z@+*:.,\\[\\]!0-9 é/-]{0,24}", text in "[a-z\\]-]{0,8}") {
            let _ = parse(std::slice::from_ref(&spec));
            let _ = matches(&spec, &text);
        }
    }
}
