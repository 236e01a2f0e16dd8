//! Url-encoded pairs, strictly UTF-8.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Reason;
use super::outcome::Refusal;

/// Most pairs of a query or line: 200 items, 25 params, 25 user properties and GA4's own keys leave
/// ample room.
const PAIRS_MAX: usize = 1000;

/// Lists with fewer keys are searched by comparing all.
const FEW_KEYS: usize = 48;

/// Keys and values in the order of the text, no key twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Form<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Form<'_> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// These pairs, then those of `other` whose key is not among them.
    pub(super) fn over<'m>(&'m self, other: &'m Form<'_>) -> Form<'m> {
        let mut all = Vec::with_capacity(self.0.len() + other.0.len());
        let borrowed = |(key, value): &'m (Cow<'_, str>, Cow<'_, str>)| {
            (Cow::Borrowed(key.as_ref()), Cow::Borrowed(value.as_ref()))
        };
        all.extend(self.0.iter().map(borrowed));
        if self.0.len() < FEW_KEYS {
            let rest = other.0.iter().filter(|(name, _)| self.get(name).is_none());
            all.extend(rest.map(borrowed));
        } else {
            let own: HashSet<&str> = self.0.iter().map(|(name, _)| name.as_ref()).collect();
            let rest = other.0.iter().filter(|(name, _)| !own.contains(name.as_ref()));
            all.extend(rest.map(borrowed));
        }
        Form(all)
    }
}

/// Reads `k=v&…`; of a repeated key the first counts, and `repeated` counts the others.
///
/// A pair without `=` has an empty value; empty pairs are skipped.
pub(super) fn pairs<'a>(text: &'a str, repeated: &mut u64) -> Result<Form<'a>, Refusal> {
    let mut form = Form::default();
    let mut seen: HashSet<Cow<'a, str>> = HashSet::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (component(key)?, component(value)?);
        let is_new = if form.0.len() < FEW_KEYS {
            form.get(&key).is_none()
        } else {
            if seen.is_empty() {
                seen.extend(form.0.iter().map(|(name, _)| name.clone()));
            }
            seen.insert(key.clone())
        };
        if !is_new {
            *repeated += 1;
        } else if form.0.len() == PAIRS_MAX {
            let detail = format!("more than {PAIRS_MAX} url-encoded fields");
            return Err(Refusal::new(Reason::TooManyParams, detail));
        } else {
            form.0.push((key, value));
        }
    }
    Ok(form)
}

fn component(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = match decode(text) {
        Ok(decoded) => decoded,
        Err(()) => {
            let head: String = text.chars().take(60).collect();
            let detail = format!("`{head}` does not decode to UTF-8");
            return Err(Refusal::new(Reason::BadUtf8, detail));
        }
    };
    if memchr::memchr(0, decoded.as_bytes()).is_some() {
        return Err(Refusal::new(Reason::NulCharacter, "a key or value holds U+0000"));
    }
    Ok(decoded)
}

/// Percent-decodes once, `+` as space; a `%` without two hex digits stays. `Err` when the bytes are
/// not UTF-8.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, ()> {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr2(b'%', b'+', bytes) else { return Ok(Cow::Borrowed(text)) };
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..first]);
    let mut at = first;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => match bytes.get(at..at + 2).and_then(hex_byte) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 2;
                }
                None => decoded.push(b'%'),
            },
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| ())
}

/// The byte of two hex digits.
pub(super) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_keeps_the_first() {
        let mut repeated = 0;
        let form = pairs("a=1%2B+2&b&&a=3&c=%2520&d=%zz%4", &mut repeated).unwrap();
        assert_eq!(form.get("a"), Some("1+ 2"));
        assert_eq!(form.get("b"), Some(""));
        assert_eq!(form.get("c"), Some("%20"));
        assert_eq!(form.get("d"), Some("%zz%4"));
        assert_eq!(repeated, 1);
        assert_eq!(pairs("a=%ff", &mut 0).unwrap_err().reason, Reason::BadUtf8);
        assert_eq!(pairs("a=%00", &mut 0).unwrap_err().reason, Reason::NulCharacter);
    }

    #[test]
    fn many_pairs_behave_as_few() {
        let many = |count: usize| {
            (0..count).map(|number| format!("k{number}={number}")).collect::<Vec<_>>().join("&")
        };
        let mut repeated = 0;
        let text = format!("{}&k3=x&k99=x", many(100));
        let form = pairs(&text, &mut repeated).unwrap();
        assert_eq!((form.0.len(), form.get("k99"), repeated), (100, Some("99"), 2));
        let base = pairs("k5=base&other=base", &mut repeated).unwrap();
        let over = form.over(&base);
        assert_eq!((over.get("k5"), over.get("other")), (Some("5"), Some("base")));
        let line = pairs("k5=line", &mut 0).unwrap();
        let over = line.over(&base);
        assert_eq!((over.get("k5"), over.get("other")), (Some("line"), Some("base")));
        assert_eq!(pairs(&many(1001), &mut 0).unwrap_err().reason, Reason::TooManyParams);
    }
}
