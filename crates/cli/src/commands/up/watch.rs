//! Keys and files that make the server start anew.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use console::{Key, Term};

use super::{QUIET, is_watched};
use crate::commands::serve::Ends;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(700);

/// Kinds of files that a project is made of.
const KINDS: [&str; 5] = ["sql", "yml", "yaml", "csv", "md"];

/// Whether somebody can press keys and see what happens.
pub(super) fn is_interactive() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Listens to keys, for as long as the process lives.
pub(super) fn keys(ends: Sender<Ends>, address: Arc<OnceLock<String>>) {
    thread::spawn(move || {
        let terminal = Term::stderr();
        while let Ok(key) = terminal.read_key_raw() {
            let end = match key {
                Key::Char('q') | Key::CtrlC => Ends::Asked,
                Key::Char('r') => Ends::Rebuild,
                Key::Char(' ') => {
                    if let Some(address) = address.get() {
                        open_browser(address);
                    }
                    continue;
                }
                _ => continue,
            };
            if ends.send(end).is_err() {
                return;
            }
        }
    });
}

/// Looks at the project's files, for as long as the process lives.
pub(super) fn files(dir: PathBuf, ends: Sender<Ends>) {
    thread::spawn(move || {
        let mut known = times(&dir);
        loop {
            thread::sleep(LOOK);
            let mut now = times(&dir);
            if now == known {
                continue;
            }
            loop {
                thread::sleep(QUIET);
                let later = times(&dir);
                if later == now {
                    break;
                }
                now = later;
            }
            known = now;
            if ends.send(Ends::Rebuild).is_err() {
                return;
            }
        }
    });
}

/// Files of the project with the time of their last change.
fn times(dir: &Path) -> Vec<(PathBuf, Option<SystemTime>)> {
    let (mut files, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if !is_watched(dir, &path) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
            {
                files.push((path, entry.metadata().and_then(|data| data.modified()).ok()));
            }
        }
    }
    files.sort();
    files
}

/// Opens a page; where there is no browser, nothing happens.
pub(super) fn open_browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = quiet {
        thread::spawn(move || child.wait());
    }
}
