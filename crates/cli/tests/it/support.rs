//! A folder, the binary in it, and what it said.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Variables that would change the output of a test.
const VARIABLES: [&str; 6] =
    ["NO_COLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE", "DBT_PROFILES_DIR", "COLUMNS", "CLICOLOR"];

/// A temporary folder in which the binary runs.
pub(crate) struct Folder {
    root: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// A folder with `shop/`, a project with demo data.
    pub(crate) fn with_demo() -> Self {
        let folder = Self::new();
        folder.run(&["init", "shop", "--demo"]).code(0);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The binary, in the folder's subfolder `inside`, with a clean environment.
    pub(crate) fn command(&self, inside: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicktrail"));
        command.args(arguments).current_dir(self.path(inside)).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CLICKTRAIL_") {
                command.env_remove(name);
            }
        }
        VARIABLES.iter().for_each(|name| {
            command.env_remove(name);
        });
        // Nobody's own profiles.yml.
        command.env("HOME", self.root.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command("", arguments).output().unwrap())
    }

    /// Runs in `shop/`.
    pub(crate) fn shop(&self, arguments: &[&str]) -> Said {
        said(self.command("shop", arguments).output().unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
}

pub(crate) fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// Asserts the exit code, and shows everything when it is another.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{}\n---\n{}", self.out, self.err);
        self
    }

    /// The last line of stderr.
    pub(crate) fn last(&self) -> &str {
        self.err.trim_end().lines().last().unwrap_or_default()
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}", self.out))
    }
}

/// Runs the assertions with paths, durations and the version replaced.
pub(crate) fn filtered(folder: &Folder, assertions: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter(&regex::escape(&folder.root().to_string_lossy()), "[dir]");
    settings.add_filter(r"\b\d+\.\d\ds\b", "[time]");
    settings.add_filter(r"\b\d+ threads?\b", "[threads]");
    settings.add_filter(&regex::escape(env!("CARGO_PKG_VERSION")), "[version]");
    settings.bind(assertions);
}
