//! Live: events reach the marts without a build, and the marts always equal what a build would make.
//!
//! | module | in → out |
//! |---|---|
//! | `bits` | one bit for each of many numbers |
//! | `blocks` | rows sorted by key → small blocks on disk, and back |
//! | `chunk` | rows in memory that lie together |
//! | `cold` | the part of a table that lies on disk |
//! | `days` | instants and export files → days |
//! | `dead_letters` | refused events → their table |
//! | `follow` | frames → rounds of `marts`, later the warehouse; by threads |
//! | `global` | rows → a small model over all of them, such as the first loaded day |
//! | `heavy` | persons with very many events → who waits for a pace of their own |
//! | `interleave` | rows of several batches → one batch |
//! | `keyed_rows` | a table's rows by key, in memory and on disk: appended, replaced, read |
//! | `known` | new events → which of them are there already |
//! | `layout` | project → which models follow the stream, by which key, and which do not and why |
//! | `marts` | the live tables: staged rows → new events of touched persons, every table brought up to date |
//! | `models` | staged rows of some persons → the rows of every model |
//! | `moved` | a table's rows before and after → the persons who have others now |
//! | `numbers` | keys of persons → their numbers |
//! | `offline` | what a build does for live: the log's rest into its table, changed figures into the ledger |
//! | `order` | members of the layout → those that run on events, and those that run on tables only |
//! | `pages` | the dashboard's pages from the live tables |
//! | `reading` | a query → rows of all live tables at one frame |
//! | `refresh` | touched persons → their rows by every model, in the live tables |
//! | `restated` | rows before and after → figures of past days that changed |
//! | `rounds` | frames that wait, are staged, are applied |
//! | `rows` | batches reduced, joined, compared |
//! | `scratch` | pieces of bytes in a file without a name |
//! | `service` | all of it behind one lock: apply, store, audit |
//! | `staging` | raw rows → staged rows |
//! | `status` | counters, and whether the tables follow |
//! | `store` | rounds that were applied → the warehouse |
//! | `stream_table` | raw rows → the table `events_stream`, each frame exactly once |
//! | `sums` | rows that go and come → a model of sums by group |
//! | `tiers` | how much of the live tables is in memory |
//! | `told` | new rows → events as the live stream tells them |
//! | `view` | a table at one moment, for readers |

mod bits;
mod blocks;
mod chunk;
mod cold;
mod days;
mod dead_letters;
mod follow;
mod global;
mod heavy;
mod interleave;
mod keyed_rows;
mod known;
mod layout;
pub(crate) mod marts;
mod models;
mod moved;
mod numbers;
mod offline;
mod order;
mod pages;
mod reading;
mod refresh;
pub(crate) mod restated;
mod rounds;
mod rows;
mod scratch;
mod service;
mod staging;
mod status;
mod store;
pub(crate) mod stream_table;
mod sums;
mod tiers;
mod told;
mod view;

pub(crate) use offline::{drain_log, empty_log, keep_restated};
pub(crate) use rows::arrow_fault;

pub(crate) use days::time_zone;
pub use dead_letters::LetterFilter;
pub use follow::{FollowSettings, Follower, Inlet, Release};
pub use reading::LiveRows;
pub use service::Live;
pub use status::LiveStatus;
pub use tiers::LiveMemory;
pub use told::{Listener, Round, StreamEvent};
