//! Everything that is written for people or programs.
//!
//! | file | writes |
//! |---|---|
//! | `terminal` | lines on stderr, colours, data on stdout |
//! | `frame` | a problem with its source lines |
//! | `text` | node lines and the summary |
//! | `reporter` | progress of a run: text, bars, JSON events |
//! | `rows` | rows as table, CSV, JSON, Parquet, Markdown |
//! | `table` | aligned columns |

mod frame;
mod reporter;
mod rows;
mod table;
mod terminal;
mod text;

pub(crate) use frame::{Source, draw};
pub(crate) use reporter::{JsonReporter, TextReporter};
pub(crate) use rows::{RowFormat, escaped, write_rows};
pub(crate) use terminal::{Color, Terminal, stdout, stdout_width, write_document};
pub(crate) use text::{closing, count, counts, duration};
