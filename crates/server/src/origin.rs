//! Where a web page comes from, and by which name a server is called.

use std::net::IpAddr;

/// Scheme, host and port of a web page, in lower case and without a default port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin(String);

impl Origin {
    /// Reads `scheme://host[:port]`. `null`, paths, user names and anything else are no origin.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let default = match scheme {
            "http" => "80",
            "https" => "443",
            _ => return None,
        };
        let (host, port) = split_host(authority)?;
        match port {
            Some(port) if port != default => Some(Self(format!("{scheme}://{host}:{port}"))),
            _ => Some(Self(format!("{scheme}://{host}"))),
        }
    }

    /// The origin of an address such as a `Referer`.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let start = url.find("://")? + 3;
        let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |end| start + end);
        Self::parse(&url[..end])
    }

    /// Whether the page was served by this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.authority().and_then(split_host).is_some_and(|(host, _)| is_loopback_name(host))
    }

    /// Whether the page was served under the name in this `Host` header.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.authority().is_some_and(|own| {
            own == host
                || Self::parse(&format!("{}://{host}", self.scheme())).as_ref() == Some(self)
        })
    }

    fn scheme(&self) -> &str {
        self.0.split("://").next().unwrap_or_default()
    }

    fn authority(&self) -> Option<&str> {
        self.0.split_once("://").map(|(_, authority)| authority)
    }
}

/// Splits `host[:port]`; an IPv6 address keeps its brackets.
pub(crate) fn split_host(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, rest) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        authority[1..end - 1].parse::<std::net::Ipv6Addr>().ok()?;
        authority.split_at(end)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(plain) {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().map(|_| port)?)
        }
        _ => return None,
    };
    Some((host, port))
}

/// Whether a host is this machine under any circumstances. A name such as `shop.localhost` is not:
/// a resolver may be asked for it.
pub(crate) fn is_loopback_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_without_case_and_default_port() {
        let same =
            |left: &str, right: &str| Origin::parse(left).unwrap() == Origin::parse(right).unwrap();
        assert!(same("https://Shop.example", "https://shop.example:443"));
        assert!(same("http://shop.example:80", "http://shop.example"));
        assert!(!same("https://shop.example", "http://shop.example"));
        assert!(!same("https://shop.example:8443", "https://shop.example"));
        assert!(!same("https://shop.example", "https://shop.example.evil.example"));
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "null",
            "",
            "shop.example",
            "https://",
            "https://a b",
            "ftp://a",
            "https://a/",
            "https://u@a",
            "https://a:",
            "https://a:x",
            "https://a:99999",
            "file://",
            "https://[::1",
            "https://a\r\nx: y",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
        assert!(Origin::of_url("https://shop.example/cart?x=1#y").is_some());
        assert_eq!(Origin::of_url("https://shop.example"), Origin::parse("https://shop.example"));
        assert_eq!(Origin::of_url("shop.example/cart"), None);
    }

    #[test]
    fn names_of_this_machine() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"]
        {
            assert!(!is_loopback_name(host), "{host}");
        }
        assert!(Origin::parse("http://localhost:3000").unwrap().is_loopback());
        assert!(!Origin::parse("http://localhost.evil.example").unwrap().is_loopback());
    }

    #[test]
    fn a_page_of_the_server_itself() {
        let page = Origin::parse("http://127.0.0.1:8686").unwrap();
        assert!(page.is_host("127.0.0.1:8686"));
        assert!(!page.is_host("127.0.0.1:8687"));
        assert!(
            Origin::parse("https://metrics.shop.example")
                .unwrap()
                .is_host("metrics.shop.example:443")
        );
        assert!(!Origin::parse("https://shop.example").unwrap().is_host("metrics.shop.example"));
    }
}
