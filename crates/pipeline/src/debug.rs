//! `debug`: everything a build needs, checked without building.
//!
//! Each check is one line with a fix; a check whose ground is missing is left out. No data is read but
//! the first and last bytes of the newest file of each source.

mod sources;
mod vars;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clicktrail_project::{Adapter, Fault, Project, ProjectError, ResourceType, Target};

#[cfg(feature = "bigquery")]
use crate::clock::SystemClock;
use crate::error::PipelineError;
use crate::warehouse::Warehouse;
use crate::workspace::{Check, Settings, Workspace};

/// Versions of all crates in this binary.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Crates whose version is told, with the names people know them by.
const ENGINES: [(&str, &str); 3] =
    [("datafusion", "DataFusion"), ("arrow", "Arrow"), ("parquet", "Parquet")];

/// The file that makes a folder a project.
const PROJECT_FILE: &str = "dbt_project.yml";

/// The file with the targets.
const PROFILES_FILE: &str = "profiles.yml";

/// Oddities of a project that get a line each.
const WARNINGS_MAX: usize = 5;

impl Workspace {
    /// Checks everything a build needs, without building; never fails as a whole. With `files`, every file of the
    /// warehouse's tables is read and compared with its checksum.
    pub fn debug(settings: &Settings, files: bool) -> Vec<Check> {
        let mut checks = vec![good("engine", engine())];
        let dir = &settings.load.project_dir;
        if !dir.join(PROJECT_FILE).is_file() {
            checks.push(no_project(dir));
            return checks;
        }
        checks.push(good("project file", shown(&dir.join(PROJECT_FILE))));
        let project = match Project::load(&settings.load) {
            Ok(project) => project,
            Err(error) => {
                checks.push(not_loaded(&error));
                return checks;
            }
        };
        checks.extend(of_target(&project.target));
        checks.extend(of_project(&project));
        checks.extend(vars::checks(&project, &settings.load.vars));
        if project.target.adapter == Adapter::Clicktrail {
            let warehouse = Warehouse::of(&project);
            checks.extend(of_warehouse(&warehouse));
            if files {
                checks.extend(of_files(&warehouse));
            }
        }
        if project.target.adapter != Adapter::Bigquery {
            checks.extend(sources::checks(project));
            return checks;
        }
        #[cfg(feature = "bigquery")]
        match Workspace::open(settings.clone(), std::sync::Arc::new(SystemClock::default())) {
            Ok(workspace) => checks.extend(crate::remote::debug_checks(&workspace)),
            Err(error) => checks.push(refused("target", &error, "correct the target")),
        }
        checks
    }
}

/// A check that went well.
pub(crate) fn good(subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check { subject: subject.into(), ok: true, found: found.into(), fix: None }
}

/// A check that did not, with what to do.
pub(crate) fn bad(
    subject: impl Into<String>,
    found: impl Into<String>,
    fix: impl Into<String>,
) -> Check {
    Check { subject: subject.into(), ok: false, found: found.into(), fix: Some(fix.into()) }
}

/// A check that failed with an error that knows what to do, or for which `fix` does.
fn refused(subject: impl Into<String>, error: &PipelineError, fix: &str) -> Check {
    bad(subject, error.to_string(), error.hint().unwrap_or_else(|| fix.to_owned()))
}

/// A path as the user can open it from anywhere.
fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn engine() -> String {
    let versions: Vec<String> = ENGINES
        .iter()
        .map(|(name, title)| format!("{title} {}", locked_version(LOCK, name).unwrap_or("?")))
        .collect();
    format!("{} on {} {}", versions.join(", "), std::env::consts::OS, std::env::consts::ARCH)
}

/// The version that a lock file gives a crate.
fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}

fn no_project(dir: &Path) -> Check {
    let place = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let found = match place.is_dir() {
        true => format!("no `{PROJECT_FILE}` in {}", shown(place)),
        false => format!("{} is not a folder", place.display()),
    };
    let fix = "run inside a project folder, give `--project-dir`, or begin with `clicktrail init shop --demo`";
    bad("project file", found, fix)
}

/// The first fault of the project: the profile's if it stands there, else the project's.
fn not_loaded(error: &ProjectError) -> Check {
    let of_profile = matches!(*error.fault, Fault::NoProfiles { .. })
        || error.file().and_then(Path::file_name) == Some(OsStr::new(PROFILES_FILE));
    let fix = error.hint().unwrap_or_else(|| match &error.at {
        Some(at) => format!("correct {at}"),
        None => format!("correct {PROJECT_FILE}"),
    });
    bad(if of_profile { "profile" } else { "project" }, error.to_string(), fix)
}

fn of_target(target: &Target) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(file) = &target.file {
        checks.push(good("profiles", shown(file)));
    }
    let Target { name, profile_name, .. } = target;
    let adapter = target.adapter.as_str();
    let how = match target.adapter {
        Adapter::Clicktrail => match target.threads {
            0 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                format!("embedded engine, {} (all cores)", counted(cores, "thread", "threads"))
            }
            some => format!("embedded engine, {}", counted(some, "thread", "threads")),
        },
        #[cfg(feature = "bigquery")]
        Adapter::Bigquery => {
            format!("BigQuery, {}", counted(target.threads, "thread", "threads"))
        }
        Adapter::Postgres => {
            format!("PostgreSQL, which takes tables: `clicktrail publish --to {name}`")
        }
        _ => format!("{adapter}: `clicktrail compile` writes its SQL, dbt runs it"),
    };
    checks.push(good("target", format!("`{name}` of profile `{profile_name}`, {how}")));
    checks
}

/// What the project holds, and what is odd about it.
fn of_project(project: &Project) -> Vec<Check> {
    let manifest = &project.manifest;
    let of = |kind| manifest.nodes.values().filter(|node| node.resource_type == kind).count();
    let counts = [
        (of(ResourceType::Model), "model", "models"),
        (of(ResourceType::Seed), "seed", "seeds"),
        (manifest.sources.len(), "source", "sources"),
        (of(ResourceType::Test), "data test", "data tests"),
        (manifest.unit_tests.len(), "unit test", "unit tests"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| counted(*number, one, many))
        .collect();
    let version =
        project.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let mut checks = vec![match counts.is_empty() {
        true => {
            bad("project", format!("`{}` is empty", project.name), "add SQL files under `models/`")
        }
        false => good("project", format!("`{}`{version}: {}", project.name, counts.join(", "))),
    }];
    for warning in project.warnings.iter().take(WARNINGS_MAX) {
        let hint = warning.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        checks.push(good("project", format!("warning: {warning}{hint}")));
    }
    if let Some(more) = project.warnings.len().checked_sub(WARNINGS_MAX).filter(|more| *more > 0) {
        checks.push(good("project", counted(more, "more warning", "more warnings")));
    }
    checks
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Whether tables can be written, and whether anybody else is writing.
fn of_warehouse(warehouse: &Warehouse) -> Vec<Check> {
    let dir = warehouse.dir();
    let Some(ground) = dir.ancestors().map(or_here).find(|dir| dir.exists()) else {
        return vec![bad(
            "warehouse",
            format!("{} can't be reached", dir.display()),
            "correct `path` of the target",
        )];
    };
    if !ground.is_dir() {
        let found = format!("{} is a file", ground.display());
        return vec![bad(
            "warehouse",
            found,
            "move it, or correct `path` of the target in profiles.yml",
        )];
    }
    if let Err(error) = probe(&ground) {
        let found = format!("can't write in {}: {error}", shown(&ground));
        let fix = match error.kind() {
            std::io::ErrorKind::StorageFull => "free disk space",
            _ => "check who owns the folder and its permissions, or correct `path` of the target",
        };
        return vec![bad("warehouse", found, fix)];
    }
    if !dir.is_dir() {
        let path = Path::new(&shown(&ground)).join(dir.strip_prefix(&ground).unwrap_or(dir));
        return vec![good("warehouse", format!("{}, made by the first build", path.display()))];
    }
    let tables = counted(warehouse.tables().unwrap_or_default().len(), "table", "tables");
    let lock = match warehouse.lock() {
        Ok(_) => good("lock", "free"),
        Err(error) => refused("lock", &error, "check the permissions of the warehouse"),
    };
    vec![good("warehouse", format!("{}, {tables}, writable", shown(dir))), lock]
}

/// Whether the files of the tables are as they were written: one line for each table that is not.
fn of_files(warehouse: &Warehouse) -> Vec<Check> {
    let (mut checks, mut files, mut bytes) = (Vec::new(), 0, 0);
    for name in warehouse.tables().unwrap_or_default() {
        let found = warehouse.snapshot(&name).and_then(|table| {
            let Some(table) = table else { return Ok(()) };
            files += table.files.len();
            bytes += table.bytes();
            Ok(table.verify()?)
        });
        if let Err(error) = found {
            checks.push(refused(format!("table {name}"), &error, "build it again"));
        }
    }
    if checks.is_empty() {
        let found =
            format!("{}, {bytes} bytes: as they were written", counted(files, "file", "files"));
        checks.push(good("files", found));
    }
    checks
}

/// The empty path, which ends the ancestors of a relative one, means here.
fn or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

/// Creates a file and deletes it again.
fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".clicktrail-probe-{}", std::process::id()));
    let made = File::create(&path);
    let removed = fs::remove_file(&path);
    made.and(removed)
}

#[cfg(test)]
mod tests {
    use clicktrail_project::LoadOptions;

    use super::*;

    fn settings(dir: &Path) -> Settings {
        Settings {
            load: LoadOptions { project_dir: dir.to_owned(), ..LoadOptions::default() },
            memory_bytes: None,
        }
    }

    #[test]
    fn the_lock_file_knows_the_engines() {
        for (name, _) in ENGINES {
            assert!(locked_version(LOCK, name).is_some(), "{name}");
        }
        assert_eq!(locked_version("name = \"a\"\nversion = \"1.2\"\n", "a"), Some("1.2"));
        assert_eq!(locked_version("name = \"ab\"\nversion = \"1.2\"\n", "a"), None);
    }

    #[test]
    fn an_empty_folder_is_one_failure_with_a_fix() {
        let dir = tempfile::tempdir().unwrap();
        let checks = Workspace::debug(&settings(dir.path()), false);
        let failed: Vec<&Check> = checks.iter().filter(|check| !check.ok).collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].subject, "project file");
        assert!(failed[0].fix.is_some());
    }

    #[test]
    fn a_fault_of_the_profile_is_told_as_such() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PROJECT_FILE), "name: shop\nprofile: shop\n").unwrap();
        let checks = Workspace::debug(&settings(dir.path()), false);
        assert_eq!(checks.last().map(|check| check.subject.as_str()), Some("profile"));
        let profile = "shop:\n  target: dev\n  outputs:\n    dve: {type: clicktrail}\n";
        fs::write(dir.path().join(PROFILES_FILE), profile).unwrap();
        let checks = Workspace::debug(&settings(dir.path()), false);
        let last = checks.last().unwrap();
        assert!(!last.ok && last.subject == "profile" && last.found.contains("dev"), "{last:?}");
        assert!(last.fix.as_deref().is_some_and(|fix| fix.contains("dve")), "{last:?}");
    }

    #[test]
    fn a_warehouse_that_is_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("warehouse"), "").unwrap();
        fs::write(dir.path().join(PROJECT_FILE), "name: shop\nprofile: shop\n").unwrap();
        fs::write(
            dir.path().join(PROFILES_FILE),
            "shop:\n  outputs:\n    default: {type: clicktrail}\n",
        )
        .unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        fs::write(dir.path().join("models/one.sql"), "select 1 as one").unwrap();
        let checks = Workspace::debug(&settings(dir.path()), false);
        let failed: Vec<&str> =
            checks.iter().filter(|check| !check.ok).map(|check| check.subject.as_str()).collect();
        assert_eq!(failed, ["warehouse"], "{checks:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "no probe is left behind");
    }
}
