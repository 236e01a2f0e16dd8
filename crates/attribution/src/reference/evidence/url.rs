//! The two things that evidence reads from a URL: its host and its query values.

/// Host of an `http(s)` URL: lower case, without user, port and closing dot.
#[must_use]
pub fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim().split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let after_user = authority.rsplit('@').next()?;
    let without_port = match after_user.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => after_user,
    };
    let host = without_port.trim_end_matches('.').to_lowercase();
    (!host.is_empty()).then_some(host)
}

/// Value of a key in a URL's query: the last one, percent-decoded, `+` as space `[2.10]`.
///
/// The query is all that follows the first `?`, a fragment too: routers keep their query there
/// (`/#/page?utm_source=…`). Keys match in any case and are not decoded. `None` when the key is
/// absent.
#[must_use]
pub fn query_value(url: &str, key: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let pairs = query.split(['&', '#', '?']);
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.rfind(|(name, _)| name.eq_ignore_ascii_case(key))?;
    Some(decoded(value))
}

/// Decodes `%XX` and `+`; a `%` without two digits stays, and a value that is not UTF-8 stays whole.
fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit =
            |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', _, _) => decoded.push(b' '),
            (byte, _, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_web_pages_only() {
        let host = |url: &str| host(url).unwrap_or_default();
        assert_eq!(host("HTTPS://user:pw@Shop.Example.com.:8080/a?b#c"), "shop.example.com");
        assert_eq!(host("http://example.com?x=://"), "example.com");
        assert_eq!(host("https://example.com"), "example.com");
        assert_eq!(host("http://[::1]:80/"), "[::1]");
        for none in ["android-app://com.google.android.gm", "example.com", "https:///x", ""] {
            assert_eq!(host(none), "", "{none}");
        }
    }

    /// [2.10]
    #[test]
    fn the_last_query_value_wins_and_is_decoded() {
        let url = "https://a.example/?utm_source=one&UTM_Source=J%C3%BCrgen+%26+Co&x#top";
        assert_eq!(query_value(url, "utm_source").as_deref(), Some("Jürgen & Co"));
        assert_eq!(query_value(url, "x").as_deref(), Some(""));
        assert_eq!(query_value(url, "source"), None);
        assert_eq!(query_value("https://a.example/#/page?x=1", "x").as_deref(), Some("1"));
        assert_eq!(query_value("/?a=%zz%4&b=%ff", "a").as_deref(), Some("%zz%4"));
        assert_eq!(query_value("/?a=%zz%4&b=%ff+x", "b").as_deref(), Some("%ff+x"));
        assert_eq!(query_value("/?a=b=c?d", "a").as_deref(), Some("b=c"));
    }
}
