//! Finds the tags of a Jinja text, for what the template engine does not tell: which lines are
//! plain text, where a macro begins and ends.

use std::ops::Range;

/// A piece of a Jinja text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text that goes to the output.
    Text,
    /// Text between `raw` and `endraw`.
    Raw,
    /// `{# … #}`.
    Comment,
    /// `{{ … }}`; does it trim what stands before?
    Expression { trims: bool },
    /// `{% word … %}`.
    Tag { word: String },
}

/// Cuts a text into pieces. Never fails: what does not close runs to the end, and the template
/// engine reports it.
pub(crate) fn scan(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut position = 0;
    while position < text.len() {
        let Some(open) = next_open(text, position) else {
            pieces.push(Piece { kind: Kind::Text, span: position..text.len() });
            break;
        };
        if open > position {
            pieces.push(Piece { kind: Kind::Text, span: position..open });
        }
        let end = close(text, open);
        let inner = &text[open + 2..end];
        let kind = match text.as_bytes()[open + 1] {
            b'#' => Kind::Comment,
            b'{' => Kind::Expression { trims: inner.starts_with('-') },
            _ => Kind::Tag { word: first_word(inner) },
        };
        let is_raw = kind == Kind::Tag { word: "raw".into() };
        pieces.push(Piece { kind, span: open..end });
        position = end;
        if is_raw {
            let stop = end_raw(text, end).unwrap_or(text.len());
            pieces.push(Piece { kind: Kind::Raw, span: end..stop });
            position = stop;
        }
    }
    pieces
}

fn next_open(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (from..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// Position after the end of the tag that opens at `open`.
fn close(text: &str, open: usize) -> usize {
    let bytes = text.as_bytes();
    let start = open + 2;
    match bytes[open + 1] {
        b'#' => text[start..].find("#}").map_or(text.len(), |at| start + at + 2),
        second => {
            let (first, expression) = if second == b'{' { (b'}', true) } else { (b'%', false) };
            let mut depth = 0usize;
            let mut quote = None;
            let mut at = start;
            while at < bytes.len() {
                let byte = bytes[at];
                match quote {
                    Some(_) if byte == b'\\' => at += 1,
                    Some(mark) if byte == mark => quote = None,
                    Some(_) => {}
                    None if depth == 0 && byte == first && bytes.get(at + 1) == Some(&b'}') => {
                        return at + 2;
                    }
                    None => match byte {
                        b'\'' | b'"' => quote = Some(byte),
                        b'{' if expression => depth += 1,
                        b'}' if expression => depth = depth.saturating_sub(1),
                        _ => {}
                    },
                }
                at += 1;
            }
            bytes.len()
        }
    }
}

fn end_raw(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = text[at..].find("{%") {
        let open = at + found;
        if first_word(&text[open + 2..]) == "endraw" {
            return Some(open);
        }
        at = open + 2;
    }
    None
}

fn first_word(inner: &str) -> String {
    let inner = inner.trim_start_matches(['-', '+']).trim_start();
    inner.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// A block such as `{% macro name(…) %}…{% endmacro %}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// `macro`, `test`, `docs`, …
    pub(crate) word: String,
    /// Name after the word.
    pub(crate) name: String,
    /// The opening tag.
    pub(crate) open: Range<usize>,
    /// The closing tag.
    pub(crate) close: Range<usize>,
}

/// Words of blocks that define something at the top of a file.
const DEFINING: [&str; 6] = ["macro", "test", "data_test", "docs", "materialization", "snapshot"];

/// The defining blocks of a text; an unclosed one ends with the text.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut pieces = scan(text).into_iter();
    while let Some(piece) = pieces.next() {
        let Kind::Tag { word } = piece.kind else { continue };
        if !DEFINING.contains(&word.as_str()) {
            continue;
        }
        let closing = format!("end{}", if word == "data_test" { "test" } else { &word });
        let alternative = format!("end{word}");
        let close = pieces
            .by_ref()
            .find(|piece| match &piece.kind {
                Kind::Tag { word } => *word == closing || *word == alternative,
                _ => false,
            })
            .map_or(text.len()..text.len(), |piece| piece.span);
        let tag = &text[piece.span.clone()];
        let name = tag.split_once(word.as_str()).map_or("", |(_, rest)| rest).trim_start();
        let name = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.push(Block { word, name, open: piece.span, close });
    }
    found
}

/// The line of a byte position, counted from 1.
pub(crate) fn line_of(text: &str, position: usize) -> usize {
    text.as_bytes()[..position.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Vec<(String, &str)> {
        let word = |kind: &Kind| match kind {
            Kind::Tag { word } => word.clone(),
            other => format!("{other:?}"),
        };
        scan(text).iter().map(|piece| (word(&piece.kind), &text[piece.span.clone()])).collect()
    }

    #[test]
    fn strings_and_braces_do_not_close_a_tag() {
        let text = "a {{ '}}' ~ {'x': {}} }} b {% set x = \"%}\" %}{# {{ #}";
        let pieces = show(text);
        assert_eq!(pieces[1].1, "{{ '}}' ~ {'x': {}} }}");
        assert_eq!(pieces[3], ("set".into(), "{% set x = \"%}\" %}"));
        assert_eq!(pieces[4].1, "{# {{ #}");
    }

    #[test]
    fn raw_text_is_one_piece() {
        assert_eq!(show("{% raw %}{{ x }}{% y %}{%- endraw %}")[1].1, "{{ x }}{% y %}");
    }

    #[test]
    fn finds_macros() {
        let text =
            "{% macro a(x) %}{% if x %}1{% endif %}{% endmacro %}\n{% test b(m) %}{% endtest %}";
        let all = blocks(text);
        assert_eq!((all[0].name.as_str(), all[1].name.as_str()), ("a", "b"));
        assert_eq!(line_of(text, all[1].open.start), 2);
        assert_eq!(&text[all[0].close.clone()], "{% endmacro %}");
    }
}
