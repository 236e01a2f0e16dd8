//! Columns of text, aligned.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Narrowest that a column is cut to, so that its cells still mean something.
const CUT_WIDTH_MIN: usize = 12;
/// Between two columns.
const GAP: &str = "  ";

/// Text cells under a header.
pub(crate) struct Table {
    /// Column names.
    pub(crate) header: Vec<String>,
    /// Whether a column is right-aligned.
    pub(crate) right: Vec<bool>,
    /// Rows of as many cells as there are columns.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Writes the table; with a width, cells are cut so that lines fit where that is possible.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write(&self, out: &mut dyn Write, width: Option<usize>) -> io::Result<()> {
        let widths = self.widths(width);
        self.write_row(out, &self.header, &widths)?;
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        writeln!(out, "{}", rule.join(GAP))?;
        self.rows.iter().try_for_each(|row| self.write_row(out, row, &widths))
    }

    fn write_row(&self, out: &mut dyn Write, row: &[String], widths: &[usize]) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(&self.right) {
            let cell = cut(cell, *width);
            let padding = " ".repeat(width - cell.width());
            if *right {
                line.push_str(&padding);
            }
            line.push_str(&cell);
            if !*right {
                line.push_str(&padding);
            }
            line.push_str(GAP);
        }
        writeln!(out, "{}", line.trim_end())
    }

    /// Width of each column: of its widest cell, the widest columns cut first until lines fit.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let Some(limit) = limit else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > limit {
            match widths.iter_mut().max() {
                Some(widest) if *widest > CUT_WIDTH_MIN => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// The text, or its beginning with `…` where it is wider.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut short: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(table: &Table, width: Option<usize>) -> String {
        let mut out = Vec::new();
        table.write(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn sample() -> Table {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        Table {
            header: row(["channel", "n", "page"]),
            right: vec![false, true, false],
            rows: vec![
                row(["Paid Search", "412", "https://shop.example/summer-sale?utm_source=google"]),
                row(["Diréct 直接", "9", ""]),
            ],
        }
    }

    #[test]
    fn whole_in_a_pipe() {
        insta::assert_snapshot!(drawn(&sample(), None));
    }

    #[test]
    fn cut_on_a_terminal() {
        let text = drawn(&sample(), Some(40));
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
    }
}
