//! Who may write, who may read, and what a browser is told about it.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN, REFERER, VARY,
};

use crate::origin::{Origin, is_loopback_name, split_host};
use crate::problem::{Fault, Problem};
use crate::query;
use crate::rate::{Prefix, Sender};
use crate::secret::{self, SecretHash};
use crate::settings::Settings;

/// How long a browser may remember a preflight's answer, seconds.
const PREFLIGHT_SECONDS: &str = "3600";

/// Longest list of header names that a preflight may ask for.
const PREFLIGHT_HEADERS_BYTES: usize = 500;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The rules of a server.
pub(crate) struct Rules {
    write_secrets: Vec<SecretHash>,
    read_secrets: Vec<SecretHash>,
    write_keys: Vec<String>,
    origins: Vec<Origin>,
    hosts: Vec<String>,
    allow_credentials: bool,
    behind_proxy: bool,
    loopback: bool,
}

/// Somebody who may write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Whose buckets the events are taken from.
    pub(crate) senders: Vec<Sender>,
    /// Whether claims about other people's addresses and places are believed.
    pub(crate) trusted: bool,
}

/// What a request says about the web page it comes from.
enum Page {
    /// Nothing: no browser, or one that hides it.
    Unknown,
    Allowed,
    Foreign,
}

impl Rules {
    pub(crate) fn new(settings: &Settings) -> Self {
        let access = &settings.access;
        Self {
            write_secrets: access.write_secrets.clone(),
            read_secrets: access.read_secrets.clone(),
            write_keys: access.write_keys.clone(),
            origins: access.origins.iter().filter_map(|origin| Origin::parse(origin)).collect(),
            hosts: access.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            allow_credentials: access.allow_credentials,
            behind_proxy: settings.behind_proxy,
            loopback: settings.bind.ip().is_loopback(),
        }
    }

    /// Whether every process of this machine may write: nothing else is set.
    fn open(&self) -> bool {
        self.loopback && self.write_secrets.is_empty() && self.write_keys.is_empty()
    }

    /// The client's network. Behind a proxy it is the address that the proxy itself has added.
    pub(crate) fn prefix(&self, headers: &HeaderMap, peer: SocketAddr) -> Prefix {
        let forwarded = || -> Option<IpAddr> {
            let last = headers.get_all(&FORWARDED_FOR).iter().next_back()?;
            last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        };
        let forwarded = self.behind_proxy.then(forwarded).flatten();
        Prefix::of(forwarded.unwrap_or_else(|| peer.ip()))
    }

    /// Who writes with this request. `path_key` is a write key in its path.
    ///
    /// # Errors
    /// [`Fault::SecretMissing`], [`Fault::SecretWrong`], [`Fault::Origin`] or [`Fault::Host`].
    pub(crate) fn writer(
        &self,
        headers: &HeaderMap,
        query: &str,
        path_key: Option<&str>,
        prefix: Prefix,
    ) -> Result<Writer, Problem> {
        if headers.contains_key(ORIGIN) && self.cors_origin(headers).is_none() {
            return Err(foreign());
        }
        if self.open() {
            self.check_host(headers)?;
            return match self.page(headers) {
                Page::Foreign => Err(foreign()),
                _ => Ok(Writer { senders: vec![Sender::Open], trusted: true }),
            };
        }
        let in_query = query::value(query, "api_secret");
        let presented = bearer(headers).or(in_query.as_deref().map(str::as_bytes));
        if let Some(presented) = presented.filter(|secret| !secret.is_empty()) {
            return match secret::find(&self.write_secrets, presented) {
                Some(at) => Ok(Writer { senders: vec![Sender::Secret(at)], trusted: true }),
                None => Err(Problem::new(Fault::SecretWrong, "this secret is not active")),
            };
        }
        let Some(at) = self.write_key(query, path_key) else {
            return Err(Problem::new(Fault::SecretMissing, "the request has no secret"));
        };
        match self.page(headers) {
            Page::Allowed => Ok(Writer {
                senders: vec![Sender::WriteKey(at), Sender::Prefix(prefix)],
                trusted: false,
            }),
            Page::Unknown | Page::Foreign => Err(foreign()),
        }
    }

    /// A public key may stand in the path, in the query, or be the measurement id.
    fn write_key(&self, query: &str, path_key: Option<&str>) -> Option<usize> {
        let position = |key: &str| self.write_keys.iter().position(|known| known == key);
        let named = |name: &str| query::value(query, name);
        path_key
            .and_then(position)
            .or_else(|| named("write_key").and_then(|key| position(&key)))
            .or_else(|| {
                named("tid").or_else(|| named("measurement_id")).and_then(|id| position(&id))
            })
    }

    /// Whether a path's first segment is a write key.
    pub(crate) fn is_write_key(&self, segment: &str) -> bool {
        self.write_keys.iter().any(|known| known == segment)
    }

    /// Whether this request may read.
    ///
    /// # Errors
    /// [`Fault::Host`], [`Fault::Origin`], [`Fault::ReadClosed`], [`Fault::SecretMissing`] or
    /// [`Fault::SecretWrong`].
    pub(crate) fn reader(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.loopback {
            self.check_host(headers)?;
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let own = |origin: &HeaderValue| {
            let origin = origin.to_str().ok().and_then(Origin::parse);
            origin.is_some_and(|origin| origin.is_host(host))
        };
        let cross = headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site");
        if cross || !headers.get_all(ORIGIN).iter().all(own) {
            return Err(Problem::new(Fault::Origin, "pages of other sites may not read")
                .hint("send the request from a program, or from a page of this server"));
        }
        self.read_secret(headers)
    }

    /// Whether this request may read a page: one may come from a link on another site, as that site learns
    /// nothing of the answer.
    ///
    /// # Errors
    /// As [`Rules::reader`].
    pub(crate) fn page_reader(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let is_navigation = headers.get("sec-fetch-dest").is_some_and(|dest| dest == "document")
            && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if !is_navigation {
            return self.reader(headers);
        }
        if self.loopback {
            self.check_host(headers)?;
        }
        self.read_secret(headers)
    }

    /// Whether this is an active read secret.
    pub(crate) fn is_read_secret(&self, secret: &[u8]) -> bool {
        secret::find(&self.read_secrets, secret).is_some()
    }

    fn read_secret(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.read_secrets.is_empty() {
            let closed = || Problem::new(Fault::ReadClosed, "this server has no read secret");
            return if self.loopback { Ok(()) } else { Err(closed()) };
        }
        let Some(presented) = bearer(headers).or_else(|| cookie(headers)) else {
            return Err(Problem::new(Fault::SecretMissing, "the request has no read secret")
                .hint("send `Authorization: Bearer …`; in a browser open /?token=<secret> once"));
        };
        match secret::find(&self.read_secrets, presented) {
            Some(_) => Ok(()),
            None => Err(Problem::new(Fault::SecretWrong, "this read secret is not active")),
        }
    }

    /// A page that got its own name resolved to 127.0.0.1 calls the server by that name.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(split_host);
        let own = |(name, _): (&str, _)| {
            is_loopback_name(name) || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
        };
        if host.is_some_and(own) {
            return Ok(());
        }
        Err(Problem::new(Fault::Host, "the server is not known by the name in the Host header"))
    }

    fn allowed(&self, origin: &Origin) -> bool {
        self.origins.contains(origin) || self.open() && origin.is_loopback()
    }

    fn page(&self, headers: &HeaderMap) -> Page {
        let judge = |origin: Option<Origin>| match origin {
            Some(origin) if self.allowed(&origin) => Page::Allowed,
            _ => Page::Foreign,
        };
        if headers.contains_key(ORIGIN) {
            return if self.cors_origin(headers).is_some() { Page::Allowed } else { Page::Foreign };
        }
        // An image or a navigation has no origin.
        if let Some(referer) = headers.get(REFERER) {
            return judge(referer.to_str().ok().and_then(Origin::of_url));
        }
        match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
            Some(b"same-origin") => Page::Allowed,
            Some(b"cross-site" | b"same-site") => Page::Foreign,
            _ => Page::Unknown,
        }
    }

    /// The request's origin, if its pages may send events.
    fn cors_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let mut all = headers.get_all(ORIGIN).iter();
        let value = all.next().filter(|_| all.next().is_none())?;
        let origin = Origin::parse(value.to_str().ok()?)?;
        self.allowed(&origin).then_some(value)
    }

    /// What lets an allowed page read an answer; for other pages nothing but `Vary`.
    pub(crate) fn allow_origin(&self, request: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        answer.insert(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.cors_origin(request) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.allow_credentials {
                answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        answer
    }

    /// Answers a browser that asks before it sends.
    ///
    /// # Errors
    /// [`Fault::Origin`].
    pub(crate) fn preflight(&self, request: &HeaderMap) -> Result<HeaderMap, Problem> {
        if self.cors_origin(request).is_none() {
            return Err(foreign());
        }
        let mut answer = HeaderMap::new();
        let methods = HeaderValue::from_static("POST, GET, OPTIONS");
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
        if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS)
            && wanted.len() <= PREFLIGHT_HEADERS_BYTES
            && wanted.as_bytes().iter().all(token)
        {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        Ok(answer)
    }
}

fn foreign() -> Problem {
    Problem::new(Fault::Origin, "pages of this origin may not send events")
}

/// The secret that a browser was given a cookie for.
fn cookie(headers: &HeaderMap) -> Option<&[u8]> {
    let text = headers.get(COOKIE)?.to_str().ok()?;
    let mut pairs = text.split(';').map(str::trim);
    pairs.find_map(|pair| pair.strip_prefix("clicktrail_token=")).map(str::as_bytes)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, secret) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| secret.trim_ascii())
}
