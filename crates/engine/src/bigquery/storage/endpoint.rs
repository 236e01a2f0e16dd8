//! Where the Storage APIs are.

use std::fmt;

use super::super::auth::is_safe;
use super::super::fault::{Fault, FaultKind};

/// Google's address.
const GOOGLE: &str = "https://bigquerystorage.googleapis.com";

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Endpoint {
    /// The address of a target: the one that it states; else Google's, unless the target is at another place than
    /// Google's, where nothing is known of its Storage APIs.
    ///
    /// # Errors
    /// An address that secrets would be sent to unencrypted, or that is none.
    pub(in super::super) fn of(
        storage_api_endpoint: Option<&str>,
        api_endpoint: Option<&str>,
    ) -> Result<Option<Self>, Fault> {
        match (storage_api_endpoint, api_endpoint) {
            (Some(stated), _) => Self::parse(stated).map(Some),
            (None, None) => Self::parse(GOOGLE).map(Some),
            (None, Some(_)) => Ok(None),
        }
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str, hint: &str| {
            let message = format!("`storage_api_endpoint` {text} {what}");
            Fault::new(FaultKind::Setting, message).hinted(hint)
        };
        let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        if !is_safe(&url) {
            return Err(wrong("is not encrypted", "use https://, or http:// on this machine only"));
        }
        let uri: Option<http::Uri> = url.parse().ok();
        let parts = uri.as_ref().and_then(|uri| Some((uri, uri.host()?)));
        let Some((uri, host)) = parts.filter(|(uri, _)| uri.path() == "/" && uri.query().is_none())
        else {
            return Err(wrong("is no address", "write https://HOST or https://HOST:PORT"));
        };
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, tls })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, tls } = self;
        let scheme = if *tls { "https" } else { "http" };
        match (host.contains(':'), tls, port) {
            (true, ..) => write!(f, "{scheme}://[{host}]:{port}"),
            (false, true, 443) => write!(f, "{scheme}://{host}"),
            (false, ..) => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_google_s_or_stated() {
        let told = |storage, api| {
            Endpoint::of(storage, api).map(|found| found.map(|found| found.to_string()))
        };
        assert_eq!(told(None, None), Ok(Some(GOOGLE.into())));
        assert_eq!(told(None, Some("http://127.0.0.1:1")), Ok(None));
        for (stated, expected) in [
            ("http://127.0.0.1:9060/", "http://127.0.0.1:9060"),
            ("private.example", "https://private.example"),
            ("https://private.example:8443", "https://private.example:8443"),
            ("http://[::1]:9060", "http://[::1]:9060"),
        ] {
            assert_eq!(told(Some(stated), None), Ok(Some(expected.into())));
        }
        for bad in ["http://private.example", "https://a.example/path", "https://"] {
            assert_eq!(told(Some(bad), None).unwrap_err().kind, FaultKind::Setting, "{bad}");
        }
    }
}
