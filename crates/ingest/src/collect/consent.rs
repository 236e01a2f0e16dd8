//! Consent signals of a gtag hit: `gcs` and `gcd`.

/// What a visitor allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    Granted,
    Denied,
    Unset,
}

impl Consent {
    /// As `privacy_info` names it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Granted => "Yes",
            Self::Denied => "No",
            Self::Unset => "Unset",
        }
    }
}

/// `ads_storage` and `analytics_storage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Privacy {
    pub(super) ads: Consent,
    pub(super) analytics: Consent,
}

impl Privacy {
    /// `gcs` where it says something, else `gcd`.
    pub(super) fn of(gcs: Option<&str>, gcd: Option<&str>) -> Self {
        let simple = gcs.map_or([Consent::Unset; 2], of_gcs);
        let detailed = gcd.map_or([Consent::Unset; 2], of_gcd);
        let pick = |index: usize| match simple[index] {
            Consent::Unset => detailed[index],
            known => known,
        };
        Self { ads: pick(0), analytics: pick(1) }
    }
}

/// `G1` + ads + analytics: `1` granted, `0` denied, `-` not set.
fn of_gcs(gcs: &str) -> [Consent; 2] {
    let bytes = gcs.as_bytes();
    let at = |index: usize| match bytes.get(index) {
        Some(b'1') => Consent::Granted,
        Some(b'0') => Consent::Denied,
        _ => Consent::Unset,
    };
    if gcs.starts_with("G1") { [at(2), at(3)] } else { [Consent::Unset; 2] }
}

/// Letters in the order `ad_storage`, `analytics_storage`, …, with digits around them.
fn of_gcd(gcd: &str) -> [Consent; 2] {
    let mut letters = gcd.chars().filter(char::is_ascii_alphabetic).map(|letter| match letter {
        't' | 'r' | 'n' | 'v' | 'e' => Consent::Granted,
        'p' | 'q' | 'm' | 'u' => Consent::Denied,
        _ => Consent::Unset,
    });
    let mut next = || letters.next().unwrap_or(Consent::Unset);
    [next(), next()]
}

#[cfg(test)]
mod tests {
    use super::Consent::{Denied, Granted, Unset};
    use super::*;

    #[test]
    fn known_signals() {
        let cases = [
            (Some("G111"), None, Granted, Granted),
            (Some("G100"), None, Denied, Denied),
            (Some("G101"), None, Denied, Granted),
            (Some("G110"), None, Granted, Denied),
            (Some("G1--"), None, Unset, Unset),
            (Some("G1"), None, Unset, Unset),
            (Some("é"), None, Unset, Unset),
            (None, None, Unset, Unset),
            (None, Some("13p3p3p2p5l1"), Denied, Denied),
            (None, Some("13r3r3r2r5l1"), Granted, Granted),
            (None, Some("13t3t3t2t5l1"), Granted, Granted),
            (None, Some("13p3t3p2p5l1"), Denied, Granted),
            (None, Some("13l3l3l3l1"), Unset, Unset),
            (None, Some("13u3v3"), Denied, Granted),
            (Some("G1-1"), Some("13p3p3p2p5l1"), Denied, Granted),
        ];
        for (gcs, gcd, ads, analytics) in cases {
            assert_eq!(Privacy::of(gcs, gcd), Privacy { ads, analytics }, "{gcs:?} {gcd:?}");
        }
    }
}
