use super::*;
use crate::profile::Adapter;
use serde_json::json;

fn engine(macros: &str) -> Engine {
    let globals = Globals {
        project: "shop".into(),
        adapter: Some(Adapter::Clicktrail),
        run_started_at: "2026-11-23T18:00:01Z".into(),
        vars: json!({"days": 3, "names": ["a", "b"]}).as_object().cloned().unwrap(),
        ..Globals::default()
    };
    Engine::new(globals, &[("macros/m.sql".into(), macros.to_owned())]).unwrap()
}

fn scope(engine: &Engine) -> Arc<Scope> {
    let file = "models/a.sql".into();
    Arc::new(Scope { globals: engine.globals.clone(), file, ..Scope::default() })
}

fn render(macros: &str, text: &str) -> String {
    let engine = engine(macros);
    match engine.render(text, &scope(&engine), true) {
        Ok(text) => lines::plain(&text),
        Err(error) => format!("{} | {}", error, error.hint().unwrap_or_default()),
    }
}

#[test]
fn macros_return_values_across_macros() {
    let macros = "{% macro pair(x) %}{% do return([x, x + 1]) %}{% endmacro %}
{% macro outer(x) -%} {% set p = pair(x) %}{{ return({'p': p}) }} {%- endmacro %}";
    assert_eq!(render(macros, "{% set r = outer(1) %}{{ r.p[1] }} {{ r }}"), "2 {'p': [1, 2]}");
}

#[test]
fn dispatch_falls_back_to_default() {
    let macros = "{% macro f(x) %}{{ return(adapter.dispatch('f', 'shop')(x)) }}{% endmacro %}
{% macro default__f(x) %}d{{ x }}{% endmacro %}
{% macro g() %}{{ adapter.dispatch('g')() }}{% endmacro %}
{% macro clicktrail__g() %}c{% endmacro %}{% macro default__g() %}d{% endmacro %}";
    assert_eq!(render(macros, "{{ f(1) }}{{ shop.g() }} {{ dbt.type_string() }}"), "d1c varchar");
}

#[test]
fn call_blocks_reach_macros() {
    let macros = "{% macro wrap(a) %}[{{ a }}{{ caller() }}]{% endmacro %}";
    assert_eq!(render(macros, "{% call wrap(1) %}x{% endcall %}"), "[1x]");
}

#[test]
fn values_are_written_as_python_does() {
    assert_eq!(render("", "{{ var('names') }} {{ none }} {{ true }}"), "['a', 'b'] None True");
    assert_eq!(render("", "{{ tojson({'a': [1, 'b,c']}) }}"), r#"{"a": [1, "b,c"]}"#);
    assert_eq!(render("", "{{ run_started_at.strftime('%Y-%m-%d') }}"), "2026-11-23");
    assert_eq!(render("", "{{ zip([1, 2], ['a', 'b']) | list }}"), "[[1, 'a'], [2, 'b']]");
    assert_eq!(render("", "{{ 'a,b'.split(',') | join('|') }}"), "a|b");
}

#[test]
fn errors_name_place_and_cause() {
    assert_eq!(
        render("", "select 1\n  , {{ reff('x') }}"),
        "`reff` is undefined in models/a.sql:2:8 | did you mean `ref`?"
    );
    assert_eq!(
        render("{% macro bad() %}\n\n{{ var('dayz') }}{% endmacro %}", "x {{ bad() }}"),
        "var `dayz` is not set and has no default in macros/m.sql:3:4 | did you mean `days`? \
         (called from models/a.sql)"
    );
    assert_eq!(
        render("", "{% do run_query('select 1') %}"),
        "`run_query` is not supported in models/a.sql:1:7 | "
    );
    assert_eq!(
        render("", "{{ exceptions.raise_compiler_error('no ' ~ 1) }}"),
        "no 1 in models/a.sql:1:14 | "
    );
}

#[test]
fn endless_macros_stop() {
    let macros = "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}";
    assert!(render(macros, "{{ a() }}").contains("more than 32 macros inside each other"));
}
