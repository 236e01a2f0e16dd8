//! The way from a compiled line back to the line of the source.
//!
//! Before rendering, an invisible marker with the line number is put into the text of the model,
//! before the first character of each piece of plain text and of each `{{ … }}`. Markers stand
//! only where whitespace control cannot see them (never before a `{{-`, never inside whitespace)
//! and only where text goes straight to the output (not inside `set`, `call`, `filter` and
//! `macro` blocks), so they never become a value and taking them out gives the text that
//! rendering without them gives.

use super::scan::{Kind, scan};

const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// Blocks whose text may become a value. A `set` with `=` has no body.
const CAPTURING: [&str; 4] = ["macro", "call", "filter", "set"];

/// Puts markers into a template.
pub(crate) fn mark(text: &str) -> String {
    if text.contains([OPEN, CLOSE]) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut line = 1;
    let mut depth = 0usize;
    for piece in scan(text) {
        let part = &text[piece.span.clone()];
        match &piece.kind {
            Kind::Text if depth == 0 => mark_text(part, line, &mut out),
            Kind::Expression { trims: false } if depth == 0 => {
                push_marker(line, &mut out);
                out.push_str(part);
            }
            Kind::Tag { word } => {
                let captures = CAPTURING.contains(&word.as_str()) && !assigns(word, part);
                let ends = word.strip_prefix("end").is_some_and(|of| CAPTURING.contains(&of));
                depth = (depth + usize::from(captures)).saturating_sub(usize::from(ends));
                out.push_str(part);
            }
            _ => out.push_str(part),
        }
        line += part.matches('\n').count();
    }
    out
}

/// Is this `{% set name = value %}`, without a body?
fn assigns(word: &str, tag: &str) -> bool {
    word == "set" && tag.contains('=')
}

fn mark_text(part: &str, first_line: usize, out: &mut String) {
    for (offset, row) in part.split_inclusive('\n').enumerate() {
        let body = row.trim_start();
        out.push_str(&row[..row.len() - body.len()]);
        if !body.is_empty() {
            push_marker(first_line + offset, out);
            out.push_str(body);
        }
    }
}

fn push_marker(line: usize, out: &mut String) {
    out.push(OPEN);
    out.push_str(&line.to_string());
    out.push(CLOSE);
}

/// Takes markers out; gives the text and for each of its lines the source line, when known.
pub(crate) fn strip(marked: &str) -> (String, Vec<Option<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut lines = Vec::new();
    let mut current = None;
    for row in marked.split('\n') {
        if !lines.is_empty() {
            text.push('\n');
        }
        let mut own = None;
        let mut rest = row;
        let mut seen_text = false;
        while let Some((before, after)) = rest.split_once(OPEN) {
            seen_text |= !before.trim().is_empty();
            text.push_str(before);
            let (number, tail) = after.split_once(CLOSE).unwrap_or((after, ""));
            if !seen_text {
                own = number.parse().ok().or(own);
            } else if own.is_none() {
                own = current;
            }
            current = number.parse().ok().or(current);
            rest = tail;
        }
        text.push_str(rest);
        lines.push(own.or(current));
    }
    (text, lines)
}

/// A text without markers.
pub(crate) fn plain(text: &str) -> String {
    strip(text).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::{Environment, context};
    use proptest::prelude::*;

    fn render(text: &str) -> Option<String> {
        let env = Environment::new();
        env.render_str(text, context!(a => "x\ny", t => true, l => [1, 2])).ok()
    }

    #[test]
    fn lines_survive_loops_and_macros() {
        let text = "select\n{%- for i in l %}\n  {{ a }} as c{{ i }},\n{%- endfor %}\n  z\nfrom t";
        let (sql, lines) = strip(&render(&mark(text)).unwrap());
        assert_eq!(sql, render(text).unwrap());
        assert_eq!(sql.lines().nth(5), Some("  z"));
        let lines: Vec<_> = lines.into_iter().flatten().collect();
        assert_eq!(lines, [1, 3, 3, 3, 3, 5, 6]);
    }

    #[test]
    fn captured_text_carries_no_marker() {
        let text = "{% set v %}x{% endset %}{% if v == 'x' %}same{% endif %}";
        assert_eq!(plain(&render(&mark(text)).unwrap()), "same");
    }

    const PIECES: [&str; 18] = [
        "a ",
        "\n",
        "  ",
        "\t b\n",
        "{{ a }}",
        "{{- a }}",
        "{{ a -}}",
        "{{- a -}}",
        "{# c\n #}",
        "{#- c -#}",
        "{% if t %}",
        "{%- if not t -%}",
        "{% else %}",
        "{% endif %}",
        "{% for i in l -%}",
        "{% endfor %}",
        "{% set v %} q {% endset %}{{ v }}",
        "{% raw %} {{ }}\n{% endraw %}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn markers_change_nothing(picks in prop::collection::vec(0..PIECES.len(), 0..14)) {
            let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
            if let Some(expected) = render(&text) {
                let marked = render(&mark(&text)).expect("marked text renders");
                prop_assert_eq!(plain(&marked), expected);
            }
        }
    }
}
