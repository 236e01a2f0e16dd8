//! Selectors on the fixture `shop`.

use clicktrail_project::{Project, SelectArgs};

use super::load;

fn names(project: &Project, args: &SelectArgs) -> String {
    match project.select(args) {
        Ok(ids) => ids
            .iter()
            .map(|id| id.split('.').skip(2).collect::<Vec<_>>().join("."))
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => format!("{error} | {}", error.hint().unwrap_or_default()),
    }
}

fn run(project: &Project, select: &str) -> String {
    let args = SelectArgs { select: vec![select.into()], ..SelectArgs::default() };
    names(project, &args)
}

#[test]
fn methods_and_operators() {
    let project = load("shop", None).unwrap();
    let mut out = String::new();
    for spec in [
        "stg_events",
        "fct_users",
        "staging",
        "shop.marts",
        "*_users",
        "+eph_users",
        "1+fct_users",
        "codes+,resource_type:model",
        "stg_events+1",
        "@codes",
        "tag:nightly",
        "tag:all",
        "path:models/staging",
        "models/marts",
        "stg_events.sql",
        "source:ga4",
        "source:ga4.events+1",
        "resource_type:seed",
        "test_type:singular",
        "test_type:generic",
        "test_type:unit",
        "test_type:data",
        "test_name:unique",
        "config.materialized:incremental",
        "config.severity:warn",
        "config.meta.owner:growth",
        "fct_users,test_type:unit",
        "tag:nightly tag:staging",
        "unit_test:*",
        "package:shop",
        "source:gaa4",
        "tag:nightley",
        "resource_type:modle",
        "config:x",
        "nothing_like_it",
    ] {
        out.push_str(&format!("{spec:<34} {}\n", run(&project, spec)));
    }
    super::snapshot("selectors", &out);
}

#[test]
fn exclude_and_named() {
    let project = load("shop", None).unwrap();
    let args = SelectArgs {
        select: vec!["fct_users".into()],
        exclude: vec!["test_type:generic".into()],
        ..SelectArgs::default()
    };
    assert_eq!(names(&project, &args), "fct_users assert_users fct_users.users_are_distinct");
    let args = SelectArgs { selector: Some("nightly".into()), ..SelectArgs::default() };
    assert_eq!(
        names(&project, &args),
        "eph_users fct_users stg_events codes ga4.events fct_users.users_are_distinct"
    );
    let args = SelectArgs { selector: Some("nightl".into()), ..SelectArgs::default() };
    assert!(names(&project, &args).contains("did you mean `nightly`?"));
    assert_eq!(
        project.select(&SelectArgs::default()).unwrap().len(),
        project.manifest.parent_map.len()
    );
}

#[test]
fn state_and_results() {
    let project = load("shop", None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut earlier = project.manifest.clone();
    earlier.nodes.get_mut("model.shop.stg_events").unwrap().checksum.checksum = "old".into();
    earlier.nodes.remove("model.shop.eph_users");
    let users = earlier.nodes.get_mut("model.shop.fct_users").unwrap();
    users.unrendered_config.insert("materialized".into(), "table".into());
    earlier.write(&dir.path().join("manifest.json")).unwrap();
    let results = r#"{"results": [
        {"unique_id": "model.shop.stg_events", "status": "error"},
        {"unique_id": "model.shop.gone", "status": "error"},
        {"unique_id": "model.shop.fct_users", "status": "skipped"}]}"#;
    std::fs::write(dir.path().join("run_results.json"), results).unwrap();
    let select = |spec: &str| {
        let args = SelectArgs {
            select: vec![spec.into()],
            exclude: vec!["resource_type:test resource_type:unit_test".into()],
            state: Some(dir.path().to_owned()),
            ..SelectArgs::default()
        };
        names(&project, &args)
    };
    assert_eq!(select("state:new"), "eph_users");
    assert_eq!(select("state:modified.body"), "eph_users stg_events");
    assert_eq!(select("state:modified.configs"), "eph_users fct_users");
    assert_eq!(select("state:modified"), "eph_users fct_users stg_events");
    assert_eq!(select("result:error"), "stg_events");
    assert_eq!(select("1+result:skipped"), "eph_users fct_users codes");
    assert!(select("state:modifed").contains("did you mean `modified`?"));
}
