//! Credentials → access tokens, as Google's own tools find them.
//!
//! Kinds: a service account's key file, `gcloud auth application-default login`, the metadata server of Google's
//! machines, a token that the user has. Secrets are in no `Debug`, no error and no log.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::fault::{Fault, FaultKind};
use super::transport::{Call, Transport};

/// What tokens may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// Google's token endpoint.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// Life of a signed request for a token, in seconds; the most that Google allows.
const ASSERTION_SECONDS: i64 = 3600;

/// A token is replaced so many seconds before it ends.
const RENEWAL_SECONDS: i64 = 120;

/// How a token is come by.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing is sent: an emulator.
    None,
    /// A token that the user has.
    Token(String),
    /// A service account's key, or what gcloud keeps: the JSON of the file.
    Json(Value),
    /// The metadata server at this host.
    Metadata(String),
}

/// Without secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told())
    }
}

impl Credentials {
    /// Google's application default credentials: `GOOGLE_APPLICATION_CREDENTIALS`, then gcloud's file, then the
    /// metadata server.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn default_of(env: &BTreeMap<String, String>) -> Result<Self, Fault> {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
        if let Some(path) = set("GOOGLE_APPLICATION_CREDENTIALS") {
            return Self::file(Path::new(path));
        }
        let config = set("CLOUDSDK_CONFIG")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(home).join(".config/gcloud")));
        if let Some(path) = config.map(|dir| dir.join("application_default_credentials.json"))
            && path.is_file()
        {
            return Self::file(&path);
        }
        let host = set("GCE_METADATA_HOST").map_or("metadata.google.internal", String::as_str);
        Ok(Self::Metadata(host.to_owned()))
    }

    /// The file of a service account's key, or of gcloud.
    ///
    /// # Errors
    /// A file that can't be read or is no such file.
    pub fn file(path: &Path) -> Result<Self, Fault> {
        let told = |what: String| Fault::new(FaultKind::Setting, what);
        let text = std::fs::read_to_string(path).map_err(|error| {
            told(format!("cannot read the key file {}: {error}", path.display()))
        })?;
        let json = serde_json::from_str(&text)
            .map_err(|_| told(format!("the key file {} is no JSON", path.display())))?;
        Self::json(json)
    }

    /// The JSON of such a file.
    ///
    /// # Errors
    /// A kind that is not supported.
    pub fn json(json: Value) -> Result<Self, Fault> {
        match json["type"].as_str().unwrap_or_default() {
            "service_account" | "authorized_user" => Ok(Self::Json(json)),
            other => Err(Fault::new(
                FaultKind::Setting,
                format!("credentials of the type `{other}` are not supported"),
            )
            .hinted("use a service account's key, or `gcloud auth application-default login`")),
        }
    }

    /// Who that is, without secrets.
    pub fn told(&self) -> String {
        match self {
            Self::None => "none".into(),
            Self::Token(_) => "a token of the target".into(),
            Self::Metadata(host) => format!("the machine's service account ({host})"),
            Self::Json(json) => match json["client_email"].as_str() {
                Some(email) => format!("service account {email}"),
                None => "the user of gcloud".into(),
            },
        }
    }
}

/// Keeps a token and renews it.
#[derive(Debug)]
pub(super) struct Tokens {
    credentials: Credentials,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: String,
    until: i64,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, kept: Mutex::default() }
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// A token that is good at `now` (seconds since 1970); `None` when none is to be sent.
    ///
    /// # Errors
    /// Credentials that are not accepted, or an endpoint that can't be reached.
    pub(super) fn token(&self, transport: &Transport, now: i64) -> Result<Option<String>, Fault> {
        let json = match &self.credentials {
            Credentials::None => return Ok(None),
            Credentials::Token(token) => return Ok(Some(token.clone())),
            other => other,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > now) {
            return Ok(Some(kept.token.clone()));
        }
        let answer = match json {
            Credentials::Metadata(host) => from_metadata(transport, host)?,
            Credentials::Json(json) if json["type"] == "service_account" => {
                let assertion = assertion(json, now)?;
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", &assertion),
                ];
                from_endpoint(transport, json, &form)?
            }
            Credentials::Json(json) => {
                let text = |key: &str| json[key].as_str().unwrap_or_default();
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", text("client_id")),
                    ("client_secret", text("client_secret")),
                    ("refresh_token", text("refresh_token")),
                ];
                from_endpoint(transport, json, &form)?
            }
            Credentials::None | Credentials::Token(_) => return Ok(None),
        };
        let Some(token) = answer["access_token"].as_str() else {
            return Err(Fault::new(FaultKind::Credentials, "the answer holds no token"));
        };
        let life = answer["expires_in"].as_i64().unwrap_or(0);
        *kept = Some(Kept { token: token.to_owned(), until: now + life - RENEWAL_SECONDS });
        Ok(Some(token.to_owned()))
    }

    /// Forgets a token that was refused; whether another one can be had.
    pub(super) fn forget(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

fn from_metadata(transport: &Transport, host: &str) -> Result<Value, Fault> {
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let call = Call {
        method: "GET",
        url: &url,
        headers: vec![("metadata-flavor", "Google".into())],
        body: &[],
        repeatable: false,
    };
    let none = |_| Fault::new(FaultKind::Credentials, "there are none on this machine");
    let answer = transport.send(&call).map_err(none)?;
    if answer.status >= 400 {
        return Err(Fault::new(FaultKind::Credentials, answer.reason().1));
    }
    Ok(answer.body)
}

fn from_endpoint(
    transport: &Transport,
    json: &Value,
    form: &[(&str, &str)],
) -> Result<Value, Fault> {
    let url = json["token_uri"].as_str().unwrap_or(TOKEN_URI);
    if !is_safe(url) {
        let what = format!("`token_uri` {url} is not encrypted");
        return Err(Fault::new(FaultKind::Setting, what).hinted("use an address with https://"));
    }
    let body: Vec<String> =
        form.iter().map(|(key, value)| format!("{key}={}", percent_encoded(value))).collect();
    let body = body.join("&");
    let call = Call {
        method: "POST",
        url,
        headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
        body: body.as_bytes(),
        repeatable: true,
    };
    let answer = transport.send(&call)?;
    if answer.status >= 400 {
        let words = answer.body["error_description"].as_str().or(answer.body["error"].as_str());
        let words = words.map_or_else(|| answer.reason().1, str::to_owned);
        return Err(Fault::new(FaultKind::Credentials, words));
    }
    Ok(answer.body)
}

/// Whether secrets may be sent to an address: encrypted, or never leaving the machine.
pub(super) fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return false;
    }
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(host, "localhost" | "::1")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// The signed request for a token (RFC 7523).
fn assertion(json: &Value, now: i64) -> Result<String, Fault> {
    let bad = || {
        Fault::new(FaultKind::Setting, "the key of the service account can't be read")
            .hinted("make a new JSON key for the account in the Google Cloud console")
    };
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(id) = json["private_key_id"].as_str() {
        header["kid"] = id.into();
    }
    let claims = json!({
        "iss": json["client_email"],
        "scope": SCOPE,
        "aud": json["token_uri"].as_str().unwrap_or(TOKEN_URI),
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(&header), encoded(&claims));
    let pem = json["private_key"].as_str().ok_or_else(bad)?;
    let inside: String =
        pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(inside).map_err(|_| bad())?;
    let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| bad())?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| bad())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// What RFC 3986 leaves as it is in every part of an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Text inside a form or an address.
pub(super) fn percent_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

/// How long requests are tried for when only a token is wanted.
pub(super) const PATIENCE_DEFAULT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let json = json!({"type": "authorized_user", "refresh_token": "s3cret", "client_secret": "s3cret"});
        let all = [Credentials::json(json).unwrap(), Credentials::Token("s3cret".into())];
        for credentials in all {
            assert!(
                !format!("{credentials:?} {:?}", Tokens::new(credentials.clone()))
                    .contains("s3cret")
            );
        }
        let kept = Kept { token: "s3cret".into(), until: 1 };
        assert!(!format!("{kept:?}").contains("s3cret"));
    }

    #[test]
    fn secrets_go_over_encrypted_or_local_connections_only() {
        for good in [
            "https://a.example/x",
            "http://127.0.0.1:9050",
            "http://localhost/x",
            "http://[::1]:1/",
        ] {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "http://a.example",
            "http://127.0.0.1.evil.example/",
            "http://localhost@evil.example/",
            "ftp://localhost",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }

    #[test]
    fn the_environment_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        std::fs::write(&path, r#"{"type": "external_account"}"#).unwrap();
        let env = BTreeMap::from([(
            "GOOGLE_APPLICATION_CREDENTIALS".to_owned(),
            path.display().to_string(),
        )]);
        let fault = Credentials::default_of(&env).unwrap_err();
        assert!(fault.to_string().contains("external_account"), "{fault}");
        let none = BTreeMap::from([("HOME".to_owned(), dir.path().display().to_string())]);
        assert!(matches!(Credentials::default_of(&none), Ok(Credentials::Metadata(_))));
    }
}
