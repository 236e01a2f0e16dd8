//! The dashboard's files: in the binary, hashed and compressed once, or from a folder while they are edited.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

const SHELL: &str = "index.html";

/// Text types below this size gain nothing from compression.
const GZIP_BYTES_MIN: usize = 500;

/// A file as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub(crate) content_type: &'static str,
    pub(crate) etag: String,
    pub(crate) plain: Bytes,
    pub(crate) gzip: Option<Bytes>,
}

/// The shell of every page, ready but for the page's own JSON.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) policy: String,
}

/// All files of the dashboard.
#[derive(Debug)]
pub(crate) struct Web {
    folder: Option<PathBuf>,
    build: String,
    assets: BTreeMap<&'static str, OnceLock<Asset>>,
    shell: OnceLock<Shell>,
}

impl Web {
    /// From the binary, or from a folder that is read for each request.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        for (name, bytes) in FILES {
            hash.update(name);
            hash.update(bytes);
        }
        let build = hex(&hash.finalize()[..4]);
        let assets = FILES.iter().map(|(name, _)| (*name, OnceLock::new())).collect();
        Self { folder, build, assets, shell: OnceLock::new() }
    }

    /// Names the files of this binary; part of their addresses.
    pub(crate) fn build(&self) -> &str {
        &self.build
    }

    /// Whether files may change while the server runs.
    pub(crate) fn is_edited(&self) -> bool {
        self.folder.is_some()
    }

    /// A file by its path below `web/`.
    pub(crate) fn asset(&self, name: &str) -> Option<Asset> {
        if let Some(folder) = &self.folder {
            let inside = name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
            let bytes = inside.then(|| std::fs::read(folder.join(name)).ok()).flatten()?;
            return Some(asset(name, &bytes));
        }
        let (_, bytes) = FILES.iter().find(|(known, _)| *known == name)?;
        Some(self.assets.get(name)?.get_or_init(|| asset(name, bytes)).clone())
    }

    /// The shell; `None` in a binary that was built without it.
    pub(crate) fn shell(&self) -> Option<Shell> {
        let address = format!("/a/{}", self.build);
        if self.folder.is_some() {
            return Some(shell(&String::from_utf8_lossy(&self.asset(SHELL)?.plain), &address, &[]));
        }
        let (_, bytes) = FILES.iter().find(|(name, _)| *name == SHELL)?;
        let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        let made = || shell(&String::from_utf8_lossy(bytes), &address, &names);
        Some(self.shell.get_or_init(made).clone())
    }

    /// Vendored files' licences, as `name@version` and text.
    pub(crate) fn licences(&self) -> Vec<(String, String)> {
        let vendored = FILES.iter().filter_map(|(name, bytes)| {
            let library = name.strip_prefix("vendor/")?.strip_suffix("/LICENSE")?;
            Some((library.to_owned(), String::from_utf8_lossy(bytes).into_owned()))
        });
        vendored.collect()
    }
}

/// The dashboard's build and what it brings along, for its Settings page: `{build, licences}`.
pub fn dashboard_about() -> Value {
    let web = Web::new(None);
    let licences: Vec<Value> = web
        .licences()
        .iter()
        .map(|(library, text)| {
            let (name, version) = library.split_once('@').unwrap_or((library, ""));
            let first =
                text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let kind = if first.starts_with("Apache") { "Apache-2.0" } else { "MIT" };
            let url = format!("/a/{}/vendor/{library}/LICENSE", web.build());
            json!({ "name": name, "version": version, "licence": kind, "url": url })
        })
        .collect();
    json!({ "build": { "version": env!("CARGO_PKG_VERSION"), "id": web.build() }, "licences": licences })
}

fn asset(name: &str, bytes: &[u8]) -> Asset {
    let content_type = match name.rsplit('.').next().unwrap_or_default() {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    let etag = format!("\"{}\"", hex(&Sha256::digest(bytes)[..16]));
    let packed = (bytes.len() >= GZIP_BYTES_MIN && content_type != "image/png").then(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).ok().map(Bytes::from)
    });
    Asset { content_type, etag, plain: Bytes::copy_from_slice(bytes), gzip: packed.flatten() }
}

/// Modules are named up front: a browser that finds them one import after the other asks for them one round trip after
/// the other.
fn shell(text: &str, address: &str, files: &[&str]) -> Shell {
    let is_module = |name: &&&str| name.ends_with(".js") || name.ends_with(".mjs");
    let preload: Vec<String> = files
        .iter()
        .filter(is_module)
        .map(|name| format!("<link rel=\"modulepreload\" href=\"{address}/{name}\">"))
        .collect();
    let text = text.replace("%ASSETS%", address).replace("%PRELOAD%", &preload.join("\n"));
    let map = text
        .split_once("<script type=\"importmap\">")
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .map(|(map, _)| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(map))))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'{map}; style-src 'self'; img-src 'self' data: blob:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let (before, after) = text.split_once("%PAGE_JSON%").unwrap_or((&text, ""));
    Shell { before: before.to_owned(), after: after.to_owned(), policy }
}

/// JSON that can stand inside a `script` element: nothing in it can end the element.
pub(crate) fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_import_map_only() {
        let text =
            "<script type=\"importmap\">{\"a\":\"%ASSETS%/b\"}</script>%PRELOAD%%PAGE_JSON%.";
        let shell = shell(text, "/a/1", &["main.js", "css/app.css"]);
        assert!(
            shell.before.ends_with("<link rel=\"modulepreload\" href=\"/a/1/main.js\">"),
            "{}",
            shell.before
        );
        let hash = STANDARD.encode(Sha256::digest("{\"a\":\"/a/1/b\"}"));
        assert!(
            shell.policy.contains(&format!("script-src 'self' 'sha256-{hash}';")),
            "{}",
            shell.policy
        );
        assert_eq!(shell.after, ".");
    }

    #[test]
    fn no_value_ends_the_element() {
        assert_eq!(inside_script("</script>&"), "\\u003c/script\\u003e\\u0026");
    }
}
