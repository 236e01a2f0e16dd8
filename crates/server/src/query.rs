//! Query strings: a value by name, and the same string without a secret.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Names under which a query string may carry a secret. They are cut out before anything else sees
/// it.
const SECRET_NAMES: [&str; 2] = ["api_secret", "token"];

/// The first value of that name, decoded; a name alone has the value "".
pub(crate) fn value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// All names with their values, decoded.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name).into_owned(), decode(value).into_owned()))
        .collect()
}

/// The query string without the pairs that hold a secret.
pub(crate) fn without_secrets(query: &str) -> Cow<'_, str> {
    let secret = |pair: &&str| {
        let key = decode(pair.split('=').next().unwrap_or_default());
        SECRET_NAMES.iter().any(|name| key.eq_ignore_ascii_case(name))
    };
    if query.split('&').any(|pair| secret(&pair)) {
        let kept: Vec<&str> = query.split('&').filter(|pair| !secret(pair)).collect();
        Cow::Owned(kept.join("&"))
    } else {
        Cow::Borrowed(query)
    }
}

/// Undoes percent and plus. What is not valid stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => Cow::Owned(decoded.into_owned()),
        Err(_) => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_by_name() {
        let query = "a=1&b=x%20y+z&c&a=2&%64=4&e=%zz&f=%ff&g=1=2";
        let of = |name| value(query, name).map(Cow::into_owned);
        assert_eq!(of("a").as_deref(), Some("1"));
        assert_eq!(of("b").as_deref(), Some("x y z"));
        assert_eq!(of("c").as_deref(), Some(""));
        assert_eq!(of("d").as_deref(), Some("4"));
        assert_eq!(of("e").as_deref(), Some("%zz"));
        assert_eq!(of("f").as_deref(), Some("%ff"));
        assert_eq!(of("g").as_deref(), Some("1=2"));
        assert_eq!(of("h"), None);
        assert_eq!(value("", "a"), None);
    }

    #[test]
    fn secrets_are_cut_out_however_they_are_written() {
        assert_eq!(without_secrets("a=1&api_secret=s&b=2"), "a=1&b=2");
        assert_eq!(without_secrets("api%5Fsecret=s&API_SECRET=t"), "");
        assert_eq!(without_secrets("a=api_secret"), "a=api_secret");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(query in "[a-c%+&=0-9f]{0,40}|\\PC{0,40}", name in "[a-c]{0,2}") {
            let _ = value(&query, &name);
            prop_assert!(value(&without_secrets(&query), "api_secret").is_none());
        }

        #[test]
        fn what_was_encoded_comes_back(text in "\\PC{0,30}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let query = format!("x=1&k={encoded}");
            prop_assert_eq!(value(&query, "k").unwrap(), text);
        }

        #[test]
        fn a_secret_never_stays(
            secret in "[a-zA-Z0-9]{16,20}",
            before in "[a-z=&]{0,9}",
            after in "[a-z=&]{0,9}",
        ) {
            let query = format!("{before}&api_secret={secret}&{after}");
            prop_assert!(!without_secrets(&query).contains(&secret));
            prop_assert_eq!(value(&query, "api_secret").unwrap(), secret);
        }
    }
}
