//! Long help for error codes, from one text file that documentation can use as it is.

/// `## CODE title`, then the text up to the next heading.
const TEXT: &str = include_str!("explain/codes.md");

/// An error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// `E3001`
    pub(crate) code: &'static str,
    /// One line.
    pub(crate) title: &'static str,
    /// What it means, why it happens, what to do.
    pub(crate) text: &'static str,
}

/// All codes, in the order of the file.
pub(crate) fn all() -> impl Iterator<Item = Explanation> {
    TEXT.split("\n## ").skip(1).filter_map(|section| {
        let (heading, text) = section.split_once('\n')?;
        let (code, title) = heading.split_once(' ')?;
        Some(Explanation { code, title, text: text.trim() })
    })
}

/// The explanation of a code, in any case.
pub(crate) fn find(code: &str) -> Option<Explanation> {
    all().find(|one| one.code.eq_ignore_ascii_case(code.trim()))
}

/// Codes of the same kind: those with the same first digit.
pub(crate) fn like(code: &str) -> impl Iterator<Item = Explanation> {
    let start: String = code.trim().to_ascii_uppercase().chars().take(2).collect();
    all().filter(move |one| start.len() == 2 && one.code.starts_with(&start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Every code that stands as text in the sources of the crates below.
    fn codes_in_sources() -> BTreeSet<String> {
        let crates = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("..");
        let code = regex::Regex::new(r#""(E[1-6][0-9]{3})""#).unwrap();
        let mut folders = ["project", "ingest", "engine", "eventlog", "pipeline", "server"]
            .map(|name| crates.join(name).join("src"))
            .to_vec();
        let mut codes = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    codes.extend(code.captures_iter(&text).map(|found| found[1].to_owned()));
                }
            }
        }
        codes
    }

    #[test]
    fn every_code_has_a_text_and_every_text_a_code() {
        let known: BTreeSet<String> = all().map(|one| one.code.to_owned()).collect();
        let used = codes_in_sources();
        assert!(used.len() > 30, "{used:?}");
        assert_eq!(used.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "no text");
        assert_eq!(known.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "no code");
    }

    #[test]
    fn texts_are_sorted_and_say_something() {
        let all: Vec<Explanation> = all().collect();
        assert!(all.is_sorted_by(|left, right| left.code < right.code));
        for one in all {
            assert!(one.text.len() > 80, "{one:?}");
            assert!(!one.title.ends_with('.'), "{one:?}");
        }
    }

    #[test]
    fn codes_in_any_case() {
        assert_eq!(find(" e3001").map(|one| one.code), Some("E3001"));
        assert_eq!(find("E9999"), None);
        assert!(like("E3").count() > 3);
        assert_eq!(like("x").count(), 0);
    }
}
