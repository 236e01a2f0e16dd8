//! What to do about a fault, in one line; which known name a misspelled one may mean.

use crate::error::Fault;

/// The hint of a fault, without the word `hint`.
pub(crate) fn of(fault: &Fault) -> Option<String> {
    let mean = |name: &Option<String>| name.as_ref().map(|name| format!("did you mean `{name}`?"));
    match fault {
        Fault::UnknownKey { nearest, .. }
        | Fault::UnknownRef { nearest, .. }
        | Fault::UnknownSource { nearest, .. }
        | Fault::MissingVar { nearest, .. } => mean(nearest),
        Fault::UnknownName { nearest, known, .. } => mean(nearest).or_else(|| {
            (!known.is_empty()).then(|| format!("known: {}", quoted(known.iter().cloned())))
        }),
        Fault::NothingSelected { nearest, .. } if !nearest.is_empty() => {
            Some(format!("did you mean {}?", quoted(nearest.iter().cloned())))
        }
        Fault::NoProject { .. } => {
            Some("run inside a project folder, give `--project-dir`, or start with `init`".into())
        }
        Fault::NoProfiles { searched } => Some(format!(
            "searched {}",
            quoted(searched.iter().map(|dir| dir.display().to_string()))
        )),
        Fault::Duplicate { first, .. } => Some(format!("the first one is in {first}")),
        Fault::Cycle { ring } => Some(
            ring.iter()
                .skip(1)
                .map(|(name, file)| format!("`{name}` is {}", file.display()))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        Fault::DisabledRef { .. } => Some("set `enabled: true` or remove the reference".into()),
        _ => None,
    }
}

fn quoted(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Similarity from which on a known name may be meant: 0 is none, 1 is equal.
const SIMILAR_MIN: f64 = 0.78;

/// The known name nearest to `name`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    // Two swapped letters in a short name look unlike to Jaro-Winkler, so one slip always counts.
    let score = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let slip = lower.chars().count() > 2 && strsim::osa_distance(&lower, &candidate) == 1;
        let floor = if slip { 0.9 } else { 0.0 };
        strsim::jaro_winkler(&lower, &candidate).max(floor)
    };
    known
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score > SIMILAR_MIN)
        .max_by(|(left, l), (right, r)| left.total_cmp(right).then_with(|| r.cmp(l)))
        .map(|(_, candidate)| candidate.to_owned())
}
