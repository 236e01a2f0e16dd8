//! Which models run on events, and which only on the tables of those: the latter run for the persons whose tables have changed.

use std::collections::BTreeSet;

use crate::run::segment::layout::Member;

/// What a member reads, and whether others find its rows in a table.
pub(super) struct Reads<'m> {
    name: &'m str,
    /// Its rows stay as a table.
    kept: bool,
    /// It reads the rows that all others are made from, or nothing that is known here.
    reads_staged: bool,
    parents: &'m BTreeSet<String>,
}

impl<'m> Reads<'m> {
    /// Of a member, with the name of the staged rows.
    pub(super) fn of(member: &'m Member<'_>, staged: &str) -> Self {
        Self {
            name: &member.name,
            kept: !member.passing,
            reads_staged: member.others.contains(staged) || member.parents.is_empty(),
            parents: &member.parents,
        }
    }
}

/// Says of each member whether it runs on events: when it reads staged rows, or those of such a member that do not stay as a table, and
/// when such a member reads it, as rows that it would not give would be missing there.
pub(super) fn on_events(members: &[Reads<'_>]) -> Vec<bool> {
    let mut found: Vec<bool> = members.iter().map(|member| member.reads_staged).collect();
    loop {
        let those = || members.iter().zip(&found).filter(|(_, found)| **found);
        let passing: BTreeSet<&str> =
            those().filter(|(member, _)| !member.kept).map(|(member, _)| member.name).collect();
        let needed: BTreeSet<&str> =
            those().flat_map(|(member, _)| member.parents).map(String::as_str).collect();
        let next: Vec<bool> = members
            .iter()
            .zip(&found)
            .map(|(member, found)| {
                let reads_passing = member.parents.iter().any(|name| passing.contains(&**name));
                *found || reads_passing || needed.contains(member.name)
            })
            .collect();
        if next == found {
            return found;
        }
        found = next;
    }
}

/// Says of each member whether it runs on events and a member that does not reads its table.
pub(super) fn read_as_tables(members: &[Reads<'_>], on_events: &[bool]) -> Vec<bool> {
    let readers = members.iter().zip(on_events).filter(|(_, on_events)| !**on_events);
    let read: BTreeSet<&str> =
        readers.flat_map(|(member, _)| member.parents).map(String::as_str).collect();
    let members = members.iter().zip(on_events);
    members.map(|(member, found)| *found && read.contains(member.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, whether it is a table, whether it reads staged rows, parents.
    type Given = (&'static str, bool, bool, &'static [&'static str]);

    fn parted(given: &[Given]) -> (Vec<&'static str>, Vec<&'static str>) {
        let parents: Vec<BTreeSet<String>> = given
            .iter()
            .map(|(.., parents)| parents.iter().map(|&name| name.to_owned()).collect())
            .collect();
        let members: Vec<Reads<'_>> = given
            .iter()
            .zip(&parents)
            .map(|(&(name, kept, reads_staged, _), parents)| Reads {
                name,
                kept,
                reads_staged,
                parents,
            })
            .collect();
        let found = on_events(&members);
        let read = read_as_tables(&members, &found);
        let names = |which: &[bool]| {
            given.iter().zip(which).filter(|(_, is)| **is).map(|(given, _)| given.0).collect()
        };
        (names(&found), names(&read))
    }

    #[test]
    fn models_of_tables_run_apart() {
        let (on_events, read) = parted(&[
            ("int_events", false, true, &[]),
            ("int_sessions", true, false, &["int_events"]),
            ("int_conversions", true, false, &["int_events"]),
            ("__journeys", false, false, &["int_conversions"]),
            ("int_journeys", true, false, &["__journeys"]),
            ("fct_credits", true, false, &["int_journeys", "int_conversions"]),
        ]);
        assert_eq!(on_events, ["int_events", "int_sessions", "int_conversions"]);
        assert_eq!(read, ["int_conversions"]);
    }

    #[test]
    fn what_a_model_of_events_reads_runs_with_it() {
        let (on_events, read) = parted(&[
            ("int_events", false, true, &[]),
            ("int_conversions", true, false, &["int_events"]),
            ("__devices", false, false, &["int_conversions"]),
            ("__milestones", false, false, &["int_events"]),
            ("int_journeys", true, false, &["__devices", "__milestones"]),
            // Rows that pass are there for all persons of a round, and nobody knows whose have changed.
            ("by_device", true, false, &["__devices"]),
            ("fct_credits", true, false, &["int_journeys"]),
        ]);
        assert_eq!(
            on_events,
            [
                "int_events",
                "int_conversions",
                "__devices",
                "__milestones",
                "int_journeys",
                "by_device"
            ]
        );
        assert_eq!(read, ["int_journeys"]);
    }
}
